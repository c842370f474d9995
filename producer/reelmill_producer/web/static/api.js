/** The HTTP API: requests below the page's own base, errors as problem details. */

const ROOT = new URL("api/v1/", document.baseURI).href;
const LONGEST_WAIT_MS = 30_000;
const SILENT = { detail: "The server does not answer.", advice: "Reload the page if it stays so." };

/** An answer that says why something was not done. */
export class Problem extends Error {
  /**
   * @param {number} status HTTP status; 0: no answer came.
   * @param {{title?: string, detail?: string, code?: string, advice?: string, lines?: BadLine[], retry_after?: number}} body
   */
  constructor(status, body) {
    super(body.detail || body.title || `the server answered ${status}`);
    this.status = status;
    this.code = body.code ?? "";
    this.advice = body.advice ?? "";
    this.lines = body.lines ?? [];
    this.retryAfter = body.retry_after ?? 0;
  }
}

/** @typedef {{line: number, column?: string, reason: string, text?: string}} BadLine */
/** @typedef {{query?: Record<string, any>, body?: any, type?: string, headers?: Record<string, string>, signal?: AbortSignal, waitMs?: number}} Options */

/** Holds the value that proves that a request by cookie comes from these pages. */
export const guard = { csrf: "", signedOut: () => {} };

/**
 * Returns the address of a resource.
 * @param {string[]} path Segments, not yet encoded.
 * @param {Record<string, any>} [query] Empty values are left out; a list gives a name several times.
 * @returns {string}
 */
export function address(path, query = {}) {
  const url = new URL(ROOT + path.map((part) => encodeURIComponent(part).replaceAll("%3A", ":")).join("/"));
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== null && one !== undefined && one !== false) url.searchParams.append(name, String(one));
    }
  }
  return url.href;
}

/**
 * Sends a request and returns the response if it is a success; `waitMs` limits the wait for it.
 * @param {string} method
 * @param {string[]} path
 * @param {Options} [options]
 * @returns {Promise<Response>}
 */
export async function send(method, path, { query, body, type, headers = {}, signal, waitMs } = {}) {
  /** @type {Record<string, string>} */
  const sent = { Accept: "application/json", ...headers };
  let content = body;
  if (type) sent["Content-Type"] = type;
  else if (body !== undefined) {
    sent["Content-Type"] = "application/json";
    content = JSON.stringify(body);
  }
  if (method !== "GET" && guard.csrf) sent["X-Reelmill-CSRF"] = guard.csrf;
  const limit = new AbortController();
  const timer = waitMs && setTimeout(() => limit.abort(), waitMs);
  let ended = signal ?? limit.signal;
  if (signal && AbortSignal.any) ended = AbortSignal.any([signal, limit.signal]); // browsers of 2022 have none, and wait
  let response;
  try {
    response = await fetch(address(path, query), { method, headers: sent, body: content, signal: ended, credentials: "same-origin" });
  } catch (error) {
    if ((!limit.signal.aborted || ended === signal) && /** @type {Error} */ (error).name === "AbortError") throw error;
    throw new Problem(0, SILENT);
  } finally {
    clearTimeout(timer);
  }
  if (!response.ok) throw await problem(response);
  return response;
}

/**
 * Sends a request and returns its JSON.
 * @param {string} method
 * @param {string[]} path
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function ask(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json();
}

/**
 * Reads a resource. Gives up after half a minute without an answer: a browser waits for minutes for a host that is gone.
 * @param {string[]} path
 * @param {Record<string, any>} [query]
 * @param {AbortSignal} [signal]
 */
export function get(path, query, signal) {
  return ask("GET", path, { query, signal, waitMs: LONGEST_WAIT_MS });
}

/** @param {Response} response */
async function problem(response) {
  const body = await response.json().catch(() => ({}));
  const retry = Number(response.headers.get("Retry-After") ?? 0);
  const found = new Problem(response.status, { ...body, retry_after: retry });
  if (response.status === 401) guard.signedOut();
  return found;
}
