/** Submit: prompts are pasted or dropped, checked while they are typed, and sent. */

import { ask, Problem } from "../api.js";
import { action, showProblem, toast } from "../dialog.js";
import { el, fill } from "../dom.js";
import { BLANK, dropDraft, keepDraft, readDraft } from "../draft.js";
import { Editor } from "../editor.js";
import { count, decimal, money, plural, size, span, time } from "../format.js";
import { follow } from "../live.js";
import { field } from "../parts.js";
import { go, place } from "../router.js";
import { maySubmit, session } from "../session.js";

const TYPING_MS = 350;
const MOST_TEXT = 2_000_000;
const MOST_SHOWN = 100;
/** @type {Record<string, [string, string]>} */
const FORMATS = {
  txt: ["Text, a prompt a line", "text/plain"],
  csv: ["CSV", "text/csv"],
  jsonl: ["JSON lines", "application/x-ndjson"],
  yaml: ["YAML", "application/yaml"],
};

/**
 * @param {HTMLElement} main
 * @param {import("../router.js").Place} at
 */
export async function show(main, { signal }) {
  if (!maySubmit()) return fill(main, el("h1", {}, "Submit"), el("p", {}, "Your role may look, and not submit. An operator makes tokens: `reelmill token add`."));
  const draft = readDraft();
  /** @type {File | null} */
  let file = null;
  let name = draft.name || freshName();
  const editor = new Editor(draft.text, () => changed());
  const inputs = {
    name: el("input", { value: name, required: true, pattern: "[a-z0-9][a-z0-9._\\-]{0,63}", maxlength: 64, title: "lower-case letters, digits, . _ -" }),
    format: el("select", {}, el("option", { value: "" }, "by its look"), Object.entries(FORMATS).map(([key, [label]]) => el("option", { value: key }, label))),
    seeds: el("input", { value: draft.seeds, placeholder: "for example 0..4, 7" }),
    window: el("input", { value: draft.window, placeholder: "22:00-07:00 Europe/Vienna" }),
    priority: el("input", { type: "number", min: 0, max: 9, value: draft.priority, placeholder: "5" }),
    worker_class: el("input", { value: draft.worker_class, placeholder: "any" }),
    finish_by: el("input", { value: draft.finish_by, placeholder: "07:00, or 8h" }),
    owner: el("input", { value: draft.owner, placeholder: "none" }),
  };
  inputs.format.value = draft.format;
  const skip = el("input", { type: "checkbox" });
  const parts = { estimate: el("div", { class: "estimate", role: "status", "aria-live": "polite" }), problems: el("div", { id: "problems" }), answer: el("div"), file: el("div", { class: "dropped", hidden: true }) };
  const picker = el("input", { type: "file", accept: ".txt,.csv,.tsv,.jsonl,.ndjson,.json,.yaml,.yml", class: "hidden", tabindex: "-1", "aria-label": "Prompt file", on: { change: () => picker.files?.[0] && take(picker.files[0]) } });
  const send = el("button", { class: "primary wide", type: "submit" }, "Submit");
  const form = el(
    "form",
    { class: "submit-page", on: { submit } },
    el(
      "section",
      { class: "panel", "aria-label": "Prompts" },
      el("header", {}, el("label", { for: "prompts" }, el("h2", {}, "Prompts")), el("span", { class: "push row" }, picker, el("button", { type: "button", class: "small", on: { click: () => picker.click() } }, "Choose a file"), action("Clear", clear, { class: "small quiet" }))),
      parts.file,
      editor.element,
      parts.problems,
    ),
    el(
      "div",
      { class: "stack" },
      el("section", { class: "panel", "aria-label": "Estimate" }, el("h2", {}, "Estimate"), parts.estimate),
      el(
        "section",
        { class: "panel", "aria-label": "Batch" },
        el("h2", {}, "Batch"),
        field("Name", inputs.name),
        el(
          "div",
          { class: "fields" },
          field("Format", inputs.format),
          field("Seeds", inputs.seeds, "Each prompt with each"),
          field("Window", inputs.window, "Hours in which it may run"),
          field("Priority", inputs.priority, "0 to 9, 9 most urgent"),
          field("Class", inputs.worker_class, "Only GPUs of this class"),
          field("Finish by", inputs.finish_by, "The farm says if it will be late"),
          session.current?.role === "operator" ? field("Owner", inputs.owner) : null,
        ),
        el("label", { class: "check" }, skip, "Leave bad lines out"),
        parts.answer,
        send,
      ),
    ),
  );
  fill(main, el("header", {}, el("h1", {}, "Submit prompts")), form);
  editor.draw();

  for (const input of [...Object.values(inputs), skip]) input.addEventListener("input", () => changed());
  for (const event of ["dragover", "drop", "dragleave"]) form.addEventListener(event, drag, { signal });

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {AbortController | undefined} */
  let asked;
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    asked?.abort();
  });

  function changed() {
    name = inputs.name.value;
    keepDraft({ text: file ? "" : editor.text, ...Object.fromEntries(Object.entries(inputs).map(([key, input]) => [key, input.value])) });
    clearTimeout(timer);
    timer = setTimeout(check, TYPING_MS);
  }

  function format() {
    return inputs.format.value || (file ? formatOf(file.name) : look(editor.text));
  }

  function policy() {
    const { name: _name, format: _format, ...rest } = inputs;
    return Object.fromEntries(Object.entries(rest).map(([key, input]) => [key, input.value.trim()]).filter(([, value]) => value !== ""));
  }

  async function check() {
    asked?.abort();
    asked = new AbortController();
    const body = file ?? editor.text;
    if (!file && !editor.text.trim()) {
      editor.mark([]);
      fill(parts.problems);
      return showNothing(parts.estimate);
    }
    try {
      const found = await ask("POST", ["batches:check"], { query: { batch: name, ...policy() }, body, type: FORMATS[format()][1], signal: asked.signal });
      fill(parts.answer);
      showBad(found.bad ?? []);
      showEstimate(parts.estimate, found);
    } catch (error) {
      if (/** @type {any} */ (error).name === "AbortError") return;
      showRefusal(error, parts.estimate);
    }
  }

  /**
   * @param {unknown} error
   * @param {Element} where
   */
  function showRefusal(error, where) {
    if (error instanceof Problem && error.lines.length) showBad(error.lines);
    showProblem(where, error);
  }

  /** @param {import("../api.js").BadLine[]} bad */
  function showBad(bad) {
    editor.mark(file ? [] : bad);
    send.disabled = bad.length > 0 && !skip.checked;
    if (!bad.length) return fill(parts.problems);
    const items = bad.slice(0, MOST_SHOWN).map((line) =>
      el("li", {}, file ? el("b", {}, `line ${line.line}`) : el("button", { type: "button", class: "small quiet", on: { click: () => editor.goTo(line.line) } }, `line ${line.line}`), el("span", {}, line.column ? `${line.column}: ` : "", line.reason)),
    );
    const more = bad.length - items.length;
    fill(parts.problems, el("p", { class: "bad", role: "status" }, `${plural(bad.length, "bad line")}`), el("ol", { class: "bad-lines" }, items), more > 0 ? el("small", {}, `${count(more)} more`) : null);
  }

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (send.getAttribute("aria-disabled") === "true") return;
    send.setAttribute("aria-disabled", "true");
    fill(parts.answer);
    try {
      const query = { ...policy(), skip_invalid: skip.checked ? "true" : "" };
      const done = await ask("PUT", ["batches", name], { query, body: file ?? editor.text, type: FORMATS[format()][1], signal });
      dropDraft();
      toast(done.added ? `${plural(done.added, "clip")} submitted.` : "Nothing new: the farm has all of these clips already.");
      go(place(["batches", done.batch ?? name]));
    } catch (error) {
      showRefusal(error, parts.answer);
    } finally {
      send.removeAttribute("aria-disabled");
    }
  }

  /** @param {DragEvent} event */
  function drag(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    form.classList.toggle("dropping", event.type === "dragover");
    if (event.type === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  }

  /** @param {File} chosen A small one becomes text that can be corrected; a large one is sent as it is. */
  async function take(chosen) {
    inputs.format.value = formatOf(chosen.name);
    inputs.name.value = slug(chosen.name);
    file = chosen.size > MOST_TEXT ? chosen : null;
    editor.element.hidden = Boolean(file);
    parts.file.hidden = !file;
    if (file) fill(parts.file, el("b", {}, file.name), el("span", {}, `${size(file.size)}, too large to edit here; it is checked and sent as it is`));
    else editor.text = await chosen.text();
    picker.value = "";
    changed();
  }

  async function clear() {
    file = null;
    editor.element.hidden = false;
    parts.file.hidden = true;
    editor.text = "";
    for (const [key, input] of Object.entries(inputs)) input.value = BLANK[/** @type {keyof typeof BLANK} */ (key)];
    inputs.name.value = freshName();
    dropDraft();
    changed();
    editor.area.focus();
  }

  showNothing(parts.estimate);
  follow(signal, { events: () => {}, reload: () => editor.text.trim() && changed() });
}

