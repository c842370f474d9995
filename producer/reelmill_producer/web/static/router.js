/** Addresses: every view has one, below the page's base, and the browser's history leads back to it. */

const BASE = new URL(document.baseURI).pathname;

/**
 * @typedef {{params: Record<string, string>, query: URLSearchParams, signal: AbortSignal}} Place
 * @typedef {{path: string, title: string, load: () => Promise<{show: (main: HTMLElement, place: Place) => any}>}} Route
 */

/**
 * Returns the address of a view.
 * @param {string[]} path Segments, not yet encoded.
 * @param {Record<string, string>} [query]
 */
export function place(path, query = {}) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return BASE + path.map(encodeURIComponent).join("/") + (search ? `?${search}` : "");
}

/**
 * Goes to an address of this page.
 * @param {string} href
 * @param {{replace?: boolean, quiet?: boolean}} [how] `quiet` changes the address and not the view.
 */
export function go(href, { replace = false, quiet = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", href);
  if (!quiet) window.dispatchEvent(new PopStateEvent("popstate"));
}

/**
 * Finds the route of the present address.
 * @param {Route[]} routes
 * @returns {{route: Route, params: Record<string, string>} | null}
 */
export function match(routes) {
  const path = location.pathname.startsWith(BASE) ? location.pathname.slice(BASE.length) : location.pathname.slice(1);
  const parts = path.replace(/\/$/, "").split("/").map(decode);
  for (const route of routes) {
    const wanted = route.path.split("/");
    if (wanted.length !== parts.length) continue;
    if (!wanted.every((part, index) => part.startsWith(":") || part === parts[index])) continue;
    const named = wanted.flatMap((part, index) => (part.startsWith(":") ? [[part.slice(1), parts[index]]] : []));
    return { route, params: Object.fromEntries(named) };
  }
  return null;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Makes links of this page change the view without a reload. */
export function catchLinks() {
  document.addEventListener("click", (event) => {
    const link = /** @type {Element} */ (event.target).closest?.("a[href]");
    if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const url = new URL(link.href);
    const own = url.origin === location.origin && url.pathname.startsWith(BASE);
    if (!own || /^(api|static)\//.test(url.pathname.slice(BASE.length))) return;
    event.preventDefault();
    if (url.hash && url.pathname === new URL(document.baseURI).pathname) /** @type {HTMLElement | null} */ (document.querySelector(url.hash))?.focus();
    else go(url.href);
  });
}
