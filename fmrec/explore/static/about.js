// Draws what serves: the model, and of its run quality, instances, cost.

import { bar, byId, element, plural } from "./elements.js";

export function drawModel(model) {
  const trained = `trained on ${plural(model.users, "user")} and ${plural(model.items, "item")}`;
  byId("deployment").textContent = [`Data set ${model.dataset}`, `run ${model.run}`, trained].join(" · ");
}

/** Draws the run's report; without one, `why` says why. */
export function drawReport(about) {
  byId("verdict").textContent = about.verdict || sentence(about.why);
  const tables = byId("quality-tables");
  tables.replaceChildren();
  if (about.quality) {
    const { metric, users, own, rows } = about.quality;
    tables.append(figures(`${metric} of all lists, for ${plural(users, "user")} with held-out items`, "lists by", metric, rows, own));
  }
  if (about.new_users) {
    const { metric, users, who, rows } = about.new_users;
    tables.append(figures(`${metric} of lists folded in, for ${users.toLocaleString("en")} ${who}`, "lists", metric, rows, rows[0].name));
  }
  drawCost(about);
}

function figures(caption, head, metric, rows, own) {
  const most = Math.max(...rows.map(({ value }) => value), 1e-9);
  return element(
    "table",
    { class: "figures" },
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, head), element("td"), element("th", { scope: "col", class: "number" }, metric))),
    element(
      "tbody",
      {},
      ...rows.map(({ name, value }) =>
        element(
          "tr",
          { class: name === own ? "own" : "" },
          element("th", { scope: "row" }, name),
          element("td", {}, bar(value / most, name === own ? "" : "other")),
          element("td", { class: "number" }, value.toFixed(4)),
        ),
      ),
    ),
  );
}

function drawCost(about) {
  const place = byId("instances-table");
  if (!about.instances) {
    byId("cost").textContent = sentence(about.why);
    return;
  }
  const spent = about.usd === null ? "What the run cost is unknown" : `The run cost ${about.usd.toFixed(4)} USD for its SageMaker jobs`;
  const monthly = about.usd_per_month === null ? "" : `; the endpoint costs ${about.usd_per_month.toFixed(2)} USD a month`;
  byId("cost").textContent = `${spent}${monthly}.`;
  const heads = ["step", "instance", "why this one", "USD an hour", "USD"];
  const cells = about.instances.map((row) => [
    element("th", { scope: "row" }, row.step),
    element("td", { class: "instance" }, row.instance),
    element("td", {}, row.why, ...row.refused.map((text) => element("div", { class: "small refused" }, `refused: ${text}`))),
    element("td", { class: "number" }, usd(row.usd_per_hour, 3)),
    element("td", { class: "number" }, usd(row.usd, 4)),
  ]);
  place.replaceChildren(
    element(
      "div",
      { class: "scrolls", role: "region", "aria-label": "Instances of each step", tabindex: "0" },
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col", class: head.startsWith("USD") ? "number" : "" }, head)))),
        element("tbody", {}, ...cells.map((row) => element("tr", {}, ...row))),
      ),
    ),
  );
}

const usd = (amount, digits) => (amount === null ? "–" : amount.toFixed(digits));
const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}` : "");
