/** The jobs of a batch, read page by page as they are looked at. */

import { get } from "./api.js";

const PAGE = 200;
const SCAN = 500;
const MOST_PAGES = 100;
const AGAIN_MS = 3000;

/**
 * @typedef {object} Job
 * @property {string} id
 * @property {string} batch
 * @property {string} row
 * @property {string} prompt
 * @property {number} seed
 * @property {string} state
 * @property {string} [stage]
 * @property {number} attempts
 * @property {{code: string, message: string} | null} [error]
 * @property {{key: string, bytes?: number, duration_s?: number} | null} [clip]
 * @property {{mark: string, note: string} | null} [choice]
 * @property {number} [updated_at]
 */
/** @typedef {{state?: string, q?: string, favourite?: string}} Filter */

/** @type {Record<string, string[]>} The states that a filter stands for. */
const STATES = { running: ["running", "cancel_requested"], queued: ["queued", "dispatched", "held"] };

export class Jobs {
  /**
   * @param {string} batch
   * @param {Filter} filter Without one, the position of a job is its cursor, and any page is read at once; with one,
   *   pages follow each other.
   * @param {AbortSignal} signal
   * @param {{changed: () => void, failed: (error: unknown) => void, again: () => void}} watcher
   */
  constructor(batch, filter, signal, watcher) {
    this.batch = batch;
    this.filter = filter;
    this.isFiltered = Object.values(filter).some(Boolean);
    this.signal = signal;
    this.watcher = watcher;
    this.total = 0;
    this.isWhole = false;
    /** @type {Map<number, Job[]>} Pages of an unfiltered batch. */
    this.pages = new Map();
    /** @type {Job[]} What was found so far by a filter. */
    this.found = [];
    /** @type {string | null} */
    this.next = "";
    /** @type {Map<string, Job>} */
    this.known = new Map();
    /** @type {Set<number>} */
    this.asked = new Set();
  }

  /**
   * @param {number} index
   * @returns {Job | undefined}
   */
  at(index) {
    if (this.isFiltered) return this.found[index];
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /**
   * Reads what is missing of a range.
   * @param {number} first
   * @param {number} last
   */
  need(first, last) {
    if (this.isFiltered) {
      if (last >= this.found.length - SCAN / 4) this.scan();
      return;
    }
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page += 1) {
      const whole = Math.min(PAGE, this.total - page * PAGE); // a batch may have grown
      if ((this.pages.get(page)?.length ?? -1) < whole) this.read(page);
    }
  }

  /** Reads anew what is there, for events may have been missed. */
  async reload() {
    if (this.isFiltered) {
      this.next = "";
      this.found = [];
      this.known.clear();
      return this.scan();
    }
    await Promise.all([...this.pages.keys()].slice(-4).map((page) => this.read(page)));
    for (const page of [...this.pages.keys()].slice(0, -4)) this.pages.delete(page);
  }

  /** @param {number} page */
  async read(page) {
    if (this.asked.has(page)) return;
    this.asked.add(page);
    try {
      const query = { start: page ? page * PAGE : "", limit: PAGE };
      const { items } = await get(["batches", this.batch, "jobs"], query, this.signal);
      this.pages.delete(page);
      this.pages.set(page, items);
      for (const job of items) this.known.set(job.id, job);
      this.forget();
      this.watcher.changed();
    } catch (error) {
      this.failed(error);
    } finally {
      this.asked.delete(page);
    }
  }

  async scan() {
    if (this.asked.has(-1) || this.next === null) return;
    this.asked.add(-1);
    try {
      const { state = "", ...rest } = this.filter;
      const query = { ...rest, state: STATES[state] ?? state, cursor: this.next, limit: SCAN };
      const { items, next } = await get(["batches", this.batch, "jobs"], query, this.signal);
      for (const job of items) {
        if (!this.known.has(job.id)) this.found.push(job);
        this.known.set(job.id, job);
      }
      this.next = next ?? null;
      this.total = this.found.length;
      this.isWhole = this.next === null;
    } catch (error) {
      return this.failed(error);
    } finally {
      this.asked.delete(-1);
    }
    this.watcher.changed();
    if (this.next !== null && this.found.length < SCAN / 4) this.scan();
  }

  /** @param {unknown} error What is missing is asked for again a little later. */
  failed(error) {
    if (this.signal.aborted) return;
    this.watcher.failed(error);
    setTimeout(() => this.signal.aborted || this.watcher.again(), AGAIN_MS);
  }

  forget() {
    for (const [page, items] of this.pages) {
      if (this.pages.size <= MOST_PAGES) return;
      this.pages.delete(page);
      for (const job of items) this.known.delete(job.id);
    }
  }

  /**
   * Applies what happened to jobs that are known.
   * @param {import("./live.js").FarmEvent[]} events
   * @returns {boolean} Whether anything shown has changed.
   */
  apply(events) {
    let isChanged = false;
    for (const event of events) {
      const job = this.known.get(event.job_id);
      if (!job) continue;
      const change = CHANGES[event.event];
      if (!change) continue;
      Object.assign(job, change(event, job), { updated_at: Date.now() / 1000 });
      isChanged = true;
    }
    return isChanged;
  }
}

/** @type {Record<string, (event: import("./live.js").FarmEvent, job: Job) => Partial<Job>>} */
const CHANGES = {
  "job.dispatched": () => ({ state: "dispatched" }),
  "job.claimed": (event) => ({ state: "running", stage: "", attempts: Number(event.attempt) || 1 }),
  "job.staged": (event) => ({ state: "running", stage: event.stage }),
  "job.finished": (event, job) => ({ state: "succeeded", stage: "", error: null, clip: { ...job.clip, key: event.key } }),
  "job.reused": (event, job) => ({ state: "succeeded", stage: "", error: null, clip: { ...job.clip, key: event.key } }),
  "job.requeued": () => ({ state: "queued", stage: "" }),
  "job.failed": (event) => ({ state: "failed", stage: "", error: { code: event.code, message: event.message } }),
  "job.held": () => ({ state: "held" }),
  "job.cancel_requested": () => ({ state: "cancel_requested" }),
  "job.chosen": (event, job) => ({ choice: { note: job.choice?.note ?? "", mark: event.mark || "none" } }),
  "job.cancelled": () => ({ state: "cancelled", stage: "" }),
};
