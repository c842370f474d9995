/** A batch: a wall of its clips that fills as they are made, and what can be done about it. */

import { address, ask, get } from "../api.js";
import { action, askWhether, showProblem, toast } from "../dialog.js";
import { atMostEvery, el, fill, find, keyed, write } from "../dom.js";
import { count, full, plural, span, spoken, time } from "../format.js";
import { Jobs } from "../jobs.js";
import { addKeys } from "../keyboard.js";
import { chip, empty, field, grouped, progress, stateOf } from "../parts.js";
import { refreshing } from "../refresh.js";
import { go, place } from "../router.js";
import { maySubmit } from "../session.js";
import { makeTile, playOnHover, showJob } from "../tile.js";
import { Wall } from "../wall.js";

const TYPING_MS = 300;
const STATES = [
  ["", "all"],
  ["succeeded", "done"],
  ["running", "rendering"],
  ["queued", "waiting"],
  ["failed", "failed"],
  ["cancelled", "cancelled"],
];
const MARKS = [["", "any"], ["true", "★ favourites"], ["false", "✕ rejects"]];

/**
 * @param {HTMLElement} main
 * @param {import("../router.js").Place} at
 */
export async function show(main, { params, query, signal }) {
  const name = params.batch;
  const filter = { state: query.get("state") ?? "", q: query.get("q") ?? "", favourite: query.get("favourite") ?? "" };
  /** @type {any} */
  let batch = null;
  const watcher = {
    changed: () => {
      fill(trouble);
      drawWall();
    },
    failed: (/** @type {unknown} */ error) => showProblem(trouble, error),
    again: () => (jobs.isFiltered ? jobs.scan() : wall.refresh()),
  };
  let jobs = new Jobs(name, { ...filter }, signal, watcher);

  const wall = new Wall(
    `Clips of ${name}`,
    {
      make: makeTile,
      update: (tile, index, hurried) => showJob(tile, jobs.at(index), hurried),
      need: (first, last) => jobs.need(first, last),
      leave: (tile) => {
        if (tile.querySelector("video")) stopVideo();
      },
    },
    signal,
  );
  const stopVideo = playOnHover(wall.element, (id) => jobs.known.get(id), signal);
  const trouble = el("div");
  const none = el("div", { hidden: true });
  const found = el("output", { class: "found", "aria-live": "polite" });
  const head = makeHead(name);
  const failures = el("section", { class: "panel failures", "aria-label": "Failures by cause", hidden: true });
  const search = el("input", { type: "search", placeholder: "Words of a prompt", value: filter.q, on: { input: () => typed() } });
  const state = select(STATES, filter.state, (value) => choose("state", value));
  const mark = select(MARKS, filter.favourite, (value) => choose("favourite", value));
  const bar = el(
    "form",
    { class: "filters sticky", role: "search", "aria-label": "Clips", on: { submit: (/** @type {Event} */ event) => event.preventDefault() } },
    field("Search", search),
    field("State", state),
    field("Marked", mark),
    found,
  );
  fill(main, head.element, failures, bar, trouble, none, wall.element);

  const typed = atMostEvery(() => choose("q", search.value.trim()), TYPING_MS, signal);

  /**
   * @param {"state" | "q" | "favourite"} field_
   * @param {string} value
   */
  function choose(field_, value) {
    if (filter[field_] === value) return;
    filter[field_] = value;
    go(place(["batches", name], filter), { replace: true, quiet: true });
    head.narrow(filter.favourite === "true");
    openJobs();
  }

  function openJobs() {
    fill(trouble);
    jobs = new Jobs(name, { ...filter }, signal, watcher);
    wall.current = 0;
    if (jobs.isFiltered) jobs.scan();
    drawWall();
  }

  function drawWall() {
    if (!jobs.isFiltered) jobs.total = batch?.total ?? 0;
    const { total } = jobs;
    wall.resize(total);
    write(found, jobs.isFiltered ? `${count(total)}${jobs.isWhole ? "" : "+"} found` : plural(total, "clip"));
    const isEmpty = total === 0 && (jobs.isFiltered ? jobs.isWhole : true);
    if (isEmpty && none.hidden) fill(none, empty(jobs.isFiltered ? "No clip fits this filter." : "This batch is empty."));
    none.hidden = !isEmpty;
  }

  /** @param {any} read */
  function draw(read) {
    batch = read;
    head.show(batch);
    drawFailures(failures, batch, signal);
    drawWall();
  }

  openJobs();
  if (!jobs.isFiltered) jobs.read(0);
  const again = await refreshing(signal, {
    batch: name,
    read: () => readBatch(name, signal),
    draw,
    matters: (event) => event.event !== "job.staged",
    events: (events) => {
      if (jobs.apply(events)) wall.refresh();
      if (jobs.isFiltered && jobs.isWhole && events.some((event) => event.event !== "job.staged")) reloadFound();
    },
    reloaded: () => jobs.reload(),
  });
  const reloadFound = atMostEvery(() => jobs.reload(), 3000, signal);
  head.changed = again;

  /** @param {string} wanted */
  async function put(wanted) {
    const job = jobs.at(wall.current);
    if (!job?.clip || !maySubmit()) return;
    const next = job.choice?.mark === wanted ? "none" : wanted;
    const note = job.choice?.note ?? "";
    await ask("PUT", ["batches", name, "jobs", job.row, "choice"], { body: { mark: next, note } });
    job.choice = { mark: next, note };
    wall.refresh();
    toast(next === "none" ? `${job.row} is not marked.` : `${job.row} is marked as ${next}.`);
  }
  const marking = (/** @type {string} */ wanted) => put(wanted).catch((error) => showProblem(trouble, error));
  addKeys(signal, [
    { keys: "← → ↑ ↓", what: "Move on the wall" },
    { keys: "Enter", what: "Open the clip" },
    ...(maySubmit()
      ? [
          { keys: "f", what: "Mark as favourite, or take the mark away", act: () => marking("favourite") },
          { keys: "x", what: "Mark as reject, or take the mark away", act: () => marking("reject") },
        ]
      : []),
  ]);
}

