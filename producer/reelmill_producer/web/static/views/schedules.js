/** Schedules: prompt files that are submitted again and again. */

import { ask, get } from "../api.js";
import { action, askWhether, toast } from "../dialog.js";
import { el, fill } from "../dom.js";
import { count, full, time } from "../format.js";
import { chip, empty, field, row, table } from "../parts.js";
import { refreshing } from "../refresh.js";
import { place } from "../router.js";
import { maySubmit } from "../session.js";

const HEADS = ["Schedule", "State", "When", "Next run", "Clips", "Last batch", ""];

/**
 * @param {HTMLElement} main
 * @param {import("../router.js").Place} at
 */
export async function show(main, { signal }) {
  const body = el("div");
  const add = maySubmit() ? action("Add a schedule…", () => addSchedule(() => again()), { class: "primary push" }) : null;
  fill(main, el("header", {}, el("h1", {}, "Schedules"), add), body);
  const again = await refreshing(signal, {
    read: () => get(["schedules"], {}, signal),
    draw: ({ items }) => {
      if (!items.length) return fill(body, empty("No schedule is set up. One submits a file of prompts at times of your choice, such as each evening at ten."));
      fill(body, table("Schedules", HEADS, items.map((/** @type {any} */ item) => line(item, () => again()))));
    },
    matters: (event) => event.event.startsWith("schedule."),
  });
}

/**
 * @param {any} item
 * @param {() => void} changed
 */
function line(item, changed) {
  const { name } = item;
  const state = item.error ? ["failed", "failed"] : item.paused ? ["paused", "paused"] : ["ready", "on"];
  return row(HEADS, [
    el("b", {}, name),
    el("span", { title: item.error ?? "" }, chip(state[0], state[1]), item.error ? el("small", { class: "under" }, item.error) : null),
    el("span", {}, el("code", {}, item.cron), el("small", { class: "under" }, item.tz)),
    el("span", { title: full(item.next_at) }, item.paused ? "–" : time(item.next_at)),
    count(item.jobs),
    item.last_batch ? el("a", { href: place(["batches", item.last_batch]) }, item.last_batch) : "never ran",
    maySubmit() ? el("span", { class: "actions" }, actions(name, item, changed)) : "",
  ]);
}

/**
 * @param {string} name
 * @param {any} item
 * @param {() => void} changed
 */
function actions(name, item, changed) {
  const post = (/** @type {string} */ verb, /** @type {string} */ said) => async () => {
    await ask("POST", ["schedules", name, verb], { body: {} });
    toast(said);
    changed();
  };
  const remove = async () => {
    if (!(await askWhether(`Remove ${name}?`, { text: "Batches that it has submitted stay.", yes: "Remove", danger: true }))) return;
    await ask("DELETE", ["schedules", name]);
    toast(`${name} is removed.`);
    changed();
  };
  return [
    action("Run now", post("run", `${name} runs.`), { class: "small", "aria-label": `Run ${name} now` }),
    item.paused
      ? action("Resume", post("resume", `${name} goes on.`), { class: "small", "aria-label": `Resume ${name}` })
      : action("Pause", post("pause", `${name} is paused.`), { class: "small", "aria-label": `Pause ${name}` }),
    action("Remove…", remove, { class: "small danger", "aria-label": `Remove ${name}` }),
  ];
}

/** @param {() => void} changed */
async function addSchedule(changed) {
  const inputs = {
    name: el("input", { required: true, placeholder: "nightly" }),
    cron: el("input", { required: true, placeholder: "0 22 * * *" }),
    tz: el("input", { required: true, value: Intl.DateTimeFormat().resolvedOptions().timeZone }),
    prompts: el("textarea", { rows: 5, required: true, placeholder: "A prompt a line" }),
  };
  const fields = [
    field("Name", inputs.name),
    field("When", inputs.cron, "Minute, hour, day, month, weekday"),
    field("Time zone", inputs.tz),
    field("Prompts", inputs.prompts),
  ];
  if (!(await askWhether("Add a schedule", { yes: "Add", fields }))) return;
  const rows = inputs.prompts.value.split("\n").map((/** @type {string} */ text) => text.trim()).filter(Boolean).map((/** @type {string} */ prompt) => ({ prompt }));
  await ask("PUT", ["schedules", inputs.name.value], { body: { cron: inputs.cron.value, tz: inputs.tz.value, rows } });
  toast(`${inputs.name.value} is set up.`);
  changed();
}
