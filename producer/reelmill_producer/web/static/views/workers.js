/** Workers: each GPU of the farm, and what its worker says of itself. */

import { get } from "../api.js";
import { el, fill, find } from "../dom.js";
import { count, spoken } from "../format.js";
import { chip, empty, row, table } from "../parts.js";
import { refreshing } from "../refresh.js";
import { place } from "../router.js";
import { device, reason, seen, showActions } from "../workers.js";

const HEADS = ["Worker", "State", "Renders", "GPU", "Classes", "Versions", "Seen", ""];

/**
 * @param {HTMLElement} main
 * @param {import("../router.js").Place} at
 */
export async function show(main, { signal }) {
  const body = el("div");
  const total = el("span", { class: "soft" });
  fill(main, el("header", {}, el("h1", {}, "Workers"), total), body);
  await refreshing(signal, {
    read: () => get(["workers"], {}, signal),
    draw: ({ items }) => {
      const ready = items.filter((/** @type {any} */ worker) => worker.state === "ready").length;
      total.textContent = items.length ? `${count(ready)} of ${count(items.length)} ready` : "";
      if (!items.length) return fill(body, empty("No worker has registered. Start one with `reelmill worker` on a host with a GPU."));
      if (body.contains(document.activeElement) && document.activeElement?.closest("dialog, button")) return keep(body, items);
      fill(body, table("Workers", HEADS, items.map(line)));
    },
    matters: (event) => event.event.startsWith("worker.") || ["job.claimed", "job.staged", "job.finished", "job.failed", "job.requeued"].includes(event.event),
  });
}

/**
 * Keeps the cell with the focus, and replaces all else.
 * @param {Element} body
 * @param {any[]} items
 */
function keep(body, items) {
  const focused = document.activeElement?.closest("tr");
  const made = items.map(line);
  const same = made.findIndex((one) => one.firstElementChild?.textContent === focused?.firstElementChild?.textContent);
  const list = body.querySelector("tbody");
  if (!list || !focused || same < 0) return fill(body, table("Workers", HEADS, made));
  for (const old of [...list.children]) if (old !== focused) old.remove();
  focused.before(...made.slice(0, same));
  focused.after(...made.slice(same + 1));
  [...focused.children].forEach((cell, index) => {
    if (!cell.contains(document.activeElement)) cell.replaceWith(made[same].children[index]);
    else showActions(find(".actions", cell), items[same]);
  });
}

/** @param {any} worker */
function line(worker) {
  const { job } = worker;
  const state = worker.state === "ready" && job ? "running" : worker.state;
  const actions = el("span", { class: "actions" });
  showActions(actions, worker);
  const why = reason(worker);
  return row(HEADS, [
    el("b", {}, worker.name),
    chip(state, spoken(job ? "rendering" : worker.state)),
    job
      ? el("span", {}, job.batch ? el("a", { href: place(["batches", job.batch, job.row]) }, `${job.batch}/${job.row}`) : "a clip of another owner", el("small", { class: "under" }, spoken(job.stage)))
      : el("small", {}, why || "–"),
    el("span", {}, worker.info?.plan?.gpu ?? worker.info?.plan?.device ?? device(worker), el("small", { class: "under" }, worker.lane), worker.info?.trouble ? el("small", { class: "under bad" }, worker.info.trouble) : null),
    el("small", {}, (worker.info?.classes ?? []).join(", ") || "–"),
    el("small", {}, versions(worker.info?.versions ?? {})),
    el("small", {}, seen(worker)),
    actions,
  ]);
}

/** @param {Record<string, string>} found */
function versions(found) {
  const known = ["torch", "diffusers", "python"].filter((name) => found[name]).map((name) => `${name} ${found[name]}`);
  return known.join(", ") || "–";
}