/**
 * Reads a batch, with why nothing of it runs if that is so.
 * @param {string} name
 * @param {AbortSignal} signal
 */
async function readBatch(name, signal) {
  const found = await get(["batches", name], {}, signal);
  if (!found.remaining || found.counts.running) return found;
  const { sentence } = await get(["batches", name, "why"], {}, signal);
  return { ...found, why: sentence };
}

/**
 * @param {string[][]} options
 * @param {string} value
 * @param {(value: string) => void} choose
 */
function select(options, value, choose) {
  const made = el("select", { on: { change: () => choose(made.value) } }, options.map(([key, label]) => el("option", { value: key }, label)));
  made.value = value;
  return made;
}

/** @param {string} name */
function makeHead(name) {
  const parts = {
    state: el("span"),
    note: el("small", { class: "note" }),
    bar: el("div"),
    legend: el("ul", { class: "legend" }),
    facts: el("dl", { class: "inline-facts" }),
    steer: el("div", { class: "row" }),
    downloads: el("span", { class: "row downloads" }),
  };
  const element = el(
    "section",
    { class: "panel batch-head", "aria-label": "Batch" },
    el("header", {}, el("a", { href: place(["batches"]), class: "up", "aria-label": "All batches" }, "Batches"), el("h1", {}, name), parts.state, el("span", { class: "push" }), parts.steer),
    parts.note,
    parts.bar,
    parts.legend,
    el("div", { class: "row spread" }, parts.facts, parts.downloads),
  );
  const narrow = (/** @type {boolean} */ toFavourites) => fill(parts.downloads, downloads(name, toFavourites));
  narrow(false);
  const head = { element, narrow, changed: () => {}, show: (/** @type {any} */ batch) => showHead(parts, batch, () => head.changed()) };
  return head;
}

/**
 * @param {string} name
 * @param {boolean} favourites Whether only those are wanted.
 */
