// What the reader does, and what becomes of the lists.

import * as api from "./asking.js";
import { drawModel, drawReport } from "./about.js";
import { byId, element, listed, plural } from "./elements.js";
import { filters, listenToFilters } from "./filters.js";
import { findHome, home, permitted } from "./home.js";
import { drawList } from "./lists.js";
import * as signIn from "./sign_in.js";

const REASONS = 5;
const SOURCES = {
  live: "live",
  batch: "published list",
  "cold-start": "cold start",
  popular: "popular",
};

const state = {
  known: false, // a named user, or else somebody new whose history this page alone knows
  user: "",
  liked: [],
  before: null, // Map of item → rank in the list before
  asked: 0,
  model: { names: false, click: {} },
  may: { anybody: true, user: null }, // whom the reader may ask about
  popular: [],
  shown: [],
};

const canLike = () => !state.known || (home.store_clicks && state.user !== "");

/** Runs what may fail; what it throws is told. */
async function trying(work) {
  try {
    byId("problem").replaceChildren();
    return await work();
  } catch (error) {
    if (error instanceof signIn.SignedOut) {
      drawSignedOut(error.message);
      return undefined;
    }
    byId("problem").replaceChildren(element("p", { class: "problem" }, error.message));
    return undefined;
  }
}

/** Asks for the list again and draws it. `focus` is the rank whose button gets the focus. */
function refresh({ fresh = false, focus = null } = {}) {
  const number = ++state.asked;
  if (fresh) state.before = null;
  if (state.known && !state.user) return drawNothing("Choose a user, or invent an id.");
  byId("items").setAttribute("aria-busy", "true");
  if (fresh) byId("status").textContent = "Asking the API…";
  return trying(async () => {
    try {
      const n = Number(byId("count").value);
      const because = byId("explain").checked ? REASONS : 0;
      const settings = { n, diversity: Number(byId("diversity").value), because };
      const list = state.known ? await api.forUser(state.user, settings, filters()) : await api.forHistory(state.liked, settings, filters());
      if (number !== state.asked) return; // another one has been asked for since
      drawRecommended(list);
      drawPopular();
      if (focus !== null) focusOn(focus);
    } catch (error) {
      if (fresh && number === state.asked) drawNothing("");
      throw error;
    }
  }).finally(() => number === state.asked && byId("items").removeAttribute("aria-busy"));
}

function drawRecommended(list) {
  const { before } = state;
  drawList(byId("items"), list.items, { like: canLike() ? like : null, open: openItem, before, who: state.known && state.may.anybody ? "they" : "you" });
  state.shown = list.items.map((item) => item.item_id);
  state.before = new Map(list.items.map((item) => [item.item_id, item.rank]));
  byId("source").textContent = SOURCES[list.source] ?? list.source;
  byId("source").dataset.source = list.source;
  byId("status").textContent = [restsOn(list), news(list, before), ignored(list)].filter(Boolean).join(" ");
}

function restsOn(list) {
  const whom = !state.known ? "somebody new" : state.may.anybody ? `user ${state.user}` : "you";
  if (list.source === "batch") return `For ${whom}: the list that the last run published.`;
  if (list.source !== "live") return `Nothing is known of ${whom} yet, so this is what is popular.`;
  return state.known
    ? `For ${whom}: folded in for this request, from all that ${state.may.anybody ? "the user" : "you"} did.`
    : `For ${whom}: folded in for this request, from ${plural(state.liked.length, "liked item")}.`;
}

function news(list, before) {
  const fresh = before ? list.items.filter((item) => !before.has(item.item_id)) : [];
  return fresh.length ? `${plural(fresh.length, "item is", "items are")} new in the list.` : "";
}

const ignored = (list) => (list.ignored_items.length ? `The model doesn't know ${listed(list.ignored_items)}.` : "");

function drawPopular() {
  const recommended = new Set(state.shown);
  drawList(byId("popular"), state.popular, { like: canLike() ? like : null, open: openItem, also: recommended });
  const shared = state.popular.filter((item) => recommended.has(item.item_id)).length;
  const too = state.shown.length ? ` ${shared} of these ${state.popular.length} are in the list, too.` : "";
  byId("shared").textContent = `The same for everybody.${too}`;
}

/** There is no list; the one before is of somebody else. */
function drawNothing(why) {
  byId("items").replaceChildren();
  byId("source").textContent = "";
  byId("items").removeAttribute("aria-busy");
  state.shown = [];
  byId("status").textContent = why;
  drawPopular();
}

