// What the outcome of `python -m verifier` looks like on the page. Text only ever enters as text.
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function copyable(text) {
  const code = element("span", { className: "mono", textContent: text });
  if (!navigator.clipboard) return [code];
  const button = element("button", { type: "button", className: "small", textContent: "Copy" });
  button.setAttribute("aria-label", `Copy ${text.slice(0, 20)}…`);
  button.onclick = async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  };
  return [code, " ", button];
}

export function showVerdict(box, outcome, pinnedParameters) {
  box.className = `verdict ${outcome.exit === 0 ? "good" : "bad"}`;
  box.replaceChildren();
  if (outcome.exit !== 0) {
    // A refusal is one object on standard output; what could not be checked at all is words on standard error.
    const refusal = outcome.stdout ? JSON.parse(outcome.stdout) : null;
    box.append(
      element("strong", { textContent: refusal ? "NOT VALID" : "NOT CHECKED" }),
      element("p", { className: "reason", textContent: refusal
        ? `${refusal.error}: ${refusal.reason}` : outcome.stderr.trim().split("\n").at(-1) }),
    );
    return;
  }
  const answer = JSON.parse(outcome.stdout);
  const what = answer.segments > 1 ? `, ${answer.segments} linked segments, ${answer.steps} steps` : "";
  box.append(element("strong", { textContent: `VALID at ${answer.security_bits.toFixed(1)} bits${what}` }));
  for (const [text, warning] of remarks(answer, pinnedParameters)) {
    box.append(element("p", { className: warning ? "warn" : "", textContent: text }));
  }
}

function remarks(answer, pinnedParameters) {
  const said = [];
  if (answer.pinned) {
    said.push(["Pinned: it is what you expected.", false]);
  } else {
    const which = pinnedParameters ? "Only the parameters are pinned." : "Not pinned.";
    said.push([`${which} Data, first state and batch order were the prover's choice: read below what the statement ` +
      "says, or enter the digest you expect.", true]);
  }
  if (!answer.zero_knowledge) said.push(["Not zero-knowledge: this proof shows its scalars.", true]);
  if (answer.first_step) {
    said.push([`This segment starts at step ${answer.first_step}: what came before it, and where its batch order ` +
      "comes from, is shown by the segments from step 0 on only.", true]);
  }
  return said;
}

const NONE = "0".repeat(64);

export function showFacts(box, outcome) {
  box.replaceChildren();
  if (outcome.exit !== 0) return;
  const answer = JSON.parse(outcome.stdout);
  const [first, last] = outcome.facts;
  const rows = [
    ["Statement", copyable(`sha256:${answer.statement_digest}`)],
    ["Parameters", copyable(`sha256:${answer.params_digest}`)],
    ...(last.task === "accuracy" ? accuracy(last) : training(first, last, answer)),
    ["Data", [`${last.samples} samples, root `, ...copyable(last.data_root)]],
  ];
  const list = element("dl");
  for (const [name, value] of rows) list.append(element("dt", { textContent: name }), element("dd", {}, ...value));
  const title = answer.segments > 1 ? "What the segments claim" : "What the statement claims";
  box.append(element("h3", { textContent: title }), list, element("p", { className: "hint", textContent: LEFT }));
}

const LEFT = "Not shown by any proof: that the data are good or all there is, that a committed first state was not " +
  "already trained, anything about a floating-point run.";

function network(p) {
  const name = { relu: "ReLU", "leaky-relu": "leaky ReLU", silu: "SiLU" }[p.activation] ?? p.activation;
  return `${p.widths.join(" → ")}, ${name}${p.bias ? "" : ", without biases"}`;
}

function accuracy(p) {
  return [
    ["Claim", [`${p.correct} of ${p.samples} committed samples are classified correctly`]],
    ["Network", [network(p)]],
    ["Model", ["root ", ...copyable(p.initial_root)]],
  ];
}

function training(first, last, answer) {
  const from = first.first_step;
  const loss = last.loss === "ce" ? "softmax cross entropy" : "mean squared error";
  const seed = first.initial === "public-seed";
  return [
    ["Network", [network(last)]],
    ["Training", [`steps ${from + 1} to ${from + answer.steps}, batches of ${last.batch}, ${loss}, ${last.optimizer}`]],
    ["First state", [seed ? "expanded from the public seed " : "root ", ...copyable(first.initial_root)]],
    ["Last state", ["root ", ...copyable(last.final_root)]],
    ["Nonce", last.nonce === NONE
      ? ["none: the prover may have chosen the batch order"] : copyable(last.nonce)],
  ];
}