function downloads(name, favourites) {
  const query = { favourites };
  return [
    el("a", { href: address(["batches", name, "clips.zip"], query), download: `${name}.zip` }, favourites ? "Favourites (zip)" : "All clips (zip)"),
    el("a", { href: address(["batches", name, "results.jsonl"], query), download: `${name}.jsonl` }, "Results (JSONL)"),
    el("a", { href: address(["batches", name, "report"]), target: "_blank" }, "Contact sheet"),
  ];
}

/**
 * @param {Record<string, any>} parts
 * @param {any} batch
 * @param {() => void} changed
 */
function showHead(parts, batch, changed) {
  const [state, label] = stateOf(batch);
  if (parts.state.textContent !== label) fill(parts.state, chip(state, label));
  write(parts.note, note(batch));
  fill(parts.bar, progress(batch.counts));
  const sums = grouped(batch.counts);
  const legend = [["succeeded", "done"], ["running", "rendering"], ["waiting", "waiting"], ["failed", "failed"], ["cancelled", "cancelled"]].filter(([key]) => sums[key]);
  keyed(parts.legend, legend, ([key]) => key, ([key]) => el("li", { class: key }), (item, [key, text]) => write(item, `${count(sums[key])} ${text}`));
  const facts = [
    ["Owner", batch.owner || "–"],
    ["Priority", batch.priority],
    ["Window", batch.window || "any time"],
    ["Class", batch.worker_class || "any"],
    ["Expires", time(batch.expires_at)],
    [batch.remaining ? "Done by" : "Took", batch.remaining ? time(batch.finish_expected_at) : batch.finished_at ? span(batch.finished_at - batch.created_at) : "–"],
    ["Finish by", batch.finish_by ? `${time(batch.finish_by)}${punctual(batch)}` : "–"],
    ["Submitted", time(batch.created_at)],
  ].filter(([key, value]) => value !== "–" || key === "Done by");
  keyed(parts.facts, facts, ([key]) => key, ([key]) => el("div", {}, el("dt", {}, key), el("dd")), (item, [key, value]) => {
    write(find("dd", item), value);
    find("dd", item).className = key === "Finish by" && batch.in_time === false ? "bad" : "";
  });
  parts.facts.title = `Submitted ${full(batch.created_at)}`;
  showSteering(parts.steer, batch, changed);
}

/** @param {any} batch */
function punctual(batch) {
  if (batch.in_time === null || batch.in_time === undefined) return "";
  if (batch.in_time) return batch.remaining ? ", will be in time" : ", was in time";
  return batch.remaining ? ", will be late" : ", was late";
}

/** @param {any} batch */
function note(batch) {
  if (batch.why_paused) return `Paused itself: ${batch.why_paused}`;
  return batch.why ? `It ${batch.why}.` : "";
}

/**
 * @param {HTMLElement} bar
 * @param {any} batch
 * @param {() => void} changed
 */
function showSteering(bar, batch, changed) {
  const sums = grouped(batch.counts);
  const wanted = [
    batch.remaining && (batch.paused ? "resume" : "pause"),
    batch.remaining && "policy",
    (sums.failed || sums.cancelled) && "retry",
    batch.remaining && "cancel",
  ].filter(Boolean);
  if (!maySubmit() || bar.dataset.wanted === wanted.join()) return;
  bar.dataset.wanted = wanted.join();
  /**
   * @param {string} verb
   * @param {string} said
   */
  const steer = (verb, said) => async () => {
    await ask("POST", ["batches", batch.name, verb], { body: {} });
    toast(said);
    changed();
  };
  const cancel = async () => {
    const text = "Clips that are done stay. What waits is cancelled at once; what renders stops at its next step.";
    if (await askWhether(`Cancel ${batch.name}?`, { text, yes: "Cancel the batch", danger: true })) await steer("cancel", `${batch.name} is cancelled.`)();
  };
  /** @type {Record<string, Element>} */
  const buttons = {
    pause: action("Pause", steer("pause", `${batch.name} is paused.`)),
    resume: action("Resume", steer("resume", `${batch.name} goes on.`), { class: "primary" }),
    policy: action("Policy…", () => changePolicy(batch, changed)),
    retry: action("Retry", steer("retry", "Failed and cancelled clips wait again.")),
    cancel: action("Cancel…", cancel, { class: "danger" }),
  };
  fill(bar, wanted.map((key) => buttons[/** @type {string} */ (key)]));
}

