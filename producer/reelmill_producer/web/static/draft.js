/** The draft of a submission: kept over a reload of the page, and handed over by other views. */

const KEY = "reelmill.draft";
const MOST_CHARS = 1_000_000;

/**
 * @typedef {{text: string, format: string, name: string, seeds: string, window: string, priority: string, worker_class: string, finish_by: string, owner: string}} Draft
 */

/** @type {Draft} */
export const BLANK = { text: "", format: "", name: "", seeds: "", window: "", priority: "", worker_class: "", finish_by: "", owner: "" };

/** @returns {Draft} */
export function readDraft() {
  try {
    return { ...BLANK, ...JSON.parse(sessionStorage.getItem(KEY) ?? "{}") };
  } catch {
    return { ...BLANK };
  }
}

/** @param {Partial<Draft>} draft */
export function keepDraft(draft) {
  try {
    if ((draft.text?.length ?? 0) > MOST_CHARS) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, JSON.stringify(draft));
  } catch {
    // a browser without storage, or a full one: the text is in the page all the same
  }
}

export function dropDraft() {
  sessionStorage.removeItem(KEY);
}
