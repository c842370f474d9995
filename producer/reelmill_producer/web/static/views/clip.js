/** A clip: its player, how it was made, and its neighbours: the same prompt with other seeds. */

import { address, ask, get } from "../api.js";
import { action, showProblem, problemBox, toast } from "../dialog.js";
import { el, fill, find, write } from "../dom.js";
import { keepDraft } from "../draft.js";
import { full, size, span, spoken } from "../format.js";
import { addKeys } from "../keyboard.js";
import { chip, field } from "../parts.js";
import { Player } from "../player.js";
import { refreshing } from "../refresh.js";
import { go, place } from "../router.js";
import { maySubmit } from "../session.js";
import { stateText } from "../tile.js";

const MOST_NEIGHBOURS = 24;
const BESIDE = 3;
const PROMPT_WORDS = 60;

/**
 * @param {HTMLElement} main
 * @param {import("../router.js").Place} at
 */
export async function show(main, { params, signal }) {
  const { batch, row } = params;
  const path = ["batches", batch, "jobs", row];
  const parts = {
    state: el("span"),
    screen: el("div", { class: "screen-of" }),
    choice: el("section", { class: "panel", "aria-label": "Choice" }),
    neighbours: el("section", { class: "panel", "aria-labelledby": "neighbours" }),
    recipe: el("section", { class: "panel", "aria-labelledby": "recipe" }),
    steer: el("span", { class: "row push" }),
    prompt: el("p", { class: "whole-prompt" }),
    seed: el("small"),
  };
  fill(
    main,
    el(
      "header",
      {},
      el("nav", { class: "crumbs", "aria-label": "Path" }, el("a", { href: place(["batches"]) }, "Batches"), el("a", { href: place(["batches", batch]) }, batch)),
      el("h1", {}, row),
      parts.state,
      parts.seed,
      parts.steer,
    ),
    el("div", { class: "clip-page" }, el("div", { class: "stack" }, parts.screen, parts.prompt, parts.neighbours), el("div", { class: "stack" }, parts.choice, parts.recipe)),
  );
  /** @type {Player | null} */
  let player = null;
  /** @type {any} */
  let job = null;
  let drawn = "";

  /** @param {any} found */
  function draw(found) {
    job = found;
    fill(parts.state, chip(job.state, stateText(job)));
    write(parts.seed, `seed ${job.seed}`);
    write(parts.prompt, job.prompt);
    drawSteering(parts.steer, job, path);
    const now = `${job.state} ${job.clip?.key ?? ""} ${job.error?.code ?? ""}`;
    if (!job.clip) drawWaiting(parts.screen, job);
    else if (drawn !== now) {
      player = new Player(film(job), job.fps);
      fill(parts.screen, player.element);
      player.video.play().catch(() => {});
      drawRecipe(parts.recipe, path, job, signal);
    }
    if (drawn !== now) {
      drawChoice(parts.choice, job, path);
      drawNeighbours(parts.neighbours, job, () => player, signal);
    }
    drawn = now;
  }

  await refreshing(signal, {
    batch,
    read: () => readJob(path, signal),
    draw,
    matters: (event) => event.job_id === job?.id,
    leastMs: 300,
  });
  signal.addEventListener("abort", () => player?.video.pause());
  addKeys(signal, [
    { keys: "Space", what: "Play or pause" },
    { keys: " |k", what: "Play or pause", act: () => player?.toggle() },
    { keys: ",|ArrowLeft", what: "One frame back", act: () => player?.step(-1) },
    { keys: ".|ArrowRight", what: "One frame on", act: () => player?.step(1) },
    { keys: "l", what: "Repeat", act: () => player?.loop() },
    ...(maySubmit()
      ? [
          { keys: "f", what: "Mark as favourite", act: () => find("[data-mark=favourite]", parts.choice).click() },
          { keys: "x", what: "Mark as reject", act: () => find("[data-mark=reject]", parts.choice).click() },
        ]
      : []),
  ].filter((key) => key.keys !== "Space"));
}

/**
 * Reads a job, with why it waits if it does.
 * @param {string[]} path
 * @param {AbortSignal} signal
 */
async function readJob(path, signal) {
  const found = await get(path, {}, signal);
  if (!["queued", "dispatched", "held"].includes(found.state)) return found;
  const { sentence } = await get([...path, "why"], {}, signal);
  return { ...found, why: sentence };
}

/**
 * Says what a clip's file tells of its origin.
 * @param {any} marks
 */
function marksText(marks) {
  if (!marks) return "AI-generated (older version: no record)";
  const signed = {
    signed: `signed by ${marks.signer}${marks.time_stamped ? ", time-stamped" : ""}`,
    unsigned: "not signed",
    failed: "could not be signed",
    off: "signing off",
  }[/** @type {"signed" | "unsigned" | "failed" | "off"} */ (marks.signature)];
  return ["AI-generated", signed, marks.fingerprint ? "recognised in copies" : ""].filter(Boolean).join(", ");
}

