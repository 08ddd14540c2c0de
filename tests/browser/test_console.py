"""The console in Chromium against `zkgrad serve`: runs proven, jobs watched and cancelled, keys kept to the tab."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from api.app import run as command
from tests.browser.conftest import PATIENCE, Tab

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.services
expect.set_options(timeout=PATIENCE)
TRAIN = ("--layers", "3-4-2", "--loss", "mse", "--batch", "4", "--steps", "4", "--lr", "0.0009765625")


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """The address of `zkgrad serve` on a free port, ended with the block."""
    command_line = [sys.executable, "-m", "api.cli", "serve", "--json", "--port", "0", "--data", str(folder / "data")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ZKGRAD_")}
    with (folder / "log").open("w") as log, subprocess.Popen(
        [*command_line, *options], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first, (folder / "log").read_text()
            yield str(json.loads(first)["url"])
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service without a worker: jobs stay queued."""
    with serving(tmp_path_factory.mktemp("idle"), "--no-worker") as url:
        yield url


@pytest.fixture
def tabs(chromium: Browser) -> Iterator[Callable[[str], Tab]]:
    """Opens the console of a service in a fresh profile."""
    contexts: list[Any] = []

    def opened(url: str) -> Tab:
        contexts.append(chromium.new_context(service_workers="block"))
        tab = Tab(contexts[-1].new_page(), url)
        tab.page.goto(f"{url}/")
        return tab

    yield opened
    for context in contexts:
        context.close()


def trained(folder: Path, *options: str) -> Path:
    """A run folder that is not proven."""
    rows = [f"{k % 7},{k % 5},{k % 3},{k % 2}" for k in range(30)]
    (folder / "data.csv").write_text("\n".join(["a,b,c,kind", *rows]) + "\n")
    arguments = ["train", "--data", str(folder / "data.csv"), *TRAIN, *options, "--out", str(folder / "run")]
    assert command(arguments) == 0
    return folder / "run"


def prepared(run: Path, url: str) -> Path:
    assert command(["jobs", "prepare", str(run), "--server", url]) == 0
    return run


def choose(page: Page, run: Path) -> None:
    page.set_input_files("#run", run)
    expect(page.locator("#prove-said")).to_have_text(re.compile("."))


def secrets_at(url: str) -> set[str]:
    """Ids of the secret artifacts of a service."""
    with httpx.Client(base_url=url, trust_env=False) as client:
        return {one["id"] for one in client.get("/v1/artifacts").json()["items"] if one["secret"]}


def check_reopened(page: Page) -> None:
    """Opened once more, a job that is over lists its events and is never shown as running; buttons are drawn once."""
    page.evaluate("""() => {
      const state = document.getElementById("job-state");
      window.states = [], window.drawn = {};
      new MutationObserver(() => window.states.push(state.textContent)).observe(state, { childList: true });
      for (const name of ["jobs", "job-files"]) {
        window.drawn[name] = 0;
        new MutationObserver((changes) => changes.forEach((change) => window.drawn[name] += change.addedNodes.length))
          .observe(document.getElementById(name), { childList: true });
      }
    }""")
    with page.expect_response(re.compile(r"/v1/jobs\?")):  # the list, asked for when all of the job is shown
        page.locator("#jobs [data-act^=open-]").click()
    expect(page.locator("#events li").last).to_contain_text("succeeded")
    assert set(page.evaluate("window.states")) - {""} == {"succeeded"}
    page.wait_for_function("document.getElementById('job-files').children.length")
    assert page.evaluate("window.drawn") == {"jobs": 0, "job-files": page.locator("#job-files button").count()}


