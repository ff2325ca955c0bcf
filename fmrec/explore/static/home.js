// Where this page is at home: on the server of `fmrec explore`, or deployed with the API. config.json says it.

import * as signIn from "./sign_in.js";

const KEPT = "explore-token";

// The token of `fmrec explore` is behind the # of the printed address. It is kept for this tab alone, and taken
// out of the address.
const given = location.hash.slice(1);
if (given.length > 20) {
  sessionStorage.setItem(KEPT, given);
  history.replaceState(null, "", location.pathname);
}

/** As config.json has it: `api` is where the API answers, `sign_in` is null on this machine. */
export const home = { api: "/api", store_clicks: false, sign_in: null };

const localToken = () => ({ "X-Explore-Token": sessionStorage.getItem(KEPT) ?? "" });

/** Reads config.json; where it asks for a sign-in, takes up the one that has come back. */
export async function findHome() {
  const response = await fetch("/config.json", { headers: localToken() }).catch(() => null);
  if (!response) throw new Error("fmrec explore does not answer: is it still running?");
  const found = await response.json();
  if (!response.ok) throw new Error(found.detail ?? `config.json: the answer is ${response.status}`);
  Object.assign(home, found);
  if (home.sign_in) await signIn.takeUp(home.sign_in);
}

/** What a request to the API is sent with; throws where the sign-in has ended. */
export const credentials = () => (home.sign_in ? { Authorization: `Bearer ${signIn.token()}` } : localToken());

/** Whom the reader may ask about: anybody, or (`user`, null where the token names nobody) one user. */
export const permitted = () => (home.sign_in ? signIn.permitted(home.sign_in) : { anybody: true, user: null });