/**
 * Has the stored file verified, and says what came of it.
 * @param {HTMLElement} box
 * @param {any} job
 * @param {AbortSignal} signal
 */
async function drawVerdict(box, job, signal) {
  try {
    write(box, verdictText(await ask("GET", ["batches", job.batch, "clips", job.row, "verdict"], { signal }))); // reads the whole file
  } catch (error) {
    showProblem(box, error);
  }
}

/** @param {any} found */
function verdictText({ verdict, reason, signer, as_stored }) {
  const because = reason ? ` (${reason})` : "";
  const said = {
    signed: `signed by ${signer}, unaltered`,
    "unknown signer": `signed by ${signer}, unaltered; nobody on the trust list vouches for that signer${because}`,
    altered: `altered since it was signed${because}`,
    recognised: "not signed; it matches the fingerprint of this clip",
    "not ours": `not signed, and not recognised${because}`,
    null: `not verified: ${reason}`,
  }[String(verdict)];
  return as_stored ? said : `${said}; not the file that was stored`;
}

/** @param {any} job */
function film(job) {
  return {
    source: address(["batches", job.batch, "clips", job.row]),
    poster: address(["batches", job.batch, "clips", job.row, "poster"]),
    name: `${job.row} · seed ${job.seed}`,
    href: place(["batches", job.batch, job.row]),
  };
}

/**
 * @param {HTMLElement} box
 * @param {any} job
 */
function drawWaiting(box, job) {
  const error = job.error ? [el("b", {}, spoken(job.error.code)), el("p", {}, job.error.message)] : [el("b", {}, stateText(job))];
  fill(box, el("div", { class: "no-clip", data: { state: job.state } }, error, job.why ? el("p", {}, job.why) : null));
}

/**
 * @param {HTMLElement} bar
 * @param {any} job
 * @param {string[]} path
 */
function drawSteering(bar, job, path) {
  const isOver = ["succeeded", "failed", "cancelled"].includes(job.state);
  const wanted = `${isOver} ${job.state} ${Boolean(job.clip)}`;
  if (bar.dataset.wanted === wanted) return;
  bar.dataset.wanted = wanted;
  const steer = (/** @type {string} */ verb, /** @type {string} */ said) => async () => {
    await ask("POST", [...path, verb], { body: {} });
    toast(said);
  };
  fill(
    bar,
    maySubmit() && ["failed", "cancelled"].includes(job.state) ? action("Retry", steer("retry", `${job.row} waits again.`)) : null,
    maySubmit() && !isOver ? action("Cancel", steer("cancel", `${job.row} is cancelled.`), { class: "danger" }) : null,
    job.clip ? el("a", { class: "button", href: address(["batches", job.batch, "clips", job.row]), download: `${job.batch}-${job.row}.mp4` }, "Download") : null,
    action("Copy link", copyLink),
  );
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    toast("The link is copied.");
  } catch {
    toast(location.href);
  }
}

/**
 * @param {HTMLElement} panel
 * @param {any} job
 * @param {string[]} path
 */
function drawChoice(panel, job, path) {
  const choice = { mark: job.choice?.mark ?? "none", note: job.choice?.note ?? "" };
  const note = el("input", { value: choice.note, maxlength: 500, placeholder: "why", disabled: !maySubmit(), on: { change: () => save(wanted) } });
  const trouble = el("div");
  let wanted = choice.mark;
  let saved = Promise.resolve();
  const buttons = [["favourite", "★ Favourite"], ["reject", "✕ Reject"]].map(([mark, label]) => {
    const made = action(label, () => save(wanted === mark ? "none" : mark), { data: { mark }, "aria-pressed": String(choice.mark === mark) });
    return made;
  });
  /**
   * Saves in the order of the clicks: leaving the note saves too, and a click may have been what left it.
   * @param {string} mark
   */
  function save(mark) {
    wanted = mark;
    saved = saved.then(() => put(mark));
    return saved;
  }
  /** @param {string} mark */
  async function put(mark) {
    try {
      await ask("PUT", [...path, "choice"], { body: { mark, note: note.value } });
    } catch (error) {
      wanted = choice.mark;
      return showProblem(trouble, error);
    }
    fill(trouble);
    Object.assign(choice, { mark, note: note.value });
    job.choice = { ...choice };
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
    toast(mark === "none" ? "The mark is gone." : `Marked as ${mark}.`);
  }
  if (maySubmit()) fill(panel, el("div", { class: "row choice" }, buttons), field("Note", note), trouble, el("div", { class: "row" }, againForm(job)));
  else if (choice.mark !== "none") fill(panel, el("h2", {}, "Choice"), el("p", {}, `${spoken(choice.mark)}${choice.note ? `: ${choice.note}` : ""}`));
  else panel.hidden = true;
}

