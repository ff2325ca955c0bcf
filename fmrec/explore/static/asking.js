// Asks the server of this page, which signs what it hands on to the API.

const KEPT = "explore-token";

// The token is behind the # of the printed address. It is kept for this tab alone, and taken out of the address.
const given = location.hash.slice(1);
if (given.length > 20) {
  sessionStorage.setItem(KEPT, given);
  history.replaceState(null, "", location.pathname);
}

/** Returns the answer's document; throws an Error with the answer's sentence. */
async function ask(method, path, body) {
  const headers = { "X-Explore-Token": sessionStorage.getItem(KEPT) ?? "" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error("fmrec explore does not answer: is it still running?");
  }
  const document = await response.json();
  if (!response.ok) throw new Error(document.detail ?? `the answer is ${response.status}`);
  return document;
}

const query = (settings) =>
  new URLSearchParams(Object.entries(settings).map(([name, value]) => [name, String(value)])).toString();
const part = encodeURIComponent;

export const about = () => ask("GET", "/local/about");
export const search = async (text) => {
  const { items } = await ask("GET", `/local/search?${query({ q: text })}`);
  for (const { item_id, name, details } of items) names.set(item_id, { name, details });
  return items.map((item) => item.item_id);
};

export const forUser = (user, settings) => withNames(ask("GET", `/api/users/${part(user)}/recommendations?${query(settings)}`));
export const forHistory = (items, settings) =>
  withNames(ask("POST", "/api/recommendations", { history: items.map((item_id) => ({ item_id })), ...settings }));
export const popular = (n) => withNames(ask("GET", `/api/popular?${query({ n })}`));
export const similar = (item, n) => withNames(ask("GET", `/api/items/${part(item)}/similar?${query({ n })}`));
export const audience = async (item, n) => (await ask("GET", `/api/items/${part(item)}/audience?${query({ n })}`)).users;
export const store = (event) => ask("POST", "/api/events", event);

// Item id → {name, details}, or null where there is no name.
const names = new Map();

export const named = (item) => names.get(item) ?? { name: item, details: "" };

/** Looks up the names of items once. */
export async function learn(items) {
  const unknown = [...new Set(items)].filter((item) => !names.has(item));
  if (!unknown.length) return;
  const found = (await ask("POST", "/local/names", { ids: unknown })).names;
  for (const item of unknown) names.set(item, found[item] ?? null);
}

async function withNames(asked) {
  const list = await asked;
  await learn(list.items.flatMap((item) => [item.item_id, ...(item.because ?? []).map((reason) => reason.item_id)]));
  return list;
}
