// Python in a thread of its own, so that the page stays responsive and a verification can be stopped.
// WebAssembly is the one thing this file's policy allows beyond scripts from its own origin.
import { loadPyodide } from "./runtime/pyodide.mjs";

const here = (path) => new URL(path, import.meta.url).href;

async function bytes(path) {
  const response = await fetch(here(path));
  if (!response.ok) throw new Error(`${path}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

function tell(stage, state) {
  postMessage({ type: "stage", stage, state });
}

async function start() {
  const [python, archive, judge] = await Promise.all([
    loadPyodide({ indexURL: here("./runtime/") }),
    bytes("./runtime/verifier.zip"),
    bytes("./judge.py"),
  ]);
  python.FS.mkdirTree("/page");
  python.FS.writeFile("/page/verifier.zip", archive);
  python.FS.writeFile("/page/judge.py", judge);
  python.runPython("import sys; sys.path[:0] = ['/page/verifier.zip', '/page']");
  const module = python.pyimport("judge");
  module.watch(tell);
  const digest = python.runPython(
    "import hashlib, pathlib; hashlib.sha256(pathlib.Path('/page/verifier.zip').read_bytes()).hexdigest()",
  );
  const collect = python.runPython("lambda files: {name: data.to_bytes() for name, data in files}");
  postMessage({ type: "ready", digest, python: module.python_version(), stages: JSON.parse(module.stages()) });
  return { module, collect };
}

const started = start();
started.catch((error) => postMessage({ type: "broken", message: String(error) }));

self.onmessage = async ({ data }) => {
  try {
    const { module, collect } = await started;
    const files = collect(data.files.map(([name, buffer]) => [name, new Uint8Array(buffer)]));
    const outcome = JSON.parse(module.judge(files, data.options, tell));
    files.destroy();
    postMessage({ type: "outcome", ...outcome });
  } catch (error) {
    postMessage({ type: "fault", message: String(error) });
  }
};
