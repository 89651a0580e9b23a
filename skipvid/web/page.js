"use strict";
// Pictures are asked for when the last ones are shown, so that they come at this viewer's pace; numbers once a second.

const SVG = "http://www.w3.org/2000/svg";
const SOON = 60; // milliseconds between two questions for pictures
const cards = [];

const element = (name, attributes = {}, parent = null) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
};

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const percent = (share) => `${Math.round(100 * share)} %`;
const announce = (text) => { document.getElementById("announcement").textContent = text; };

// Names of the charts: what they are called, how a number is written, and the top of the scale where it is fixed.
const CHARTS = [
  ["saving", "MACs saved", percent, 1],
  ["fps", "Frames/s", (value) => value.toFixed(0), 0],
  ["delay_ms", "Delay", (value) => `${value.toFixed(0)} ms`, 0],
  ["dropped", "Dropped/s", (value) => value.toFixed(0), 0],
];

class Card {
  constructor(index) {
    this.index = index;
    this.seen = 0;
    this.mask = true;
    this.areas = [];
    this.points = null; // of the area that is being drawn
    this.cross = [0.5, 0.5];
    this.root = document.getElementById("card").content.cloneNode(true).firstElementChild;
    const find = (selector) => this.root.querySelector(selector);
    Object.assign(this, {
      title: find("h2"), state: find(".state"), picture: find(".picture"), canvas: find("canvas"), drawing: find("svg.drawing"),
      waiting: find(".waiting"), message: find(".message"), told: find(".told"), help: find(".help"), numbers: find(".numbers"),
      found: find(".found"), tools: find(".tools"), maskButton: find(".mask"), drawButton: find(".draw"), closeButton: find(".close"), clearButton: find(".clear"),
    });
    this.charts = {};
    for (const [key, name] of CHARTS) {
      const box = document.createElement("div");
      const term = document.createElement("dt");
      const value = document.createElement("dd");
      const chart = element("svg", { viewBox: "0 0 180 34", preserveAspectRatio: "none", role: "img" });
      term.textContent = name;
      value.append(document.createTextNode("–"));
      const filled = element("path", { class: "area" }, chart);
      const line = element("path", { class: "line" }, chart);
      box.append(term, value, chart);
      this.numbers.append(box);
      this.charts[key] = { box, value: value.firstChild, chart, filled, line };
    }
    this.maskButton.addEventListener("click", () => {
      this.mask = !this.mask;
      this.maskButton.setAttribute("aria-pressed", String(this.mask));
    });
    const large = find(".large");
    large.addEventListener("click", () => large.setAttribute("aria-pressed", String(this.root.classList.toggle("wide"))));
    this.drawButton.addEventListener("click", () => (this.points ? this.stop("given up") : this.start()));
    this.closeButton.addEventListener("click", () => this.finish());
    this.clearButton.addEventListener("click", () => this.send([]));
    this.drawing.addEventListener("pointerdown", (event) => this.click(event));
    this.drawing.addEventListener("keydown", (event) => this.key(event));
  }

  show(record) {
    const name = record.name;
    this.title.textContent = name;
    this.root.setAttribute("aria-label", name);
    this.state.textContent = record.state === "running" && !record.frames ? "starting" : record.state;
    this.state.className = `state ${record.state}`;
    this.message.hidden = !record.message;
    this.message.textContent = record.message;
    if (record.width) this.picture.style.aspectRatio = `${record.width} / ${record.height}`;
    const never = record.state === "failed" && !record.frames;
    if (never) this.waiting.textContent = "no picture";
    this.tools.hidden = this.numbers.hidden = never;
    this.maskButton.hidden = record.gated === false;
    for (const [key, label, text, top] of CHARTS) this.chart(key, label, text, top, record);
    this.areas = record.areas;
    this.clearButton.hidden = !this.areas.length;
    this.drawButton.disabled = !record.width;
    this.outline();
    this.list(record);
  }

