/** Keys: those of every page, those of the present view, and the list of both that `?` shows. */

import { open } from "./dialog.js";
import { el } from "./dom.js";

/** @typedef {{keys: string, what: string, act?: (event: KeyboardEvent) => void}} Key */

/** @type {Key[]} */
let common = [];
/** @type {Key[]} */
let own = [];

/** @param {Key[]} keys Of every page; `g t` is two keys, one after the other. */
export function setKeys(keys) {
  common = keys;
}

/**
 * Adds the keys of a view until it is left.
 * @param {AbortSignal} signal
 * @param {Key[]} keys
 */
export function addKeys(signal, keys) {
  own.push(...keys);
  signal.addEventListener("abort", () => {
    own = own.filter((key) => !keys.includes(key));
  });
}

export function showKeys() {
  const rows = [...own, ...common].map(({ keys, what }) =>
    el("div", {}, el("dt", {}, keys.split(" ").map((key) => el("kbd", {}, key))), el("dd", {}, what)),
  );
  return open("Keys", [el("dl", { class: "keys" }, rows)], [["Close", ""]]);
}

export function listen() {
  let before = "";
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.matches("input:not([type=range],[type=checkbox],[type=button]), textarea, select, dialog *")) return;
    const pair = `${before} ${event.key}`;
    const found = [...own, ...common].find(({ keys, act }) => act && (keys === pair || keys.split("|").includes(event.key)));
    before = event.key;
    if (!found) return;
    before = "";
    event.preventDefault();
    found.act?.(event);
  });
}
