/** The clips that were made last, as a strip that grows while one looks at it. */

import { get } from "./api.js";
import { atMostEvery, el, find, keyed } from "./dom.js";
import { makeTile, playOnHover, showJob } from "./tile.js";

const SHOWN = 8;
const BATCHES = 3;
const BEFORE = 12;
const LEAST_MS = 1500;

/** @typedef {import("./jobs.js").Job} Job */

export class Latest {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.signal = signal;
    /** @type {Job[]} */
    this.jobs = [];
    this.newest = "";
    this.isStarted = false;
    this.list = el("ul", { class: "latest", role: "list" });
    this.element = el("section", { class: "panel", "aria-labelledby": "part-latest", hidden: true }, el("header", {}, el("h2", { id: "part-latest" }, "Latest clips")), this.list);
    playOnHover(this.list, (id) => this.jobs.find((job) => job.id === id), signal);
    this.soon = atMostEvery(() => this.add(), LEAST_MS, signal);
  }

  /**
   * Shows clips about the place up to which batches are done: they are made in about the order of their rows.
   * @param {any[]} batches
   */
  async start(batches) {
    if (this.isStarted) return;
    this.isStarted = true;
    const busy = batches.filter((batch) => batch.counts.succeeded).slice(0, BATCHES);
    const pages = await Promise.all(busy.map((batch) => this.around(batch)));
    const found = pages.flat().sort((a, b) => (b.updated_at ?? 0) - (a.updated_at ?? 0));
    this.jobs = [...this.jobs, ...found].slice(0, SHOWN);
    this.draw();
  }

  /**
   * @param {any} batch
   * @returns {Promise<Job[]>}
   */
  async around(batch) {
    const ended = batch.counts.succeeded + batch.counts.failed + batch.counts.cancelled;
    try {
      const { items } = await get(["batches", batch.name, "jobs"], { start: Math.max(0, ended - BEFORE), limit: BEFORE + 4 }, this.signal);
      return items.filter((/** @type {Job} */ job) => job.clip);
    } catch {
      return []; // the strip is an extra: the rest of the page says what is wrong
    }
  }

  /** @param {import("./live.js").FarmEvent[]} events */
  see(events) {
    const made = events.filter(({ event }) => event === "job.finished");
    if (!made.length) return;
    this.newest = made[made.length - 1].job_id;
    this.soon();
  }

  async add() {
    if (this.jobs.some((job) => job.id === this.newest)) return;
    try {
      const job = await get(["jobs", this.newest], {}, this.signal);
      if (job.clip) this.jobs = [job, ...this.jobs].slice(0, SHOWN);
    } catch {
      return;
    }
    this.draw();
  }

  draw() {
    this.element.hidden = !this.jobs.length;
    keyed(this.list, this.jobs, (job) => job.id, makeTile, (tile, job) => {
      showJob(/** @type {HTMLLIElement} */ (tile), job, false);
      find("a", tile).tabIndex = 0;
    });
  }
}