  chart(key, label, text, top, record) {
    const { box, value, chart, filled, line } = this.charts[key];
    const series = record.history[key];
    box.hidden = (key === "saving" && record.gated === false) || ((key === "delay_ms" || key === "dropped") && record.live === false);
    if (!series.length) return;
    const last = series.slice(-3).reduce((sum, one) => sum + one, 0) / Math.min(3, series.length);
    value.data = text(last);
    const most = top || Math.max(1, ...series) * 1.1;
    const step = 180 / Math.max(series.length - 1, 1);
    const path = series.map((one, at) => `${(at * step).toFixed(1)},${(33 - 31 * Math.min(one / most, 1)).toFixed(1)}`);
    if (path.length === 1) path.push(`180,${path[0].split(",")[1]}`);
    line.setAttribute("d", `M${path.join("L")}`);
    filled.setAttribute("d", `M0,34L${path.join("L")}L180,34Z`);
    chart.setAttribute("aria-label", `${label} over the last ${series.length} seconds: from ${text(Math.min(...series))} to ${text(Math.max(...series))}`);
  }

  list(record) {
    const lines = [];
    const labels = Object.entries(record.labels || {}).sort();
    const found = labels.length ? labels.map(([label, count]) => `${count} ${label}`).join(", ") : "nothing";
    if (record.labels) lines.push(["Now", found]);
    for (const count of record.counts || []) {
      const totals = Object.entries(count.totals).map(([kind, number]) => `${number} ${kind}`).join(", ");
      lines.push([count.name, totals + (count.inside === null ? "" : `, ${count.inside} inside`)]);
    }
    const rows = lines.map(([name, text]) => {
      const row = document.createElement("p");
      const bold = document.createElement("b");
      bold.textContent = `${name}: `;
      row.append(bold, text);
      return row;
    });
    const ids = (record.ids || []).map(([id, label]) => {
      const chip = document.createElement("span");
      chip.className = "id";
      chip.textContent = `#${id} ${label}`;
      return chip;
    });
    if (ids.length) {
      const row = document.createElement("p");
      row.append(...ids);
      rows.push(row);
    }
    this.found.replaceChildren(...rows);
    this.canvas.setAttribute("aria-label", `Picture of ${record.name}, with ${found}`);
  }

