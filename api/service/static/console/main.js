import { element, copyable } from "../verify/verdict.js";
import { hasKey, json, remembered, useKey } from "./service.js";
import { NotReady, prove, readRun } from "./upload.js";
import { at, closeJob, isOver, openJob, renew, status } from "./watch.js";

const id = (name) => document.getElementById(name);
const EVERY = 5000, ROWS = 20;
let run = null, cursor = null, older = false, unfinished = false;

function said(place, text, bad = false) {
  id(place).textContent = text;
  id(place).classList.toggle("said-bad", bad);
}

async function list(next = null) {
  const query = new URLSearchParams({ limit: ROWS });
  if (id("status").value) query.set("status", id("status").value);
  if (next) query.set("cursor", next);
  try {
    const page = await json("GET", `/v1/jobs?${query}`);
    said("who", hasKey() ? "Connected with a key." : "Connected without a key: the service answers this machine only.");
    const rows = page.items.map(row);
    if (next) id("jobs").append(...rows);
    else replace(rows);
    unfinished = page.items.some((job) => !isOver(job));
    cursor = page.cursor;
    older = Boolean(next);
    id("more").hidden = !cursor;
    id("jobs-empty").hidden = id("jobs").children.length > 0;
  } catch (error) {
    said("who", error.status === 401 ? (hasKey() ? "The key is not accepted." : "This service needs a key.") : `No list of jobs: ${error.message}`, true);
    replace([]);
    id("more").hidden = true;
    unfinished = false;
  }
}

// The list is drawn anew while somebody may be moving through it with the keyboard.
function replace(rows) {
  const focused = document.activeElement?.dataset?.act;
  renew(id("jobs"), rows);
  if (focused) document.querySelector(`[data-act="${focused}"]`)?.focus();
  id("jobs-empty").hidden = rows.length > 0;
}

function row(job) {
  const open = element("button", { type: "button", className: "small", textContent: isOver(job) ? "Open" : "Watch" });
  open.dataset.act = `open-${job.id}`;
  open.setAttribute("aria-label", `${open.textContent} job ${job.id}`);
  open.onclick = () => openJob(job.id, list);
  const acts = element("div", { className: "buttons" }, open);
  if (!isOver(job)) {
    const cancel = element("button", { type: "button", className: "small", textContent: "Cancel" });
    cancel.dataset.act = `cancel-${job.id}`;
    cancel.setAttribute("aria-label", `Cancel job ${job.id}`);
    cancel.disabled = job.cancel_requested;
    cancel.onclick = async () => {
      try {
        await json("POST", `/v1/jobs/${job.id}/cancel`);
      } catch (error) {
        said("who", error.message, true);
      }
      list();
    };
    acts.append(cancel);
  }
  const stage = job.status === "running" && job.stage ? `, ${job.stage}` : "";
  return element("tr", {},
    element("td", { className: "mono", textContent: job.id }), element("td", { className: "optional-column", textContent: job.kind }),
    element("td", {}, status(job.status), stage), element("td", { className: "optional-column", textContent: at(job.created) }), element("td", {}, acts));
}

async function artifacts() {
  const page = await json("GET", "/v1/artifacts?limit=50").catch(() => ({ items: [] }));
  id("artifacts").replaceChildren(...page.items.map((one) => element("tr", {},
    element("td", { className: "mono" }, ...copyable(one.id)),
    element("td", { textContent: one.kind + (one.secret ? ", secret" : "") }),
    element("td", { textContent: one.size.toLocaleString() }))));
}

async function chooseRun(event) {
  run = null;
  id("prove-send").disabled = true;
  try {
    run = await readRun(event.target.files, location.origin);
    const bytes = Object.values(run.needed).reduce((sum, file) => sum + file.size, 0);
    said("prove-said", `${run.statements.length === 1 ? "One statement" : `${run.statements.length} segments`}, ` +
      `${bytes.toLocaleString()} bytes to upload.`);
    id("prove-send").disabled = false;
  } catch (error) {
    said("prove-said", error instanceof NotReady ? error.message : `The folder cannot be read: ${error.message}`, true);
  }
  event.target.value = "";
}

async function sendRun(event) {
  event.preventDefault();
  if (!run) return;
  id("prove-send").disabled = true;
  try {
    const job = await prove(run, (name, done, total) => said("prove-said", `Uploading ${name}: ${done.toLocaleString()} of ${total.toLocaleString()} bytes`));
    said("prove-said", `Job ${job.id}. Download its proofs below, or with zkgrad jobs download.`);
    run = null;
    await list();
    openJob(job.id, list);
  } catch (error) {
    said("prove-said", error.message, true);
    id("prove-send").disabled = false;
  }
}

async function sendRequest(event) {
  event.preventDefault();
  let payload;
  try {
    payload = JSON.parse(id("payload").value);
  } catch (error) {
    said("request-said", `The payload is not JSON: ${error.message}`, true);
    id("payload").focus();
    return;
  }
  try {
    const job = await json("POST", id("route").value, payload, { "Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-") });
    said("request-said", `Job ${job.id}.`);
    await list();
    openJob(job.id, list);
  } catch (error) {
    said("request-said", error.message, true);
  }
}

id("key-form").onsubmit = (event) => {
  event.preventDefault();
  useKey(id("key").value.trim(), id("remember").checked);
  id("key").value = "";
  closeJob();
  list();
};
id("forget").onclick = () => {
  useKey("", false);
  id("key").value = "";
  id("remember").checked = false;
  closeJob();
  list();
};
id("status").onchange = () => list();
id("refresh").onclick = () => list();
id("more").onclick = () => list(cursor);
id("close").onclick = () => { closeJob(); id("refresh").focus(); };
id("run").onchange = chooseRun;
id("prove").onsubmit = sendRun;
id("request").onsubmit = sendRequest;
id("artifacts-box").ontoggle = () => { if (id("artifacts-box").open) artifacts(); };
id("remember").checked = remembered();
setInterval(() => { if (unfinished && !older && document.visibilityState === "visible") list(); }, EVERY);
list();
