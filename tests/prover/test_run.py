"""Runs in memory: what notebooks see, that proofs of them verify, and that no opening is spent twice."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.app import run as command_line
from api.commands.demo import DIGITS
from api.saving import load_run, save_run
from prover import Proof, Run, prove, train
from prover.errors import BudgetExhausted, InputInvalid, ProverError, RunFolderError
from prover.model_io import load_arrays, load_data
from verifier import ChainVerdict, StatementMismatch, Verdict, VerifierError, verify, verify_chain

SMALL = {"batch": 8, "steps": 4, "lr": 2**-7, "security_bits": 100}


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    """300 images and their labels, as a notebook has them."""
    data = load_data(DIGITS, label="label")
    return data.features[:300].reshape(-1, 8, 8), data.labels[:300]


@pytest.fixture(scope="module")
def proven(digits: tuple[Any, Any]) -> tuple[Run, Proof]:
    """A small run with one opening a commitment, and its proof."""
    run = train(*digits, layers=(64, 12, 10), data_openings=1, state_openings=1, **SMALL)
    return run, prove(run)


@pytest.fixture(scope="module")
def chain(digits: tuple[Any, Any]) -> tuple[Run, Proof]:
    """The same in two segments, with images divided by 16 and a momentum that goes over from one to the other."""
    run = train(*digits, layers=(64, 6, 10), scale=16, segment_steps=2, momentum=0.5, schedule="cosine", **SMALL)
    return run, prove(run)


class Texts(HTMLParser):
    """The texts of a page's cells, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_importing_the_package_loads_nothing() -> None:
    code = "import prover, sys; assert 'numpy' not in sys.modules; prover.train; assert 'numpy' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    with pytest.raises(ImportError, match="cannot import name 'verify'"):
        from prover import verify  # type: ignore[attr-defined]  # noqa: F401


def test_arrays_to_a_verified_proof(proven: tuple[Run, Proof]) -> None:
    run, proof = proven
    verdict = verify(proof.statement, proof.proof, minimum_security=100, expect_statement=run.digest)
    p = verdict.statement.parameters
    assert (p.widths, p.loss, p.batch, p.steps) == ((64, 12, 10), "ce", 8, 4) and p.zero_knowledge
    assert verdict.statement.samples == 300 and verdict.statement.final_root != verdict.statement.initial_root
    with pytest.raises(StatementMismatch):
        verify(proof.statement, proof.proof, minimum_security=100, expect_statement=bytes(32))


def test_segments_make_a_chain(chain: tuple[Run, Proof]) -> None:
    run, proof = chain
    verdict = verify_chain(proof.segments, minimum_security=100)
    assert run.parameters.momentum and run.segments[1].initial.weight_velocities[0].any()
    assert verdict.steps == 4 and verdict.last.digest() == run.digest and isinstance(proof.verdict, ChainVerdict)
    with pytest.raises(InputInvalid, match="2 segments: use verify_chain"):
        _ = proof.proof
    assert "2, 2 steps" in repr(run) and "in 2 linked segments" in repr(proof)


def test_weights_predictions_and_quality_are_those_of_the_integers(
    proven: tuple[Run, Proof], digits: tuple[Any, Any]
) -> None:
    run, (images, labels) = proven[0], digits
    weights = run.weights
    hidden = np.maximum(images.reshape(-1, 64) / 16 @ weights["0.weight"].T + weights["0.bias"], 0)
    scores = hidden @ weights["2.weight"].T + weights["2.bias"]
    assert (scores.argmax(axis=1) == run.predict(images)).mean() > 0.95
    assert run.evaluate(images, labels)["accuracy"] == (run.predict(images) == labels).mean()


def test_real_targets_come_back_in_their_units() -> None:
    numbers = np.random.default_rng(1)
    x = numbers.uniform(-1, 1, (80, 3))
    y = 500 * x.sum(axis=1)
    options = {"target": "values", "batch": 8, "steps": 64, "lr": 0.25, "security_bits": 100, "seed": bytes(32)}
    run = train(x, y, layers=(3, 8, 1), **options)
    assert run.parameters.loss == "mse" and run.predict(x).shape == (80, 1)
    error = ((run.predict(x)[:, 0] - y) ** 2).mean()
    assert run.evaluate(x, y)["mean_squared_error"] == pytest.approx(error, rel=0.01) and error < 0.5 * (y**2).mean()


# --- what is shown ---


