// Draws lists of items, and what has changed since the list before.

import { named } from "./asking.js";
import { bar, element, listed, plural } from "./elements.js";

/**
 * Draws a list with its ranks.
 *
 * `actions` has `like(item)`, or null where items can't be liked, `open(item)`, and optionally
 * `before` (Map of item → rank in the list before; null draws no changes), `also` (Set of items, marked) and
 * `who` liked what explains an item.
 */
export function drawList(place, items, actions) {
  const tops = new Map([...place.children].map((row) => [row.dataset.item, row.getBoundingClientRect().top]));
  const opened = new Set([...place.querySelectorAll("details[open]")].map((why) => why.closest("li").dataset.item));
  const reach = Math.max(...items.flatMap((item) => (item.because ?? []).map((reason) => reason.contribution)), 1e-9);
  place.replaceChildren(...items.map((item) => drawRow(item, actions, reach)));
  for (const row of place.children) if (opened.has(row.dataset.item)) row.querySelector("details")?.setAttribute("open", "");
  slide(place, tops);
}

function drawRow(item, actions, reach) {
  const { name, details } = named(item.item_id);
  const marked = actions.also?.has(item.item_id) ?? false;
  return element(
    "li",
    { "data-item": item.item_id, class: marked ? "marked" : "" },
    element("span", { class: "rank", "aria-hidden": "true" }, String(item.rank)),
    element(
      "div",
      { class: "what" },
      element("div", {}, element("b", {}, name), change(item, actions.before)),
      details ? element("div", { class: "details muted small" }, details) : null,
      marked ? element("div", { class: "small mark" }, "also recommended") : null,
    ),
    element(
      "div",
      { class: "actions" },
      actions.like
        ? element("button", { type: "button", class: "like", "aria-label": `Like ${name}`, onclick: () => actions.like(item.item_id) }, "Like")
        : null,
      element("button", { type: "button", class: "quiet", "aria-label": `Similar to ${name}`, onclick: () => actions.open(item.item_id) }, "Similar"),
    ),
    why(item, reach, actions.who ?? "you"),
  );
}

/** How a rank differs from the list before. */
function change(item, before) {
  if (!before) return null;
  const rank = before.get(item.item_id);
  if (rank === undefined) return element("span", { class: "change new" }, "new");
  const by = rank - item.rank;
  if (!by) return null;
  return element(
    "span",
    { class: by > 0 ? "change up" : "change down" },
    element("span", { "aria-hidden": "true" }, by > 0 ? "▲" : "▼"),
    element("span", { class: "unseen" }, by > 0 ? "up " : "down "),
    String(Math.abs(by)),
  );
}

/** The items of the history that explain an item, with what each adds to its score. */
function why(item, reach, who) {
  const reasons = item.because ?? [];
  if (!reasons.length) return null;
  const first = reasons.slice(0, 2).map((reason) => `“${named(reason.item_id).name}”`);
  if (reasons.length > 2) first.push(plural(reasons.length - 2, "other", "others"));
  const rows = reasons.map((reason) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, named(reason.item_id).name),
      element("td", {}, bar(reason.contribution / reach)),
      element("td", { class: "number" }, `+${reason.contribution.toFixed(2)}`),
    ),
  );
  const heads = [
    element("th", { scope: "col" }, `because ${who} liked`),
    element("td"),
    element("th", { scope: "col", class: "number" }, "adds"),
  ];
  return element(
    "details",
    { class: "why" },
    element("summary", {}, `because ${who} liked ${listed(first)}`),
    element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows)),
    element("p", { class: "muted small" }, `Score ${item.score.toFixed(2)}: what these add, the rest of the history, all that was not liked, and the item itself.`),
  );
}

/** Rows glide from where they were, unless the reader wants no motion. */
function slide(place, tops) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const row of place.children) {
    const top = tops.get(row.dataset.item);
    const by = top === undefined ? 0 : top - row.getBoundingClientRect().top;
    if (by) row.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 350, easing: "ease-out" });
    else if (top === undefined && tops.size) row.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 350 });
  }
}