/** @param {Element} box */
function showNothing(box) {
  fill(box, el("p", { class: "soft" }, "Write or drop prompts: what they take is said here."));
}

/**
 * @param {Element} box
 * @param {any} found
 */
function showEstimate(box, found) {
  const { estimate = {} } = found;
  const facts = [
    ["Clips", count(found.rows)],
    ["Done by", estimate.finish_at ? `${time(estimate.finish_at)}, in ${span(estimate.seconds ?? estimate.finish_at - Date.now() / 1000)}` : ""],
    ["GPU hours", estimate.gpu_hours === null || estimate.gpu_hours === undefined ? "" : decimal(estimate.gpu_hours)],
    ["Cost", estimate.cost === null || estimate.cost === undefined ? "" : money(estimate.cost, estimate.currency)],
    ["Already there", found.unchanged ? count(found.unchanged) : ""],
    ["Given twice", found.duplicates ? count(found.duplicates) : ""],
  ].filter(([, value]) => value);
  fill(box, el("dl", { class: "facts large" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]).flat()), notesOf(found).map(([look, text]) => el("p", { class: look }, text)));
}

/**
 * @param {any} found
 * @returns {string[][]} A look and a sentence each.
 */
function notesOf({ estimate, conflicts, notes }) {
  const found = notes.map((/** @type {string} */ note) => ["soft", note]);
  if (estimate.unknown) found.unshift(["soft", `Not known: ${estimate.unknown}`]);
  if (estimate.in_time === false) found.unshift(["bad", "It will not be done by that time."]);
  if (estimate.in_time) found.unshift(["good", "It will be done in time."]);
  if (conflicts) found.unshift(["bad", `${plural(conflicts, "row")} of this batch differ from what is there: give them other ids, or the batch another name.`]);
  return found;
}

/** @param {string} name */
function formatOf(name) {
  const ending = name.split(".").pop()?.toLowerCase() ?? "";
  return { csv: "csv", tsv: "csv", jsonl: "jsonl", ndjson: "jsonl", json: "jsonl", yaml: "yaml", yml: "yaml" }[ending] ?? "txt";
}

/** @param {string} text */
function look(text) {
  const first = text.trimStart().split("\n", 1)[0];
  if (first.startsWith("{") || first.startsWith("[")) return "jsonl";
  if (/^(batch|prompts|rows|defaults):/.test(first) || /^- /.test(first)) return "yaml";
  return /^"?[a-z_]+"?(,"?[a-z_]+"?)*$/i.test(first) && /(^|,)"?prompt"?(,|$)/i.test(first) ? "csv" : "txt";
}

/** @param {string} name */
function slug(name) {
  const plain = name.replace(/\.[^.]+$/, "").toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 64);
  return plain || freshName();
}

function freshName() {
  const now = new Date();
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return `batch-${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}-${two(now.getHours())}${two(now.getMinutes())}`;
}
