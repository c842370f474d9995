/** The player: a clip by frames and in a loop, and others beside it that follow it frame by frame. */

import { el, fill, write } from "./dom.js";

const FPS = 16;
const DRIFT_S = 0.03;

/** @typedef {{source: string, poster?: string, name: string, href?: string}} Film */

export class Player {
  /**
   * @param {Film} film
   * @param {number} fps Frames a second of the clip.
   */
  constructor(film, fps = FPS) {
    this.fps = fps || FPS;
    this.video = screen(film, true);
    this.others = el("div", { class: "others" });
    /** @type {HTMLVideoElement[]} */
    this.followers = [];
    this.position = el("input", { type: "range", min: 0, max: 1, step: 1, value: 0, "aria-label": "Frame", on: { input: () => this.seek(Number(this.position.value)) } });
    this.counter = el("output", { class: "mono counter" }, "–");
    this.playing = button("Play", "Play or pause (space)", () => this.toggle());
    this.looping = button("Loop", "Repeat (l)", () => this.loop());
    this.looping.setAttribute("aria-pressed", "true");
    this.video.loop = true;
    const controls = el(
      "div",
      { class: "controls", role: "group", "aria-label": "Player" },
      this.playing,
      button("◀", "One frame back (,)", () => this.step(-1)),
      button("▶", "One frame on (.)", () => this.step(1)),
      this.looping,
      this.position,
      this.counter,
      speed((rate) => this.all((video) => (video.playbackRate = rate))),
    );
    this.element = el("div", { class: "player" }, el("div", { class: "stage" }, this.video, this.others), controls);
    for (const event of ["loadedmetadata", "timeupdate", "seeked", "play", "pause"]) this.video.addEventListener(event, () => this.show());
    this.video.addEventListener("click", () => this.toggle());
    this.video.addEventListener("seeking", () => this.align());
    this.video.addEventListener("play", () => this.follow());
    this.video.addEventListener("pause", () => this.follow());
    this.watch();
  }

  get frames() {
    return Math.max(1, Math.round((this.video.duration || 0) * this.fps));
  }

  get frame() {
    return Math.min(this.frames - 1, Math.floor(this.video.currentTime * this.fps + 0.01));
  }

  toggle() {
    if (this.video.paused) this.video.play().catch(() => {});
    else this.video.pause();
  }

  loop() {
    this.video.loop = !this.video.loop;
    this.looping.setAttribute("aria-pressed", String(this.video.loop));
  }

  /** @param {number} frames */
  step(frames) {
    this.video.pause();
    const count = this.frames;
    this.seek((this.frame + frames + count) % count);
  }

  /** @param {number} frame Its middle is sought: its edge belongs to the frame before in some decoders. */
  seek(frame) {
    this.video.currentTime = Math.min(this.video.duration || 0, (frame + 0.5) / this.fps);
    this.align();
  }

  /**
   * Shows other clips beside this one, in step with it.
   * @param {Film[]} films
   */
  beside(films) {
    this.followers = films.map((film) => screen(film, false));
    fill(
      this.others,
      this.followers.map((video, index) => el("figure", {}, video, el("figcaption", {}, el("a", { href: films[index].href }, films[index].name)))),
    );
    this.element.classList.toggle("compared", films.length > 0);
    for (const video of this.followers) video.addEventListener("loadedmetadata", () => this.follow());
  }

  follow() {
    for (const video of this.followers) {
      if (this.video.paused) video.pause();
      else video.play().catch(() => {});
    }
    this.align();
  }

  align() {
    for (const video of this.followers) {
      if (Math.abs(video.currentTime - this.video.currentTime) > DRIFT_S) video.currentTime = Math.min(this.video.currentTime, video.duration || 0);
    }
  }

  /** Keeps the followers in step, frame by frame where the browser reports frames. */
  watch() {
    const { video } = this;
    if (!("requestVideoFrameCallback" in video)) return;
    const each = () => {
      this.show();
      if (!video.paused) this.align();
      video.requestVideoFrameCallback(each);
    };
    video.requestVideoFrameCallback(each);
  }

  /** @param {(video: HTMLVideoElement) => void} change */
  all(change) {
    for (const video of [this.video, ...this.followers]) change(video);
  }

  show() {
    write(this.playing, this.video.paused ? "Play" : "Pause");
    if (!this.video.duration) return;
    this.position.max = String(this.frames - 1);
    this.position.value = String(this.frame);
    this.position.setAttribute("aria-valuetext", `frame ${this.frame + 1} of ${this.frames}`);
    write(this.counter, `${String(this.frame + 1).padStart(2, "0")} / ${this.frames}`);
  }
}

/**
 * @param {Film} film
 * @param {boolean} isMain
 * @returns {HTMLVideoElement}
 */
function screen(film, isMain) {
  const video = el("video", { src: film.source, poster: film.poster, muted: true, loop: true, playsinline: true, preload: "auto", "aria-label": film.name, tabindex: isMain ? "0" : null });
  video.muted = true;
  return video;
}

/**
 * @param {string} label
 * @param {string} title
 * @param {() => void} act
 * @returns {HTMLButtonElement}
 */
function button(label, title, act) {
  return el("button", { type: "button", class: "small", title, "aria-label": label.length < 2 ? title : null, on: { click: act } }, label);
}

/** @param {(rate: number) => void} set */
function speed(set) {
  const rates = el("select", { "aria-label": "Speed", class: "speed", on: { change: () => set(Number(rates.value)) } }, [0.25, 0.5, 1, 2].map((rate) => el("option", { value: rate }, `${rate}×`)));
  rates.value = "1";
  return rates;
}
