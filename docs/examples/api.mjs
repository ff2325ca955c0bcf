// Posts three events of a new user and prints the list that they give: `node api.mjs`, Node 18 or later.
// Needs API_URL (the stack's output ApiUrl), AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, with
// temporary credentials, AWS_SESSION_TOKEN; or API_TOKEN, for an API with the setting api.jwt. In a browser let
// Amazon Cognito hand out the credentials or the token.
import { createHash, createHmac } from "node:crypto";

const { API_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, API_TOKEN } = process.env;
const hash = (text) => createHash("sha256").update(text).digest("hex");
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const encoded = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());

async function ask(method, path, { query = {}, body } = {}) {
  const base = new URL(API_URL);
  const pathname = base.pathname.replace(/\/$/, "") + path;
  const search = Object.keys(query).sort().map((name) => `${encoded(name)}=${encoded(String(query[name]))}`).join("&");
  const content = body === undefined ? "" : JSON.stringify(body);
  const bearer = API_TOKEN && { authorization: `Bearer ${API_TOKEN}` };
  const sent = bearer || signed(base.host, method, pathname, search, content);
  if (content) sent["content-type"] = "application/json";
  const url = `${base.origin}${pathname}${search && "?" + search}`;
  const answer = await fetch(url, { method, headers: sent, body: content || undefined });
  const document = await answer.json();
  if (!answer.ok) throw new Error(`${answer.status}: ${document.detail ?? document.message}`);
  return document;
}

// The headers of Signature Version 4 for the service execute-api.
function signed(host, method, pathname, search, content) {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const headers = { host, "x-amz-date": time };
  if (AWS_SESSION_TOKEN) headers["x-amz-security-token"] = AWS_SESSION_TOKEN;
  const names = Object.keys(headers).sort();
  const canonical = [
    method,
    pathname.split("/").map(encoded).join("/"),
    search,
    ...names.map((name) => `${name}:${headers[name]}`),
    "",
    names.join(";"),
    hash(content),
  ].join("\n");
  const scope = `${time.slice(0, 8)}/${AWS_REGION}/execute-api/aws4_request`;
  const key = scope.split("/").reduce(hmac, `AWS4${AWS_SECRET_ACCESS_KEY}`);
  const signature = hmac(key, ["AWS4-HMAC-SHA256", time, scope, hash(canonical)].join("\n")).toString("hex");
  delete headers.host; // fetch sends it
  headers.authorization =
    `AWS4-HMAC-SHA256 Credential=${AWS_ACCESS_KEY_ID}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
  return headers;
}

const [user = "a new user", ...items] = process.argv.slice(2);
const happened = items.map((item_id, at) => ({ event_id: `${user}/${at}`, user_id: user, item_id, value: 5 }));
if (happened.length) console.log(JSON.stringify(await ask("POST", "/events", { body: { events: happened } })));
const path = `/users/${encodeURIComponent(user)}/recommendations`;
console.log(JSON.stringify(await ask("GET", path, { query: { n: 5, because: 2 } })));
