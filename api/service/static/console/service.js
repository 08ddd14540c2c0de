// Requests to the service that this page came from. The key is in memory, and in sessionStorage if asked for.
const SLOT = "zkgrad-key";
let key = sessionStorage.getItem(SLOT) ?? "";

export class Refused extends Error {
  constructor(status, problem) {
    const places = (problem.errors ?? []).map((fault) => `${fault.pointer}: ${fault.detail}`).join("; ");
    super(places || (problem.detail ?? problem.title ?? `status ${status}`));
    this.status = status;
    this.code = problem.code ?? "";
  }
}

export const hasKey = () => key !== "";
export const remembered = () => sessionStorage.getItem(SLOT) !== null;

export function useKey(text, keep) {
  key = text;
  if (keep && text) sessionStorage.setItem(SLOT, text);
  else sessionStorage.removeItem(SLOT);
}

export async function request(method, path, { body, headers = {}, signal } = {}) {
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};
  const response = await fetch(path, {
    method, body, signal, headers: { ...authorization, ...headers }, credentials: "omit", redirect: "error",
  });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
  return response;
}

export async function json(method, path, document, headers = {}) {
  const body = document === undefined ? undefined : JSON.stringify(document);
  const kind = body === undefined ? {} : { "Content-Type": "application/json" };
  return (await request(method, path, { body, headers: { ...kind, ...headers } })).json();
}

// The events of a job from the one after `seen` on, until it is over. The browser's EventSource cannot send a key.
export async function* events(job, seen, signal) {
  const response = await request("GET", `/v1/jobs/${job}/events`, { headers: { "Last-Event-ID": String(seen) }, signal });
  if (response.status === 204) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").filter((line) => line && !line.startsWith(":"))
        .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
      if (fields.id) yield { number: Number(fields.id), type: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

// A download needs the key, so that it cannot be a plain link.
export async function save(path, name) {
  const blob = await (await request("GET", path)).blob();
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
