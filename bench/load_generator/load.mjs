// Mixed requests of many clients to the HTTP API, signed, by autocannon: `node load.mjs < settings.json`.
// Prints one JSON document: latencies by route, statuses, and which events were sent and answered.
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import autocannon from "autocannon";

const settings = JSON.parse(readFileSync(0, "utf8"));
const { api, echo, region, access_key, secret_key, users, items, seconds, clients } = settings;
const hash = (text) => createHash("sha256").update(text).digest("hex");
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const encoded = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());
const host = new URL(api).host;
const keys = new Map(); // the signing key of a day

// Signature Version 4 for the service execute-api; docs/examples/api.mjs explains it.
function signed(method, pathname, query, content) {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const scope = `${time.slice(0, 8)}/${region}/execute-api/aws4_request`;
  if (!keys.has(scope)) keys.set(scope, scope.split("/").reduce(hmac, `AWS4${secret_key}`));
  const path = pathname.split("/").map(encoded).join("/");
  const canonical = [method, path, query, `host:${host}`, `x-amz-date:${time}`, "", "host;x-amz-date", hash(content)];
  const text = ["AWS4-HMAC-SHA256", time, scope, hash(canonical.join("\n"))].join("\n");
  const signature = hmac(keys.get(scope), text).toString("hex");
  const credential = `${access_key}/${scope}`;
  return {
    "x-amz-date": time,
    "content-type": "application/json",
    authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=host;x-amz-date, Signature=${signature}`,
  };
}

const upto = (count) => Math.floor(Math.random() * count);
const item = () => items[upto(items.length)];
const some = (count) => [...new Set(Array.from({ length: count }, item))];
const history = (count) => some(count).map((item_id) => ({ item_id, value: 5 }));
const posted = []; // batches of events, each of a user of its own
const state = (batch, name) => batch.forEach((event) => sent.set(event.event_id, { event, state: name }));
const sent = new Map();

function events() {
  if (posted.length && Math.random() < 0.1) {
    return posted[upto(posted.length)]; // again: each counts as a duplicate, or as new if the first was lost
  }
  const user_id = `visitor-${posted.length}`;
  const batch = some(3).map((item_id, at) => ({ event_id: `${user_id}/${at}`, user_id, item_id, value: 5 }));
  posted.push(batch);
  state(batch, "sent");
  return batch;
}

function visitor() {
  return posted.length ? posted[Math.max(0, posted.length - 1 - upto(200))][0].user_id : "nobody";
}

const routes = [
  ["list of a trained user", 22, () => ["GET", `/users/${users[upto(users.length)]}/recommendations`, "n=10"]],
  ["list from events", 15, () => ["GET", `/users/${visitor()}/recommendations`, "n=10"]],
  ["list of a session", 13, () => ["POST", "/recommendations", "", { history: history(8), n: 10, because: 2 }]],
  ["events", 20, () => ["POST", "/events", "", { events: events() }]],
  ["similar items", 8, () => ["GET", `/items/${item()}/similar`, "n=10"]],
  ["ranked items", 6, () => ["POST", "/rank", "", { history: history(4), item_ids: some(20) }]],
  ["popular items", 4, () => ["GET", "/popular", "n=10"]],
  ["audience", 2, () => ["GET", `/items/${item()}/audience`, "n=10"]],
  ["echo", 10, () => ["GET", "", ""]],
];
const total = routes.reduce((sum, [, weight]) => sum + weight, 0);
const found = Object.fromEntries(routes.map(([name]) => [name, []]));
const statuses = {}, failures = [];
let stored = 0, duplicates = 0;

function choose() {
  let left = upto(total);
  return routes.find(([, weight]) => (left -= weight) < 0);
}

const request = {
  setupRequest(next, context) {
    const [name, , make] = choose();
    const [method, path, query, body] = make();
    const base = new URL(name === "echo" ? echo : api).pathname;
    const content = body === undefined ? "" : JSON.stringify(body);
    const headers = signed(method, base + path, query, content);
    Object.assign(context, { name, path, events: body?.events, began: performance.now() });
    const target = base + path + (query && `?${query}`);
    return { ...next, method, path: target, headers, body: content || undefined };
  },
  onResponse(status, body, context) {
    found[context.name].push(performance.now() - context.began);
    statuses[status] = (statuses[status] ?? 0) + 1;
    if (status !== 200) {
      if (failures.length < 5) failures.push(`${context.name} ${context.path}: ${status} ${body}`);
    } else if (context.events) {
      const receipt = JSON.parse(body);
      stored += receipt.stored;
      duplicates += receipt.duplicates;
      state(context.events, "answered");
    }
  },
};

const result = await autocannon({
  url: new URL(api).origin,
  connections: clients,
  duration: seconds,
  timeout: 60,
  requests: [request],
});
const by_state = (name) => [...sent.values()].filter((each) => each.state === name).map((each) => each.event);
const document = {
  latencies: found,
  statuses,
  failures,
  errors: result.errors,
  timeouts: result.timeouts,
  seconds: result.duration,
  events: { answered: by_state("answered"), unanswered: by_state("sent"), stored, duplicates },
};
process.stdout.write(JSON.stringify(document));
