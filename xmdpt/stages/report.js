// What moves on the report page: curves to zoom and filter, pictures to lay over each other.
"use strict";

const make = (tag, attributes = {}, ...inside) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true || value === false) made.toggleAttribute(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...inside);
  return made;
};

const choice = (label, options, chosen, onchange) => {
  const select = make("select", { onchange: () => onchange(select.selectedIndex) });
  options.forEach((text, index) => select.append(new Option(text, index, false, index === chosen)));
  return make("label", {}, `${label} `, select);
};

const button = (text, onclick) => make("button", { type: "button", onclick }, text);

// Curves. The colour of a run follows from its place, on paper and on a dark screen.

const HUES = [170, 25, 265, 340, 210, 45, 120, 5, 295, 190];
const dark = matchMedia("(prefers-color-scheme: dark)");
let onPaper = false;
const night = () => dark.matches && !onPaper;
const colourOf = (place) => `hsl(${HUES[place % HUES.length]} 65% ${night() ? 66 : 36}%)`;
const dashOf = (place) => (place < HUES.length ? [] : [6, 4]);
const digit = (value) => 10 ** Math.floor(Math.log10(value));
// The room of a logarithmic axis: from one round number to the next, not to the next power of ten.
const roomOf = (_, low, high) => (low == null ? [null, null] : [
  Math.floor(low / digit(low)) * digit(low), (Math.floor(high / digit(high)) + 1) * digit(high)]);
const short = (value) => (value == null ? "" : String(Number(value.toPrecision(4))));

class Curves {
  constructor(place) {
    const data = JSON.parse(place.querySelector("script").textContent);
    this.quantities = data.quantities;
    this.runs = data.runs;
    this.shown = new Set(data.runs.keys());
    this.quantity = 0;
    this.canvas = make("div", { role: "img", class: "chart" });
    this.labels = data.runs.map((run, index) => this.label(run, index));
    const names = data.quantities.map((one) => one.label);
    const every = (on) => () => this.show(on ? [...data.runs.keys()] : []);
    place.append(
      make("p", { class: "controls" },
        choice("Show", names, 0, (index) => { this.quantity = index; this.draw(); }),
        button("closer", () => this.zoom(0.5)), button("wider", () => this.zoom(2)),
        button("whole", () => this.zoom(Infinity))),
      this.canvas,
      make("fieldset", {}, make("legend", {}, "Runs, with the value under the pointer"),
        ...this.labels.map((one) => one.line),
        make("p", { class: "controls" }, button("all", every(true)), button("none", every(false)))),
    );
    place.hidden = false;
    this.draw();
    new ResizeObserver(() => this.fit()).observe(this.canvas);
  }

  label(run, index) {
    const box = make("input", { type: "checkbox", checked: true, onchange: () => this.toggle(index) });
    const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
    const value = make("output");
    return { box, swatch, value, line: make("label", {}, box, swatch, `${run.title} `, value) };
  }

  toggle(index) {
    if (!this.shown.delete(index)) this.shown.add(index);
    this.draw();
  }

  show(indices) {
    this.shown = new Set(indices);
    this.labels.forEach((one, index) => { one.box.checked = this.shown.has(index); });
    this.draw();
  }

  // The runs that have the quantity; each is logged at steps of its own.
  visible(key) {
    return [...this.runs.keys()].filter((index) => this.shown.has(index) && this.runs[index].values[key]);
  }

  draw() {
    const { key, label, log } = this.quantities[this.quantity];
    this.drawn = this.visible(key);
    const tables = this.drawn.map((index) => [this.runs[index].values.step, this.runs[index].values[key]]);
    const data = tables.length > 0 ? uPlot.join(tables) : [[]];
    const style = getComputedStyle(document.documentElement);
    const ink = onPaper ? "#333" : style.getPropertyValue("--soft");
    const grid = onPaper ? "#ddd" : style.getPropertyValue("--line");
    const axis = (text, more) => ({ label: text, stroke: ink, grid: { stroke: grid, width: 1 },
      ticks: { stroke: grid, width: 1 }, font: "12px system-ui", labelFont: "13px system-ui", ...more });
    this.plot?.destroy();
    this.plot = new uPlot({
      ...this.size(),
      scales: { x: { time: false }, y: log ? { distr: 3, range: roomOf } : {} },
      axes: [axis("training step"), axis(label, { size: 70,
        values: (_, values) => values.map(short) })],
      series: [{}, ...this.drawn.map((place) => ({ label: this.runs[place].title, spanGaps: true,
        stroke: colourOf(place), dash: dashOf(place), width: 2, points: { size: 6 } }))],
      legend: { show: false },
      cursor: { drag: { x: true, y: false } },
      hooks: { setCursor: [(plot) => this.read(plot)] },
    }, data, this.canvas);
    this.labels.forEach((one, place) => {
      one.swatch.style.borderTop = `3px ${dashOf(place).length ? "dashed" : "solid"} ${colourOf(place)}`;
      one.line.classList.toggle("absent", !this.runs[place].values[key]);
    });
    const names = this.drawn.map((place) => this.runs[place].title).join(", ");
    this.canvas.setAttribute("aria-label", `${label} against training steps: ${names || "no run"}`);
  }