def test_every_object_shows_itself(proven: tuple[Run, Proof], chain: tuple[Run, Proof]) -> None:
    run, proof = proven
    shown = (run, proof, proof.verdict, chain[1].verdict, run.plan, run.plan.costs, run.plan.security, run.plan.bounds)
    for thing in shown:
        page = Texts(thing._repr_html_())
        assert {"table", "caption", "tr", "td"} <= page.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
        assert all(text in repr(thing) for text in page.texts), thing
    assert isinstance(proof.verdict, Verdict) and f"sha256:{run.digest.hex()}" in repr(proof)
    assert "64-12-10" in repr(run) and "300 samples" in repr(run) and "data 0, final state 0" in repr(run)
    assert "queries" in repr(run.plan.security) and "forward sums of layer 1" in repr(run.plan.bounds)


def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=alert(1)>.csv"
    path.write_text("a,b,k\n" + "".join(f"{k % 5},{k % 3},{k % 2}\n" for k in range(12)))
    page = train(path, layers=(2, 2), **SMALL)._repr_html_()
    assert "<img" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page


# --- openings ---


def test_an_opening_is_spent_once(proven: tuple[Run, Proof]) -> None:
    run = proven[0]
    with pytest.raises(BudgetExhausted, match="no opening left"):
        prove(run)
    with pytest.raises(BudgetExhausted, match="no opening left"):
        prove(copy.copy(run))
    for way in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="lock"):
            way(run)


def test_a_saved_run_is_proven_in_its_folder_only(digits: tuple[Any, Any], tmp_path: Path) -> None:
    run = train(*digits, layers=(64, 10), data_openings=2, state_openings=2, seed=b"public" * 5 + b"..", **SMALL)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept")
    with pytest.raises(RunFolderError):
        save_run(run, tmp_path / "full")
    proof = prove(run)  # the run that could not be saved still proves
    folder = save_run(run, tmp_path / "run", proof)
    for attempt in (lambda: prove(run), lambda: save_run(run, tmp_path / "again")):
        with pytest.raises(BudgetExhausted, match="moved to"):
            attempt()
    assert command_line(["verify", str(folder), "--security", "100"]) == 0
    assert command_line(["check", str(folder)]) == 0
    assert command_line(["prove", str(folder)]) == 0
    assert command_line(["prove", str(folder)]) == 4  # one opening was spent from memory, one in the folder
    exact = load_arrays(folder / "weights.safetensors")
    assert all((exact[name] == array).all() for name, array in run.weights.items())


def test_a_saved_chain_verifies_and_proves_the_rest(chain: tuple[Run, Proof], tmp_path: Path) -> None:
    run, proof = chain
    folder = save_run(run, tmp_path / "run", proof)
    pin = ["--expect-statement", f"sha256:{run.digest.hex()}"]
    assert command_line(["verify", str(folder), "--security", "100", *pin]) == 0
    assert command_line(["prove", str(folder)]) == 0, "both segments have proofs: nothing is left to prove"


def test_a_proof_of_another_run_is_not_saved(
    proven: tuple[Run, Proof], digits: tuple[Any, Any], tmp_path: Path
) -> None:
    run = train(*digits, layers=(64, 12, 10), **SMALL)
    with pytest.raises(InputInvalid, match="another run"):
        save_run(run, tmp_path / "run", proven[1])
    assert list(tmp_path.iterdir()) == []


