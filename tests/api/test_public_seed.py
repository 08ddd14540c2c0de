"""`train --init seed`: runs whose first weights everybody can expand, as one proof and as a chain."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.app import run
from verifier.statement import parse_statement

SEED = "07" * 32


@pytest.mark.parametrize("cut", [[], ["--segment-steps", "1"]], ids=["one proof", "chain"])
def test_a_run_from_a_public_seed(tmp_path: Path, cut: list[str]) -> None:
    data, folder = tmp_path / "data.csv", tmp_path / "run"
    data.write_text("x,y,label\n" + "\n".join(f"{k % 5},{(3 * k) % 7},{k % 3}" for k in range(24)) + "\n")
    options = ["--data", str(data), "--layers", "2-4-3", "--batch", "4", "--steps", "2", "--lr", "0.0009765625", *cut]
    assert run(["train", *options, "--security", "100", "--init", f"seed:{SEED}", "--out", str(folder)]) == 0
    assert run(["prove", str(folder)]) == 0 and run(["check", str(folder)]) == 0
    assert run(["verify", str(folder), "--security", "100"]) == 0
    first = folder / "segments" / "000" if cut else folder
    statement = parse_statement((first / "statement.json").read_bytes())
    assert statement.initial_root.hex() == SEED and statement.parameters.initial == "public-seed"


@pytest.mark.parametrize("text", ["seed:07", "seed:xyz"])
def test_bad_seeds(tmp_path: Path, text: str) -> None:
    assert run(["train", "--data", "none.csv", "--layers", "2-3", "--init", text, "--out", str(tmp_path / "run")]) == 2
