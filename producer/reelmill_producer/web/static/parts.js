/** Parts that several views show: states, progress, tables, fields. */

import { brief, count, spoken } from "./format.js";
import { el } from "./dom.js";

/** @typedef {Record<string, number>} Counts */

/** Groups of job states in the order of the bar: name, label, states. */
export const GROUPS = /** @type {const} */ ([
  ["succeeded", "done", ["succeeded"]],
  ["running", "rendering", ["running", "cancel_requested"]],
  ["failed", "failed", ["failed"]],
  ["cancelled", "cancelled", ["cancelled"]],
  ["waiting", "waiting", ["dispatched", "queued", "held"]],
]);

/**
 * Sums counts by group.
 * @param {Counts} counts
 * @returns {Record<string, number>}
 */
export function grouped(counts) {
  return Object.fromEntries(GROUPS.map(([name, , states]) => [name, states.reduce((sum, state) => sum + (counts[state] ?? 0), 0)]));
}

/** @param {Counts} counts */
export function totalOf(counts) {
  return Object.values(counts).reduce((sum, value) => sum + value, 0);
}

/**
 * Draws counts as a bar whose name says them.
 * @param {Counts} counts
 */
export function progress(counts) {
  const sums = grouped(counts);
  const said = GROUPS.filter(([name]) => sums[name]).map(([name, label]) => `${count(sums[name])} ${label}`);
  const parts = GROUPS.filter(([name]) => name !== "waiting" && sums[name]).map(([name]) => {
    const part = el("i", { class: name });
    part.style.flexGrow = String(sums[name]);
    return part;
  });
  const rest = el("i", { class: "rest" });
  rest.style.flexGrow = String(sums.waiting);
  return el("div", { class: "progress", role: "img", "aria-label": said.join(", ") || "empty" }, parts, rest);
}

/**
 * @param {string} state
 * @param {string} [text]
 */
export function chip(state, text = spoken(state)) {
  return el("span", { class: `chip ${state}` }, text);
}

/**
 * Makes a labelled field.
 * @param {string} label
 * @param {Element} input
 * @param {string} [hint]
 */
export function field(label, input, hint = "") {
  return el("label", { class: "field" }, el("span", {}, label), input, hint ? el("small", {}, hint) : null);
}

/**
 * Makes a table that becomes cards on a phone: each cell carries its heading.
 * @param {string} name For screen readers.
 * @param {string[]} heads
 * @param {Element[]} rows
 */
export function table(name, heads, rows) {
  return el(
    "div",
    { class: "table" },
    el(
      "table",
      {},
      el("caption", { class: "hidden" }, name),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head || el("span", { class: "hidden" }, "Actions"))))),
      el("tbody", {}, rows),
    ),
  );
}

/**
 * Makes a row of such a table.
 * @param {string[]} heads
 * @param {any[]} cells
 */
export function row(heads, cells) {
  return el("tr", {}, cells.map((cell, index) => el("td", { data: { head: heads[index] } }, cell)));
}

/**
 * @param {string} text
 * @param {...(Node | null)} more
 */
export function empty(text, ...more) {
  return el("div", { class: "empty" }, el("p", {}, text), more);
}

/** @param {{kind: string, batch: string, until: number, stuck: boolean}} wait */
function waitText(wait) {
  if (wait.kind === "window") return "window closed";
  return wait.kind === "start" ? `starts ${brief(wait.until)}` : `waits for ${wait.batch}${wait.stuck ? ", stuck" : ""}`;
}

/**
 * Says what a batch does.
 * @param {any} batch
 * @returns {[string, string]} State and label.
 */
export function stateOf(batch) {
  const sums = grouped(batch.counts);
  if (!batch.remaining) {
    if (sums.failed) return ["failed", "done, some failed"];
    return sums.cancelled && !sums.succeeded ? ["cancelled", "cancelled"] : ["succeeded", "done"];
  }
  if (batch.paused) return ["paused", "paused"];
  const [wait] = batch.waits_for ?? [];
  if (wait) return ["resting", waitText(wait)];
  return sums.running ? ["running", "rendering"] : ["waiting", "waiting"];
}

/**
 * Marks a time that is after a batch's deadline.
 * @param {HTMLElement} element
 * @param {any} batch
 */
export function showLate(element, batch) {
  const isLate = Boolean(batch.remaining) && batch.in_time === false;
  element.classList.toggle("bad", isLate);
  element.title = isLate ? `Late: it was to be done by ${brief(batch.finish_by)}` : "";
}
