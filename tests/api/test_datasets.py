"""Data whose columns have units of their own, from scaling to proof: the wines, classified; diabetes, as regression."""

from __future__ import annotations

import gzip
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine

from api.app import run as command_line
from verifier.statement import parse_statement

DATA = Path(__file__).parents[2] / "examples" / "data"
WINE = DATA / "wine.csv"
MAKE = runpy.run_path(str(DATA.parent / "make_data.py"))
SEED = "seed:" + "5a" * 32  # first weights known to stay in their ranges, whatever the order of the batches


@pytest.fixture(scope="module")
def wines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on every third and second wine of three; the others in test.csv."""
    folder = tmp_path_factory.mktemp("wine")
    header, *rows = WINE.read_text().splitlines()
    (folder / "train.csv").write_text("\n".join([header, *(row for k, row in enumerate(rows) if k % 3)]) + "\n")
    (folder / "test.csv").write_text("\n".join([header, *rows[::3]]) + "\n")
    options = ["--layers", "13-16-3", "--loss", "ce", "--batch", "16", "--steps", "64", "--lr", "0.25"]
    options += ["--init", SEED, "--scale", "standard", "--security", "100", "--out", str(folder / "run")]
    assert command_line(["train", "--data", str(folder / "train.csv"), *options]) == 0
    return folder


def test_the_files_are_what_the_generator_writes():
    assert WINE.read_bytes() == MAKE["wine"]()
    assert gzip.decompress((DATA / "digits.csv.gz").read_bytes()) == MAKE["digits"]()
    rows = np.loadtxt(WINE, delimiter=",", skiprows=1)
    assert (rows[:, :-1] == load_wine().data).all() and (rows[:, -1] == load_wine().target).all()


def test_wines_are_classified_and_it_is_proven(cli, wines):
    run = wines / "run"
    scaling = json.loads((run / "settings.json").read_text())["scaling"]
    rows = np.loadtxt(wines / "train.csv", delimiter=",", skiprows=1)[:, :-1]
    assert scaling["offsets"] == pytest.approx(rows.mean(axis=0))
    assert scaling["scales"] == pytest.approx(rows.std(axis=0))
    assert b"scal" not in (run / "statement.json").read_bytes(), "a scaling tells of the data and is not published"
    assert cli("check", run) == 0 and cli("prove", run) == 0
    assert cli("verify", run, "--security", "100") == 0
    p = parse_statement((run / "statement.json").read_bytes()).parameters
    assert (p.widths, p.loss, p.target) == ((13, 16, 3), "ce", "one-hot")


def test_other_wines_are_scaled_as_those_of_the_training(cli, wines, tmp_path):
    run, test = wines / "run", wines / "test.csv"
    assert cli("evaluate", run, "--data", test, "--json") == 0
    found = cli.json()
    assert found["samples"] == 60 and found["accuracy"] > 0.8
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join(line.rpartition(",")[0] for line in test.read_text().splitlines()) + "\n")
    assert cli("predict", run, "--data", bare, "--json") == 0
    labels = np.loadtxt(test, delimiter=",", skiprows=1)[:, -1]
    assert np.mean(cli.json()["predictions"] == labels) == pytest.approx(found["accuracy"])
    assert cli("prove-accuracy", run, "--data", test, "--out", tmp_path / "accuracy", "--json") == 0
    assert cli.json()["correct"] == round(60 * found["accuracy"])
    statement, proof = tmp_path / "accuracy" / "statement.json", tmp_path / "accuracy" / "proof.zkp"
    assert cli("verify", statement, proof, "--security", "100") == 0


def test_one_scale_for_all_columns_says_which_it_loses(cli, tmp_path):
    options = ("--layers", "13-3", "--batch", "4", "--steps", "2", "--lr", "0.0009765625", "--security", "100")
    assert cli("train", "--data", WINE, *options, "--out", tmp_path / "run") == 0
    assert "note: 4 of 13 feature columns (counted from 0: 0, 2, 7, 10) vary" in cli.err
    assert "--scale standard" in cli.err
    assert cli("train", "--data", WINE, *options, "--activation-bits", "12", "--out", tmp_path / "fine") == 0
    assert "note:" not in cli.err
    assert cli("train", "--data", WINE, *options, "--scale", "standard", "--out", tmp_path / "standard") == 0
    assert "note:" not in cli.err and "less its mean" in cli.err
    assert cli("train", "--data", WINE, *options, "--scale", "max", "--out", tmp_path / "no") == 2
    assert "--scale 'max': give auto, standard or a positive number" in cli.err and not (tmp_path / "no").exists()


@pytest.mark.parametrize("damage", [{"scales": [1.0]}, {"offsets": "none"}, {"target": None}], ids=str)
def test_settings_without_a_scaling_that_fits(cli, wines, tmp_path, damage):
    copy = tmp_path / "run"
    copy.mkdir()
    for path in (wines / "run").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    settings = json.loads((copy / "settings.json").read_text())
    settings["scaling"] |= damage
    if damage == {"scales": [1.0]}:
        settings["scaling"]["offsets"] = [0.0, 0.0]
    (copy / "settings.json").write_text(json.dumps(settings))
    assert cli("evaluate", copy, "--data", wines / "test.csv") == 3
    assert "scaling has 2 columns" in cli.err or "settings.json is not of version" in cli.err


def test_columns_that_do_not_vary_or_vary_too_far(cli, tmp_path):
    rows = [(5.1, 10.0 ** (k % 2), k, k % 2) for k in range(20)]
    (tmp_path / "constant.csv").write_bytes(MAKE["table"](("same", "b", "c", "kind"), rows))
    options = ("--layers", "3-2", "--batch", "4", "--steps", "2", "--lr", "0.0009765625", "--security", "100",
               "--scale", "standard", "--out", tmp_path / "run")  # fmt: skip
    assert cli("train", "--data", tmp_path / "constant.csv", *options) == 0
    scaling = json.loads((tmp_path / "run" / "settings.json").read_text())["scaling"]
    assert scaling["scales"][0] == 1 and scaling["offsets"][0] == 5.1
    rows = [(1e308 * (-1) ** k, k, k, 0) for k in range(4)]
    (tmp_path / "huge.csv").write_bytes(MAKE["table"](("a", "b", "c", "kind"), rows))
    assert cli("train", "--data", tmp_path / "huge.csv", *options, "--replace") == 2
    assert "--scale standard: some column's values are too large" in cli.err


def test_diabetes_is_predicted_and_it_is_proven(cli, tmp_path):
    data = load_diabetes(scaled=False)
    rows = [[*measured, target] for measured, target in zip(data.data.tolist(), data.target.tolist(), strict=True)]
    (tmp_path / "train.csv").write_bytes(MAKE["table"]([*data.feature_names, "progression"], rows[:400]))
    (tmp_path / "test.csv").write_bytes(MAKE["table"]([*data.feature_names, "progression"], rows[400:]))
    run = tmp_path / "run"
    options = ("--layers", "10-16-1", "--loss", "mse", "--target", "values", "--batch", "32", "--steps", "128", "--lr",
               "0.0625", "--init", SEED, "--scale", "standard", "--security", "100", "--json")  # fmt: skip
    assert cli("train", "--data", tmp_path / "train.csv", *options, "--out", run) == 0
    error = cli.json()["training_mean_squared_error"]
    assert error["after"] < data.target.var() < error["before"], "better than the mean of the targets"
    assert cli("check", run) == 0 and cli("prove", run) == 0 and cli("verify", run, "--security", "100") == 0
    assert cli("evaluate", run, "--data", tmp_path / "test.csv", "--json") == 0
    found = cli.json()
    assert found["samples"] == 42 and found["mean_squared_error"] < data.target.var()
    (tmp_path / "bare.csv").write_bytes(MAKE["table"](data.feature_names, data.data[400:].tolist()))
    assert cli("predict", run, "--data", tmp_path / "bare.csv") == 0
    predicted = np.array([float(line) for line in cli.out.splitlines()])
    assert ((predicted - data.target[400:]) ** 2).mean() == pytest.approx(found["mean_squared_error"], rel=0.02)
