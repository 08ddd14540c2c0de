"""The page /verify in Chromium gives the verdicts of `python -m verifier`, in its words, and talks to nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from api.browser_build import verifier_digest
from api.service.pages import STATIC
from tests.browser.conftest import Tab, plain_server

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.services
STAGES = ("statement", "bounds", "security", "lookups", "products", "history", "merge", "opening", "equations",
          "columns", "pads")  # fmt: skip


def command_line(*arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "verifier", "--json", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def opened(tab: Tab, base: str | None = None) -> Tab:
    tab.page.goto(f"{base or tab.base}/verify/")
    tab.page.wait_for_selector("#runtime.ready")
    return tab


@pytest.fixture(scope="module")
def ready(chromium: Any, site: str) -> Iterator[Tab]:
    """One loaded page for many verdicts."""
    context = chromium.new_context(service_workers="block")
    yield opened(Tab(context.new_page(), site))
    context.close()


def judge(tab: Tab, files: Any, *, folder: bool = False, **fields: str) -> str:
    """Drops files (paths, or names with bytes), fills fields by their id, and returns the verdict's text."""
    page = emptied(tab)
    if isinstance(files, dict):
        files = [{"name": n, "mimeType": "application/octet-stream", "buffer": data} for n, data in files.items()]
    page.set_input_files("#folder" if folder else "#files", files)
    return decided(tab, **fields)


def emptied(tab: Tab) -> Page:
    """The page without files."""
    for _ in tab.page.query_selector_all("#list button"):
        tab.page.click("#list button")
    return tab.page


def decided(tab: Tab, **fields: str) -> str:
    """The verdict on the files that are there, with these fields filled and all others empty."""
    page = tab.page
    page.evaluate("document.querySelector('details').open = true")
    for name in page.eval_on_selector_all("input.digest", "all => all.map(one => one.id)"):
        page.fill(f"#{name}", fields.get(name.replace("-", "_"), ""))
    page.click("#verify")
    page.wait_for_selector("#verdict.good, #verdict.bad")
    return page.inner_text("#verdict")


def states(tab: Tab) -> list[str]:
    return [tab.page.get_attribute(f"#stage-{name}", "data-state") or "" for name in STAGES]


def pair(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("statement.json", "proof.zkp")}


def flipped(data: bytes, place: int) -> bytes:
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_a_valid_proof(tab: Tab, proven: Path) -> None:
    verdict = judge(opened(tab), [proven / "run" / name for name in ("statement.json", "proof.zkp")])
    code, out, _ = command_line(proven / "run/statement.json", proven / "run/proof.zkp")
    assert code == 0
    answer = json.loads(out)
    assert verdict.startswith(f"VALID at {answer['security_bits']:.1f} bits")
    assert "Not pinned" in verdict
    assert states(tab) == ["end"] * len(STAGES)
    assert f"sha256:{answer['statement_digest']}" in tab.page.inner_text("#facts")
    assert f"sha256:{verifier_digest()}" in tab.page.inner_text("#runtime")
    tab.assert_quiet()


def test_pins_that_hold(ready: Tab, proven: Path) -> None:
    statement = json.loads((proven / "run/statement.json").read_text())
    _, out, _ = command_line(proven / "run/statement.json", proven / "run/proof.zkp")
    answer, files = json.loads(out), pair(proven / "run")
    assert "\nPinned" in judge(ready, files, expect_statement=answer["statement_digest"])
    assert "Only the parameters are pinned" in judge(ready, files, expect_params=f"sha256:{answer['params_digest']}")
    roots = {"expect_data": statement["data"]["root"], "expect_initial": statement["initial"]["root"]}
    assert "Not pinned" in judge(ready, files, **roots)
    assert "\nPinned" in judge(ready, files, **roots, expect_nonce=statement["schedule"]["nonce"])


def restated(statement: bytes, section: str, key: str, value: str) -> bytes:
    document = json.loads(statement)
    document[section][key] = value
    return (json.dumps(document, indent=1) + "\n").encode()


