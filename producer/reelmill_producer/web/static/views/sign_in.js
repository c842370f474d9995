/** Sign-in: a token becomes a session. */

import { Problem } from "../api.js";
import { showProblem } from "../dialog.js";
import { el, fill } from "../dom.js";
import { go, place } from "../router.js";
import { session, signIn } from "../session.js";

/**
 * @param {HTMLElement} main
 * @param {import("../router.js").Place} at
 */
export async function show(main, { query }) {
  const token = el("input", { type: "password", id: "token", name: "token", autocomplete: "current-password", required: true, spellcheck: "false", placeholder: "rmt_…" });
  const trouble = el("div", { "aria-live": "assertive" });
  const then = safe(query.get("then") ?? "");
  if (session.current) return go(then, { replace: true });
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    fill(trouble);
    try {
      const found = await signIn(token.value.trim());
      if (!found) throw new Problem(401, { detail: "The session was not kept. Does the browser take cookies of this address?" });
      go(then, { replace: true });
    } catch (error) {
      showProblem(trouble, error);
      token.select();
    }
  };
  fill(
    main,
    el(
      "form",
      { class: "panel sign-in", on: { submit } },
      el("img", { src: "static/icon.svg", alt: "", width: 56, height: 56 }),
      el("h1", {}, "Sign in to Reelmill"),
      el("label", { class: "field" }, el("span", {}, "Token"), token),
      trouble,
      el("button", { class: "primary", type: "submit" }, "Sign in"),
      el("small", {}, "An operator makes a token with ", el("code", {}, "reelmill token add NAME --role viewer"), "."),
    ),
  );
  token.focus();
}

/**
 * Returns an address of this page only.
 * @param {string} then
 */
function safe(then) {
  try {
    const url = new URL(then || place([]), location.href);
    return url.origin === location.origin && url.href.startsWith(document.baseURI) ? url.href : place([]);
  } catch {
    return place([]);
  }
}
