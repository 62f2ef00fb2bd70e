// The pose editor. gr.HTML runs it with `element`, `props`, `trigger` and `watch`.
// props.value is JSON: 18 joints [x, y] in a picture of 750 by 1101, [-1, -1] if missing. Joints can
// be dragged. A double click removes a joint, or on empty ground adds the first missing one. Page Up
// and Page Down choose a joint, and the arrow keys move it.
const WIDTH = 750, HEIGHT = 1101, REACH = 45, STRIDE = 10;
const LIMBS = props.limbs, COLORS = props.colors, NAMES = props.names;
const TURNS = {PageUp: -1, PageDown: 1};
const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
let joints = [], held = -1, chosen = -1;

function parse() {
  try {
    const read = JSON.parse(props.value);
    if (Array.isArray(read) && read.length === 18) joints = read.map(([x, y]) => [+x, +y]);
  } catch (error) { /* keep the last good pose */ }
}

const there = (joint) => joint[0] !== -1 && joint[1] !== -1;

function draw() {
  const canvas = element.querySelector("canvas");
  if (!canvas || !joints.length) return;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "black";
  pen.fillRect(0, 0, WIDTH, HEIGHT);
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
  props.value = JSON.stringify(joints);
  trigger("change");
  draw();
}

const onCanvas = (event) => event.target.tagName === "CANVAS" && joints.length;

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

watch("value", () => {
  if (held >= 0) return;
  parse();
  if (chosen >= 0 && !there(joints[chosen])) chosen = -1;
  draw();
});
parse();
draw();
