/** Batches: all of them, newest first. */

import { get } from "../api.js";
import { el, fill, find, keyed, write } from "../dom.js";
import { ago, brief, count, full } from "../format.js";
import { chip, empty, field, progress, row, showLate, stateOf, table, totalOf } from "../parts.js";
import { refreshing } from "../refresh.js";
import { go, place } from "../router.js";
import { maySubmit } from "../session.js";

const PAGE = 100;
const HEADS = ["Batch", "State", "Progress", "Done", "Failed", "Owner", "Priority", "Submitted", "Done by"];

/**
 * @param {HTMLElement} main
 * @param {import("../router.js").Place} at
 */
export async function show(main, { signal, query }) {
  let pages = 1;
  let isMore = false;
  const filter = { owner: query.get("owner") ?? "", active: query.get("active") ?? "" };
  const search = el("input", { type: "search", placeholder: "Name", value: query.get("q") ?? "", on: { input: () => again() } });
  const owner = el("input", { placeholder: "any", value: filter.owner, on: { change: () => change("owner", owner.value) } });
  const active = el("input", { type: "checkbox", checked: Boolean(filter.active), on: { change: () => change("active", active.checked ? "true" : "") } });
  const body = table("Batches", HEADS, []);
  const none = el("div", { hidden: true }, empty("No batch is here.", maySubmit() ? el("a", { class: "button primary", href: place(["submit"]) }, "Submit prompts") : null));
  const more = el("button", { type: "button", hidden: true, on: { click: showMore } }, "Show more");
  fill(
    main,
    el("header", {}, el("h1", {}, "Batches"), maySubmit() ? el("a", { class: "button primary push", href: place(["submit"]) }, "Submit prompts") : null),
    el("form", { class: "filters", role: "search", on: { submit: (/** @type {Event} */ event) => event.preventDefault() } }, field("Search", search), field("Owner", owner), el("label", { class: "check" }, active, "only with work left")),
    body,
    none,
    el("div", { class: "row" }, more),
  );

  function showMore() {
    pages += 1;
    again();
  }

  /**
   * @param {"owner" | "active"} name
   * @param {string} value
   */
  function change(name, value) {
    filter[name] = value;
    go(place(["batches"], filter), { replace: true, quiet: true });
    pages = 1;
    again();
  }

  async function read() {
    const found = [];
    let cursor = "";
    for (let page = 0; page < pages; page += 1) {
      const { items, next } = await get(["batches"], { ...filter, cursor, limit: PAGE }, signal);
      found.push(...items);
      cursor = next;
      if (!next) break;
    }
    isMore = Boolean(cursor);
    return found;
  }

  /** @param {any[]} found */
  function draw(found) {
    const word = search.value.trim().toLowerCase();
    const fitting = found.filter((batch) => batch.name.toLowerCase().includes(word));
    none.hidden = fitting.length > 0;
    body.hidden = !fitting.length;
    more.hidden = !isMore;
    keyed(find("tbody", body), fitting, (batch) => batch.name, makeRow, showBatch);
  }

  const again = await refreshing(signal, { read, draw });
}

/** @param {any} batch */
function makeRow(batch) {
  const link = el("a", { class: "name", href: place(["batches", batch.name]) }, batch.name);
  return row(HEADS, [link, ...HEADS.slice(1).map(() => "")]);
}

/**
 * @param {HTMLElement} line
 * @param {any} batch
 */
function showBatch(line, batch) {
  const [, state, bar, done, failed, owner, priority, made, until] = line.children;
  fill(state, chip(...stateOf(batch)));
  fill(bar, progress(batch.counts));
  write(done, `${count(batch.counts.succeeded)} / ${count(batch.total ?? totalOf(batch.counts))}`);
  write(failed, batch.counts.failed ? count(batch.counts.failed) : "–");
  failed.className = batch.counts.failed ? "bad" : "";
  write(owner, batch.owner || "–");
  write(priority, batch.priority);
  write(made, ago(batch.created_at));
  made.setAttribute("title", full(batch.created_at));
  write(until, batch.remaining && batch.finish_expected_at ? brief(batch.finish_expected_at) : "–");
  showLate(until, batch);
}
