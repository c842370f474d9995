/** The editor of prompts: a text area with line numbers, on which bad lines are marked where they stand. */

import { el, fill } from "./dom.js";

const LINE = 20;
const PADDING = 8;
const SPARE = 4;

/** @typedef {import("./api.js").BadLine} BadLine */

export class Editor {
  /**
   * @param {string} text
   * @param {() => void} changed
   */
  constructor(text, changed) {
    this.area = el("textarea", {
      id: "prompts",
      class: "mono",
      value: text,
      spellcheck: "false",
      wrap: "off",
      rows: 16,
      "aria-describedby": "problems",
      placeholder: "A red fox walks through deep snow at dawn\nAn owl takes off from a branch, slow motion\n\n…one prompt a line, or CSV, JSON lines, YAML; or drop a file here",
      on: { input: changed, scroll: () => this.draw() },
    });
    this.gutter = el("div", { class: "gutter mono", "aria-hidden": "true" });
    this.marks = el("div", { class: "marks", "aria-hidden": "true" });
    this.element = el("div", { class: "editor" }, this.gutter, el("div", { class: "page" }, this.marks, this.area));
    /** @type {Map<number, string>} */
    this.bad = new Map();
    this.area.addEventListener("input", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.area);
  }

  get text() {
    return this.area.value;
  }

  set text(value) {
    this.area.value = value;
    this.draw();
  }

  /** @param {BadLine[]} lines */
  mark(lines) {
    this.bad = new Map(lines.map(({ line, reason }) => [line, reason]));
    this.area.setAttribute("aria-invalid", String(lines.length > 0));
    this.draw();
  }

  /** @param {number} line Counted from 1; the cursor goes there, and the line is selected. */
  goTo(line) {
    const { value } = this.area;
    let start = 0;
    for (let left = line; left > 1; left -= 1) {
      const end = value.indexOf("\n", start);
      if (end < 0) break;
      start = end + 1;
    }
    const end = value.indexOf("\n", start);
    this.area.focus();
    this.area.setSelectionRange(start, end < 0 ? value.length : end);
    this.area.scrollTop = Math.max(0, (line - 4) * LINE);
    this.area.scrollLeft = 0;
  }

  draw() {
    const { scrollTop, clientHeight } = this.area;
    const total = count(this.area.value);
    const first = Math.max(1, Math.floor((scrollTop - PADDING) / LINE) + 1 - SPARE);
    const last = Math.min(total, Math.ceil((scrollTop + clientHeight) / LINE) + SPARE);
    const numbers = [];
    const marks = [];
    for (let line = first; line <= last; line += 1) {
      const top = `${(line - 1) * LINE + PADDING - scrollTop}px`;
      const number = el("span", { class: this.bad.has(line) ? "bad" : "" }, line);
      number.style.top = top;
      numbers.push(number);
      if (!this.bad.has(line)) continue;
      const mark = el("span", { title: this.bad.get(line) });
      mark.style.top = top;
      marks.push(mark);
    }
    fill(this.gutter, numbers);
    fill(this.marks, marks);
  }
}

/** @param {string} text */
function count(text) {
  let lines = 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines += 1;
  return lines;
}
