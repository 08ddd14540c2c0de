"""What the page /verify does outside the browser: putting files together, and the bundle it runs."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from api import browser_build
from api.service.pages import PAGE_POLICY, STATIC, WORKER_POLICY, WORKERS, headers
from tests.api.conftest import TRAIN, write_table

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    """The worker's Python, loaded as the worker does."""
    spec = importlib.util.spec_from_file_location("judge", STATIC / "verify" / "judge.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> dict[str, bytes]:
    """The public files of a run in two segments, by their paths."""
    from api.app import run

    folder = tmp_path_factory.mktemp("chain")
    table = write_table(folder / "table.csv")
    options = (*TRAIN, "--lr", "0.0029296875", "--segment-steps", "2", "--out", str(folder / "run"))
    assert run(["train", "--data", str(table), *options]) == 0
    assert run(["prove", str(folder / "run")]) == 0
    paths = [path for path in (folder / "run").rglob("*") if path.name in ("run.json", "statement.json", "proof.zkp")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_pair_is_taken_as_it_is(judge):
    assert judge.arrange({"b.zkp": b"", "a.json": b"no JSON"}) == [("a.json", "b.zkp")]
    files = {"statement.json": b"{}", "settings.json": b"{}", "proof.zkp": b"other"}
    assert judge.arrange(files) == [("statement.json", "proof.zkp")]


def test_segments_are_put_in_order_by_the_manifest_or_by_their_steps(judge, chain):
    ordered = [(f"run/segments/00{k}/statement.json", f"run/segments/00{k}/proof.zkp") for k in range(2)]
    backwards = dict(sorted(chain.items(), reverse=True))
    assert judge.arrange(backwards) == ordered
    del backwards["run/run.json"]
    assert judge.arrange(backwards) == ordered


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("segments/000/statement.json", "not here: 0"),
        ("segments/001/proof.zkp", "no proof here is for run/segments/001/statement.json"),
    ],
)
def test_a_missing_file_is_named(judge, chain, gone, words):
    with pytest.raises(judge.NotPaired, match=words):
        judge.arrange({name: data for name, data in chain.items() if not name.endswith(gone)})


def test_what_does_not_belong_is_named(judge, chain):
    segments = {name: data for name, data in chain.items() if name != "run/run.json"}
    with pytest.raises(judge.NotPaired, match=r"no statement here belongs to other\.zkp"):
        judge.arrange(segments | {"other.zkp": b"\x89ZKG"})
    with pytest.raises(judge.NotPaired, match=r"a statement \(.json\) and its proof \(.zkp\) are needed"):
        judge.arrange({"run.json": chain["run/run.json"]})
    listed = json.loads(chain["run/run.json"])
    listed["segments"] = listed["segments"][:1]
    with pytest.raises(judge.NotPaired, match=r"does not list run/segments/001/statement\.json"):
        judge.arrange(chain | {"run/run.json": json.dumps(listed).encode()})


def test_the_verdict_and_the_stages_of_a_chain(judge, chain, tmp_path):
    """In an interpreter of its own: `watch` wraps the verifier's functions."""
    for name, data in chain.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    script = (
        "import json, pathlib, sys; sys.path[:0] = sys.argv[1:3]; import judge\n"
        "heard = []; judge.watch(lambda stage, state: heard.append((stage, state)))\n"
        "files = {str(p): p.read_bytes() for p in pathlib.Path('run').rglob('*') if p.is_file()}\n"
        "outcome = judge.judge(files, ['--json', '--security', '100'], lambda *_: None)\n"
        "print(json.dumps([json.loads(outcome), heard, judge.stages()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, ROOT, STATIC / "verify"],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    outcome, heard, stages = json.loads(done.stdout)
    answer = json.loads(outcome["stdout"])
    assert (outcome["exit"], answer["valid"], answer["segments"], answer["steps"]) == (0, True, 2, 4)
    keys = [key for key, _ in json.loads(stages)]
    begun = [stage for stage, state in heard if state == "begin"]
    assert begun == keys * 2
    assert [fact["first_step"] for fact in outcome["facts"]] == [0, 2]


def test_the_bundle_depends_on_the_sources_alone():
    archive = browser_build.verifier_archive()
    assert archive == browser_build.verifier_archive()
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = opened.namelist()
        assert names == sorted(f"verifier/{path.name}" for path in (ROOT / "verifier").glob("*.py"))
        assert all(opened.read(name) == (ROOT / name).read_bytes() for name in names)


def test_the_runtime_is_made_whole_or_not_at_all(tmp_path):
    package, target = tmp_path / "package", tmp_path / "static" / "runtime"
    package.mkdir()
    (package / "package.json").write_text('{"version": "1.2.3", "license": "MPL-2.0", "homepage": "nowhere"}')
    with pytest.raises(browser_build.BuildError, match=r"pyodide\.mjs is missing"):
        browser_build.build(package, target)
    assert not target.exists()
    for name in browser_build.FILES:
        (package / name).write_bytes(name.encode())
    browser_build.build(package, target)
    bundle = browser_build.build(package, target)
    assert bundle["pyodide"] == "1.2.3" and bundle["sha256"]["verifier.zip"] == browser_build.verifier_digest()
    assert {path.name for path in target.iterdir()} == {*browser_build.FILES, "verifier.zip", "bundle.json"}
    assert [path.name for path in target.parent.iterdir()] == ["runtime"]


def test_only_the_worker_may_compile_webassembly():
    assert headers("verify/worker.js")["Content-Security-Policy"] == WORKER_POLICY
    assert all((STATIC / worker).is_file() for worker in WORKERS)
    for policy in (PAGE_POLICY, WORKER_POLICY):
        assert "unsafe-inline" not in policy and "'unsafe-eval'" not in policy and "http" not in policy
    assert "wasm" not in PAGE_POLICY and headers("verify/index.html")["Content-Security-Policy"] == PAGE_POLICY
