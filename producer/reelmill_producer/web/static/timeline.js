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
 *   spans?: [number, number][]}} Forecast
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
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": said(plan, shown) },
    scale(plan.now, last, x, height, width),
    shown.map((forecast, index) => line(forecast, plan, x, TOP + index * LINE, label, last)),
    svg("line", { x1: x(plan.now), x2: x(plan.now), y1: TOP - 6, y2: height, class: "now" }),
  );
  const left = plan.batches.length - shown.length;
  return el("div", { class: "timeline" }, picture, left > 0 ? el("small", {}, `${count(left)} more batches`) : null);
}

/**
 * @param {Plan} plan
 * @param {Forecast[]} shown
 */
function said(plan, shown) {
  const parts = shown.map(({ batch, finish_at, why }) => `${batch}: ${finish_at ? `done ${time(finish_at)}, in ${span(finish_at - plan.now)}` : why || "unknown"}`);
  return `Plan. ${parts.join(". ")}`;
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
  const open = windows(hours, plan.now, last);
  /** @type {[number, number][]} */
  const whole = [[plan.now, finish ?? last]];
  const work = open.length && finish ? open.flatMap(([start, end]) => (start < finish ? [[start, Math.min(end, finish)]] : [])) : whole;
  const parts = [
    svg("title", {}, `${batch}, priority ${forecast.priority}: ${count(forecast.remaining)} left, ${finish ? `done ${time(finish)}` : why}${hours ? `, window ${hours}` : ""}`),
    svg("a", { href: place(["batches", batch]) }, svg("text", { x: 0, y: y + 16, class: "name" }, name)),
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

/**
 * Returns the spans of a window that are shown, such as those of `22:00-07:00 Europe/Vienna`, as Unix seconds.
 * @param {string} text As it was written: any number of spans of a day, each after the days it holds for, and a zone.
 * @param {number} now
 * @param {number} last
 * @returns {[number, number][]}
 */
export function windows(text, now, last) {
  const spans = [...text.matchAll(/(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})/g)];
  if (!spans.length || /mon|tue|wed|thu|fri|sat|sun/i.test(text)) return []; // the tooltip says it
  const zone = text.split(/\s+/).pop() ?? "";
  const offset = offsetOf(zone, now);
  /** @type {[number, number][]} */
  const found = [];
  const midnight = Math.floor((now + offset) / 86_400) * 86_400 - offset;
  for (let day = midnight - 86_400; day < last; day += 86_400) {
    for (const [, h1, m1, h2, m2] of spans) {
      const start = day + Number(h1) * 3600 + Number(m1) * 60;
      let end = day + Number(h2) * 3600 + Number(m2) * 60;
      if (end <= start) end += 86_400;
      if (end > now && start < last) found.push([Math.max(now, start), Math.min(last, end)]);
    }
  }
  return found;
}

/**
 * Returns a zone's offset from UTC in seconds; that of this machine for one that it does not know.
 * @param {string} zone
 * @param {number} at
 */
function offsetOf(zone, at) {
  const date = new Date(at * 1000);
  try {
    const parts = new Intl.DateTimeFormat("en", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }).formatToParts(date);
    const value = Object.fromEntries(parts.map((part) => [part.type, Number(part.value)]));
    return Date.UTC(value.year, value.month - 1, value.day, value.hour, value.minute, value.second) / 1000 - Math.floor(at);
  } catch {
    return -date.getTimezoneOffset() * 60;
  }
}
