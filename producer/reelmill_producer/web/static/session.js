/** Who is signed in, and what that role may do. */

import { ask, get, guard } from "./api.js";

/** @typedef {{name: string, role: "viewer" | "submitter" | "operator", owner: string, csrf?: string, open?: boolean}} Session */

/** @type {{current: Session | null}} */
export const session = { current: null };

/** Reads the session from the server; null where nobody is signed in. */
export async function readSession() {
  try {
    take(await get(["session"]));
  } catch (error) {
    if (/** @type {any} */ (error).status !== 401) throw error;
    take(null);
  }
  return session.current;
}

/** @param {string} token */
export async function signIn(token) {
  await ask("POST", ["session"], { body: { token } });
  return readSession();
}

export async function signOut() {
  await ask("DELETE", ["session"]);
  take(null);
}

/** @param {Session | null} found */
function take(found) {
  session.current = found;
  guard.csrf = found?.csrf ?? "";
}

/** Whether the role may submit, and steer batches of its owner. */
export function maySubmit() {
  return session.current?.role === "submitter" || session.current?.role === "operator";
}

/** Whether the role may steer the farm itself: workers, schedules, owners. */
export function mayOperate() {
  return session.current?.role === "operator";
}
