/** Short messages, problems shown in place, and questions. */

import { Problem } from "./api.js";
import { el, fill, find } from "./dom.js";

const TOAST_MS = 6000;

/**
 * Shows a sentence for some seconds; screen readers read it out.
 * @param {string} text
 */
export function toast(text) {
  const shown = el("div", { class: "toast" }, text);
  find("#toasts").append(shown);
  setTimeout(() => shown.remove(), TOAST_MS);
}

/**
 * Shows why something was not done, in place.
 * @param {Element} where
 * @param {unknown} error
 */
export function showProblem(where, error) {
  if (/** @type {any} */ (error)?.name === "AbortError") return;
  if (!(error instanceof Problem)) console.error(error);
  fill(where, problemBox(error));
}

/** @param {unknown} error */
export function problemBox(error) {
  const found = error instanceof Problem ? error : null;
  return el(
    "div",
    { class: "problem", role: "alert" },
    el("strong", {}, found ? found.message : `The page failed: ${error}`),
    found?.advice ? el("span", {}, found.advice) : null,
    found?.code ? el("code", {}, found.code) : null,
  );
}

/**
 * Makes a button that does something, is disabled meanwhile, and shows what went wrong beside it.
 * @param {string} label
 * @param {() => Promise<any>} act
 * @param {Record<string, any>} [attributes]
 * @returns {HTMLButtonElement}
 */
export function action(label, act, attributes = {}) {
  const button = el("button", { type: "button", ...attributes, on: { click: run } }, label);
  async function run() {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try {
      await act();
    } catch (error) {
      if (/** @type {any} */ (error)?.name === "AbortError") return;
      await tellProblem(error);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  }
  return button;
}

/** @param {unknown} error */
function tellProblem(error) {
  if (!(error instanceof Problem)) console.error(error);
  return open("That was not done", [problemBox(error)], [["Close", ""]]);
}

/**
 * Asks a question.
 * @param {string} title
 * @param {{text?: string, yes: string, fields?: Element[], danger?: boolean}} question
 * @returns {Promise<boolean>} Whether the answer is yes.
 */
export async function askWhether(title, { text = "", yes, fields = [], danger = false }) {
  const answer = await open(title, [text ? el("p", {}, text) : null, ...fields], [["Cancel", ""], [yes, "yes", danger]]);
  return answer === "yes";
}

/**
 * @param {string} title
 * @param {(Element | null)[]} body
 * @param {[string, string, boolean?][]} buttons Label, value, and whether it destroys something; the last is the default.
 * @returns {Promise<string>}
 */
export function open(title, body, buttons) {
  const answers = buttons.map(([label, value, danger], index) =>
    el("button", { value, class: danger ? "danger" : index && index === buttons.length - 1 ? "primary" : "" }, label),
  );
  const form = el("form", { method: "dialog" }, el("h2", { id: "dialog-title" }, title), body, el("div", { class: "row end" }, answers));
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, form);
  document.body.append(dialog);
  form.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || /** @type {Element} */ (event.target).tagName !== "INPUT") return;
    event.preventDefault();
    dialog.close(buttons[buttons.length - 1][1]);
  });
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    dialog.showModal();
  });
}