  async paint(jpeg) {
    const bitmap = await createImageBitmap(jpeg);
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
    }
    this.canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    this.canvas.classList.add("drawn");
    this.waiting.hidden = true;
  }

  start() {
    this.points = [];
    this.cross = [0.5, 0.5];
    this.drawing.setAttribute("tabindex", "0");
    this.drawing.setAttribute("role", "application");
    this.drawing.setAttribute("aria-label", "Drawing an area. Arrow keys move, Space sets a corner, Enter finishes, Escape gives up.");
    this.drawing.removeAttribute("aria-hidden");
    this.mode(true);
    this.drawing.focus({ preventScroll: true });
  }

  stop(why) {
    this.points = null;
    this.drawing.removeAttribute("tabindex");
    this.drawing.removeAttribute("role");
    this.drawing.removeAttribute("aria-label");
    this.drawing.setAttribute("aria-hidden", "true");
    this.mode(false);
    if (why) announce(why);
    this.drawButton.focus({ preventScroll: true });
  }

  mode(drawing) {
    this.picture.classList.toggle("drawing", drawing);
    this.drawButton.setAttribute("aria-pressed", String(drawing));
    this.drawButton.textContent = drawing ? "Give up" : "Draw area to ignore";
    this.closeButton.hidden = !drawing;
    this.help.hidden = !drawing;
    this.outline();
  }

  click(event) {
    if (!this.points || event.button > 0) return;
    const box = this.drawing.getBoundingClientRect();
    this.cross = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((one) => Math.min(1, Math.max(0, one)));
    this.corner();
  }

  corner() {
    this.points.push([...this.cross]);
    announce(`corner ${this.points.length} at ${percent(this.cross[0])}, ${percent(this.cross[1])}`);
    this.outline();
  }

  key(event) {
    if (!this.points) return;
    const step = event.shiftKey ? 0.1 : 0.01;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) this.cross = this.cross.map((one, at) => Math.min(1, Math.max(0, one + moves[event.key][at])));
    else if (event.key === " ") this.corner();
    else if (event.key === "Enter") this.finish();
    else if (event.key === "Backspace") this.points.pop();
    else if (event.key === "Escape") this.stop("given up");
    else return;
    event.preventDefault();
    this.outline();
  }

  finish() {
    if (this.points.length < 3) {
      this.told.textContent = "An area has three corners or more.";
      return;
    }
    const area = this.points;
    this.stop("");
    this.send([...this.areas, area]);
  }

  async send(areas) {
    try {
      const answer = await fetch(`areas/${this.index}`, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(areas) });
      const { told, error } = await answer.json();
      this.told.textContent = told || error;
      if (told) this.areas = areas;
    } catch {
      this.told.textContent = "skipvid does not answer.";
    }
    this.clearButton.hidden = !this.areas.length;
    this.outline();
  }

  outline() {
    this.drawing.replaceChildren();
    const text = (points) => points.map(([x, y]) => `${x},${y}`).join(" ");
    for (const area of this.areas) element("polygon", { points: text(area) }, this.drawing);
    if (!this.points) return;
    if (this.points.length) element("polyline", { points: text([...this.points, this.cross]) }, this.drawing);
    const [x, y] = this.cross;
    element("path", { class: "cross", d: `M${x - 0.02},${y}H${x + 0.02}M${x},${y - 0.03}V${y + 0.03}` }, this.drawing);
  }
}

const say = (cameras) => {
  const running = cameras.filter((one) => one.state === "running").length;
  const sum = (key) => cameras.reduce((total, one) => total + (one[key] || 0), 0);
  document.getElementById("summary").textContent =
    `${running} of ${cameras.length} running, ${sum("frames").toLocaleString("en")} frames, ${sum("dropped").toLocaleString("en")} dropped`;
};

const numbers = async () => {
  for (;;) {
    try {
      const answer = await fetch("state");
      if (!answer.ok) throw new Error(answer.statusText);
      const { cameras } = await answer.json();
      const main = document.getElementById("cameras");
      while (cards.length < cameras.length) {
        cards.push(new Card(cards.length));
        main.append(cards.at(-1).root);
      }
      main.classList.toggle("single", cards.length === 1);
      cameras.forEach((record, index) => cards[index].show(record));
      say(cameras);
    } catch {
      document.getElementById("summary").textContent = "skipvid has ended, or cannot be reached";
      for (const card of cards) card.state.className = "state failed";
    }
    await pause(1000);
  }
};

const pictures = async () => {
  for (;;) {
    if (!cards.length || document.hidden) { await pause(200); continue; }
    try {
      const width = Math.round(Math.max(...cards.map((card) => card.picture.clientWidth)) * Math.min(devicePixelRatio, 2)) || 640;
      const seen = cards.map((card) => card.seen).join(",");
      const masks = cards.map((card) => Number(card.mask)).join(",");
      const answer = await fetch(`pictures?seen=${seen}&mask=${masks}&width=${Math.min(Math.max(width, 160), 1920)}`);
      if (!answer.ok) throw new Error(answer.statusText);
      const data = new Uint8Array(await answer.arrayBuffer());
      let end = data.indexOf(10);
      const found = JSON.parse(new TextDecoder().decode(data.subarray(0, end)));
      end += 1;
      for (const { camera, number, bytes } of found) {
        await cards[camera].paint(new Blob([data.subarray(end, end + bytes)], { type: "image/jpeg" }));
        cards[camera].seen = number;
        end += bytes;
      }
      await pause(SOON);
    } catch {
      await pause(1000);
    }
  }
};

numbers();
pictures();
