"""A tiny run, trained and proven once; tests that change it take a copy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from api.app import run


class Cli:
    """Runs a command line in this process and keeps what it wrote."""

    def __init__(self, capsysbinary) -> None:
        self._captured = capsysbinary
        self.out = self.err = ""
        self.raw = b""

    def __call__(self, *arguments) -> int:
        self._captured.readouterr()
        status = run([str(argument) for argument in arguments])
        captured = self._captured.readouterr()
        self.raw = captured.out
        self.out, self.err = captured.out.decode(errors="replace"), captured.err.decode()
        return status

    def json(self) -> dict:
        """Exactly one object on stdout."""
        assert self.out.endswith("\n") and self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@pytest.fixture
def cli(capsysbinary) -> Cli:
    return Cli(capsysbinary)


TRAIN = ("--layers", "5-7-3", "--batch", "3", "--steps", "4", "--lr", "0.375", "--security", "100",
         "--activation-bits", "4", "--gradient-bits", "4", "--data-openings", "2", "--state-openings", "2")  # fmt: skip


def write_table(path: Path, rows: int = 11, seed: int = 3, label: bool = True) -> Path:
    rng = np.random.default_rng(seed)
    columns = [f"{x:.4f}" for x in rng.uniform(-2, 2, rows * 5)]
    lines = ["a,b,c,d,e" + (",kind" if label else "")]
    for k in range(rows):
        lines.append(",".join(columns[5 * k : 5 * k + 5]) + (f",{rng.integers(0, 3)}" if label else ""))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def proven(tmp_path_factory) -> Path:
    """A folder with table.csv and a proven run/."""
    folder = tmp_path_factory.mktemp("proven")
    table = write_table(folder / "table.csv")
    assert run(["train", "--data", str(table), *TRAIN, "--out", str(folder / "run")]) == 0
    assert run(["prove", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def copy(proven, tmp_path) -> Path:
    """A copy of the proven folder that a test may spoil."""
    shutil.copytree(proven, tmp_path / "copy")
    return tmp_path / "copy"
