/** Accounts: what clips have cost, by owner, and the shares of owners. */

import { ask, get } from "../api.js";
import { action, askWhether, toast } from "../dialog.js";
import { el, fill, svg } from "../dom.js";
import { count, decimal, money, size } from "../format.js";
import { empty, field, row, table } from "../parts.js";
import { refreshing } from "../refresh.js";
import { mayOperate } from "../session.js";

const HEADS = ["Owner", "Clips", "Reused", "GPU hours", "Wasted", "kWh", "Stored", "Cost", "Share", ""];
const JOULES = 3.6e6;
const SPANS = [["", "All time"], ["1d", "Today"], ["7d", "7 days"], ["30d", "30 days"]];

/**
 * @param {HTMLElement} main
 * @param {import("../router.js").Place} at
 */
export async function show(main, { signal }) {
  const plots = el("div", { class: "plots" });
  const body = el("div");
  const since = el("select", { on: { change: () => again() } }, SPANS.map(([value, label]) => el("option", { value }, label)));
  fill(main, el("header", {}, el("h1", {}, "Accounts"), el("span", { class: "push" }, field("Since", since))), plots, body);
  const again = await refreshing(signal, {
    read: async () => {
      const [accounts, owners] = await Promise.all([get(["accounts"], { since: since.value }, signal), get(["owners"], {}, signal)]);
      return { accounts: accounts.items, owners: owners.items };
    },
    draw: ({ accounts, owners }) => {
      if (!accounts.length && !owners.length) {
        fill(plots);
        return fill(body, empty("No clip has been made yet."));
      }
      drawPlots(plots, accounts);
      fill(body, table("Owners", HEADS, merged(accounts, owners).map((item) => line(item, () => again()))));
    },
    matters: (event) => ["job.finished", "job.failed", "owner.set", "batch.submitted"].includes(event.event),
    leastMs: 5000,
  });
}

/**
 * @param {any[]} accounts
 * @param {any[]} owners
 */
function merged(accounts, owners) {
  const names = [...new Set([...accounts, ...owners].map((item) => item.owner))];
  return names.map((owner) => ({
    owner,
    account: accounts.find((item) => item.owner === owner),
    policy: owners.find((item) => item.owner === owner),
  }));
}

/**
 * @param {any} item
 * @param {() => void} changed
 */
function line({ owner, account = {}, policy }, changed) {
  const share = policy ? `${policy.weight}${policy.max_in_flight ? `, at most ${count(policy.max_in_flight)}` : ""}` : "–";
  const energy = account.energy_j === null || account.energy_j === undefined ? "–" : decimal(account.energy_j / JOULES);
  return row(HEADS, [
    el("b", {}, owner || "no owner"),
    count(account.clips),
    count(account.reused),
    decimal((account.gpu_s ?? 0) / 3600),
    decimal((account.wasted_gpu_s ?? 0) / 3600),
    energy,
    size(account.size_bytes),
    money(account.cost, account.currency),
    share,
    mayOperate() && owner ? el("span", { class: "actions" }, action("Share…", () => change(owner, policy, changed), { class: "small quiet", "aria-label": `Share of ${owner}` })) : "",
  ]);
}

/**
 * @param {string} owner
 * @param {any} policy
 * @param {() => void} changed
 */
async function change(owner, policy, changed) {
  const weight = el("input", { type: "number", min: 1, max: 100, value: policy?.weight ?? 1 });
  const most = el("input", { type: "number", min: 0, value: policy?.max_in_flight ?? 0 });
  const fields = [field("Share", weight, "Weight among owners at equal priority"), field("Most at once", most, "Clips of all its batches; 0: no limit")];
  if (!(await askWhether(`Share of ${owner}`, { yes: "Change", fields }))) return;
  await ask("PUT", ["owners", owner], { body: { weight: Number(weight.value), max_in_flight: Number(most.value) } });
  toast("The share is changed.");
  changed();
}

/**
 * @param {Element} box
 * @param {any[]} accounts
 */
function drawPlots(box, accounts) {
  const hours = accounts.map((account) => ({ name: account.owner || "no owner", values: [account.gpu_s / 3600, (account.wasted_gpu_s ?? 0) / 3600] }));
  const clips = accounts.map((account) => ({ name: account.owner || "no owner", values: [account.clips, account.reused ?? 0] }));
  const costs = accounts.filter((account) => account.cost !== null && account.cost !== undefined);
  fill(
    box,
    plot("GPU hours", ["made clips", "wasted"], hours, decimal),
    plot("Clips", ["rendered", "reused"], clips, count, "calm"),
    costs.length ? plot(`Cost${costs[0].currency ? `, ${costs[0].currency}` : ""}`, ["made clips", "wasted"], costs.map((account) => ({ name: account.owner || "no owner", values: [account.cost - (account.wasted_cost ?? 0), account.wasted_cost ?? 0] })), (value) => money(value)) : null,
  );
}

/**
 * Draws a bar for each owner, of two parts.
 * @param {string} title
 * @param {string[]} legend
 * @param {{name: string, values: number[]}[]} rows
 * @param {(value: number) => string} text
 * @param {string} [look]
 */
function plot(title, legend, rows, text, look = "") {
  const sorted = [...rows].sort((a, b) => sum(b.values) - sum(a.values)).slice(0, 8);
  const most = Math.max(...sorted.map((item) => sum(item.values)), 1e-9);
  const lines = sorted.map(({ name, values: [first, second] }) => {
    const [a, b] = [(first / most) * 100, (second / most) * 100];
    return el(
      "li",
      {},
      el("span", { class: "name" }, name),
      svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { x: 0, width: a, height: 10, class: "first" }), svg("rect", { x: a, width: b, height: 10, class: "second" })),
      el("span", { class: "value" }, text(first + second), second ? el("small", {}, ` ${text(second)} ${legend[1]}`) : null),
    );
  });
  return el("section", { class: `panel plot ${look}`, "aria-label": title }, el("header", {}, el("h2", {}, title)), el("ul", {}, lines), el("small", { class: "key" }, el("i", { class: "first" }), legend[0], el("i", { class: "second" }), legend[1]));
}

/** @param {number[]} values */
function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
