/** Numbers and times as people read them. */

const whole = new Intl.NumberFormat("en");
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const two = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false });

/** @param {number | null | undefined} value */
export function count(value) {
  return whole.format(value ?? 0);
}

/** @param {number | null | undefined} value */
export function decimal(value) {
  return value === null || value === undefined ? "–" : Math.abs(value) < 1 ? two.format(value) : one.format(value);
}

/**
 * @param {number} value
 * @param {string} noun
 * @param {string} [nouns]
 */
export function plural(value, noun, nouns = `${noun}s`) {
  return `${count(value)} ${value === 1 ? noun : nouns}`;
}

/** @param {number | null | undefined} bytes */
export function size(bytes) {
  if (!bytes) return "0 B";
  const step = Math.min(4, Math.floor(Math.log10(bytes) / 3));
  return `${one.format(bytes / 1000 ** step)} ${["B", "kB", "MB", "GB", "TB"][step]}`;
}

/**
 * Returns a duration in its two largest units.
 * @param {number | null | undefined} seconds
 */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const left = Math.max(0, seconds);
  if (left < 60) return `${left < 9.95 ? one.format(left) : Math.round(left)} s`;
  const minutes = Math.round(left / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${hours / 24} d`;
}

/**
 * Returns a time of today as a time, and another with its day.
 * @param {number | null | undefined} unix Seconds.
 */
export function time(unix) {
  if (!unix) return "–";
  const at = new Date(unix * 1000);
  return at.toDateString() === new Date().toDateString() ? clock.format(at) : day.format(at);
}

/**
 * Returns a time in few letters: with the weekday if it is not today.
 * @param {number} unix Seconds.
 */
export function brief(unix) {
  const at = new Date(unix * 1000);
  const days = Math.abs(unix - Date.now() / 1000) / 86_400;
  if (at.toDateString() === new Date().toDateString()) return clock.format(at);
  const date = days < 6 ? { weekday: "short" } : { day: "numeric", month: "short" };
  return `${at.toLocaleDateString(undefined, /** @type {any} */ (date))} ${clock.format(at)}`;
}

/** @param {number | null | undefined} unix Seconds. */
export function full(unix) {
  return unix ? new Date(unix * 1000).toLocaleString() : "";
}

/** @param {number | null | undefined} unix Seconds. */
export function ago(unix) {
  if (!unix) return "–";
  const passed = Date.now() / 1000 - unix;
  return passed < 5 ? "now" : `${span(passed)} ago`;
}

/** @param {string} text */
export function spoken(text) {
  return text.replaceAll("_", " ");
}

/**
 * @param {number | null | undefined} value
 * @param {string} [currency]
 */
export function money(value, currency = "") {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.01) return `< 0.01 ${currency}`.trim();
  return `${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} ${currency}`.trim();
}
