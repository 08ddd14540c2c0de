// One job, watched to its end.
import { copyable, element } from "../verify/verdict.js";
import { Refused, events, json, save } from "./service.js";

const id = (name) => document.getElementById(name);
const PAUSE = 2000;
let watching = null;

export function closeJob() {
  watching?.abort();
  watching = null;
  id("job").hidden = true;
}

export async function openJob(number, changed) {
  closeJob();
  const mine = (watching = new AbortController());
  for (const name of ["events", "job-state", "job-facts", "job-files"]) id(name).replaceChildren();
  id("job").hidden = false;
  id("job-title").textContent = `Job ${number}`;
  id("job").focus();
  id("cancel").onclick = async () => {
    id("cancel").disabled = true;
    try {
      show(await json("POST", `/v1/jobs/${number}/cancel`));
      changed();
    } catch (error) {
      say(error);
    }
  };
  let seen = 0;
  while (!mine.signal.aborted) {
    try {
      const job = await json("GET", `/v1/jobs/${number}`);
      show(job);
      if (isOver(job) && seen >= job.last_event) return;
      for await (const event of events(number, seen, mine.signal)) {
        seen = event.number;
        list(event);
        if (event.number <= job.last_event) continue; // what it led to is shown already
        if (event.type === "stage") progress(event.data.name, null);
        else if (event.type === "progress") progress(null, event.data);
        else show(await json("GET", `/v1/jobs/${number}`));
      }
      show(await json("GET", `/v1/jobs/${number}`));
      changed();
    } catch (error) {
      if (mine.signal.aborted) return;
      say(error);
      if (error instanceof Refused) return;
      // The stream broke: go on after the last event that arrived.
      await new Promise((wake) => setTimeout(wake, PAUSE));
    }
  }
}

export const isOver = (job) => ["succeeded", "failed", "cancelled"].includes(job.status);

function say(error) {
  id("job-state").textContent = `The service did not answer as expected: ${error.message}`;
}

function progress(stage, step) {
  const bar = id("job-progress");
  if (stage) {
    id("job-state").replaceChildren(status("running"), `: ${stage}`);
    bar.hidden = true;
  } else if (step.total) {
    bar.hidden = false;
    Object.assign(bar, { max: step.total, value: step.done });
  }
}

export function status(name) {
  const shown = element("span", { className: "status", textContent: name });
  shown.dataset.status = name;
  return shown;
}

function show(job) {
  const stage = job.status === "running" && job.stage ? `: ${job.stage}` : "";
  const ending = job.cancel_requested && !isOver(job) ? " (will be cancelled)" : "";
  id("job-state").replaceChildren(status(job.status), stage + ending);
  id("job-progress").hidden = job.status !== "running" || !job.total;
  Object.assign(id("job-progress"), { max: Math.max(1, job.total), value: job.done });
  id("cancel").hidden = isOver(job);
  id("cancel").disabled = job.cancel_requested;
  const rows = [["Kind", [job.kind]], ["Attempt", [`${job.attempt} of ${job.max_attempts}`]], ["Made", [at(job.created)]]];
  if (job.failure) rows.push(["Failure", [`${job.failure.code}: ${job.failure.message}`]]);
  if (job.kind === "verify" && job.result) rows.push(...verdict(job.result));
  for (const digest of job.result?.statements ?? []) rows.push(["Statement", copyable(`sha256:${digest}`)]);
  renew(id("job-facts"), rows.flatMap(([name, value]) =>
    [element("dt", { textContent: name }), element("dd", {}, ...value)]));
  files(job);
}

function verdict(result) {
  return [
    ["Verdict", [result.valid ? `VALID${result.pinned ? ", pinned" : ", not pinned"}` : `NOT VALID: ${result.reason}`]],
    ...(result.statement_digest ? [["Statement", copyable(`sha256:${result.statement_digest}`)]] : []),
  ];
}

function files(job) {
  const result = job.result ?? {}, many = (result.proofs ?? []).length > 1;
  const wanted = (result.proofs ?? []).flatMap((digest, k) => [
    [`/v1/statements/${result.statements[k]}/statement.json`, many ? `${pad(k)}-statement.json` : "statement.json"],
    [`/v1/proofs/${digest}`, many ? `${pad(k)}-proof.zkp` : "proof.zkp"],
  ]);
  if (result.run) {
    wanted.push([`/v1/runs/${result.run}/run.json`, "run.json"], [`/v1/runs/${result.run}/report`, "report.html"]);
  } else if (result.proofs?.length) {
    wanted.push([`/v1/proofs/${result.proofs[0]}/report`, "report.html"]);
  }
  if (result.reply) wanted.push([`/v1/artifacts/${result.reply}`, "reply"]);
  renew(id("job-files"), wanted.map(([path, name]) => {
    const button = element("button", { type: "button", textContent: `Download ${name}` });
    button.dataset.path = path;
    button.onclick = () => save(path, name).catch(say);
    return button;
  }));
}

// Draws anew what has changed and nothing else: a button that is replaced between press and release loses the click, and
// one that has the focus loses it.
export function renew(parent, nodes) {
  nodes.forEach((node, k) => {
    const old = parent.children[k];
    if (!old) parent.append(node);
    else if (!old.isEqualNode(node)) old.replaceWith(node);
  });
  while (parent.children.length > nodes.length) parent.lastElementChild.remove();
}

const pad = (number) => String(number).padStart(3, "0");
export const at = (seconds) => new Date(seconds * 1000).toLocaleString();

function list(event) {
  const { at: when, ...data } = event.data;
  const what = event.type === "stage" ? data.name : event.type === "progress" ? `${data.done} of ${data.total}`
    : event.type === "retry" ? (data.failure?.message ?? "") : event.type === "segment" ? String(data.segment) : "";
  const items = id("events");
  // A stage with thousands of steps is one line that counts.
  const last = items.lastElementChild;
  const line = event.type === "progress" && last?.dataset.type === "progress" ? last : element("li");
  line.dataset.type = event.type;
  line.replaceChildren(element("time", { textContent: new Date(when * 1000).toLocaleTimeString() }),
    what ? `${event.type}: ${what}` : event.type);
  if (line !== last) items.append(line);
}
