/** Tonight: what the farm does now, and when it will be done. */

import { get } from "../api.js";
import { el, fill, find, keyed, write } from "../dom.js";
import { count, plural, span, spoken, time } from "../format.js";
import { Latest } from "../latest.js";
import { empty, progress, showLate, stateOf, chip, totalOf } from "../parts.js";
import { refreshing } from "../refresh.js";
import { place } from "../router.js";
import { maySubmit } from "../session.js";
import { timeline } from "../timeline.js";
import { makeCard, showWorker } from "../workers.js";

const BATCHES = 12;
const ORDER = ["quarantined", "dead", "ready", "starting", "draining", "paused", "resting", "gone"];

/**
 * @param {HTMLElement} main
 * @param {import("../router.js").Place} at
 */
export async function show(main, { signal }) {
  const latest = new Latest(signal);
  const parts = {
    stats: el("dl", { class: "stats" }),
    alerts: el("ul", { class: "alerts", "aria-label": "Alerts" }),
    gpus: el("ul", { class: "gpus" }),
    plan: el("div", { class: "plan" }),
    batches: el("ul", { class: "batch-lines" }),
  };
  fill(
    main,
    el("header", {}, el("h1", {}, "Tonight"), el("span", { class: "headline", role: "status" }), el("span", { class: "row push links" })),
    parts.stats,
    parts.alerts,
    section("GPUs", parts.gpus, el("small", { class: "gpu-count" })),
    section("Plan", parts.plan),
    latest.element,
    section("Batches", parts.batches, el("a", { class: "push", href: place(["batches"]) }, "All batches")),
  );
  let width = 0;
  /** @type {any} */
  let shown = null;
  const draw = (/** @type {any} */ found) => {
    shown = found;
    drawAll(main, parts, found);
    latest.start(found.batches);
  };
  const observer = new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - width) < 2) return;
    width = entry.contentRect.width;
    if (shown) drawPlan(parts.plan, shown.plan);
  });
  observer.observe(parts.plan);
  signal.addEventListener("abort", () => observer.disconnect());
  await refreshing(signal, { read: () => readFarm(signal), draw, events: (events) => latest.see(events) });
}

/**
 * @param {string} title
 * @param {Element} body
 * @param {...(Element | null)} more
 */
function section(title, body, ...more) {
  const id = `part-${title.toLowerCase()}`;
  return el("section", { class: "panel", "aria-labelledby": id }, el("header", {}, el("h2", { id }, title), more), body);
}

/** @param {AbortSignal} signal */
async function readFarm(signal) {
  const [farm, workers, plan, batches] = await Promise.all([
    get(["farm"], {}, signal),
    get(["workers"], {}, signal),
    get(["plan"], {}, signal),
    get(["batches"], { active: true, limit: 50 }, signal),
  ]);
  return { farm, workers: workers.items, plan, batches: batches.items };
}

/**
 * @param {HTMLElement} main
 * @param {Record<string, any>} parts
 * @param {any} found
 */
function drawAll(main, parts, { farm, workers, plan, batches }) {
  write(find("#farm-name"), farm.name ?? "");
  write(find(".headline", main), headline(plan));
  drawLinks(find(".links", main), farm.links ?? {});
  drawStats(parts.stats, farm, workers, plan);
  drawAlerts(parts.alerts, farm.alerts ?? []);
  const sorted = [...workers].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
  write(find(".gpu-count", main), workers.length ? `${count(busy(workers))} of ${count(workers.length)} render` : "");
  if (!workers.length) fill(parts.gpus, el("li", { class: "wide" }, empty("No worker has registered. Start one with `reelmill worker` on a host with a GPU.")));
  else keyed(parts.gpus, sorted, (worker) => worker.name, makeCard, showWorker);
  drawPlan(parts.plan, plan);
  drawBatches(parts.batches, batches, plan);
}

/** @param {any} worker */
function rank(worker) {
  return ORDER.indexOf(worker.state) - (worker.job ? 0.5 : 0);
}

/** @param {any[]} workers */
function busy(workers) {
  return workers.filter((worker) => worker.job).length;
}

/**
 * @param {any} plan
 */
