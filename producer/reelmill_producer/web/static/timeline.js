/** The plan as a picture: a line for each batch, from now until it is done, with the hours in which it may run. */

import { brief, count, span, time } from "./format.js";
import { el, svg } from "./dom.js";
import { place } from "./router.js";

const LABEL = 150;
const LABEL_PHONE = 96;
const LINE = 30;
const TOP = 24;
const STEPS_S = [300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];
const MOST_LINES = 14;

/**
 * @typedef {{batch: string, priority: number, remaining: number, finish_at: number | null, why: string, window: string,
 *   spans: [number, number][]}} Forecast
 * @typedef {{now: number, batches: Forecast[]}} Plan
 */

/**
 * Draws the plan.
 * @param {Plan} plan
 * @param {number} width Pixels.
 */
export function timeline(plan, width) {
  const known = plan.batches.filter((forecast) => forecast.finish_at);
  const shown = [...known, ...plan.batches.filter((forecast) => !forecast.finish_at)].slice(0, MOST_LINES);
  const label = width < 560 ? LABEL_PHONE : LABEL;
  const end = Math.max(plan.now + 1800, ...known.map((forecast) => forecast.finish_at ?? 0)) + 1;
  const last = plan.now + (end - plan.now) * 1.12;
  const x = (/** @type {number} */ at) => label + ((Math.min(last, Math.max(plan.now, at)) - plan.now) / (last - plan.now)) * (width - label - 8);
  const height = TOP + shown.length * LINE + 4;
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "Plan" },
    svg("g", { "aria-hidden": "true" }, scale(plan.now, last, x, height, width)),
    shown.map((forecast, index) => line(forecast, plan, x, TOP + index * LINE, label, last)),
    svg("line", { x1: x(plan.now), x2: x(plan.now), y1: TOP - 6, y2: height, class: "now" }),
  );
  const left = plan.batches.length - shown.length;
  return el("div", { class: "timeline" }, picture, left > 0 ? el("small", {}, `${count(left)} more batches`) : null);
}

/**
 * @param {number} now
 * @param {number} last
 * @param {(at: number) => number} x
 * @param {number} height
 * @param {number} width
 */
function scale(now, last, x, height, width) {
  const most = width < 560 ? 4 : 9;
  const step = STEPS_S.find((seconds) => (last - now) / seconds <= most) ?? 604_800;
  const shift = new Date(now * 1000).getTimezoneOffset() * 60;
  const marks = [];
  for (let at = Math.ceil((now - shift) / step) * step + shift; at < last; at += step) {
    const date = new Date(at * 1000);
    const isDay = date.getHours() === 0 && date.getMinutes() === 0;
    const text = isDay ? date.toLocaleDateString(undefined, { weekday: "short", day: "numeric" }) : brief(at).slice(-5);
    marks.push(svg("line", { x1: x(at), x2: x(at), y1: TOP - 6, y2: height, class: isDay ? "day" : "hour" }));
    if (x(at) < width - 20) marks.push(svg("text", { x: x(at), y: 12, "text-anchor": "middle", class: "hour" }, text));
  }
  return marks;
}

/**
 * @param {Forecast} forecast
 * @param {Plan} plan
 * @param {(at: number) => number} x
 * @param {number} y
 * @param {number} label
 * @param {number} last
 */
function line(forecast, plan, x, y, label, last) {
  const { batch, finish_at: finish, window: hours, why } = forecast;
  const most = Math.floor((label - 14) / 7);
  const name = batch.length > most ? `${batch.slice(0, most - 1)}…` : batch;
  const from = x(plan.now);
  const until = finish ? x(finish) : x(last);
  const open = forecast.spans;
  const work = open.length ? open : [[plan.now, finish ?? last]];
  const said = `${batch}, priority ${forecast.priority}: ${count(forecast.remaining)} left, ${finish ? `done ${time(finish)}, in ${span(finish - plan.now)}` : why || "not known"}${hours ? `, window ${hours}` : ""}`;
  const parts = [
    svg("title", {}, said),
    svg("a", { href: place(["batches", batch]), "aria-label": said }, svg("text", { x: 0, y: y + 16, class: "name" }, name)),
    ...open.map(([start, end]) => svg("rect", { x: x(start), y: y + 1, width: Math.max(1, x(end) - x(start)), height: 22, rx: 3, class: "window" })),
    finish && open.length ? svg("line", { x1: from, x2: until, y1: y + 12, y2: y + 12, class: "wait" }) : null,
    ...work.map(([start, end]) => svg("rect", { x: x(start), y: y + 5, width: Math.max(3, x(end) - x(start)), height: 14, rx: 3, class: finish ? "work" : "unknown" })),
  ];
  if (finish) {
    const text = brief(finish);
    const isInside = until + text.length * 7 > x(last);
    parts.push(svg("text", { x: isInside ? until - 6 : until + 6, y: y + 16, "text-anchor": isInside ? "end" : "start", class: isInside ? "end inside" : "end" }, text));
  } else parts.push(svg("text", { x: from + 8, y: y + 16, class: "end inside" }, cut(why || "not known", (x(last) - from) / 7)));
  return svg("g", {}, parts);
}

/**
 * @param {string} text
 * @param {number} most
 */
function cut(text, most) {
  return text.length > most ? `${text.slice(0, Math.max(1, Math.floor(most) - 1))}…` : text;
}
