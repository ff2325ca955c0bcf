// Asks the API: by way of `fmrec explore`, which signs what it hands on, or with the reader's token.

import { credentials, home } from "./home.js";
import { forget } from "./sign_in.js";

/** Returns the answer's document; throws an Error with the answer's sentence. */
async function ask(method, path, body) {
  const headers = credentials();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(home.api + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error(home.sign_in ? "The API does not answer, or not to this page." : "fmrec explore does not answer: is it still running?");
  }
  if (home.sign_in && response.status === 401) forget("The API does not take this sign-in any more: sign in again.");
  const document = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(document.detail ?? document.message ?? `the answer is ${response.status}`);
  return document;
}

const query = (settings) =>
  new URLSearchParams(Object.entries(settings).map(([name, value]) => [name, String(value)])).toString();
const part = encodeURIComponent;

export const model = () => ask("GET", "/model");
export const report = () => ask("GET", "/report");
export const attributes = async () => (await ask("GET", "/attributes")).attributes;
export const search = async (text) => keep((await ask("GET", `/items?${query({ search: text })}`)).items);

export const forUser = (user, settings, filters) =>
  withNames(ask("GET", `/users/${part(user)}/recommendations?${query({ ...settings, ...asQuery(filters) })}`));
export const forHistory = (items, settings, filters) =>
  withNames(ask("POST", "/recommendations", { history: items.map((item_id) => ({ item_id })), ...settings, ...filters }));
export const popular = (n) => withNames(ask("GET", `/popular?${query({ n })}`));
export const similar = (item, n) => withNames(ask("GET", `/items/${part(item)}/similar?${query({ n })}`));
export const audience = async (item, n) => (await ask("GET", `/items/${part(item)}/audience?${query({ n })}`)).users;
export const store = (event) => ask("POST", "/events", event);

/** Filters as a query has them: attribute:value, separated by commas. */
function asQuery({ where, where_not, maximum_per }) {
  const pairs = (conditions) =>
    Object.entries(conditions).flatMap(([name, values]) => values.map((value) => `${name}:${value}`.replaceAll(",", "\\,")));
  const texts = { where: pairs(where), where_not: pairs(where_not), maximum_per: Object.entries(maximum_per).map((pair) => pair.join(":")) };
  return Object.fromEntries(Object.entries(texts).filter(([, each]) => each.length).map(([name, each]) => [name, each.join(",")]));
}

// Item id → {name, details}, or null where there is no name.
const names = new Map();
const NAMES_AT_ONCE = 1000;
let named_at_all = false;

/** Whether items have names is the model's to say. */
export const haveNames = (whether) => (named_at_all = whether);

export const named = (item) => names.get(item) ?? { name: item, details: "" };

function keep(items) {
  for (const { item_id, name, details } of items) names.set(item_id, { name, details });
  return items.map((item) => item.item_id);
}

/** Looks up the names of items once. */
export async function learn(items) {
  const unknown = [...new Set(items)].filter((item) => !names.has(item));
  while (named_at_all && unknown.length) {
    const some = unknown.splice(0, NAMES_AT_ONCE);
    const found = keep((await ask("POST", "/items/names", { item_ids: some })).items);
    for (const item of some) if (!found.includes(item)) names.set(item, null);
  }
}

async function withNames(asked) {
  const list = await asked;
  await learn(list.items.flatMap((item) => [item.item_id, ...(item.because ?? []).map((reason) => reason.item_id)]));
  return list;
}
