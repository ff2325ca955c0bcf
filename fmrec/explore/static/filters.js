// Filters of the list: only or no items with a value, at most so many of a kind.

import * as api from "./asking.js";
import { byId, element } from "./elements.js";

const PLACES = { only: "where", without: "where_not", most: "maximum_per" };
const LABELS = {
  only: (name, value) => `only ${name}: ${value}`,
  without: (name, value) => `no ${name}: ${value}`,
  most: (name, value) => `at most ${value} of a ${name}`,
};

let set = []; // {kind, name, value}
let known = null; // attributes, once asked for

/** The filters as a request's body has them. */
export function filters() {
  const found = { where: {}, where_not: {}, maximum_per: {} };
  for (const { kind, name, value } of set) {
    const place = found[PLACES[kind]];
    if (kind === "most") place[name] = value;
    else (place[name] ??= []).push(value);
  }
  return found;
}

/** `changed` is called when the filters are others; `trying` runs what may fail and tells it. */
export function listenToFilters(changed, trying) {
  byId("filters").addEventListener("toggle", () => known ?? trying(load));
  for (const id of ["filter-kind", "filter-attribute"]) byId(id).addEventListener("change", drawValues);
  byId("filter-form").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    if (add()) changed();
  });
  byId("filter-list").addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    const at = [...byId("filter-list").querySelectorAll("button")].indexOf(button);
    set.splice(at, 1);
    draw();
    (byId("filter-list").querySelectorAll("button")[Math.min(at, set.length - 1)] ?? byId("filter-kind")).focus();
    changed();
  });
}

async function load() {
  known = await api.attributes();
  byId("filter-none").hidden = known.length > 0;
  byId("filter-form").hidden = !known.length;
  byId("filter-attribute").replaceChildren(...known.map(({ name }) => element("option", {}, name)));
  drawValues();
}

const most = () => byId("filter-kind").value === "most";

function drawValues() {
  const chosen = known?.find(({ name }) => name === byId("filter-attribute").value);
  byId("filter-value-field").hidden = most();
  byId("filter-maximum-field").hidden = !most();
  byId("filter-value").required = !most();
  byId("filter-value").value = "";
  byId("filter-values").replaceChildren(...(chosen?.values ?? []).map(({ value, items }) => element("option", { value }, `${items} items`)));
}

function add() {
  const kind = byId("filter-kind").value;
  const name = byId("filter-attribute").value;
  const value = most() ? Number(byId("filter-maximum").value) : byId("filter-value").value.trim();
  if (!value || !name) return false;
  set = set.filter((other) => other.kind !== kind || other.name !== name || (kind !== "most" && other.value !== value));
  set.push({ kind, name, value });
  byId("filter-value").value = "";
  draw();
  return true;
}

function draw() {
  byId("filter-list").replaceChildren(
    ...set.map(({ kind, name, value }) => {
      const text = LABELS[kind](name, value);
      return element("li", {}, element("span", {}, text), element("button", { type: "button", class: "quiet", "aria-label": `Remove ${text}` }, "×"));
    }),
  );
  byId("filter-count").textContent = set.length ? `(${set.length})` : "";
}