  // The values at the point nearest to the pointer, beside the runs' names.
  read(plot) {
    this.labels.forEach((one) => { one.value.textContent = ""; });
    const at = plot.cursor.idx;
    if (at == null) return;
    this.drawn.forEach((place, series) => {
      this.labels[place].value.textContent = short(plot.data[series + 1][at]);
    });
  }

  zoom(factor) {
    const steps = this.plot.data[0];
    if (steps.length < 2) return;
    const [first, last] = [steps[0], steps.at(-1)];
    const { min, max } = this.plot.scales.x;
    const [middle, half] = [(min + max) / 2, ((max - min) / 2) * factor];
    this.plot.setScale("x", { min: Math.max(first, middle - half), max: Math.min(last, middle + half) });
  }

  size() {
    const width = Math.max(this.canvas.clientWidth, 200);
    return { width, height: Math.round(Math.min(420, Math.max(260, width * 0.5))) };
  }

  fit() {
    if (this.canvas.clientWidth !== this.plot.width) this.plot.setSize(this.size());
  }
}

// Pictures. One lies over the other; how much of it is seen is a range, which keys move too.

class Compare {
  constructor(place) {
    this.rows = JSON.parse(place.querySelector("script").textContent);
    const names = this.rows.map((row) => row.name);
    const last = names.length - 1; // the truth, and before it what was drawn
    const first = names.indexOf(place.dataset.first);
    this.chosen = { left: first < 0 ? Math.max(last - 1, 0) : first, right: last };
    this.pair = 0;
    this.pictures = { left: make("img", { class: "over" }), right: make("img") };
    this.given = ["source", "pose"].filter((name) => names.includes(name))
      .map((name) => ({ row: names.indexOf(name), image: make("img"), name }));
    this.range = make("input", { type: "range", min: 0, max: 100, value: 50, step: 1,
      "aria-label": "How much is seen of the picture on the left, in per cent", oninput: () => this.split() });
    this.both = make("div", { class: "both", onpointerdown: (event) => this.drag(event),
      onpointermove: (event) => event.buttons && this.drag(event) },
      this.pictures.right, this.pictures.left, make("span", { class: "edge", "aria-hidden": "true" }));
    this.number = make("output");
    const side = (which) => choice(which, names, this.chosen[which], (index) => {
      this.chosen[which] = index;
      this.draw();
    });
    place.append(
      make("div", { class: "stage" },
        ...this.given.map((one) => make("figure", {}, one.image, make("figcaption", {}, one.name))),
        make("figure", {}, this.both, this.range)),
      make("p", { class: "controls" }, side("left"), side("right"),
        button("pair before", () => this.turn(-1)), this.number, button("next pair", () => this.turn(1))),
    );
    place.hidden = false;
    this.split();
    this.draw();
  }

  get count() {
    return this.rows[0].pictures.length;
  }

  turn(by) {
    this.pair = (this.pair + by + this.count) % this.count;
    this.draw();
  }

  put(image, row) {
    const { name, pictures } = this.rows[row];
    image.src = pictures[this.pair];
    image.alt = `${name}, pair ${this.pair + 1}`;
  }

  draw() {
    for (const [side, row] of Object.entries(this.chosen)) this.put(this.pictures[side], row);
    for (const { row, image } of this.given) this.put(image, row);
    this.number.textContent = `${this.pair + 1} of ${this.count}`;
  }

  drag(event) {
    const { left, width } = this.both.getBoundingClientRect();
    this.range.value = (100 * (event.clientX - left)) / width;
    this.split();
  }

  split() {
    this.both.style.setProperty("--seen", `${this.range.value}%`);
  }
}

const charts = [...document.querySelectorAll(".curves")].map((place) => new Curves(place));
document.querySelectorAll(".compare").forEach((place) => new Compare(place));

dark.addEventListener("change", () => charts.forEach((chart) => chart.draw()));

const closed = () => document.querySelectorAll("details.run:not([open]), details.undecided:not([open])");
let unfolded = [];
const paper = (on) => {
  if (on) unfolded.push(...closed()); // browsers may announce one print twice
  unfolded.forEach((one) => { one.open = on; });
  if (!on) unfolded = [];
  onPaper = on;
  charts.forEach((chart) => chart.draw());
};
addEventListener("beforeprint", () => paper(true));
addEventListener("afterprint", () => paper(false));
