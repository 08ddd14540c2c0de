"""`--activation` and `--no-bias`, from data to verdict."""

from __future__ import annotations

import pytest

from prover.model_io import load_arrays
from tests.api.conftest import TRAIN, write_table


@pytest.mark.parametrize("activation, name", [("silu", "SiLU"), ("leaky-relu", "leaky ReLU")])
def test_a_run_without_bias_from_data_to_verdict(cli, tmp_path, activation, name):
    table = write_table(tmp_path / "train.csv")
    run = tmp_path / "run"
    assert cli("train", "--data", table, "--out", run, *TRAIN, "--activation", activation, "--no-bias") == 0, cli.err
    assert cli("show", run) == 0
    assert f"5 → 7 → 3 without biases, {name}" in cli.err
    assert sorted(load_arrays(run / "weights.safetensors")) == ["0.weight", "2.weight"]
    for weights in ("weights_int.safetensors", "initial.safetensors"):
        assert sorted(load_arrays(run / weights)) == ["layers.0.weight", "layers.1.weight"]
    assert cli("check", run, "--json") == 0
    held = cli.json()["held"]
    assert held["final weights"] == 5 * 7 + 7 * 3 and held["identities"] >= 4 * 3 * 7
    assert cli("prove", run) == 0, cli.err
    assert cli("verify", run, "--security", "100") == 0 and "VALID" in cli.err


def test_an_unknown_activation_is_a_usage_error(cli, tmp_path):
    table = write_table(tmp_path / "train.csv")
    assert cli("train", "--data", table, "--out", tmp_path / "run", *TRAIN, "--activation", "tanh") == 2
    assert "relu, leaky-relu, silu" in cli.err


def test_segments_without_bias_are_one_chain(cli, tmp_path):
    table = write_table(tmp_path / "train.csv")
    run = tmp_path / "run"
    more = ("--activation", "leaky-relu", "--no-bias", "--segment-steps", "2")
    assert cli("train", "--data", table, "--out", run, *TRAIN, *more) == 0, cli.err
    states = sorted(run.glob("**/initial.safetensors"))
    assert len(states) == 2
    for path in (*states, run / "weights_int.safetensors"):
        assert sorted(load_arrays(path)) == ["layers.0.weight", "layers.1.weight"]
    assert cli("prove", run) == 0, cli.err
    assert cli("verify", run, "--security", "100") == 0 and "VALID" in cli.err
