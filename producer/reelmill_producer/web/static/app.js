/** The console: decides which view an address shows, and draws the frame around it. */

import { guard } from "./api.js";
import { action, problemBox } from "./dialog.js";
import { el, fill, find } from "./dom.js";
import { listen, setKeys, showKeys } from "./keyboard.js";
import { hangUp } from "./live.js";
import { catchLinks, go, match, place } from "./router.js";
import { maySubmit, readSession, session, signOut } from "./session.js";

/** @type {import("./router.js").Route[]} */
const ROUTES = [
  { path: "", title: "Tonight", load: () => import("./views/tonight.js") },
  { path: "submit", title: "Submit", load: () => import("./views/submit.js") },
  { path: "batches", title: "Batches", load: () => import("./views/batches.js") },
  { path: "batches/:batch", title: "Batch", load: () => import("./views/batch.js") },
  { path: "batches/:batch/:row", title: "Clip", load: () => import("./views/clip.js") },
  { path: "schedules", title: "Schedules", load: () => import("./views/schedules.js") },
  { path: "workers", title: "Workers", load: () => import("./views/workers.js") },
  { path: "accounts", title: "Accounts", load: () => import("./views/accounts.js") },
  { path: "sign-in", title: "Sign in", load: () => import("./views/sign_in.js") },
];

const PAGES = [
  ["", "Tonight", "M3 12a9 9 0 1 0 9-9 7 7 0 0 1-9 9z"],
  ["batches", "Batches", "M3 5h7v6H3zM14 5h7v6h-7zM3 14h7v6H3zM14 14h7v6h-7z"],
  ["submit", "Submit", "M12 16V4m0 0L7 9m5-5 5 5M4 20h16"],
  ["schedules", "Schedules", "M4 6h16v14H4zM4 10h16M8 3v4m8-4v4"],
  ["workers", "Workers", "M5 5h14v14H5zM9 9h6v6H9zM9 2v3m6-3v3M9 19v3m6-3v3M2 9h3m-3 6h3m14-6h3m-3 6h3"],
  ["accounts", "Accounts", "M4 20V10m6 10V4m6 16v-7m4 7H2"],
];

const AGAIN_MS = 3000;

/** @type {AbortController | undefined} */
let present;

function drawNavigation() {
  const here = location.pathname.slice(new URL(document.baseURI).pathname.length).split("/")[0];
  const shown = session.current ? PAGES.filter(([path]) => path !== "submit" || maySubmit()) : [];
  fill(find("#nav"), shown.map(([path, title, line]) => link(path, title, line, path === here)));
}

/**
 * @param {string} path
 * @param {string} title
 * @param {string} line
 * @param {boolean} isHere
 */
function link(path, title, line, isHere) {
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  icon.setAttribute("viewBox", "0 0 24 24");
  icon.setAttribute("aria-hidden", "true");
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawn.setAttribute("d", line);
  icon.append(drawn);
  return el("a", { href: place(path ? [path] : []), "aria-current": isHere ? "page" : null }, icon, el("span", {}, title));
}

function drawPerson() {
  const who = session.current;
  find("#live").hidden = !who;
  if (!who) return fill(find("#who"));
  const name = who.open ? "open on loopback" : who.name;
  fill(
    find("#who"),
    el("span", { class: "name", title: who.owner ? `${who.role} of ${who.owner}` : who.role }, name, el("small", {}, who.role)),
    who.open ? null : action("Sign out", leave, { class: "quiet" }),
  );
}

async function leave() {
  await signOut();
  hangUp();
  go(place(["sign-in"]));
}

async function show() {
  present?.abort();
  present = new AbortController();
  const { signal } = present;
  const main = find("#main");
  const found = match(ROUTES);
  if (!session.current && found?.route.path !== "sign-in") return toSignIn();
  drawNavigation();
  drawPerson();
  main.className = found ? `view-${found.route.title.toLowerCase().replace(" ", "-")}` : "";
  if (!found) {
    title("Not found");
    return fill(main, el("h1", {}, "There is no such page"), el("p", {}, el("a", { href: place([]) }, "Go to Tonight")));
  }
  title([found.params.row, found.params.batch, found.route.title].filter(Boolean).join(" · "));
  try {
    const view = await found.route.load();
    if (signal.aborted) return;
    fill(main);
    await view.show(main, { params: found.params, query: new URLSearchParams(location.search), signal });
  } catch (error) {
    if (signal.aborted || /** @type {any} */ (error).name === "AbortError") return;
    if (/** @type {any} */ (error).status === undefined) console.error(error);
    if (/** @type {any} */ (error).status === 401) return;
    fill(main, el("h1", {}, found.route.title), problemBox(error), action("Try again", show));
    if (isPassing(error)) setTimeout(() => signal.aborted || show(), AGAIN_MS);
  }
}

/** @param {string} text */
function title(text) {
  document.title = `${text} · Reelmill`;
}

function toSignIn() {
  const here = location.pathname + location.search;
  const base = new URL(document.baseURI).pathname;
  go(place(["sign-in"], here === base ? {} : { then: here }), { replace: true });
}

guard.signedOut = () => {
  if (!session.current) return;
  session.current = null;
  hangUp();
  toSignIn();
};

async function start() {
  listen();
  catchLinks();
  setKeys([
    { keys: "?", what: "Show the keys", act: showKeys },
    ...PAGES.map(([path, name]) => ({ keys: `g ${name[0].toLowerCase()}`, what: `Go to ${name}`, act: () => go(place(path ? [path] : [])) })),
    { keys: "/", what: "Search", act: () => /** @type {HTMLElement | null} */ (document.querySelector("input[type=search]"))?.focus() },
  ].map((key) => (key.keys === "g s" && key.what.endsWith("Schedules") ? { ...key, keys: "g c" } : key)));
  find("#help").addEventListener("click", showKeys);
  let path = location.pathname;
  window.addEventListener("popstate", () => {
    if (location.pathname !== path) window.scrollTo(0, 0);
    path = location.pathname;
    show();
  });
  await begin();
}

async function begin() {
  try {
    await readSession();
  } catch (error) {
    setTimeout(begin, AGAIN_MS);
    return fill(find("#main"), problemBox(error));
  }
  show();
}

/**
 * Whether an error is likely to pass: no answer came, too many were asked for, or something behind the server is away.
 * @param {any} error
 */
function isPassing({ status }) {
  return status === 0 || status === 429 || status >= 500;
}

start();