/** The row that was clicked has left the list: the next one takes its place, and the focus. */
function focusOn(rank) {
  const buttons = [...byId("items").querySelectorAll(".like")];
  (buttons[rank] ?? buttons.at(-1) ?? byId("list")).focus();
}

async function like(item) {
  const row = document.activeElement?.closest("#items > li");
  const focus = row ? [...row.parentElement.children].indexOf(row) : null;
  if (state.known) {
    const event = { event_id: crypto.randomUUID(), user_id: state.user, item_id: item };
    const { value, event: kinds } = state.model.click;
    if (value !== null) event.value = Number(byId("value").value);
    if (kinds !== null) event.event = byId("kind").value;
    if (!(await trying(() => api.store(event)))) return;
  }
  if (!state.liked.includes(item)) state.liked = [item, ...state.liked];
  drawLiked();
  await refresh({ focus });
}

function unlike(item) {
  state.liked = state.liked.filter((other) => other !== item);
  drawLiked();
  refresh();
  (byId("liked").querySelector("button") ?? byId("search")).focus();
}

function drawLiked() {
  byId("liked").replaceChildren(
    ...state.liked.map((item) => {
      const { name } = api.named(item);
      const remove = element("button", { type: "button", class: "quiet", "aria-label": `Remove ${name}`, onclick: () => unlike(item) }, "×");
      return element("li", {}, element("span", {}, name), state.known ? null : remove);
    }),
  );
  byId("nothing-liked").hidden = state.liked.length > 0 || !canLike();
  byId("restart").hidden = state.known || !state.liked.length;
}

/** Begins with somebody else. */
function begin(known, user = "") {
  state.known = known;
  state.user = user;
  state.liked = [];
  document.querySelector(`input[name=mode][value=${known ? "known" : "new"}]`).checked = true;
  if (known && !state.may.anybody) state.user = state.may.user;
  byId("user-form").hidden = !known || !state.may.anybody;
  if (known) byId("user").value = user;
  const stores = known && home.store_clicks;
  byId("click").hidden = !stores || (state.model.click.value === null && state.model.click.event === null);
  byId("search-form").hidden = known && !stores;
  byId("who-note").textContent = !known
    ? "What is clicked is sent with each request, and stored nowhere."
    : stores
      ? "Clicks are stored as the user's events: the next list knows them, and so does the next run."
      : `Clicks are not stored, so a user's list stays as it is; ${home.sign_in ? "the setting api.page.store_clicks" : "`fmrec explore --store-clicks`"} stores them as events.`;
  drawLiked();
  refresh({ fresh: true });
  if (known) suggestUsers();
}

let suggested = false;

/** Some users that training knew: those who may want what is popular. */
async function suggestUsers() {
  if (suggested || !state.may.anybody || !state.popular.length) return;
  suggested = true;
  const items = state.popular.slice(0, 3).map((item) => item.item_id);
  // The token that `fmrec explore` was given may be of one user, who may not ask for others.
  const found = await Promise.all(items.map((item) => api.audience(item, 4).catch(() => [])));
  const users = [...new Set(found.flat().map((user) => user.user_id))];
  byId("users").replaceChildren(...users.map((user) => element("option", { value: user })));
  byId("suggested").replaceChildren(...users.slice(0, 8).map(userChip));
}

const userChip = (user) =>
  element("button", { type: "button", class: "chip", "aria-label": `User ${user}`, onclick: () => { byId("item").close(); begin(true, user); byId("list").focus({ preventScroll: true }); } }, user);

let opened = 0;

/** Shows an item: those like it, and who may want it. */
async function openItem(item) {
  const number = ++opened;
  const { name, details } = api.named(item);
  byId("item-title").textContent = name;
  byId("item-details").textContent = details || `Item ${item}`;
  byId("similar").replaceChildren();
  byId("audience").replaceChildren();
  byId("item").setAttribute("aria-busy", "true");
  if (!byId("item").open) byId("item").showModal();
  const found = await trying(() => Promise.all([api.similar(item, 8), state.may.anybody ? api.audience(item, 12).catch(() => []) : []]));
  if (number !== opened) return;
  byId("item").removeAttribute("aria-busy");
  if (!found) return byId("item").close();
  const [similar, users] = found;
  const picked = (other) => { byId("item").close(); like(other); };
  drawList(byId("similar"), similar.items, { like: canLike() ? picked : null, open: openItem });
  byId("audience").replaceChildren(...users.map((user) => userChip(user.user_id)));
  byId("close").focus();
}

let typed = 0;

