// The pose editor. gr.HTML runs it with `element`, `props`, `trigger` and `watch`.
// props.value is JSON: 18 joints [x, y] in a picture of 750 by 1101, [-1, -1] if missing. Joints can
// be dragged. A double click removes a joint, or on empty ground adds the first missing one. Page Up
// and Page Down choose a joint, and the arrow keys move it. Buttons undo, redo, mirror and save.
// props.photo is the address of a picture to trace, or empty.
const WIDTH = 750, HEIGHT = 1101, REACH = 45, STRIDE = 10, MOST_UNDONE = 100;
const LIMBS = props.limbs, COLORS = props.colors, NAMES = props.names, OTHER_SIDE = props.other_side;
const TURNS = {PageUp: -1, PageDown: 1};
const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
let joints = [], held = -1, chosen = -1;
let told = "", done = [], undone = [];
const photo = new Image();
photo.onload = () => draw();

function parse() {
  try {
    const read = JSON.parse(props.value);
    if (Array.isArray(read) && read.length === 18) joints = read.map(([x, y]) => [+x, +y]);
  } catch (error) { /* keep the last good pose */ }
}

const there = (joint) => joint[0] !== -1 && joint[1] !== -1;

// Call it after every change but those of undo and redo.
function remember() {
  const now = JSON.stringify(joints);
  if (now === told) return;
  if (told) done = [...done, told].slice(-MOST_UNDONE);
  undone = [];
  told = now;
}

function step(from, to) {
  if (!from.length) return;
  to.push(told);
  told = from.pop();
  joints = JSON.parse(told);
  chosen = -1;
  tell();
}

function mirror() {
  joints = OTHER_SIDE.map((other) => {
    const [x, y] = joints[other];
    return there(joints[other]) ? [WIDTH - 1 - x, y] : [-1, -1];
  });
  tell();
}

// As OpenPose and ControlNet write it: x, y and a score of each joint, zeros where it is missing.
function save() {
  const numbers = joints.flatMap((joint) => there(joint) ? [...joint, 1] : [0, 0, 0]);
  const pose = {people: [{pose_keypoints_2d: numbers}], canvas_width: WIDTH, canvas_height: HEIGHT};
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(pose)], {type: "application/json"}));
  link.download = "pose.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

const ACTIONS = {undo: () => step(done, undone), redo: () => step(undone, done), mirror, save};

function draw() {
  const canvas = element.querySelector("canvas");
  if (!canvas || !joints.length) return;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "black";
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  if (photo.src && photo.complete && photo.naturalWidth) {
    pen.globalAlpha = 0.6;
    pen.drawImage(photo, 0, 0, WIDTH, HEIGHT);
    pen.globalAlpha = 1;
  }
  pen.lineCap = "round";
  pen.lineWidth = 16;
  LIMBS.forEach(([a, b], index) => {
    if (!there(joints[a]) || !there(joints[b])) return;
    pen.strokeStyle = COLORS[index];
    pen.globalAlpha = 0.6;
    pen.beginPath();
    pen.moveTo(...joints[a]);
    pen.lineTo(...joints[b]);
    pen.stroke();
  });
  pen.globalAlpha = 1;
  joints.forEach((joint, index) => {
    if (!there(joint)) return;
    pen.fillStyle = COLORS[index];
    pen.beginPath();
    pen.arc(...joint, index === held || index === chosen ? 22 : 14, 0, 2 * Math.PI);
    pen.fill();
  });
  element.querySelector("[data-do=undo]").disabled = !done.length;
  element.querySelector("[data-do=redo]").disabled = !undone.length;
  const missing = NAMES.filter((_, index) => !there(joints[index]));
  element.querySelector(".note").textContent =
    NAMES[held >= 0 ? held : chosen] ||
    (missing.length ? "missing: " + missing.join(", ") : "all 18 joints are there");
}

function inside(x, y) {
  const clip = (value, most) => Math.round(Math.min(Math.max(value, 0), most - 1));
  return [clip(x, WIDTH), clip(y, HEIGHT)];
}

function place(event) {
  const box = element.querySelector("canvas").getBoundingClientRect();
  return inside((event.clientX - box.left) / box.width * WIDTH,
                (event.clientY - box.top) / box.height * HEIGHT);
}

function nearest([x, y]) {
  const far = joints.map((j) => there(j) ? Math.hypot(j[0] - x, j[1] - y) : Infinity);
  const best = far.indexOf(Math.min(...far));
  return far[best] <= REACH ? best : -1;
}

function tell() {
  remember();
  props.value = JSON.stringify(joints);
  trigger("change");
  draw();
}

const onCanvas = (event) => event.target.tagName === "CANVAS" && joints.length;

element.addEventListener("click", (event) => {
  const action = ACTIONS[event.target.dataset.do];
  if (action && joints.length) action();
});
element.addEventListener("pointerdown", (event) => {
  if (!onCanvas(event) || event.button || !event.isPrimary) return;
  chosen = -1;
  held = nearest(place(event));
  if (held >= 0) event.target.setPointerCapture(event.pointerId);
  draw();
});
element.addEventListener("pointermove", (event) => {
  if (held < 0 || !event.isPrimary) return;
  joints[held] = place(event);
  draw();
});
for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, (event) => {
  if (held < 0 || !event.isPrimary) return;
  held = -1;
  tell();
});
element.addEventListener("keydown", (event) => {
  if (!joints.length) return;
  const back = event.key === "z" && !event.shiftKey;
  if ((event.ctrlKey || event.metaKey) && (back || event.key === "y" || event.key === "Z")) {
    ACTIONS[back ? "undo" : "redo"]();
    event.preventDefault();
  }
  if (!onCanvas(event)) return;
  const turn = TURNS[event.key], arrow = ARROWS[event.key];
  if (turn && joints.some(there)) {
    do chosen = (Math.max(chosen, turn < 0 ? 0 : -1) + turn + joints.length) % joints.length;
    while (!there(joints[chosen]));
    draw();
  } else if (arrow && chosen >= 0) {
    const [x, y] = joints[chosen];
    joints[chosen] = inside(x + STRIDE * arrow[0], y + STRIDE * arrow[1]);
    tell();
  } else return;
  event.preventDefault();
});
element.addEventListener("dblclick", (event) => {
  if (!onCanvas(event)) return;
  const at = place(event), near = nearest(at);
  const empty = joints.findIndex((joint) => !there(joint));
  chosen = -1;
  if (near >= 0) joints[near] = [-1, -1];
  else if (empty >= 0) joints[empty] = at;
  tell();
});

function take() {
  parse();
  remember();
  if (photo.getAttribute("src") !== props.photo) photo.src = props.photo;
}

// Not as strings: gr.HTML takes every quoted name in this file for an event of its own.
const WATCHED = Object.keys({value: 0, photo: 0});

watch(WATCHED, () => {
  if (held >= 0) return;
  take();
  if (chosen >= 0 && !there(joints[chosen])) chosen = -1;
  draw();
});
take();
draw();