/** @param {any} job */
function againForm(job) {
  const seeds = el("input", { value: `${job.seed + 1}..${job.seed + 4}`, required: true, "aria-label": "Seeds", size: 12 });
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const known = { prompt: job.prompt, width: job.width, height: job.height, frames: job.frames, profile: job.profile };
    const made = await get(["batches", job.batch, "jobs", job.row, "recipe"]).catch(() => ({ spec: known }));
    const { prompt, seed: _, ...spec } = made.spec;
    keepDraft({ text: JSON.stringify({ prompt, ...spec }), format: "jsonl", name: `${job.batch}-seeds`.slice(0, 64), seeds: seeds.value });
    go(place(["submit"]));
  };
  return el("form", { class: "row again", on: { submit } }, el("label", { class: "row" }, el("span", {}, "Again with seeds"), seeds), el("button", {}, "Set up…"));
}

/**
 * @param {HTMLElement} panel
 * @param {any} job
 * @param {() => Player | null} player
 * @param {AbortSignal} signal
 */
async function drawNeighbours(panel, job, player, signal) {
  panel.hidden = true;
  let items;
  try {
    const start = job.prompt.split(/\s+/).slice(0, PROMPT_WORDS).join(" ").slice(0, 200);
    ({ items } = await get(["batches", job.batch, "jobs"], { q: start, limit: 200 }, signal));
  } catch (error) {
    return showProblem(panel, error);
  }
  const same = items.filter((/** @type {any} */ other) => other.prompt === job.prompt && other.id !== job.id);
  if (!same.length) return;
  same.sort((/** @type {any} */ a, /** @type {any} */ b) => Math.abs(a.seed - job.seed) - Math.abs(b.seed - job.seed));
  const near = same.slice(0, MOST_NEIGHBOURS).sort((/** @type {any} */ a, /** @type {any} */ b) => a.seed - b.seed);
  const ready = near.filter((/** @type {any} */ other) => other.clip);
  let isBeside = false;
  const beside = el("button", { type: "button", class: "small push", "aria-pressed": "false", on: { click: toggle } }, "Side by side");
  function toggle() {
    isBeside = !isBeside;
    beside.setAttribute("aria-pressed", String(isBeside));
    player()?.beside(isBeside ? ready.slice(0, BESIDE).map(film) : []);
  }
  panel.hidden = false;
  fill(
    panel,
    el("header", {}, el("h2", { id: "neighbours" }, "The same prompt with other seeds"), job.clip && ready.length ? beside : null),
    el("ul", { class: "strip" }, near.map(neighbour)),
  );
}

/** @param {any} job */
function neighbour(job) {
  const shown = job.clip
    ? el("img", { src: address(["batches", job.batch, "clips", job.row, "poster"]), alt: "", loading: "lazy" })
    : el("span", { class: "state" }, stateText(job));
  const mark = job.choice?.mark === "favourite" ? " ★" : job.choice?.mark === "reject" ? " ✕" : "";
  return el("li", {}, el("a", { href: place(["batches", job.batch, job.row]) }, el("span", { class: "screen" }, shown), el("small", {}, `seed ${job.seed}${mark}`)));
}

/**
 * @param {HTMLElement} panel
 * @param {string[]} path
 * @param {any} job
 * @param {AbortSignal} signal
 */
async function drawRecipe(panel, path, job, signal) {
  let recipe;
  try {
    recipe = await get([...path, "recipe"], {}, signal);
  } catch (error) {
    return fill(panel, el("h2", { id: "recipe" }, "Recipe"), problemBox(error));
  }
  const verdict = el("span", {}, "checking…");
  drawVerdict(verdict, job, signal);
  const spec = recipe.spec ?? {};
  const plan = recipe.plan ?? {};
  const seconds = Object.entries(recipe.seconds ?? {}).map(([stage, value]) => `${spoken(stage)} ${Number(value).toFixed(2)} s`);
  const facts = [
    ["Seed", spec.seed],
    ["Frames", spec.frames && `${spec.frames} at ${spec.fps ?? recipe.clip?.fps ?? 16}/s, ${spec.width}×${spec.height}`],
    ["Profile", [spec.profile, spec.sampler].filter(Boolean).join(", ")],
    ["Negative prompt", spec.negative_prompt],
    ["Worker", [recipe.job?.worker, plan.gpu ?? plan.device].filter(Boolean).join(" · ")],
    ["Attempt", recipe.job?.attempt],
    ["GPU time", recipe.gpu_s && span(recipe.gpu_s)],
    ["Stages", seconds.join(", ")],
    ["File", job.clip.bytes && size(job.clip.bytes)],
    ["Made", recipe.written_at && full(new Date(recipe.written_at).getTime() / 1000)],
    ["Marks", marksText(recipe.clip?.marks)],
    ["Verdict", verdict],
    ["Latents", recipe.latents_sha256 && `${recipe.latents_sha256.slice(0, 16)}…`],
    ...Object.entries(recipe.metadata ?? {}),
  ].filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== 0);
  fill(
    panel,
    el("h2", { id: "recipe" }, "Recipe"),
    el("dl", { class: "facts" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]).flat()),
    el("details", {}, el("summary", {}, "All of it, as JSON"), el("pre", { tabindex: "0" }, JSON.stringify(recipe, null, 2))),
  );
}
