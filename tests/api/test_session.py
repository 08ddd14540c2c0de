"""The session of the README at a tiny size: every verb, what it says to people and to programs, what it
leaves."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from api.commands.demo import DIGITS
from prover.model_io import load_arrays
from tests.api.conftest import TRAIN, write_table
from verifier.statement import parse_statement

SECRETS = {"settings.json", "data.safetensors", "initial.safetensors", "trace.safetensors", "openings.safetensors",
           "slots.json", "weights.safetensors", "weights_int.safetensors"}  # fmt: skip


class Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_a_run_folder_holds_what_it_should_with_secrets_for_the_owner_only(proven):
    run = proven / "run"
    assert {path.name for path in run.iterdir()} == SECRETS | {"statement.json", "proof.zkp", "timings.json"}
    for path in run.iterdir():
        public = path.name in ("statement.json", "proof.zkp")
        assert stat.S_IMODE(path.stat().st_mode) == (0o644 if public else 0o600), path
    assert [path.name for path in proven.iterdir() if path.name.startswith(".")] == []


def test_plan_says_cost_security_bounds_and_openings(cli, proven):
    assert cli("plan", proven / "run", "--json") == 0
    found = cli.json()
    assert found["security_bits"] > 100 and found["openings_left"] == {
        "data": 1, "initial state": 1, "final state": 1}  # fmt: skip
    assert (proven / "run" / "proof.zkp").stat().st_size <= found["proof_bytes"]
    assert (proven / "run" / "proof.zkp").stat().st_size > 0.9 * found["proof_bytes"]
    assert max(found["bounds_bits"].values()) < 63 and found["seconds"] > 0 and found["memory_bytes"] > 0
    assert cli("plan", proven / "run") == 0
    assert "security  2^-" in cli.err and "openings  left: data 1" in cli.err and cli.out == ""


def test_check_reports_how_much_held(cli, proven):
    assert cli("check", proven / "run", "--json") == 0
    held = cli.json()["held"]
    assert held["products"] == 4 * 3 * (7 + 3 + 7) and held["final weights"] == 5 * 7 + 7 + 7 * 3 + 3
    assert cli("check", proven / "run") == 0 and "every constraint holds" in cli.err and cli.out == ""


def test_verify_a_folder_two_files_and_standard_input(cli, proven, monkeypatch):
    run = proven / "run"
    assert cli("verify", run, "--security", "100", "--json") == 0
    found = cli.json()
    assert found["valid"] and not found["pinned"] and found["zero_knowledge"] and found["security_bits"] > 100
    params, digest = found["params_digest"], found["statement_digest"]
    arguments = ("verify", run / "statement.json", run / "proof.zkp", "--security", "100")
    assert cli(*arguments, "--expect-params", params, "--expect-statement", digest, "--json") == 0
    assert cli.json()["pinned"]
    assert cli(*arguments) == 0 and cli.out == "" and "VALID" in cli.err and "not pinned" in cli.err
    assert cli(*arguments, "--expect-params", params) == 0 and "not pinned" in cli.err
    assert cli(*arguments, "--expect-statement", digest) == 0 and "not pinned" not in cli.err
    monkeypatch.setattr(sys, "stdin", Stdin((run / "proof.zkp").read_bytes()))
    assert cli("verify", run / "statement.json", "-", "--security", "100") == 0
    monkeypatch.setattr(sys, "stdin", Stdin((run / "statement.json").read_bytes()))
    assert cli("verify", "-", run / "proof.zkp", "--security", "100") == 0


def test_show_says_the_claim_and_what_is_not_proven(cli, proven):
    assert cli("show", proven / "run", "--json") == 0
    found = cli.json()
    claim, unproven = " ".join(found["claim"]), " ".join(found["not_proven"])
    assert "5 → 7 → 3" in claim and "steps 1 to 4" in claim and "lr 0.375" in claim and "11 samples" in claim
    assert "already trained" in unproven and "may have chosen" in unproven and "good" in unproven
    assert cli("show", proven / "run" / "statement.json") == 0 and found["params_digest"] in cli.err


def test_evaluate_and_predict_agree_with_each_other(cli, proven, tmp_path):
    table = write_table(tmp_path / "test.csv", rows=40, seed=9)
    assert cli("evaluate", proven / "run", "--data", table, "--json") == 0
    accuracy = cli.json()["accuracy"]
    bare = write_table(tmp_path / "bare.csv", rows=40, seed=9, label=False)
    labels = [int(line.rsplit(",", 1)[1]) for line in table.read_text().splitlines()[1:]]
    features = [line.rsplit(",", 1)[0] for line in table.read_text().splitlines()]
    bare.write_text("\n".join(features) + "\n")
    assert cli("predict", proven / "run", "--data", bare) == 0
    classes = [int(line) for line in cli.out.splitlines()]
    assert accuracy == pytest.approx(np.mean(np.array(classes) == labels))
    assert cli("predict", proven / "run", "--data", bare, "--json") == 0 and cli.json()["predictions"] == classes
    out = tmp_path / "out.csv"
    assert cli("predict", proven / "run", "--data", bare, "--out", out) == 0 and cli.out == ""
    assert [int(line) for line in out.read_text().splitlines()] == classes


def test_data_from_standard_input(cli, tmp_path, monkeypatch):
    table = write_table(tmp_path / "table.csv")
    monkeypatch.setattr(sys, "stdin", Stdin(table.read_bytes()))
    assert cli("train", "--data", "-", *TRAIN, "--out", tmp_path / "run", "--json") == 0
    assert cli.json()["params_digest"].startswith("sha256:")


def test_a_proof_to_standard_output_is_a_proof(cli, copy):
    assert cli("prove", copy / "run", "--out", "-") == 0
    (copy / "second.zkp").write_bytes(cli.raw)
    assert cli.raw != (copy / "run" / "proof.zkp").read_bytes()
    assert cli("verify", copy / "run" / "statement.json", copy / "second.zkp", "--security", "100") == 0


def test_an_auditor_draws_the_batches(cli, tmp_path):
    table, run, nonce = write_table(tmp_path / "table.csv"), tmp_path / "run", "ab" * 32
    assert cli("commit", "--data", table, *TRAIN, "--out", run, "--json") == 0
    roots = cli.json()
    assert not (run / "statement.json").exists() and not (run / "trace.safetensors").exists()
    assert cli("prove", run) == 3 and "committed but not trained" in cli.err
    assert cli("plan", run) == 0
    assert cli("train", "--committed", run, "--nonce", nonce, "--json") == 0
    assert cli.json()["params_digest"] == roots["params_digest"]
    statement = parse_statement((run / "statement.json").read_bytes())
    assert statement.nonce.hex() == nonce and roots["data_root"] == f"sha256:{statement.data_root.hex()}"
    assert not (run / "draft.json").exists()
    assert cli("prove", run) == 0 and cli("verify", run, "--security", "100") == 0
    assert cli("show", run) == 0 and "may have chosen" not in cli.err
    assert cli("train", "--committed", run, "--nonce", nonce) == 3 and "is trained already" in cli.err


def test_a_run_on_real_targets(cli, tmp_path):
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (40, 3))
    y = 1000 * np.stack([x.sum(axis=1), x[:, 0] - x[:, 1]], axis=1)
    np.savez(tmp_path / "data.npz", features=x, targets=y)
    arguments = ("train", "--data", tmp_path / "data.npz", "--layers", "3-8-2", "--target", "values", "--batch", "8",
                 "--steps", "64", "--lr", "0.25", "--security", "100", "--out", tmp_path / "run", "--json")  # fmt: skip
    assert cli(*arguments) == 0
    error = cli.json()["training_mean_squared_error"]
    assert error["after"] < 0.2 * error["before"] and error["after"] < 0.2 * (y**2).mean()
    assert cli("check", tmp_path / "run") == 0 and cli("prove", tmp_path / "run") == 0
    assert cli("verify", tmp_path / "run", "--security", "100") == 0
    assert cli("evaluate", tmp_path / "run", "--data", tmp_path / "data.npz", "--json") == 0
    assert cli.json()["mean_squared_error"] == pytest.approx(error["after"])
    np.save(tmp_path / "x.npy", x)
    assert cli("predict", tmp_path / "run", "--data", tmp_path / "x.npy") == 0
    predicted = np.array([[float(v) for v in line.split(",")] for line in cli.out.splitlines()])
    assert ((predicted - y) ** 2).mean() == pytest.approx(error["after"], rel=0.01)


def test_cross_entropy_under_a_schedule_of_rates(cli, tmp_path):
    table = write_table(tmp_path / "table.csv")
    arguments = ("train", "--data", table, *TRAIN, "--loss", "ce", "--gradient-bits", "8", "--out", tmp_path / "run")
    assert cli(*arguments, "--lr", "0.375x3,0.1875x1") == 0 and "lr 0.1875 to 0.375 by a public schedule" in cli.err
    assert parse_statement((tmp_path / "run" / "statement.json").read_bytes()).parameters.rates == (2, 2, 2, 1)
    assert cli("check", tmp_path / "run") == 0 and cli("prove", tmp_path / "run") == 0
    assert cli("verify", tmp_path / "run", "--security", "100") == 0
    assert cli("show", tmp_path / "run") == 0 and "softmax cross entropy" in cli.err


def test_training_goes_on_from_given_weights(cli, proven, tmp_path):
    first = proven / "run" / "weights_int.safetensors"
    assert cli("train", "--data", proven / "table.csv", *TRAIN, "--init", first, "--out", tmp_path / "run") == 0
    before, after = load_arrays(first), load_arrays(tmp_path / "run" / "initial.safetensors")
    assert all((before[name] == after[name]).all() for name in before)


def test_a_transparent_proof_is_loud_and_refused_unless_asked_for(cli, proven, tmp_path):
    run = tmp_path / "run"
    assert cli("train", "--data", proven / "table.csv", *TRAIN, "--transparent", "--out", run) == 0
    assert cli("prove", run) == 0 and "WARNING" in cli.err and "NOT zero knowledge" in cli.err
    assert cli("show", run) == 0 and "GIVES AWAY" in cli.err
    assert cli("verify", run, "--security", "100") == 1 and "transparent" in cli.err
    assert cli("verify", run, "--security", "100", "--transparent") == 0 and "TRANSPARENT" in cli.err


def test_doctor_lists_versions_and_a_working_backend(cli):
    assert cli("doctor", "--json") == 0
    found = cli.json()
    assert found["backend_works"] and found["packages"]["numpy"] == np.__version__ and found["threads"] >= 1
    assert cli("doctor") == 0 and "works" in cli.err


def test_the_demo_trains_proves_and_verifies_the_digits(cli, tmp_path):
    assert DIGITS.exists()
    out = tmp_path / "runs" / "demo"
    assert cli("demo", "--steps", "2", "--out", out, "--json") == 0
    assert cli.json()["proof"] == str(out / "proof.zkp") and "VALID" in cli.err and "python3 -m verifier" in cli.err
    statement = parse_statement((out / "statement.json").read_bytes())
    assert statement.samples == 1797 and statement.parameters.widths == (64, 128, 64, 10)
    assert statement.parameters.security_bits == 128 and statement.parameters.zero_knowledge
    assert cli("demo", "--steps", "1", "--out", out) == 0, "an earlier demo is replaced"
    assert [path.name for path in out.parent.iterdir()] == ["demo"]


def test_the_session_of_the_readme_names_real_verbs_and_options(cli):
    text = (Path(__file__).parents[2] / "README.md").read_text()
    lines = re.findall(r"^    zkgrad (.+?)(?:\s+#.*)?$", text, re.M)
    assert len(lines) >= 8
    for line in lines:
        verb, *words = line.split()
        group = [verb, words[0]] if verb in ("receipt", "fhe", "jobs", "keys") else [verb]
        assert cli(*group, "--help") == 0, line
        for option in (word for word in words if word.startswith("--")):
            assert option in cli.out, (line, option)


def test_umask_does_not_widen_secrets(cli, proven, tmp_path):
    before = os.umask(0)
    try:
        assert cli("train", "--data", proven / "table.csv", *TRAIN, "--out", tmp_path / "run") == 0
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "run").iterdir()}
    assert all(modes[name] == 0o600 for name in SECRETS - {"slots.json"})


def test_settings_say_how_the_data_were_scaled(proven):
    settings = json.loads((proven / "run" / "settings.json").read_text())
    assert settings["format"] == "zkgrad-run/1" and 1.5 < settings["scaling"]["scales"][0] <= 2
