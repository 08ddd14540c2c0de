"""The commands that wait for a device in docs/performance.md: each is taken by what it names."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from api.app import run
from bench import headline

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    """The lines of the block that needs a GPU."""
    text = (ROOT / "docs" / "performance.md").read_text().split("<!-- not run: it needs a GPU -->")[1]
    block = re.match(r"\n\n((?:    .*\n)+)", text)
    assert block is not None
    return [line.strip() for line in block[1].splitlines()]


def test_what_is_to_be_run() -> None:
    text = "\n".join(commands())
    wanted = ["doctor", "test-gpu", "memcheck", "racecheck", "--steps 16", "--steps 64", "--width", "--batch"]
    assert [part for part in wanted if part not in text] == []


@pytest.mark.parametrize("line", commands())
def test_the_command_is_taken(line: str) -> None:
    words = shlex.split(line, comments=True)
    match words:
        case ["pip", "install", what]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert what.removeprefix(".[").removesuffix("]") in extras
        case ["zkgrad", verb]:
            assert run([verb, "--help"]) == 0
        case ["make", *targets]:
            subprocess.run(["make", "-n", *targets], cwd=ROOT, check=True, capture_output=True)
        case ["compute-sanitizer", "--tool", _, "--error-exitcode", "1", _, "-m", "pytest", *options]:
            collect = [sys.executable, "-m", "pytest", "--collect-only", *options]
            found = subprocess.run(collect, cwd=ROOT, check=True, capture_output=True, text=True).stdout
            assert "test_the_self_test" in found
        case ["python", "-m", "bench", "headline", *options]:
            assert headline._parse(options).backend == "gpu"
        case _:
            pytest.fail(f"not a command that is known here: {line}")
