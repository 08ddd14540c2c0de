"""Every command in docs/ runs: the `shell` blocks of a page, in order, in a fresh folder, as a reader would type them.

Commands that are not run say why, in a comment before their block.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\s*(?:[$!] )?(?:zkgrad|python3?|pip|make|npm|curl|docker|env -i|cd|source) ", re.MULTILINE)
EXCUSE = re.compile(r"<!-- not run: .+ -->\n+$")
PATIENCE = 600


def blocks(page: str) -> list[str]:
    """The shell blocks of a page, in order."""
    return [body for language, body in FENCE.findall((DOCS / page).read_text()) if language == "shell"]


RUNNABLE = [page for page in PAGES if blocks(page)]


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH: zkgrad and python of this checkout."""
    folder = tmp_path_factory.mktemp("bin")
    for name, arguments in (("zkgrad", " -m api.cli"), ("python", ""), ("python3", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.services
@pytest.mark.parametrize("page", RUNNABLE)
def test_the_commands_of_a_page_run(page: str, commands: Path, tmp_path: Path) -> None:
    for name in ("examples", "verifier"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    script = "set -euo pipefail\n" + "\n".join(blocks(page))
    environment = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    # In a session of its own, and writing into a file: a page may start a service, which must not outlive the page.
    with (tmp_path / "page.log").open("w") as log, subprocess.Popen(
        ["bash", "-x", "-c", script], cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
    ) as shell:  # fmt: skip
        try:
            code = shell.wait(PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    assert code == 0, (tmp_path / "page.log").read_text()[-6000:]


@pytest.mark.parametrize("page", PAGES)
def test_no_command_stands_outside_a_block_that_is_run(page: str) -> None:
    text = (DOCS / page).read_text()
    places = [(match.start(), match[2]) for match in FENCE.finditer(text) if match[1] != "shell"]
    outside = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    places += [(match.start(), match[0]) for match in re.finditer(r"(?:^(?: {4}|\t)[^\n]*\n)+", outside, re.MULTILINE)]
    for start, body in places:
        if COMMAND.search(body) and not EXCUSE.search(text[:start]):
            raise AssertionError(f"{page} has commands that are not run, without a reason:\n{body}")


def test_some_commands_are_run() -> None:
    assert {"index.md", "quick-start.md", "long-runs.md", "fhe.md"} <= set(RUNNABLE)


@pytest.mark.services
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    # The theme's advertisement of its successor is not a warning about this site.
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    reference = (tmp_path / "site" / "reference" / "cli.html").read_text()
    assert "zkgrad prove-accuracy" in reference and "--expect-statement" in reference
    routes = json.loads((DOCS / "openapi.json").read_text())["paths"]
    http = (tmp_path / "site" / "reference" / "http.html").read_text()
    assert len(routes) > 10 and all(f"{path}</code>" in http for path in routes)