def test_a_saved_run_comes_back_and_its_folder_counts(digits: tuple[Any, Any], tmp_path: Path) -> None:
    images, labels = digits
    run = train(*digits, layers=(64, 10), data_openings=2, state_openings=2, **SMALL)
    folder = save_run(run, tmp_path / "run")
    again = load_run(folder)
    assert again.digest == run.digest and (again.predict(images) == run.predict(images)).all()
    assert again.evaluate(images, labels) == run.evaluate(images, labels)
    assert all((again.weights[name] == values).all() for name, values in run.weights.items())
    proof = prove(again)
    verify(proof.statement, proof.proof, minimum_security=100, expect_statement=run.digest)
    assert "data 1, final state 1" in repr(load_run(folder))
    assert command_line(["prove", str(folder)]) == 0
    for other in (again, load_run(folder)):
        with pytest.raises(BudgetExhausted, match="no opening left"):
            prove(other)
    with pytest.raises(BudgetExhausted, match="move that folder"):
        save_run(again, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_saved_chain_comes_back(digits: tuple[Any, Any], tmp_path: Path) -> None:
    options = SMALL | {"steps": 2, "segment_steps": 1, "momentum": 0.5, "weight_decay": 0.01}
    run = train(*digits, layers=(64, 10), **options)
    again = load_run(save_run(run, tmp_path / "run"))
    assert again.digest == run.digest and len(again.segments) == 2
    ours, theirs = (one.segments[1].initial.named(one.parameters) for one in (run, again))
    assert ours.keys() == theirs.keys() and all((ours[name] == theirs[name]).all() for name in ours)
    verify_chain(prove(again).segments, minimum_security=100)


def test_folders_that_hold_no_trained_run(tmp_path: Path) -> None:
    options = ["--layers", "64-10", "--batch", "8", "--steps", "4", "--lr", "0.0078125"]
    assert command_line(["commit", "--data", str(DIGITS), *options, "--out", str(tmp_path / "committed")]) == 0
    (tmp_path / "empty").mkdir()
    for name, text in (("nowhere", "not a run folder"), ("empty", "not a run folder"), ("committed", "not trained")):
        with pytest.raises(RunFolderError, match=text):
            load_run(tmp_path / name)


def test_folders_that_lack_something(digits: tuple[Any, Any], tmp_path: Path) -> None:
    """A run folder without one of its files, or with half of it, is refused by a typed error."""
    run = train(*digits, layers=(64, 10), segment_steps=2, **SMALL)
    whole = save_run(run, tmp_path / "whole")
    kept = {"run.json", "settings.json", "data.safetensors", "openings.safetensors", "weights_int.safetensors",
            "segments/001/statement.json", "segments/001/initial.safetensors"}  # fmt: skip
    assert all((whole / name).is_file() for name in kept)
    for name in kept:
        path, content = whole / name, (whole / name).read_bytes()
        for left in (None, content[: len(content) // 2]):
            path.unlink() if left is None else path.write_bytes(left)
            with pytest.raises((ProverError, VerifierError)) as caught:
                load_run(whole)
            assert len(str(caught.value)) > 10
        path.write_bytes(content)
    assert load_run(whole).digest == run.digest


# --- refusals ---


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"layers": (63, 10)}, "64 features, the first of layers is 63"),
        ({"layers": (64, 9)}, "label 9 is not a class number from 0 to 8"),
        ({"layers": (64,)}, "at least two positive widths"),
        ({"loss": "hinge"}, "loss 'hinge': mse, ce"),
        ({"activation": "tanh"}, "activation 'tanh'"),
        ({"target": "labels"}, "target 'labels'"),
        ({"target": "values", "loss": "ce", "layers": (64, 1)}, "needs one-hot"),
        ({"security_bits": 80}, "128 or 100"),
        ({"nonce": b"short"}, "32 bytes"),
        ({"seed": bytes(32), "initial": "w.safetensors"}, "not from both"),
        ({"scale": "log"}, "scale 'log': give auto, standard or a positive number"),
        ({"scale": -1}, "positive number"),
        ({"lr": 0.0}, "must be a positive number"),
        ({"lr": [0.1, 0.2], "steps": 3}, "2 learning rates for 3 steps"),
        ({"lr": [0.1] * 4, "schedule": "cosine"}, "a schedule by itself"),
        ({"schedule": "linear"}, "schedule 'linear': constant"),
        ({"momentum": 1.0}, "momentum = 1.0"),
        ({"activation_bits": 17}, "activation_bits = 17 is outside"),
        ({"state_openings": 2000}, "state_openings = 2000 is outside"),
    ],
    ids=str,
)
def test_options_that_cannot_be(digits: tuple[Any, Any], change: dict[str, Any], text: str) -> None:
    with pytest.raises(InputInvalid, match=text):
        train(*digits, **{"layers": (64, 10), **SMALL, **change})


def test_arrays_that_cannot_be(digits: tuple[Any, Any]) -> None:
    images, labels = digits
    broken = images.copy()
    broken[3, 0, 1] = np.nan
    for features, targets, text in (
        (images, None, "features without labels"),
        (images, labels[:-1], "299"),
        (broken, labels, "row 3, column 1: nan is not a finite number"),
        (images.astype(object), labels, "only numbers"),
        (images, np.array(["a"] * 300), "only numbers"),
        (str(DIGITS), labels, "has its labels in it"),
    ):
        with pytest.raises(InputInvalid, match=text):
            train(features, targets, layers=(64, 10), **SMALL)
