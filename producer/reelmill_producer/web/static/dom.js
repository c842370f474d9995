/** Elements: built with text nodes only, so that no prompt and no name can become markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, unknown>} Attributes
 */

/**
 * Makes an HTML element.
 * @param {string} tag
 * @param {Attributes} [attributes] `on` holds listeners by event, `data` the dataset; null and false leave one out.
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function el(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * Makes an SVG element.
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * @template {Element} E
 * @param {E} element
 * @param {Attributes | undefined} attributes
 * @param {(Child | Child[])[]} children
 * @returns {E}
 */
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(/** @type {object} */ (value))) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(/** @type {any} */ (element).dataset, value);
    else if (name === "value" || name === "checked") /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter(isShown).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

/** @param {Child} child */
function isShown(child) {
  return child !== null && child !== undefined && child !== false;
}

/**
 * Replaces what an element holds.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter(isShown).map((child) => (child instanceof Node ? child : String(child))));
}

/**
 * Sets a text, and touches the page only if it changes.
 * @param {Element} element
 * @param {string | number} text
 */
export function write(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/**
 * Makes a container hold one element for each item, in order. Elements stay, and so do focus and playing clips.
 * @template T
 * @param {Element} container
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => HTMLElement} make
 * @param {(element: HTMLElement, item: T) => void} update
 */
export function keyed(container, items, key, make, update) {
  const there = new Map([...container.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  let before = container.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = /** @type {HTMLElement | undefined} */ (there.get(name));
    there.delete(name);
    if (!element) {
      element = make(item);
      element.dataset.key = name;
    }
    update(element, item);
    if (element === before) before = before.nextElementSibling;
    else container.insertBefore(element, before);
  }
  for (const gone of there.values()) gone.remove();
}

/**
 * Finds an element that is there.
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {any}
 */
export function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`no ${selector} in the page`);
  return found;
}

/**
 * Makes a function that runs at most once in a time, the last call included.
 * @param {() => void} run
 * @param {number} milliseconds
 * @param {AbortSignal} signal Ends it.
 */
export function atMostEvery(run, milliseconds, signal) {
  let last = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  signal.addEventListener("abort", () => clearTimeout(timer));
  return () => {
    if (timer !== undefined || signal.aborted) return;
    timer = setTimeout(() => {
      timer = undefined;
      last = performance.now();
      run();
    }, Math.max(0, last + milliseconds - performance.now()));
  };
}