Change = Callable[[bytes, bytes], tuple[bytes, bytes]]
ZEROS = "0" * 64
REFUSED: dict[str, tuple[Change, dict[str, str]]] = {
    "a bit flipped in the middle": (lambda s, p: (s, flipped(p, len(p) // 2)), {}),
    "a bit flipped in the first root": (lambda s, p: (s, flipped(p, 50)), {}),
    "a bit flipped at the end": (lambda s, p: (s, flipped(p, -1)), {}),
    "a bit flipped in the magic": (lambda s, p: (s, flipped(p, 0)), {}),
    "a bit flipped in the version": (lambda s, p: (s, flipped(p, 8)), {}),
    "a bit flipped in the digest": (lambda s, p: (s, flipped(p, 20)), {}),
    "cut off": (lambda s, p: (s, p[:-1]), {}),
    "longer": (lambda s, p: (s, p + b"\0"), {}),
    "empty": (lambda s, p: (s, b""), {}),
    "another number of steps": (lambda s, p: (s.replace(b'"steps": 4', b'"steps": 5'), p), {}),
    "another final root": (lambda s, p: (restated(s, "final", "root", ZEROS), p), {}),
    "another nonce": (lambda s, p: (restated(s, "schedule", "nonce", ZEROS[:-1] + "1"), p), {}),
    "a statement with a space more": (lambda s, p: (s + b" ", p), {}),
    "a statement that is no JSON": (lambda s, p: (s[:-3], p), {}),
    "transparent": (lambda s, p: (s.replace(b'"zero_knowledge": true', b'"zero_knowledge": false'), p), {}),
    "another statement expected": (lambda s, p: (s, p), {"expect_statement": ZEROS}),
    "other parameters expected": (lambda s, p: (s, p), {"expect_params": f"sha256:{ZEROS}"}),
    "other data expected": (lambda s, p: (s, p), {"expect_data": ZEROS}),
    "another last state expected": (lambda s, p: (s, p), {"expect_final": ZEROS}),
}  # fmt: skip
OPTIONS = {"expect_statement": "--expect-statement", "expect_params": "--expect-params"}
FIELDS = {"expect_data": "data_root", "expect_final": "final_root"}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_the_words_of_the_command_line(ready: Tab, proven: Path, tmp_path: Path, case: str) -> None:
    change, pins = REFUSED[case]
    files = pair(proven / "run")
    names = ("statement.json", "proof.zkp")
    files = dict(zip(names, change(files["statement.json"], files["proof.zkp"]), strict=True))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    options = [part for field, value in pins.items()
               for part in ((OPTIONS[field], value) if field in OPTIONS else ("--expect", f"{FIELDS[field]}={value}"))]
    code, out, _ = command_line(tmp_path / "statement.json", tmp_path / "proof.zkp", *options)
    assert code in (1, 3, 5)
    expected = json.loads(out)
    verdict = judge(ready, files, **pins)
    assert verdict.split("\n\n") == ["NOT VALID", f"{expected['error']}: {expected['reason']}"]
    assert "VALID" not in ready.page.inner_text("#facts")
    ready.assert_quiet()


def test_a_chain_of_segments(ready: Tab, proven: Path) -> None:
    chain = proven / "chain"
    segments = [chain / "segments" / f"{k:03}" / name for k in range(2) for name in ("statement.json", "proof.zkp")]
    _, out, _ = command_line(*segments)
    answer = json.loads(out)
    verdict = judge(ready, chain, folder=True, expect_statement=f"sha256:{answer['statement_digest']}")
    assert verdict.startswith(f"VALID at {answer['security_bits']:.1f} bits, 2 linked segments, 4 steps")
    assert "\nPinned" in verdict
    assert "Segment 2 of 2" in ready.page.inner_text("#segment")
    shown = ready.page.inner_text("#ignored")
    assert "data.safetensors" in shown and "slots.json" in shown
    # Without run.json and without folders, in the wrong order: the statements' digests and steps say what belongs.
    loose = {f"{k}-{path.name}": path.read_bytes() for k, path in reversed([*enumerate(segments)])}
    assert judge(ready, loose).startswith(f"VALID at {answer['security_bits']:.1f} bits, 2 linked segments")


def test_a_chain_without_a_segment_is_refused(ready: Tab, proven: Path, tmp_path: Path) -> None:
    chain = proven / "chain"
    second = [chain / "segments/001" / name for name in ("statement.json", "proof.zkp")]
    verdict = judge(ready, {"run.json": (chain / "run.json").read_bytes()} | pair(second[0].parent))
    assert verdict.startswith("NOT CHECKED") and "not here: 0" in verdict
    # Alone it is a true statement about a part of a run, and said to be no more.
    assert "This segment starts at step 2" in judge(ready, second)
    spoilt = {f"{k}-{name}": data for k in range(2) for name, data in pair(chain / f"segments/{k:03}").items()}
    spoilt["1-proof.zkp"] = flipped(spoilt["1-proof.zkp"], -1)
    for name, data in spoilt.items():
        (tmp_path / name).write_bytes(data)
    _, out, _ = command_line(*(tmp_path / name for name in spoilt))
    assert json.loads(out)["reason"] in judge(ready, spoilt)


def test_a_chain_is_not_pinned_by_parameters(ready: Tab, proven: Path) -> None:
    verdict = judge(ready, proven / "chain", folder=True, expect_params=ZEROS)
    assert verdict.startswith("NOT CHECKED") and "pin a chain with --expect-run" in verdict


def test_files_are_dropped(ready: Tab, proven: Path) -> None:
    page = emptied(ready)
    files = [[name, list(data)] for name, data in (*pair(proven / "run").items(), ("data.safetensors", b"secret"))]
    page.evaluate("""(files) => {
      const transfer = new DataTransfer();
      for (const [name, data] of files) transfer.items.add(new File([new Uint8Array(data)], name));
      document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
    }""", files)
    assert decided(ready).startswith("VALID at")
    assert "data.safetensors" in page.inner_text("#ignored")


def test_an_accuracy(ready: Tab, proven: Path) -> None:
    files = pair(proven / "accuracy")
    correct = json.loads(files["statement.json"])["evaluation"]["correct"]
    assert judge(ready, files).startswith("VALID at")
    assert f"{correct} of 30 committed samples are classified correctly" in ready.page.inner_text("#facts")


def test_digests_are_checked_before_anything_runs(ready: Tab, proven: Path) -> None:
    judge(ready, pair(proven / "run"))
    ready.page.fill("#expect-statement", "sha256:12")
    assert ready.page.is_hidden("#result")
    ready.page.keyboard.press("Enter")
    ready.page.wait_for_selector("#expect-statement[aria-invalid=true]")
    assert "64 hexadecimal digits" in ready.page.inner_text("#expect-statement-error")
    assert ready.page.is_hidden("#result")
    assert ready.page.evaluate("document.activeElement.id") == "expect-statement"
    ready.page.fill("#expect-statement", "")


def test_stopping_leaves_no_verdict(tab: Tab, proven: Path) -> None:
    page = opened(tab).page
    # The worker does not answer, so that there is time to stop it.
    page.set_input_files("#files", [proven / "run" / name for name in ("statement.json", "proof.zkp")])
    page.workers[0].evaluate("() => { self.onmessage = () => {}; }")
    page.click("#verify")
    page.click("#stop")
    assert "There is no verdict" in page.inner_text("#verdict")
    page.wait_for_selector("#runtime.ready")
    page.click("#verify")
    page.wait_for_selector("#verdict.good")


def test_the_keyboard_is_enough(tab: Tab, proven: Path) -> None:
    page = opened(tab).page
    page.set_input_files("#files", [proven / "run" / name for name in ("statement.json", "proof.zkp")])
    reached = []
    page.evaluate("document.body.focus()")
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        if reached[-1] == "verify":
            break
    assert {"files", "folder", "Remove", "expect-statement", "expect-params", "verify"} <= set(reached)
    page.keyboard.press("Enter")
    page.wait_for_selector("#verdict.good")
    assert page.evaluate("document.activeElement.id") == "verdict"


def test_the_policy_holds_on_the_page_and_in_the_worker(tab: Tab) -> None:
    """The tests above find no violation; here is what one looks like."""
    page = opened(tab).page
    asks = "() => fetch('http://127.0.0.1:9/').then(() => 'went out', (error) => String(error))"
    # Later, since what a debugger evaluates itself is exempt.
    evaluates = """() => new Promise((answer) => setTimeout(() => {
      try { answer(new Function("return 'ran'")()); } catch (error) { answer(error.name); }
    }))"""
    assert "TypeError" in page.evaluate(asks)
    assert set(page.evaluate("window.violations")) == {"connect-src http://127.0.0.1:9/"}
    assert "TypeError" in page.workers[0].evaluate(asks)
    assert page.evaluate(evaluates) == "EvalError"
    assert page.workers[0].evaluate(evaluates) == "EvalError"
    assert any("127.0.0.1:9" in text for text in tab.complaints)


def test_a_plain_file_server_is_enough(tab: Tab, proven: Path) -> None:
    """As an auditor may serve it himself: no headers, only the page's own policy."""
    with plain_server(STATIC) as tab.base:
        assert judge(opened(tab), pair(proven / "run")).startswith("VALID at")
        tab.assert_quiet()
