"""`prove-inference`, `open-model` and `digest` from the command line, on the digits."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from api.app import run
from verifier.statement import parse_statement

ROOT = Path(__file__).parents[2]
ROWS = 24


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits.csv with labels and samples.csv without, of two dozen digits, and a tiny run on them."""
    folder = tmp_path_factory.mktemp("uses")
    with gzip.open(ROOT / "examples" / "data" / "digits.csv.gz", "rt") as stream:
        rows = list(csv.reader(stream))[: ROWS + 1]
    for name, cut in (("digits.csv", None), ("samples.csv", -1)):
        (folder / name).write_text("".join(",".join(row[:cut]) + "\n" for row in rows))
    options = ["--layers", "64-4-10", "--batch", "4", "--steps", "2", "--lr", "0.0009765625", "--security", "100"]
    budget = ["--state-openings", "5", "--data-openings", "1"]
    command = ["train", "--data", str(folder / "digits.csv"), *options, *budget, "--out", str(folder / "run")]
    assert run(command) == 0
    return folder


@pytest.fixture(scope="module")
def opened(trained: Path) -> Path:
    """The run's model, opened for its own weights file."""
    assert run(["open-model", str(trained / "run"), "--out", str(trained / "opened")]) == 0
    return trained / "opened"


def answered(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict:
    """The object that a command prints with --json."""
    capsys.readouterr()
    assert run([*(str(argument) for argument in arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def files(folder: Path) -> list[str]:
    return [str(folder / "statement.json"), str(folder / "proof.zkp")]


def check_report(folder: Path, said: list[str], unsaid: list[str]) -> None:
    """A report of a statement and its proof names the model, and nothing that such a statement does not have."""
    page = folder.with_suffix(".html")
    assert run(["report", *files(folder), "-o", str(page)]) == 0
    text = page.read_text()
    root = parse_statement((folder / "statement.json").read_bytes()).initial_root.hex()
    assert [words for words in (root, *said) if words not in text] == []
    assert [words for words in ("first weights", "0" * 64, *unsaid) if words in text] == []


def test_outputs_of_public_inputs(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, out = trained / "samples.csv", trained / "public"
    told = answered(capsys, "prove-inference", trained / "run", "--data", samples, "--public-inputs", "--out", out)
    classes = answered(capsys, "predict", trained / "run", "--data", samples)["predictions"]
    assert np.argmax(told["outputs"], axis=1).tolist() == classes and told["samples"] == ROWS
    statement = parse_statement((out / "statement.json").read_bytes())
    whole = np.loadtxt(samples, delimiter=",", skiprows=1)
    assert np.array_equal(statement.inference.inputs, np.floor(whole / whole.max() * 2 ** told["scale_bits"] + 0.5))
    assert statement.initial_root == parse_statement((trained / "run" / "statement.json").read_bytes()).final_root
    assert sorted(path.name for path in out.iterdir()) == ["proof.zkp", "statement.json"]
    assert run(["verify", *files(out), "--security", "100"]) == 0
    shown = answered(capsys, "show", out / "statement.json")
    assert "whose inputs the statement lists" in shown["claim"][0]
    check_report(out, ["Inference of a committed", "in the statement"], ["commitment to all samples"])
    assert not [line for line in shown["not_proven"] if "commitment: from" in line]


def test_classes_of_the_training_data(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained / "classes"
    command = ("prove-inference", trained / "run", "--training-data", "--reveal", "classes", "--out")
    told = answered(capsys, *command, out)
    statement = parse_statement((out / "statement.json").read_bytes())
    run_statement = parse_statement((trained / "run" / "statement.json").read_bytes())
    assert statement.data_root == run_statement.data_root and statement.inference.outputs is None
    assert told["classes"] == answered(
        capsys, "predict", trained / "run", "--data", trained / "samples.csv"
    )["predictions"]  # fmt: skip
    assert told["openings_left"]["data"] == 0
    assert run(["verify", *files(out), "--security", "100"]) == 0
    assert any("tie" in line for line in answered(capsys, "show", out / "statement.json")["not_proven"])
    check_report(out, ["commitment to all samples", "classes"], ["Samples committed"])
    # The only opening of the data is spent.
    assert answered(capsys, *command, trained / "again", code=4)["error"]["code"] == "budget_exhausted"
    assert not (trained / "again").exists()


def test_the_holder_of_the_weights_checks_them(
    trained: Path, opened: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = trained / "run" / "weights_int.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    check = ["verify", *files(opened), "--security", "100"]
    assert run([*check, "--model", str(weights)]) == 0
    assert answered(capsys, *check, code=2)["error"]["code"] == "file_needed"
    other = trained / "other.safetensors"
    arrays = {name: array.copy() for name, array in safetensors.numpy.load_file(weights).items()}
    arrays["layers.1.bias"][3] += 1
    safetensors.numpy.save_file(arrays, other)
    assert answered(capsys, *check, "--model", other, code=5)["error"]["code"] == "not_expected"
    assert any(digest in line for line in answered(capsys, "show", opened / "statement.json")["claim"])
    said = [f">{digest}<", "Weights of a committed", "--model weights_int.safetensors"]
    check_report(opened, said, ["commitment to all samples", "Samples"])


def slots(trained: Path) -> int:
    """Openings of the final state that are spent."""
    path = trained / "run" / "slots.json"
    root = parse_statement((trained / "run" / "statement.json").read_bytes()).final_root.hex()
    return json.loads(path.read_text()).get(root, 0) if path.exists() else 0


def test_an_opening_is_counted(trained: Path, opened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, weights = slots(trained), trained / "run" / "weights_int.safetensors"
    command = ("open-model", trained / "run", "--model", weights, "--replace", "--out", opened)
    told = answered(capsys, *command)
    assert told["file"] == f"sha256:{hashlib.sha256(weights.read_bytes()).hexdigest()}"
    assert slots(trained) == before + 1 and told["openings_left"]["final state"] == 5 - slots(trained)


def test_another_file_is_not_opened_and_spends_nothing(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = safetensors.numpy.load_file(trained / "run" / "weights_int.safetensors")
    other, floats = trained / "changed.safetensors", trained / "run" / "weights.safetensors"
    safetensors.numpy.save_file(arrays | {"layers.0.bias": arrays["layers.0.bias"] + 1}, other)
    before = slots(trained)
    for model, code, name in ((other, 1, "witness_unsatisfied"), (floats, 3, "malformed_weights")):
        command = ("open-model", trained / "run", "--model", model, "--out", trained / "none")
        assert answered(capsys, *command, code=code)["error"]["code"] == name
    assert slots(trained) == before and not (trained / "none").exists()


def test_the_standalone_verifier_takes_the_file(trained: Path, opened: Path) -> None:
    weights = trained / "run" / "weights_int.safetensors"
    junk = trained / "junk"
    junk.write_bytes(b"\xff" * 100)
    cases = [(["--model", str(weights)], 0), ([], 2), (["--model", str(junk)], 5), (["--model", "nothing"], 2)]
    for options, code in cases:
        command = [sys.executable, "-S", "-E", "-s", "-m", "verifier", *files(opened), "--security", "100", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr


WRONG_USE = {
    "no samples": ([], 2),
    "two kinds of samples": (["--data", "samples.csv", "--training-data"], 2),
    "training data made public": (["--training-data", "--public-inputs"], 2),
    "an unknown reveal": (["--data", "samples.csv", "--reveal", "logits"], 2),
    "labelled samples": (["--data", "digits.csv"], 3),
    "no file": (["--data", "nothing.csv"], 3),
}


@pytest.mark.parametrize("what", WRONG_USE)
def test_wrong_use(trained: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    options, code = WRONG_USE[what]
    placed = [str(trained / option) if option.endswith(".csv") else option for option in options]
    answered(capsys, "prove-inference", trained / "run", *placed, "--out", trained / "wrong", code=code)
    assert not (trained / "wrong").exists()


def test_a_run_starts_from_the_weights_of_another(trained: Path) -> None:
    """The float file of one run, named as a state_dict, is the first state of the next."""
    options = ["--layers", "64-4-10", "--batch", "4", "--steps", "1", "--lr", "0.0009765625", "--security", "100"]
    weights, out = trained / "run" / "weights.safetensors", trained / "next"
    command = ["train", "--data", str(trained / "digits.csv"), *options, "--init", str(weights), "--out", str(out)]
    assert run(command) == 0
    found = safetensors.numpy.load_file(out / "initial.safetensors")
    scale = parse_statement((out / "statement.json").read_bytes()).parameters.state_bits
    for name, values in safetensors.numpy.load_file(weights).items():
        layer, part = name.split(".")
        assert abs(found[f"layers.{int(layer) // 2}.{part}"] - np.float64(values) * 2.0**scale).max() <= 0.5


def test_only_a_folder_of_a_proof_is_replaced(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("open-model", trained / "run", "--replace", "--out")
    (trained / "kept").mkdir()
    (trained / "kept" / "notes.txt").write_text("mine")
    for folder in (trained / "run", trained / "kept"):
        assert answered(capsys, *command, folder, code=3)["error"]["code"] == "run_folder"
    assert (trained / "run" / "settings.json").exists() and (trained / "kept" / "notes.txt").exists()


def test_digests_tie_files_together(trained: Path, opened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statement, proof, weights = (
        answered(capsys, "digest", path)["files"][0]
        for path in (opened / "statement.json", opened / "proof.zkp", trained / "run" / "weights_int.safetensors")
    )
    assert (statement["kind"], proof["kind"], weights["kind"]) == ("statement", "proof", "weights")
    assert proof["statement_digest"] == statement["statement_digest"]
    assert statement["weights_file"] == weights["sha256"]
    of_run = answered(capsys, "digest", trained / "run")["files"]
    assert [entry["kind"] for entry in of_run] == ["statement", "weights"]
    assert of_run[0]["final_root"] == statement["initial_root"]
    for path in (trained / "digits.csv", trained / "nothing", trained / "run" / "settings.json"):
        answered(capsys, "digest", path, code=2 if path.name == "nothing" else 3)
