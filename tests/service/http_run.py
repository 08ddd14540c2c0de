"""A run on the digits, trained and proven once for all tests of the HTTP interface."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from api.app import run
from tests.service.http_support import ROOT

# So low a rate, and gradients of so few bits, that no batch order leaves the ranges of the dry run.
TRAIN = ("--layers", "64-4-10", "--batch", "4", "--steps", "2", "--lr", "0.0009765625", "--loss", "mse",
         "--gradient-bits", "10", "--data-openings", "8", "--state-openings", "8")  # fmt: skip


def train(folder: Path, *options: str) -> Path:
    """A trained run on the digits."""
    data = ROOT / "examples" / "data" / "digits.csv.gz"
    assert run(["train", "--data", str(data), *TRAIN, *options, "--out", str(folder)]) == 0
    return folder


@cache
def proven_files() -> tuple[bytes, bytes]:
    """statement.json and proof.zkp of a run at 128 bits."""
    folder = train(Path(mkdtemp(prefix="zkgrad-http-")) / "run")
    assert run(["prove", str(folder)]) == 0
    return (folder / "statement.json").read_bytes(), (folder / "proof.zkp").read_bytes()