function headline(plan) {
  const ends = plan.batches.map((/** @type {any} */ forecast) => forecast.finish_at);
  if (!ends.length) return "All is done.";
  const last = Math.max(0, ...ends);
  const open = ends.filter((/** @type {any} */ end) => !end).length;
  if (!last) return "When it will be done is not known.";
  return `${open ? `All but ${plural(open, "batch", "batches")}` : "All"} will be done ${time(last)}, in ${span(last - plan.now)}.`;
}

/**
 * @param {Element} bar
 * @param {Record<string, string>} links
 */
function drawLinks(bar, links) {
  const known = Object.entries({ Flower: links.flower, Grafana: links.grafana }).filter(([, href]) => /^https?:\/\//.test(href ?? ""));
  if (bar.childElementCount !== known.length) fill(bar, known.map(([name, href]) => el("a", { href, target: "_blank", rel: "noreferrer" }, name)));
}

/**
 * @param {Element} list
 * @param {any} farm
 * @param {any[]} workers
 * @param {any} plan
 */
function drawStats(list, farm, workers, plan) {
  const hourly = farm.rates?.clips_an_hour ?? 0;
  const ready = farm.workers?.ready ?? workers.filter((worker) => worker.state === "ready").length;
  const left = plan.batches.reduce((/** @type {number} */ sum, /** @type {any} */ forecast) => sum + forecast.remaining, 0);
  const values = [
    ["Clips an hour", count(Math.round(hourly)), ""],
    ["GPUs ready", count(ready), `of ${count(workers.length)}`],
    ["Rendering", count(farm.running), ""],
    ["Waiting", count(farm.waiting), ""],
    ["To go", count(left), ""],
  ];
  keyed(list, values, ([name]) => name, ([name]) => el("div", {}, el("dt", {}, name), el("dd", {}, el("span"), el("small"))), (item, [, value, more]) => {
    write(find("span", item), value);
    write(find("small", item), more);
  });
}

/**
 * @param {Element} list
 * @param {any[]} alerts
 */
function drawAlerts(list, alerts) {
  list.toggleAttribute("hidden", !alerts.length);
  keyed(list, alerts, (alert) => text(alert), () => el("li", { class: "alert" }), (item, alert) => write(item, text(alert)));
}

/** @param {any} alert */
function text(alert) {
  return [alert.worker || alert.batch, spoken(alert.name), alert.text].filter(Boolean).join(" · ");
}

/**
 * @param {HTMLElement} box
 * @param {any} plan
 */
function drawPlan(box, plan) {
  if (!plan.batches.length) return fill(box, empty("Nothing is left to do."));
  fill(box, timeline(plan, Math.max(280, box.clientWidth)));
}

/**
 * @param {Element} list
 * @param {any[]} batches
 * @param {any} plan
 */
function drawBatches(list, batches, plan) {
  if (!batches.length) {
    fill(list, el("li", {}, empty("No batch is open.", maySubmit() ? el("a", { class: "button primary", href: place(["submit"]) }, "Submit prompts") : null)));
    return;
  }
  const ends = new Map(plan.batches.map((/** @type {any} */ forecast) => [forecast.batch, forecast.finish_at]));
  keyed(list, batches.slice(0, BATCHES), (batch) => batch.name, makeLine, (item, batch) => {
    const [state, label] = stateOf(batch);
    write(find("a", item), batch.name);
    write(find(".owner", item), batch.owner ?? "");
    fill(find(".state", item), chip(state, label));
    fill(find(".bar-of", item), progress(batch.counts));
    write(find(".done", item), `${count(batch.counts.succeeded)} / ${count(batch.total ?? totalOf(batch.counts))}`);
    const end = batch.finish_expected_at ?? ends.get(batch.name);
    write(find(".until", item), end ? time(end) : "");
    showLate(find(".until", item), batch);
  });
}

/** @param {any} batch */
function makeLine(batch) {
  return el(
    "li",
    {},
    el("a", { class: "name", href: place(["batches", batch.name]) }),
    el("small", { class: "owner" }),
    el("span", { class: "state" }),
    el("span", { class: "bar-of" }),
    el("span", { class: "done" }),
    el("small", { class: "until" }),
  );
}
