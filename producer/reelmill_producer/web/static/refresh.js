/** Reading anew what a view shows, when the farm says that it has changed. */

import { atMostEvery } from "./dom.js";
import { follow, tellStale } from "./live.js";

const LEAST_MS = 1000;

/**
 * Shows something now, and again after events that change it, at most once in a second.
 * @template T
 * @param {AbortSignal} signal
 * @param {object} view
 * @param {() => Promise<T>} view.read
 * @param {(found: T) => void} view.draw
 * @param {string} [view.batch] Follow this batch only.
 * @param {(event: import("./live.js").FarmEvent) => boolean} [view.matters] By default all events do.
 * @param {(events: import("./live.js").FarmEvent[]) => void} [view.events] Gets all events as well.
 * @param {() => void} [view.reloaded] Called when events may have been missed.
 * @param {number} [view.leastMs]
 * @returns {Promise<() => void>} A function that reads anew soon.
 */
export async function refreshing(signal, { read, draw, batch = "", matters = () => true, events = () => {}, reloaded = () => {}, leastMs = LEAST_MS }) {
  const again = atMostEvery(
    async () => {
      try {
        const found = await read();
        if (signal.aborted) return;
        tellStale("");
        draw(found);
      } catch (error) {
        const { status = 0, retryAfter = 0 } = /** @type {any} */ (error);
        if (signal.aborted || (status !== 0 && status !== 429 && status < 500)) return;
        tellStale(/** @type {Error} */ (error).message);
        setTimeout(again, (retryAfter || 2) * 1000);
      }
    },
    leastMs,
    signal,
  );
  draw(await read());
  if (signal.aborted) return again;
  follow(signal, {
    batch,
    events: (found) => {
      events(found);
      if (found.some(matters)) again();
    },
    reload: () => {
      reloaded();
      again();
    },
  });
  return again;
}
