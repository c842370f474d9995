/** What happens on the farm, as it happens: one connection, shared by all that the page shows. */

import { address, Problem, guard } from "./api.js";
import { find, write } from "./dom.js";
import { messages } from "./event_stream.js";

/** @typedef {{event: string, event_id: string, batch: string, job_id: string, worker: string, [field: string]: any}} FarmEvent */

const HEARTBEAT_S = 40;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const BUNDLE_MS = 200;

/** @type {Set<{events: (events: FarmEvent[]) => void, reload: () => void}>} */
const listeners = new Set();
/** @type {FarmEvent[]} */
let bundle = [];
/** @type {AbortController | undefined} */
let connection;
let scope = "";
let last = "";

/**
 * Registers a view for the events of the farm, or of a batch, until it is left.
 * @param {AbortSignal} signal
 * @param {{batch?: string, events: (events: FarmEvent[]) => void, reload: () => void}} view `reload` is called when
 *   events may have been missed.
 */
export function follow(signal, { batch = "", events, reload }) {
  const listener = { events, reload };
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
  if (!connection || scope !== batch) connect(batch);
}

/** Ends the connection, for example on sign-out. */
export function hangUp() {
  connection?.abort();
  connection = undefined;
  show("off", "signed out");
}

/**
 * Says that what is shown could not be read anew; the empty text takes that back.
 * @param {string} why
 */
export function tellStale(why) {
  if (find("#live").dataset.state === "lost") return; // that is said already
  const banner = find("#lost");
  banner.hidden = !why;
  write(banner, why ? `What you see is from before: ${why} The page tries again by itself.` : "");
}

/** @param {string} batch */
function connect(batch) {
  connection?.abort();
  connection = new AbortController();
  scope = batch;
  last = "";
  bundle = [];
  keep(connection.signal, batch);
}

/**
 * Keeps a connection until it is replaced.
 * @param {AbortSignal} signal
 * @param {string} batch
 */
async function keep(signal, batch) {
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    try {
      await read(signal, batch, () => {
        show("on", "live");
        for (const listener of listeners) listener.reload(); // of what happened before it was open
        wait = FIRST_WAIT_MS;
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status === 401) return hangUp();
    }
    if (signal.aborted) return;
    show("lost", "connection lost");
    await pause(wait * (0.75 + Math.random() / 2), signal);
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }
}

/**
 * Reads one connection to its end.
 * @param {AbortSignal} signal
 * @param {string} batch
 * @param {() => void} opened
 */
async function read(signal, batch, opened) {
  const once = new AbortController();
  const end = () => once.abort();
  signal.addEventListener("abort", end);
  let silence = setTimeout(end, HEARTBEAT_S * 1000);
  try {
    const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
    const response = await fetch(address(batch ? ["batches", batch, "events"] : ["events"]), { headers, signal: once.signal });
    if (response.status === 401) guard.signedOut();
    if (!response.ok || !response.body) throw new Problem(response.status, {});
    opened();
    const heard = new TransformStream({
      transform(chunk, controller) {
        clearTimeout(silence);
        silence = setTimeout(end, HEARTBEAT_S * 1000);
        controller.enqueue(chunk);
      },
    });
    for await (const message of messages(response.body.pipeThrough(heard))) take(message);
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", end);
  }
}

/** @param {import("./event_stream.js").Message} message */
function take(message) {
  if (message.id) last = message.id;
  if (message.event === "gap") {
    for (const listener of listeners) listener.reload();
    return;
  }
  if (message.event === "away") return show("lost", "farm away");
  if (message.event === "back") {
    show("on", "live");
    for (const listener of listeners) listener.reload(); // of what could not be read meanwhile
    return;
  }
  if (!message.data) return;
  if (!bundle.length) setTimeout(deliver, BUNDLE_MS);
  bundle.push(JSON.parse(message.data));
}

function deliver() {
  const events = bundle;
  bundle = [];
  if (events.length) for (const listener of listeners) listener.events(events);
}

/**
 * @param {"on" | "lost" | "off"} state
 * @param {string} text
 */
function show(state, text) {
  const mark = find("#live");
  mark.dataset.state = state;
  write(find("span", mark), text);
  const banner = find("#lost");
  const lost = state === "lost";
  banner.hidden = !lost;
  write(banner, lost ? "The connection to the farm is lost. What you see is from before; the page reconnects and catches up by itself." : "");
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    const soon = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", soon, { once: true });
    window.addEventListener("online", soon, { once: true });
  });
}
