"""`prove-accuracy` from the command line: the count of a trained run's model, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.app import run
from verifier.statement import parse_statement

DATA = "x,y,label\n" + "\n".join(f"{k % 5},{(3 * k) % 7},{k % 3}" for k in range(24)) + "\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run with one opening of its states."""
    folder = tmp_path_factory.mktemp("accuracy")
    (folder / "data.csv").write_text(DATA)
    data = str(folder / "data.csv")
    options = ["--data", data, "--layers", "2-4-3", "--batch", "4", "--steps", "2", "--lr", "0.0009765625"]
    assert run(["train", *options, "--security", "100", "--state-openings", "1", "--out", str(folder / "run")]) == 0
    return folder


def test_the_count_is_proven_once_and_no_more(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = str(trained / "data.csv"), str(trained / "run")
    capsys.readouterr()
    assert run(["evaluate", model, "--data", data, "--json"]) == 0
    accuracy = json.loads(capsys.readouterr().out)["accuracy"]
    command = ["prove-accuracy", model, "--data", data, "--json"]
    assert run([*command, "--out", str(trained / "first")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["samples"] == 24 and answer["correct"] == round(24 * accuracy)
    assert answer["openings_left"]["final state"] == 0
    statement = parse_statement((trained / "first" / "statement.json").read_bytes())
    assert statement.initial_root == parse_statement((trained / "run" / "statement.json").read_bytes()).final_root
    files = [str(trained / "first" / name) for name in ("statement.json", "proof.zkp")]
    assert run(["verify", *files, "--security", "100"]) == 0
    # The only opening of the final state is spent: neither another accuracy nor the run itself can be proven.
    for again in ([*command, "--out", str(trained / "second")], ["prove", model]):
        assert run(again) == 4
    assert not (trained / "second").exists()


def test_samples_of_another_shape_are_refused(trained: Path) -> None:
    wide = trained / "wide.csv"
    wide.write_text("x,y,z,label\n1,2,3,0\n")
    command = ["prove-accuracy", str(trained / "run"), "--data", str(wide), "--out", str(trained / "third")]
    assert run(command) in (2, 3)
    assert not (trained / "third").exists()
