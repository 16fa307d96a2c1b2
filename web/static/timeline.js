// <workflow-timeline data-model='{"start", "end", "hidden", "rows": [{"id", "label", "kind",
// "status", "from", "to"}]}'> draws one bar for each step. Times are milliseconds of the epoch;
// "to" and "end" are null while the step or the workflow runs, and such bars grow.

const LANE_PIXELS = 30;
const BAR_PIXELS = 14;
const POINT_PIXELS = 5;
const CHARACTER_PIXELS = 7.4;
const AXIS_PIXELS = 24;
const NAME_SHARE = 0.24;
const LENGTH_PIXELS = 84;
const TICKS_MAX = 6;
// Distances between ticks that are easy to read, in milliseconds.
const TICK_STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * 1000),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60_000),
  ...[1, 2, 3, 6, 12].map((hours) => hours * 3_600_000),
  ...[1, 2, 5, 10, 30, 90, 365, 1825].map((days) => days * 86_400_000),
];
const GROW_MILLISECONDS = 1000;
const SVG = "http://www.w3.org/2000/svg";

function make(name, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, name);
  set(element, attributes);
  element.textContent = text;
  return element;
}

function set(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
}

function spanText(milliseconds) {
  const seconds = Math.max(milliseconds, 0) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Number(seconds.toFixed(seconds < 10 ? 2 : 1))} s`;
  for (const [unit, name, small, smallName] of [
    [86400, "d", 3600, "h"],
    [3600, "h", 60, "min"],
    [60, "min", 1, "s"],
  ]) {
    if (seconds < unit) continue;
    const rest = Math.floor((seconds % unit) / small);
    return `${Math.floor(seconds / unit)} ${name}${rest ? ` ${rest} ${smallName}` : ""}`;
  }
}

function clipped(text, characters) {
  return text.length > characters ? `${text.slice(0, characters - 1)}…` : text;
}

class WorkflowTimeline extends HTMLElement {
  static observedAttributes = ["data-model"];

  connectedCallback() {
    this.observer = new ResizeObserver(() => this.place());
    this.observer.observe(this);
    this.clock = setInterval(() => this.model?.end === null && this.place(), GROW_MILLISECONDS);
  }

  disconnectedCallback() {
    this.observer.disconnect();
    clearInterval(this.clock);
  }

  attributeChangedCallback(_name, _old, value) {
    this.model = JSON.parse(value);
    const focused = this.querySelector(".lane:focus")?.dataset.step;
    this.axis = make("g");
    this.lanes = this.model.rows.map((row) => new Lane(row, () => this.open(row.id)));
    const height = AXIS_PIXELS + this.lanes.length * LANE_PIXELS;
    const svg = make("svg", { height, role: "group", "aria-label": "Steps over time" });
    svg.append(this.axis, ...this.lanes.map((lane) => lane.element));
    this.replaceChildren(svg);
    this.place();
    if (focused) this.querySelector(`.lane[data-step="${focused}"]`)?.focus();
  }

  /** Puts everything where it belongs now; lanes stay the same elements, under any pointer. */
  place() {
    const whole = this.clientWidth;
    if (!whole) return;
    const { start, end, rows } = this.model;
    const now = end ?? Date.now();
    const length = Math.max(now, ...rows.map((row) => row.to ?? row.from)) - start || 1;
    const left = Math.min(Math.max(Math.round(whole * NAME_SHARE), 96), 240);
    const width = Math.max(whole - left - LENGTH_PIXELS, 40);
    const x = (time) => left + ((time - start) / length) * width;
    this.axis.replaceChildren(...this.ticks(length, width, (passed) => x(start + passed)));
    this.lanes.forEach((lane, index) => {
      lane.place({ top: AXIS_PIXELS + index * LANE_PIXELS, x, left, whole, now });
    });
  }

  ticks(length, width, x) {
    const count = Math.max(Math.min(TICKS_MAX, Math.floor(width / 80)), 3);
    const step = TICK_STEPS.find((each) => length / each <= count) ?? length;
    const bottom = AXIS_PIXELS + this.lanes.length * LANE_PIXELS;
    return Array.from({ length: Math.floor(length / step) + 1 }, (_, tick) => {
      const at = x(tick * step);
      const text = tick ? spanText(tick * step) : "0";
      const group = make("g");
      group.append(
        make("line", { class: "grid", x1: at, x2: at, y1: AXIS_PIXELS - 4, y2: bottom }),
        make("text", { class: "axis", x: at, y: 12, "text-anchor": "middle" }, text),
      );
      return group;
    });
  }

  /** Shows the step in the history below. */
  open(id) {
    const entry = document.getElementById(`step-${id}`);
    if (!entry) return;
    entry.open = true;
    entry.scrollIntoView({ block: "center" });
    entry.querySelector("summary").focus({ preventScroll: true });
  }
}

/** One step: its name, its bar (a point for what takes no time), how long it takes. */
class Lane {
  constructor(row, open) {
    this.row = row;
    this.isPoint = row.status === "recorded";
    this.title = make("title");
    this.hit = make("rect", { class: "hit", x: -8, height: LANE_PIXELS, rx: 6 });
    this.name = make("text", { class: "name", x: 0 });
    this.bar = this.isPoint
      ? make("circle", { class: "point", r: POINT_PIXELS })
      : make("rect", { class: "span", height: BAR_PIXELS, rx: 3 });
    this.length = make("text", { class: "length", "text-anchor": "end" });
    this.element = make("g", { class: `lane ${row.status}`, tabindex: 0, role: "link" });
    this.element.dataset.step = row.id;
    this.element.append(this.title, this.hit, this.name, this.bar, this.length);
    this.element.addEventListener("click", open);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      // The key's own effect would fall on the step that has the focus by then, and close it.
      event.preventDefault();
      open();
    });
  }

  place({ top, x, left, whole, now }) {
    const { label, kind, status, from, to } = this.row;
    const middle = top + LANE_PIXELS / 2;
    const length = this.isPoint ? "" : spanText((to ?? now) - from);
    const description = [label, kind, status, length].filter(Boolean).join(", ");
    this.element.setAttribute("aria-label", description);
    this.title.textContent = description;
    this.name.textContent = clipped(label, Math.floor(left / CHARACTER_PIXELS));
    this.length.textContent = length;
    set(this.hit, { y: top, width: whole + 16 });
    set(this.name, { y: middle + 4 });
    set(this.length, { x: whole, y: middle + 4 });
    if (this.isPoint) {
      set(this.bar, { cx: x(from), cy: middle });
    } else {
      const width = Math.max(x(to ?? now) - x(from), 3);
      set(this.bar, { x: x(from), y: middle - BAR_PIXELS / 2, width });
    }
  }
}

customElements.define("workflow-timeline", WorkflowTimeline);