/**
 * @param {any} batch
 * @param {() => void} changed
 */
async function changePolicy(batch, changed) {
  const priority = el("input", { type: "number", min: 0, max: 9, value: batch.priority });
  const hours = el("input", { value: batch.window ?? "", placeholder: "22:00-07:00 Europe/Vienna" });
  const expires = el("input", { value: "", placeholder: batch.expires_at ? time(batch.expires_at) : "07:00, or 8h" });
  const deadline = el("input", { value: "", placeholder: batch.finish_by ? time(batch.finish_by) : "07:00, or 8h" });
  const failures = el("input", { value: batch.max_failures ?? "", placeholder: "20, or 10%" });
  const weight = el("input", { type: "number", min: 1, max: 100, value: batch.weight ?? 1 });
  const most = el("input", { type: "number", min: 0, value: batch.max_in_flight ?? 0 });
  const fields = [
    field("Priority", priority, "0 to 9, 9 most urgent"),
    field("Window", hours, "Hours in which it may run; empty: any time"),
    field("Expires", expires, "A time after which nothing of it starts; none: never"),
    field("Finish by", deadline, "A time that it is to be done by; none: no deadline"),
    field("Share", weight, "Weight among batches of its owner, 1 to 100"),
    field("Most at once", most, "0: no limit"),
    field("Pause after failures", failures, "Empty: never"),
  ];
  if (!(await askWhether(`Policy of ${batch.name}`, { yes: "Change", fields }))) return;
  /** @type {Record<string, any>} */
  const body = {};
  if (weight.value !== String(batch.weight ?? 1)) body.weight = Number(weight.value);
  if (most.value !== String(batch.max_in_flight ?? 0)) body.max_in_flight = Number(most.value);
  if (failures.value !== (batch.max_failures ?? "")) body.max_failures = failures.value || "none";
  if (priority.value !== String(batch.priority)) body.priority = Number(priority.value);
  if (hours.value !== (batch.window ?? "")) body.window = hours.value;
  if (expires.value) body.expires = expires.value;
  if (deadline.value) body.finish_by = deadline.value;
  if (!Object.keys(body).length) return;
  await ask("PATCH", ["batches", batch.name], { body });
  toast(`The policy of ${batch.name} is changed.`);
  changed();
}

/**
 * @param {HTMLElement} panel
 * @param {any} batch
 * @param {AbortSignal} signal
 */
async function drawFailures(panel, batch, signal) {
  const failed = batch.counts.failed ?? 0;
  if (panel.dataset.count === String(failed)) return;
  panel.dataset.count = String(failed);
  if (!failed) {
    panel.hidden = true;
    return;
  }
  try {
    const { items } = await get(["batches", batch.name, "failures"], {}, signal);
    panel.hidden = false;
    fill(panel, el("header", {}, el("h2", {}, `${plural(failed, "failure")} by cause`)), el("ul", { class: "causes" }, items.map((/** @type {any} */ cause) => causeLine(batch, cause))));
  } catch (error) {
    if (signal.aborted) return;
    delete panel.dataset.count; // the next look reads it anew
    panel.hidden = false;
    showProblem(panel, error);
  }
}

/**
 * @param {any} batch
 * @param {any} cause
 */
function causeLine(batch, cause) {
  const retry = async () => {
    await ask("POST", ["batches", batch.name, "retry"], { body: { code: cause.code } });
    toast(`${plural(cause.count, "clip")} wait again.`);
  };
  return el(
    "li",
    {},
    el("b", {}, `${count(cause.count)} × ${spoken(cause.code)}`),
    el("span", { class: "message" }, cause.message),
    cause.advice ? el("small", {}, cause.advice) : null,
    maySubmit() && cause.retry ? action("Retry", retry, { class: "small", "aria-label": `Retry ${spoken(cause.code)}` }) : null,
  );
}
