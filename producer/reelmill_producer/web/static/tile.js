/** A tile of the wall: the poster of a clip, which plays while it is pointed at or has the focus, or its state. */

import { address } from "./api.js";
import { el, find, write } from "./dom.js";
import { spoken } from "./format.js";
import { place } from "./router.js";

const HOVER_MS = 160;
const AGAIN_MS = 3000;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export function makeTile() {
  return el(
    "li",
    {},
    el(
      "a",
      { class: "tile", tabindex: "-1" },
      el("span", { class: "screen" }, el("img", { alt: "", decoding: "async", loading: "lazy" }), el("span", { class: "state" })),
      el("span", { class: "caption" }, el("span", { class: "line" }, el("b"), el("small"), el("i", { class: "mark" })), el("span", { class: "prompt" })),
    ),
  );
}

/**
 * Shows a job in a tile.
 * @param {HTMLLIElement} tile
 * @param {import("./jobs.js").Job | undefined} job
 * @param {boolean} hurried Without its picture.
 */
export function showJob(tile, job, hurried) {
  const link = find("a", tile);
  const image = find("img", tile);
  if (!job) {
    link.removeAttribute("href");
    link.dataset.state = "loading";
    link.dataset.job = "";
    for (const part of [".state", "b", "small", ".prompt", ".mark"]) write(find(part, tile), "");
    return hidePoster(image);
  }
  const mark = job.choice?.mark === "none" ? "" : (job.choice?.mark ?? "");
  if (link.dataset.job !== job.id) {
    link.dataset.job = job.id;
    link.href = place(["batches", job.batch, job.row]);
  }
  link.dataset.state = job.state;
  link.dataset.mark = mark;
  write(find("b", tile), job.row);
  write(find("small", tile), `seed ${job.seed}`);
  write(find(".prompt", tile), job.prompt);
  write(find(".mark", tile), mark === "favourite" ? "★" : mark === "reject" ? "✕" : "");
  const label = stateText(job);
  write(find(".state", tile), job.clip ? "" : label);
  const name = `${job.row}, ${label}${mark ? `, ${mark}` : ""}: ${job.prompt.slice(0, 160)}`;
  if (link.getAttribute("aria-label") !== name) link.setAttribute("aria-label", name);
  const poster = job.clip ? address(["batches", job.batch, "clips", job.row, "poster"]) : "";
  if (poster && !hurried) showPoster(image, poster);
  else if (image.src !== poster) hidePoster(image);
}

/**
 * Shows a poster once it is there, so that no tile shows that of the clip before.
 * @param {HTMLImageElement} image
 * @param {string} source
 */
function showPoster(image, source) {
  image.onload = () => image.classList.add("there");
  image.onerror = () => setTimeout(() => again(image, source), AGAIN_MS);
  if (image.src !== source) {
    image.classList.remove("there");
    image.src = source;
  } else if (image.complete && image.naturalWidth) image.classList.add("there");
}

/** @param {HTMLImageElement} image */
function hidePoster(image) {
  image.onload = image.onerror = null;
  image.classList.remove("there");
}

/**
 * Asks once more for a poster that did not come, for example since too many were asked for at once.
 * @param {HTMLImageElement} image
 * @param {string} source
 */
function again(image, source) {
  if (image.src !== source || !image.onload) return;
  image.onerror = null;
  image.src = source;
}

/** @param {import("./jobs.js").Job} job */
export function stateText(job) {
  if (job.state === "running") return job.stage ? spoken(job.stage) : "rendering";
  if (job.state === "failed") return job.error?.code ? spoken(job.error.code) : "failed";
  if (job.state === "queued" || job.state === "dispatched") return "waiting";
  if (job.state === "cancel_requested") return "stopping";
  return job.state === "succeeded" ? "done" : spoken(job.state);
}

/**
 * Plays the clip of the tile that is pointed at or has the focus, one at a time.
 * @param {HTMLElement} wall
 * @param {(id: string) => import("./jobs.js").Job | undefined} find_
 * @param {AbortSignal} signal
 */
export function playOnHover(wall, find_, signal) {
  const video = el("video", { muted: true, loop: true, playsinline: true, disablepictureinpicture: true, "aria-hidden": "true", tabindex: "-1" });
  video.muted = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const stop = () => {
    clearTimeout(timer);
    if (!video.isConnected) return;
    video.remove();
    video.removeAttribute("src");
    video.load();
  };
  const start = (/** @type {Event} */ event) => {
    const link = /** @type {Element} */ (event.target).closest?.("a.tile");
    if (!(link instanceof HTMLElement) || still.matches) return;
    if (link.contains(video)) return;
    stop();
    timer = setTimeout(() => {
      const job = find_(link.dataset.job ?? "");
      if (!job?.clip) return;
      video.src = address(["batches", job.batch, "clips", job.row]);
      find(".screen", link).append(video);
      video.play().catch(() => {});
    }, HOVER_MS);
  };
  wall.addEventListener("pointerover", start);
  wall.addEventListener("focusin", start);
  wall.addEventListener("focusout", (/** @type {FocusEvent} */ event) => {
    if (/** @type {Element} */ (event.target).contains(video)) stop();
  });
  wall.addEventListener("pointerleave", stop);
  signal.addEventListener("abort", stop);
  return stop;
}
