// Signs in at an OpenID Connect provider: authorization code with PKCE (RFC 7636), as a public client.
// The token is kept in this tab's session storage until it expires or the reader signs out; a refresh token is
// neither asked for nor kept. The API checks the token; what is read of it here only decides what is shown.

const KEPT = "sign-in-token";
const ASKED = "sign-in-asked";
const EARLY_SECONDS = 5;

export class SignedOut extends Error {}

/** Goes to the provider's page. */
export async function begin(settings) {
  const asked = { state: random(), nonce: random(), verifier: random() };
  sessionStorage.setItem(ASKED, JSON.stringify(asked));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(asked.verifier));
  location.assign(
    withQuery(settings.authorization_endpoint, {
      response_type: "code",
      client_id: settings.client_id,
      redirect_uri: redirect(),
      scope: settings.scopes.join(" "),
      audience: settings.audience,
      resource: settings.resource,
      state: asked.state,
      nonce: asked.nonce,
      code_challenge: base64url(new Uint8Array(digest)),
      code_challenge_method: "S256",
    }),
  );
}

/** Takes up what the provider has sent the reader back with, if it has; throws SignedOut where that is no sign-in. */
export async function takeUp(settings) {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("code") && !answer.has("error")) return;
  // The code is out of the address before anything else can see it, and the answer counts once.
  history.replaceState(null, "", location.pathname);
  const asked = JSON.parse(sessionStorage.getItem(ASKED) ?? "null");
  sessionStorage.removeItem(ASKED);
  if (!asked || answer.get("state") !== asked.state) throw new SignedOut("This answer belongs to another sign-in: sign in again.");
  if (answer.has("error")) throw new SignedOut(`The sign-in was refused: ${answer.get("error_description") ?? answer.get("error")}`);
  keep(await exchanged(settings, answer.get("code"), asked));
}

async function exchanged(settings, code, asked) {
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    client_id: settings.client_id,
    code,
    redirect_uri: redirect(),
    code_verifier: asked.verifier,
  });
  if (settings.resource) body.set("resource", settings.resource);
  const response = await fetch(settings.token_endpoint, { method: "POST", body, credentials: "omit" }).catch(() => null);
  const found = response?.ok ? await response.json().catch(() => ({})) : {};
  if (!found.access_token) throw new SignedOut("The sign-in could not be completed: sign in again.");
  const identity = claims(found.id_token);
  const seconds = Date.now() / 1000;
  const meant = [].concat(identity.aud ?? []).includes(settings.client_id) && identity.iss === settings.issuer && identity.exp > seconds;
  if (!meant || identity.nonce !== asked.nonce) throw new SignedOut("The provider's answer is not for this sign-in: sign in again.");
  return found;
}

function keep({ access_token, expires_in }) {
  const lasts = Number(expires_in) || 3600;
  const ends = Math.min(claims(access_token).exp ?? Infinity, Date.now() / 1000 + lasts);
  sessionStorage.setItem(KEPT, JSON.stringify({ access_token, ends }));
}

/** The access token; throws SignedOut where there is none, or it has expired. */
export function token() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  if (!kept) throw new SignedOut("");
  if (kept.ends - EARLY_SECONDS < Date.now() / 1000) forget("Your sign-in has expired: sign in again.");
  return kept.access_token;
}

/** Drops the token. */
export function forget(why) {
  sessionStorage.removeItem(KEPT);
  throw new SignedOut(why);
}

/** Signs out here, and at the provider where it has a page for that. */
export function end(settings) {
  sessionStorage.clear();
  const { sign_out_endpoint: page, client_id } = settings;
  // Cognito and OpenID Connect (RP-Initiated Logout) have different names for where to come back to.
  location.assign(page ? withQuery(page, { client_id, logout_uri: redirect(), post_logout_redirect_uri: redirect() }) : redirect());
}

/** Whom the token may ask about, as the API will see it. */
export function permitted(settings) {
  const found = claims(token());
  const scopes = [].concat(found.scope ?? [], found.scp ?? []).flatMap((text) => text.split(" "));
  // CDK leaves out of config.json what is null.
  const claim = settings.user_claim ?? null;
  const anybody = claim === null || scopes.includes(settings.any_user_scope ?? null);
  return { anybody, user: claim === null ? null : (found[claim] ?? null) };
}

function claims(text) {
  try {
    const bytes = Uint8Array.from(atob(text.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {}; // the API will refuse it
  }
}

const redirect = () => `${location.origin}/`;
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** An address with a query; what has no value is left out. */
function withQuery(address, values) {
  const url = new URL(address);
  for (const [name, value] of Object.entries(values)) if (value) url.searchParams.set(name, value);
  return url.href;
}
