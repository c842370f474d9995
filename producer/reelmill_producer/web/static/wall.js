/** The wall: a grid of any number of tiles. Only those near the window are in the page. */

import { el } from "./dom.js";

const GAP = 10;
const LEAST_WIDTH = 216;
const LEAST_WIDTH_PHONE = 150;
const CAPTION = 64;
const SPARE_ROWS = 2;
const REST_MS = 90;
const FAST_PX_PER_MS = 2.5;
const HURRIED_NEED_MS = 200;

/**
 * @typedef {object} Filling
 * @property {() => HTMLLIElement} make Makes an empty tile.
 * @property {(tile: HTMLLIElement, index: number, hurried: boolean) => void} update Shows item `index` in a tile;
 *   `hurried` while the wall moves fast: then without pictures.
 * @property {(first: number, last: number) => void} need Called with the items that are near the window.
 * @property {(tile: HTMLLIElement) => void} leave Called before a tile is used for another item.
 */

export class Wall {
  /**
   * @param {string} name For screen readers.
   * @param {Filling} filling
   * @param {AbortSignal} signal
   */
  constructor(name, filling, signal) {
    this.element = el("ul", { class: "wall", role: "list", "aria-label": name });
    this.filling = filling;
    this.total = 0;
    this.columns = 1;
    this.rowHeight = 200;
    this.width = 0;
    this.current = 0;
    /** @type {Map<number, HTMLLIElement>} */
    this.tiles = new Map();
    /** @type {HTMLLIElement[]} */
    this.free = [];
    this.asked = 0;
    this.lastTop = 0;
    this.lastAt = 0;
    this.lastNeed = 0;
    this.isHurried = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.rest = undefined;
    const draw = () => this.ask();
    window.addEventListener("scroll", draw, { passive: true, signal });
    const observer = new ResizeObserver(() => this.measure());
    observer.observe(this.element);
    signal.addEventListener("abort", () => {
      observer.disconnect();
      cancelAnimationFrame(this.asked);
      clearTimeout(this.rest);
    });
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.move(event));
    this.element.addEventListener("focusin", (/** @type {FocusEvent} */ event) => {
      const tile = /** @type {Element} */ (event.target).closest("li");
      if (tile) this.choose(Number(tile.dataset.index));
    });
  }

  /** @param {number} total Number of items. */
  resize(total) {
    if (total === this.total && this.width) return this.refresh();
    this.total = total;
    this.measure();
  }

  measure() {
    const width = this.element.clientWidth;
    if (!width) return;
    this.width = width;
    const least = width < 560 ? LEAST_WIDTH_PHONE : LEAST_WIDTH;
    this.columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
    const tile = (width - GAP * (this.columns - 1)) / this.columns;
    this.tileWidth = tile;
    this.tileHeight = Math.round((tile * 15) / 26) + CAPTION;
    this.rowHeight = this.tileHeight + GAP;
    const height = Math.max(0, Math.ceil(this.total / this.columns) * this.rowHeight - GAP);
    this.element.style.height = `${height}px`;
    for (const [index, shown] of this.tiles) this.place(shown, index);
    this.draw(true);
  }

  /** Shows all tiles of the page anew, for their items have changed. */
  refresh() {
    this.draw(true);
  }

  ask() {
    if (!this.asked) this.asked = requestAnimationFrame(() => this.draw(false));
  }

  /** @param {boolean} all Whether tiles that stay are updated too. */
  draw(all) {
    this.asked = 0;
    const top = -this.element.getBoundingClientRect().top;
    const now = performance.now();
    const speed = Math.abs(top - this.lastTop) / Math.max(1, now - this.lastAt);
    this.lastTop = top;
    this.lastAt = now;
    const hurried = !all && speed > FAST_PX_PER_MS;
    if (hurried || this.isHurried) {
      clearTimeout(this.rest);
      this.rest = setTimeout(() => {
        this.isHurried = false;
        this.draw(true);
      }, REST_MS);
    }
    this.isHurried ||= hurried;
    const firstRow = Math.max(0, Math.floor(top / this.rowHeight) - SPARE_ROWS);
    const lastRow = Math.ceil((top + window.innerHeight) / this.rowHeight) + SPARE_ROWS;
    const first = Math.min(firstRow * this.columns, Math.max(0, this.total - 1));
    const last = Math.min(this.total, Math.max(0, lastRow) * this.columns) - 1;
    const held = this.held();
    for (const [index, tile] of this.tiles) {
      if ((index >= first && index <= last) || (index === held && index < this.total)) continue;
      this.filling.leave(tile);
      this.tiles.delete(index);
      this.free.push(tile);
    }
    for (let index = first; index <= last; index += 1) {
      const shown = this.tiles.get(index);
      if (shown && !all) continue;
      this.filling.update(shown ?? this.take(index), index, this.isHurried && !all);
    }
    for (const tile of this.free.splice(24)) tile.remove();
    for (const tile of this.free) tile.hidden = true;
    if (last < first || (this.isHurried && now - this.lastNeed < HURRIED_NEED_MS)) return;
    this.lastNeed = now;
    this.filling.need(first, last);
  }

  /** @param {number} index */
  take(index) {
    let tile = this.free.pop();
    if (!tile) {
      tile = this.filling.make();
      this.element.append(tile);
    }
    tile.hidden = false;
    tile.dataset.index = String(index);
    tile.setAttribute("aria-posinset", String(index + 1));
    tile.setAttribute("aria-setsize", String(this.total));
    this.place(tile, index);
    this.tiles.set(index, tile);
    const link = tile.querySelector("a");
    if (link) link.tabIndex = index === this.current ? 0 : -1;
    return tile;
  }

  /**
   * @param {HTMLLIElement} tile
   * @param {number} index
   */
  place(tile, index) {
    const x = (index % this.columns) * ((this.tileWidth ?? 0) + GAP);
    const y = Math.floor(index / this.columns) * this.rowHeight;
    tile.style.width = `${this.tileWidth}px`;
    tile.style.height = `${this.tileHeight}px`;
    tile.style.transform = `translate(${x}px, ${y}px)`;
  }

  /** The item that has the focus, whose tile stays although it is scrolled away; -1 if there is none. */
  held() {
    const tile = document.activeElement?.closest?.(".wall > li");
    return tile instanceof HTMLLIElement ? Number(tile.dataset.index) : -1;
  }

  /** @param {number} index */
  choose(index) {
    const before = this.tiles.get(this.current)?.querySelector("a");
    if (before) before.tabIndex = -1;
    this.current = index;
    const link = this.tiles.get(index)?.querySelector("a");
    if (link) link.tabIndex = 0;
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const page = Math.max(1, Math.floor(window.innerHeight / this.rowHeight) - 1) * this.columns;
    const steps = /** @type {Record<string, number>} */ ({
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: this.columns,
      ArrowUp: -this.columns,
      PageDown: page,
      PageUp: -page,
      Home: -this.total,
      End: this.total,
    });
    const step = steps[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.focus(Math.min(this.total - 1, Math.max(0, this.current + step)));
  }

  /** @param {number} index Item to scroll to and to focus. */
  focus(index) {
    const top = this.element.getBoundingClientRect().top + window.scrollY + Math.floor(index / this.columns) * this.rowHeight;
    const above = top - window.scrollY < 120;
    const below = top + this.rowHeight > window.scrollY + window.innerHeight - 70;
    if (above) window.scrollTo(0, top - 120);
    else if (below) window.scrollTo(0, top + this.rowHeight - window.innerHeight + 70);
    if (!this.tiles.has(index)) this.draw(false);
    this.choose(index);
    this.tiles.get(index)?.querySelector("a")?.focus({ preventScroll: true });
  }
}