/** Finds items by parts of their names while the reader types. */
async function find() {
  const number = ++typed;
  const text = byId("search").value.trim();
  const items = text && state.model.names ? await trying(() => api.search(text)) : [];
  if (number !== typed || !items) return;
  byId("found").replaceChildren(
    ...items.slice(0, 8).map((item) => {
      const { name, details } = api.named(item);
      const choose = () => { clearSearch(); like(item); byId("search").focus(); };
      return element("li", {}, element("button", { type: "button", onclick: choose }, element("b", {}, name), details ? element("span", { class: "muted small" }, details) : ""));
    }),
  );
  byId("search-count").textContent = text && state.model.names ? `${plural(items.length, "item")} found` : "";
}

function clearSearch() {
  typed++;
  byId("search").value = "";
  byId("found").replaceChildren();
  byId("search-count").textContent = "";
}

/** Enter takes the first item that was found, or the id that was typed. */
async function addTyped(submitted) {
  submitted.preventDefault();
  const text = byId("search").value.trim();
  if (!text) return;
  const first = state.model.names ? (await trying(() => api.search(text)))?.[0] : undefined;
  const item = first ?? text;
  if (!(await trying(() => api.similar(item, 1)))) return; // an item that the model doesn't know
  await api.learn([item]);
  clearSearch();
  await like(item);
}

function listen() {
  for (const mode of document.querySelectorAll("input[name=mode]")) {
    mode.addEventListener("change", () => begin(mode.value === "known"));
  }
  byId("user-form").addEventListener("submit", (submitted) => { submitted.preventDefault(); begin(true, byId("user").value.trim()); });
  byId("search-form").addEventListener("submit", addTyped);
  byId("search").addEventListener("input", find);
  byId("restart").addEventListener("click", () => { begin(false); byId("search").focus(); });
  byId("close").addEventListener("click", () => byId("item").close());
  for (const id of ["count", "diversity", "explain"]) byId(id).addEventListener("change", () => refresh());
  listenToFilters(() => refresh(), trying);
  byId("sign-in").addEventListener("click", () => trying(() => signIn.begin(home.sign_in)));
  byId("sign-out").addEventListener("click", () => {
    drawSignedOut(""); // the browser may show the page as it was left, when the reader goes back
    signIn.end(home.sign_in);
  });
}

/** Nothing of anybody stays on the page when nobody is signed in. */
function drawSignedOut(why) {
  state.asked++;
  opened++;
  typed++;
  Object.assign(state, { user: "", liked: [], before: null, popular: [], shown: [] });
  if (byId("item").open) byId("item").close();
  for (const id of ["items", "popular", "liked", "found", "users", "suggested", "similar", "audience", "quality-tables", "instances-table"]) byId(id).replaceChildren();
  for (const id of ["status", "source", "shared", "verdict", "cost", "item-title", "item-details", "search-count"]) byId(id).textContent = "";
  for (const id of ["user", "search"]) byId(id).value = "";
  for (const id of ["explore", "quality", "instances", "nav", "sign-out"]) byId(id).hidden = true;
  byId("deployment").textContent = "";
  byId("signed-out").hidden = false;
  byId("signed-out-why").textContent = why;
  byId("sign-in").focus();
}

/** Shows what the reader may ask for, and nothing else. */
function drawPermitted() {
  state.may = permitted();
  const { anybody, user } = state.may;
  const known = document.querySelector("input[name=mode][value=known]");
  known.closest("label").hidden = !anybody && user === null;
  byId("known-label").textContent = anybody ? "A user" : "You";
  byId("audience-part").hidden = !anybody;
  for (const id of ["quality", "instances", "nav"]) byId(id).hidden = !anybody;
  byId("sign-out").hidden = !home.sign_in;
  byId("footer").textContent = home.sign_in
    ? "Everything here is asked of the HTTP API, with your sign-in."
    : "Everything here is asked of the HTTP API by `fmrec explore`, which runs on this machine and signs the requests.";
}

async function start() {
  listen();
  await trying(async () => {
    await findHome();
    drawPermitted();
    const model = await api.model();
    api.haveNames(model.names);
    state.model = model;
    drawModel(model);
    byId("search-label").textContent = model.names ? "Find an item by its name" : "An item's id";
    byId("value-field").hidden = model.click.value === null;
    byId("value").value = model.click.value ?? "";
    byId("kind-field").hidden = model.click.event === null;
    byId("kind").replaceChildren(...(model.click.event ?? []).map((kind) => element("option", {}, kind)));
    state.popular = (await api.popular(10)).items;
    begin(false);
    if (state.may.anybody) drawReport(await api.report().catch((error) => ({ why: error.message })));
  });
}

start();
