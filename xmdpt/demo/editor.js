// The pose editor, run by gr.HTML with `element`, `props`, `trigger` and `watch`.
// props.value: JSON of 18 [x, y] in a picture of 750 by 1101, [-1, -1] missing. A press near a joint
// drags it; a double click drops it, and on empty ground sets the first missing one.
const WIDTH = 750, HEIGHT = 1101, REACH = 45;
const LIMBS = props.limbs, COLORS = props.colors, NAMES = props.names;
let joints = [], held = -1;

function parse() {
  try {
    const read = JSON.parse(props.value);
    if (Array.isArray(read) && read.length === 18) joints = read.map(([x, y]) => [+x, +y]);
  } catch (error) { /* the last good pose stays */ }
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
    pen.arc(...joint, index === held ? 22 : 14, 0, 2 * Math.PI);
    pen.fill();
  });
  const missing = NAMES.filter((_, index) => !there(joints[index]));
  const held_name = held >= 0 ? NAMES[held] : "";
  element.querySelector(".note").textContent =
    held_name || (missing.length ? "missing: " + missing.join(", ") : "all 18 joints are there");
}

function place(event) {
  const box = element.querySelector("canvas").getBoundingClientRect();
  const clip = (value, most) => Math.round(Math.min(Math.max(value, 0), most - 1));
  return [clip((event.clientX - box.left) / box.width * WIDTH, WIDTH),
          clip((event.clientY - box.top) / box.height * HEIGHT, HEIGHT)];
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
  if (!onCanvas(event)) return;
  held = nearest(place(event));
  if (held >= 0) event.target.setPointerCapture(event.pointerId);
  draw();
});
element.addEventListener("pointermove", (event) => {
  if (held < 0) return;
  joints[held] = place(event);
  draw();
});
element.addEventListener("pointerup", () => {
  if (held < 0) return;
  held = -1;
  tell();
});
element.addEventListener("dblclick", (event) => {
  if (!onCanvas(event)) return;
  const at = place(event), near = nearest(at);
  const empty = joints.findIndex((joint) => !there(joint));
  if (near >= 0) joints[near] = [-1, -1];
  else if (empty >= 0) joints[empty] = at;
  tell();
});

watch("value", () => { if (held < 0) { parse(); draw(); } });
parse();
draw();
