import { add, fromDrop, fromInput, size } from "./files.js";
import { copyable, element, showFacts, showVerdict } from "./verdict.js";

const id = (name) => document.getElementById(name);
const files = new Map();
let worker, ready = false, running = false, stages = [], began = 0;

function startWorker() {
  ready = false;
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => handlers[data.type](data);
  worker.onerror = (event) => handlers.broken({ message: event.message || "the worker could not start" });
}

const handlers = {
  ready(data) {
    ready = true;
    stages = data.stages;
    id("runtime").className = "runtime ready";
    id("runtime").replaceChildren(`Ready: Python ${data.python} in WebAssembly. Verifier bundle `,
      ...copyable(`sha256:${data.digest}`));
    update();
  },
  broken(data) {
    id("runtime").className = "runtime broken";
    id("runtime").textContent = `The Python runtime did not load: ${data.message}. ` +
      "If you serve this page yourself, run make browser first.";
    finish();
  },
  stage({ stage, state }) {
    if (stage === "segments") id("segment").dataset.count = state;
    else mark(stage, state);
  },
  outcome(data) {
    finish();
    const failed = document.querySelector("#stages [data-state=begin]");
    if (failed) failed.dataset.state = data.exit === 0 ? "end" : "failed";
    if (data.exit === 0) for (const item of document.querySelectorAll("#stages li:not([data-state])")) item.dataset.state = "absent";
    showVerdict(id("verdict"), data, Boolean(id("expect-params").value.trim()));
    showFacts(id("facts"), data);
    id("verdict").focus({ preventScroll: true });
    id("result").scrollIntoView({ block: "nearest" });
  },
  fault(data) {
    finish();
    id("verdict").className = "verdict bad";
    id("verdict").replaceChildren(element("strong", { textContent: "NOT CHECKED" }),
      element("p", { textContent: `The verifier stopped with a fault, which is no verdict: ${data.message}` }));
  },
};

function mark(stage, state) {
  const item = id(`stage-${stage}`);
  if (!item) return;
  if (state === "begin") {
    // A chain goes through its segments' stages again and again; the first stage of a round clears the others.
    if (stage === "statement") nextSegment();
    item.dataset.since = performance.now();
  } else {
    item.querySelector(".time").textContent = `${((performance.now() - item.dataset.since) / 1000).toFixed(1)} s`;
  }
  item.dataset.state = state;
}

function nextSegment() {
  const line = id("segment"), count = Number(line.dataset.count);
  line.dataset.number = Number(line.dataset.number) + 1;
  if (count < 2) return;
  line.hidden = false;
  line.textContent = `Segment ${line.dataset.number} of ${count}`;
  for (const item of document.querySelectorAll("#stages li")) delete item.dataset.state;
}

function update() {
  id("verify").disabled = !ready || running || files.size < 2;
  id("list").replaceChildren(...[...files].map(([name, file]) => {
    const remove = element("button", { type: "button", className: "small", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove ${name}`);
    remove.onclick = () => { files.delete(name); clear(); update(); };
    return element("li", {}, element("span", { className: "name mono", textContent: name }),
      element("span", { className: "size", textContent: size(file.size) }), remove);
  }));
}

// A verdict belongs to the files and digests it was given for.
function clear() {
  if (!running) id("result").hidden = true;
}

function take(found) {
  clear();
  const ignored = add(files, found);
  id("ignored").hidden = !ignored.length;
  id("ignored").textContent = `Not needed, and not opened: ${ignored.join(", ")}`;
  update();
}

function digests() {
  let good = true;
  const options = [];
  for (const input of document.querySelectorAll("input.digest")) {
    const text = input.value.trim();
    const wrong = text && !/^(sha256:)?[0-9a-f]{64}$/i.test(text);
    input.setAttribute("aria-invalid", Boolean(wrong));
    const message = id(`${input.id}-error`);
    message.hidden = !wrong;
    if (wrong) {
      message.textContent = `64 hexadecimal digits are needed, with or without sha256: before them; these are ${text.length} characters`;
      if (good) input.focus();
      good = false;
    } else if (text) {
      options.push(...(input.name.startsWith("--") ? [input.name, text] : ["--expect", `${input.name}=${text}`]));
    }
  }
  return good ? options : null;
}

async function verify(event) {
  event.preventDefault();
  const pins = digests();
  if (!pins || !ready || running) return;
  running = true;
  began = performance.now();
  const options = ["--json", "--security", id("security").value, ...pins];
  if (id("transparent").checked) options.push("--transparent");
  id("stop").hidden = false;
  id("result").hidden = false;
  id("facts").replaceChildren();
  id("segment").hidden = true;
  Object.assign(id("segment").dataset, { number: 0, count: 1 });
  id("verdict").className = "verdict";
  id("verdict").textContent = "Checking …";
  id("stages").replaceChildren(...stages.map(([key, words]) => element("li", { id: `stage-${key}` },
    element("span", { textContent: words }), element("span", { className: "time" }))));
  update();
  const read = await Promise.all([...files].map(async ([name, file]) => [name, await file.arrayBuffer()]));
  worker.postMessage({ files: read, options }, read.map(([, buffer]) => buffer));
}

function finish() {
  running = false;
  id("stop").hidden = true;
  update();
}

function stop() {
  worker.terminate();
  finish();
  id("verdict").className = "verdict";
  id("verdict").textContent = `Stopped after ${((performance.now() - began) / 1000).toFixed(0)} s. There is no verdict.`;
  id("runtime").className = "runtime";
  id("runtime").textContent = "Loading Python again …";
  startWorker();
}

for (const name of ["files", "folder"]) {
  id(name).onchange = (event) => { take(fromInput(event.target)); event.target.value = ""; };
}
const drop = id("drop");
for (const type of ["dragenter", "dragover"]) {
  document.addEventListener(type, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(await fromDrop(event.dataTransfer));
});
id("form").onsubmit = verify;
id("form").oninput = clear;
id("stop").onclick = stop;
startWorker();
