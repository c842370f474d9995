/** Workers as cards: what each GPU renders, or why it does not. */

import { ask } from "./api.js";
import { action, askWhether, toast } from "./dialog.js";
import { el, fill, find, write } from "./dom.js";
import { ago, span, spoken } from "./format.js";
import { chip, field } from "./parts.js";
import { place } from "./router.js";
import { mayOperate } from "./session.js";

const STAGES = ["encode_text", "denoise 1/3", "denoise 2/3", "denoise 3/3", "decode", "mux", "upload"];

/** @typedef {any} Worker */

/**
 * Makes the card of a worker.
 * @returns {HTMLElement}
 */
export function makeCard() {
  return el(
    "li",
    { class: "gpu" },
    el("div", { class: "row" }, el("b", { class: "name" }), el("span", { class: "push state" })),
    el("small", { class: "device" }),
    el("div", { class: "doing" }),
    el("div", { class: "stages", "aria-hidden": "true" }, STAGES.map(() => el("i"))),
    el("div", { class: "actions" }),
  );
}

/**
 * @param {HTMLElement} card
 * @param {Worker} worker
 */
export function showWorker(card, worker) {
  const job = worker.job;
  const state = worker.state === "ready" && job ? "running" : worker.state;
  card.dataset.state = state;
  write(find(".name", card), worker.name);
  if (find(".state", card).textContent !== spoken(label(worker))) fill(find(".state", card), chip(state, spoken(label(worker))));
  write(find(".device", card), device(worker));
  const doing = find(".doing", card);
  const text = job ? (job.batch ? `${job.batch}/${job.row}` : "a clip of another owner") : reason(worker);
  if (doing.dataset.text !== text) {
    doing.dataset.text = text;
    fill(doing, job?.batch ? el("a", { href: place(["batches", job.batch, job.row]) }, text) : text);
  }
  showStage(find(".stages", card), job?.stage ?? "");
  showActions(find(".actions", card), worker, ["forgive"]);
}

/**
 * @param {Element} bar
 * @param {string} stage
 */
function showStage(bar, stage) {
  const at = STAGES.findIndex((name) => name === stage || (stage === "denoise" && name.startsWith("denoise")));
  bar.classList.toggle("off", at < 0);
  bar.setAttribute("title", spoken(stage));
  [...bar.children].forEach((part, index) => part.classList.toggle("on", index <= at));
}

/** @param {Worker} worker */
function label(worker) {
  if (worker.state === "ready") return worker.job ? worker.job.stage || "rendering" : "idle";
  return worker.state;
}

/** @param {Worker} worker */
export function reason(worker) {
  if (worker.state === "dead") return `silent for ${span(worker.seen_s)}`;
  return worker.reason || worker.idle;
}

/** @param {Worker} worker */
export function device(worker) {
  const plan = worker.info?.plan ?? {};
  return [plan.gpu || plan.device || worker.info?.renderer, worker.lane].filter(Boolean).join(" · ");
}

/**
 * @param {HTMLElement} bar
 * @param {Worker} worker
 * @param {string[]} offered
 */
export function showActions(bar, worker, offered = ["forgive", "quarantine"]) {
  const possible = mayOperate() ? actionOf(worker) : "";
  const wanted = offered.includes(possible) ? possible : "";
  if (bar.dataset.wanted === wanted) return;
  bar.dataset.wanted = wanted;
  const name = worker.name;
  if (wanted === "forgive") {
    const forgive = async () => {
      await ask("POST", ["workers", name, "forgive"]);
      toast(`${name} may try again. If its process has ended, start it again too.`);
    };
    fill(bar, action("Forgive", forgive, { class: "small", "aria-label": `Forgive ${name}` }));
  } else if (wanted === "quarantine") {
    fill(bar, action("Quarantine…", () => quarantine(name), { class: "small quiet", "aria-label": `Quarantine ${name}` }));
  } else fill(bar);
}

/** @param {Worker} worker */
function actionOf(worker) {
  if (worker.state === "quarantined") return "forgive";
  return ["ready", "paused", "resting"].includes(worker.state) ? "quarantine" : "";
}

/** @param {string} name */
async function quarantine(name) {
  const reason = el("input", { required: true, maxlength: 200, placeholder: "for example: green frames" });
  const text = "It takes no more jobs until someone forgives it. What it renders now goes back to the queue.";
  if (!(await askWhether(`Quarantine ${name}?`, { text, yes: "Quarantine", fields: [field("Reason", reason)], danger: true }))) return;
  await ask("POST", ["workers", name, "quarantine"], { body: { reason: reason.value || "by a person" } });
  toast(`${name} is quarantined.`);
}

/** @param {Worker} worker */
export function seen(worker) {
  return ago(Date.now() / 1000 - (worker.seen_s ?? 0));
}