def test_a_run_is_proven_watched_and_downloaded(tabs: Callable[[str], Tab], tmp_path: Path) -> None:
    run = trained(tmp_path, "--segment-steps", "2")
    with serving(tmp_path) as url:
        tab = tabs(url)
        page = tab.page
        expect(page.locator("#who")).to_contain_text("without a key")
        choose(page, prepared(run, url))
        expect(page.locator("#prove-said")).to_contain_text("2 segments")
        page.click("#prove-send")
        expect(page.locator("#job-state")).to_have_text("succeeded")
        expect(page.locator("#events")).to_contain_text("segment: 1")
        expect(page.locator("#jobs tr")).to_contain_text("succeeded")
        check_reopened(page)
        files = []
        for name in ("000-statement.json", "000-proof.zkp", "001-statement.json", "001-proof.zkp"):
            with page.expect_download() as download:
                page.click(f"text=Download {name}")
            files.append(tmp_path / download.value.suggested_filename)
            download.value.save_as(files[-1])
        with page.expect_download() as download:
            page.click("text=Download report.html")
        assert "<html" in download.value.path().read_text()
        tab.assert_quiet()
    verifier = [sys.executable, "-m", "verifier", *map(str, files)]
    done = subprocess.run(verifier, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0 and "2 segments, 4 steps" in done.stdout, done
    assert files[0].read_bytes() == (run / "segments/000/statement.json").read_bytes()


def test_only_granted_openings_are_submitted(tabs: Callable[[str], Tab], idle: str, tmp_path: Path) -> None:
    run, said = trained(tmp_path), "#prove-said"
    page = tabs(idle).page
    choose(page, run)
    expect(page.locator(said)).to_contain_text("run `zkgrad jobs prepare` first")
    expect(page.locator("#prove-send")).to_be_disabled()
    choose(page, prepared(run, idle))
    expect(page.locator(said)).to_contain_text("One statement")
    page.click("#prove-send")
    expect(page.locator(said)).to_contain_text("Job ")
    kept = secrets_at(idle)
    assert kept
    # The same grant again is the same job or none: the uploads are others now.
    choose(page, run)
    page.click("#prove-send")
    expect(page.locator(said)).to_contain_text("idempotency key")
    assert secrets_at(idle) == kept
    remote = json.loads((run / "remote.json").read_text())
    (run / "remote.json").write_text(json.dumps(remote | {"server": "http://127.0.0.1:1"}))
    choose(page, run)
    expect(page.locator(said)).to_contain_text("granted to http://127.0.0.1:1")
    (run / "remote.json").write_text(json.dumps(remote | {"job": "abc"}))
    choose(page, run)
    expect(page.locator(said)).to_contain_text("submitted already, as job abc")


def test_jobs_are_listed_filtered_and_cancelled_by_keyboard(
    tabs: Callable[[str], Tab], idle: str, tmp_path: Path
) -> None:
    run = trained(tmp_path)
    tab = tabs(idle)
    page = tab.page
    choose(page, prepared(run, idle))
    page.click("#prove-send")
    expect(page.locator("#prove-said")).to_contain_text("Job ")
    job = page.inner_text("#prove-said").split()[1].rstrip(".")
    row = page.locator("#jobs tr", has_text=job)
    expect(row).to_contain_text("queued")
    page.locator("#refresh").focus()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.act") == f"cancel-{job}":
            break
    page.keyboard.press("Enter")
    expect(row).to_contain_text("cancelled")
    expect(page.locator("#job-state")).to_have_text("cancelled")
    page.select_option("#status", "queued")
    expect(row).to_have_count(0)
    page.select_option("#status", "cancelled")
    expect(row).to_have_count(1)
    page.locator(f"[data-act=open-{job}]").press("Enter")
    assert page.evaluate("document.activeElement.id") == "job"
    tab.assert_quiet()


def test_refusals_are_shown_with_their_place(tabs: Callable[[str], Tab], idle: str) -> None:
    page = tabs(idle).page
    said = page.locator("#request-said")
    page.fill("#payload", "{")
    page.click("#request button[type=submit]")
    expect(said).to_contain_text("not JSON")
    page.fill("#payload", '{"segments": [], "<img src=x onerror=alert(1)>": 1}')
    page.click("#request button[type=submit]")
    expect(said).to_contain_text("/segments")
    assert page.locator("#request-said img").count() == 0


def test_a_key_stays_in_the_tab(tabs: Callable[[str], Tab], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["keys", "create", "console", "--data", str(tmp_path / "data"), "--json"]) == 0
    key = json.loads(capsys.readouterr().out)["text"]
    with serving(tmp_path, "--no-worker") as url:
        page = tabs(url).page
        who = page.locator("#who")
        expect(who).to_have_text("This service needs a key.")
        page.fill("#key", "zk_1_2")
        page.keyboard.press("Enter")
        expect(who).to_have_text("The key is not accepted.")
        page.fill("#key", key)
        page.keyboard.press("Enter")
        expect(who).to_have_text("Connected with a key.")
        kept = "[localStorage.length, sessionStorage.length, document.cookie, document.querySelector('#key').value]"
        assert page.evaluate(kept) == [0, 0, "", ""]
        page.reload()
        expect(who).to_have_text("This service needs a key.")
        page.check("#remember")
        page.fill("#key", key)
        page.keyboard.press("Enter")
        expect(who).to_have_text("Connected with a key.")
        page.reload()
        expect(who).to_have_text("Connected with a key.")
        assert page.evaluate(kept)[:3] == [0, 1, ""]
        page.click("#forget")
        expect(who).to_have_text("This service needs a key.")
        assert page.evaluate(kept)[:3] == [0, 0, ""]
