"""What the command line refuses: the exit code, the code for programs, the words for people, and nothing left
behind."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy

from api import slots
from api.commands import prove as prove_module
from prover.model_io import load_arrays
from tests.api.conftest import TRAIN, write_table


def edit(path, **changes) -> None:
    """Changes fields of a statement in place, keeping the canonical form."""
    document = json.loads(path.read_text())
    for name, value in changes.items():
        section, key = name.split("__")
        document[section][key] = value
    path.write_text(json.dumps(document, indent=1) + "\n")


def flip(path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def cut(path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


VERIFY = [
    ("a changed byte of the proof", lambda r: flip(r / "proof.zkp", 5000), 1, "proof_invalid"),
    ("a changed digest in the proof", lambda r: flip(r / "proof.zkp", 20), 5, "not_expected"),
    ("a changed magic", lambda r: flip(r / "proof.zkp", 0), 3, "malformed_proof"),
    ("a changed version", lambda r: flip(r / "proof.zkp", 8), 3, "malformed_proof"),
    ("a proof cut short", lambda r: cut(r / "proof.zkp", 9000), 3, "malformed_proof"),
    ("an empty proof", lambda r: cut(r / "proof.zkp", 0), 3, "malformed_proof"),
    ("bytes after the proof", lambda r: (r / "proof.zkp").open("ab").write(b"x"), 3, "malformed_proof"),
    ("no proof", lambda r: (r / "proof.zkp").unlink(), 2, "usage"),
    ("a statement cut short", lambda r: cut(r / "statement.json", 500), 3, "malformed_statement"),
    ("a foreign statement", lambda r: (r / "statement.json").write_text("{}"), 3, "malformed_statement"),
    ("a huge statement", lambda r: (r / "statement.json").write_text(" " * 2_000_000), 4, "limit"),
    ("another learning rate", lambda r: edit(r / "statement.json", training__rate_bits=4), 5, "not_expected"),
    ("another nonce", lambda r: edit(r / "statement.json", schedule__nonce="11" * 32), 5, "not_expected"),
    ("integers that could wrap", lambda r: edit(r / "statement.json", training__steps=65536), 5, "not_expected"),
    ("less security", lambda r: edit(r / "statement.json", protocol__security_bits=80), 1, "parameters_unsafe"),
]


@pytest.mark.parametrize("spoil, status, code", [row[1:] for row in VERIFY], ids=[row[0] for row in VERIFY])
def test_verify_refuses(cli, copy, spoil, status, code):
    spoil(copy / "run")
    found = cli("verify", copy / "run", "--security", "100", "--json")
    error = cli.json()["error"]
    if code == "not_expected" and error["code"] == "parameters_unsafe":
        # Safety is judged before the digest is compared; either refusal is right.
        status, code = 1, "parameters_unsafe"
    assert (found, error["code"], error["exit"]) == (status, code, status) and error["message"] in cli.err
    assert "Traceback" not in cli.err


def test_verify_asks_for_128_bits_unless_told(cli, proven):
    assert cli("verify", proven / "run") == 1 and "promises 100 bits of security, 128 are required" in cli.err


def test_segments_that_do_not_follow_each_other_are_refused(cli, proven):
    pair = (proven / "run" / "statement.json", proven / "run" / "proof.zkp")
    assert cli("verify", *pair, *pair, "--security", "100") == 5
    assert "segment 1 does not continue the run: first step 0, expected 4" in cli.err
    assert cli("verify", *pair, *pair, "--security", "100", "--expect-params", "00" * 32) == 2


@pytest.mark.parametrize("option", ["--expect-params", "--expect-statement"])
def test_a_wrong_pin_exits_5(cli, proven, option):
    assert cli("verify", proven / "run", "--security", "100", option, "sha256:" + "00" * 32) == 5
    assert "expected 0000" in cli.err


USAGE = [
    ("verify", "x", "--expect-params", "sha256:zz"), ("verify", "x", "y"),
    ("verify", "-", "-"), ("verify", "a", "b", "c"), ("verify", "nothing"),
    ("verify", "a", "b", "--security", "64"),
    ("frobnicate",), ("train",), ("train", "--data", "x.csv", "--layers", "5-x"), ("train", "--frob"),
    ("train", "--data", "x.csv", "--layers", "5"), ("train", "--data", "x.csv", "--layers", "5-3"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--lr", "1e9", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--lr", "0.1", "--schedule", "linear", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--lr", "0.1x32", "--warmup", "3", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--momentum", "1", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--nesterov", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--weight-decay", "-0.1", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--lr", "nan", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--steps", "0", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--steps", "9", "--lr", "1x4,0.5x4", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--lr", "1x4x", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--loss", "ce", "--target", "values", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--loss", "hinge", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--security", "64", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--target", "dogs", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--loss", "mse", "--gradient-bits", "4", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--data-openings", "0", "--out", "o"),
    ("train", "--data", "x.csv", "--layers", "5-3", "--nonce", "abc", "--out", "o"),
    ("train", "--committed", "r", "--data", "x.csv"), ("prove", "r", "--out", "-", "--json"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", USAGE, ids=[" ".join(row)[:60] for row in USAGE])
def test_wrong_usage_exits_2(cli, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    assert cli(*arguments) == 2 and cli.err.startswith("zkgrad: ") and "Traceback" not in cli.err
    assert list(tmp_path.iterdir()) == []


def hot(**changes) -> dict:
    arrays = {"features": np.ones((9, 5)), "labels": np.arange(9) % 3}
    return {name: np.asarray(value) for name, value in (arrays | changes).items()}


DATA = [
    ("a label out of range", hot(labels=np.arange(9)), 3, "label 3 is not a class number from 0 to 2"),
    ("not a number", hot(features=np.full((9, 5), np.nan)), 3, "nan is not a finite number"),
    ("other widths", hot(features=np.ones((9, 4))), 3, "has 4 features, the first layer takes 5: use --layers 4-7-3"),
    ("no rows", hot(features=np.ones((0, 5)), labels=np.zeros(0)), 3, "expected \\[n, d\\]"),
    ("beyond the fixed-point range", hot(features=np.full((9, 5), 1e6)), 3, "outside the fixed-point range"),
]


@pytest.mark.parametrize("arrays, status, message", [row[1:] for row in DATA], ids=[row[0] for row in DATA])
def test_unusable_data_leave_nothing_behind(cli, tmp_path, arrays, status, message):
    np.savez(tmp_path / "data.npz", **arrays)
    out = tmp_path / "runs" / "x"
    assert cli("train", "--data", tmp_path / "data.npz", *TRAIN, "--scale", "1", "--out", out) == status
    assert re.search(message, cli.err), cli.err
    assert not out.exists() and list(out.parent.iterdir()) == []


def test_a_run_that_overflows_exits_4_and_names_the_place(cli, tmp_path):
    table = write_table(tmp_path / "table.csv")
    arguments = [*TRAIN, "--scale", "0.02", "--steps", "40", "--lr", "3", "--gradient-bits", "12", "--out"]
    assert cli("train", "--data", table, *arguments, tmp_path / "run", "--json") == 4
    error = cli.json()["error"]
    assert error["code"] == "out_of_range" and "bits" in error["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_run_whose_integers_could_wrap_in_any_segment_exits_1(cli, tmp_path):
    rng = np.random.default_rng(5)
    np.savez(tmp_path / "wide.npz", features=rng.uniform(-1, 1, (11, 4096)), labels=np.arange(11) % 3)
    arguments = ("--layers", "4096-3", "--batch", "64", "--steps", "2", "--lr", 2.0**-11, "--gradient-bits", "22",
                 "--out", tmp_path / "run")  # fmt: skip
    assert cli("train", "--data", tmp_path / "wide.npz", *arguments) == 1 and "wraps around the field" in cli.err
    assert [path.name for path in tmp_path.iterdir()] == ["wide.npz"]


def test_an_interrupt_exits_130_and_leaves_nothing(cli, proven, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("api.training.train", interrupted)
    assert cli("train", "--data", proven / "table.csv", *TRAIN, "--out", tmp_path / "run") == 130
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_ours_exits_70_and_says_so(cli, proven, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("api.training.train", broken)
    assert cli("train", "--data", proven / "table.csv", *TRAIN, "--out", tmp_path / "run", "--json") == 70
    assert cli.json()["error"]["code"] == "internal" and "fault in zkgrad" in cli.err
    assert list(tmp_path.iterdir()) == []


# --- run folders ---


def test_an_existing_folder_is_not_overwritten_unless_asked(cli, copy):
    before = (copy / "run" / "statement.json").read_bytes()
    assert cli("train", "--data", copy / "table.csv", *TRAIN, "--out", copy / "run") == 3
    assert (copy / "run" / "statement.json").read_bytes() == before and "--replace" in cli.err
    assert cli("train", "--data", copy / "table.csv", *TRAIN, "--out", copy / "run", "--replace") == 0
    assert (copy / "run" / "statement.json").read_bytes() != before
    assert not (copy / "run" / "proof.zkp").exists(), "the proof of the run before must not stay"


def test_a_folder_that_is_no_run_is_never_replaced(cli, proven, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    status = cli("train", "--data", proven / "table.csv", *TRAIN, "--out", tmp_path / "thesis", "--replace")
    assert status == 3 and "not a run folder" in cli.err and (tmp_path / "thesis" / "chapter.tex").exists()


def rewrite(path, change) -> None:
    arrays = {name: np.array(array) for name, array in load_arrays(path).items()}
    change(arrays)
    path.write_bytes(safetensors.numpy.save(arrays))


def drop(name):
    return lambda arrays: arrays.pop(name)


DAMAGE = [
    ("no settings", lambda r: (r / "settings.json").unlink(), 3, "not a run folder"),
    ("settings of another version", lambda r: (r / "settings.json").write_text('{"format": "zkgrad-run/9"}'), 3,
     "not of version"),
    ("settings that are no JSON", lambda r: (r / "settings.json").write_text("{"), 3, "not of version"),
    ("no statement", lambda r: (r / "statement.json").unlink(), 3, "No such file"),
    ("no trace", lambda r: (r / "trace.safetensors").unlink(), 3, "No such file"),
    ("a trace cut short", lambda r: cut(r / "trace.safetensors", 700), 3, "not a whole safetensors"),
    ("a trace that lacks a tensor", lambda r: rewrite(r / "trace.safetensors", drop("RG1")), 3, "holds"),
    ("a trace of another shape", lambda r: rewrite(r / "trace.safetensors", lambda a: a.update(Y0=a["Y0"][1:])), 3,
     "Y0 has shape"),
    ("data of another run", lambda r: rewrite(
        r / "data.safetensors", lambda a: a.update({k: v[1:] for k, v in a.items()})), 3, "has 10 rows"),
    ("openings that lack salts", lambda r: rewrite(r / "openings.safetensors", drop("data.salts")), 3, "lacks"),
    ("openings cut short", lambda r: cut(r / "openings.safetensors", 100), 3, "not a whole safetensors"),
    ("damaged slots", lambda r: (r / "slots.json").write_text("{"), 3, "unknown which openings are spent"),
]  # fmt: skip


@pytest.mark.parametrize("spoil, status, message", [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE])
def test_a_damaged_run_folder_is_refused_and_its_proof_kept(cli, copy, spoil, status, message):
    spoil(copy / "run")
    before = (copy / "run" / "proof.zkp").read_bytes()
    assert cli("prove", copy / "run") == status and message in cli.err and "Traceback" not in cli.err
    assert (copy / "run" / "proof.zkp").read_bytes() == before


TAMPER = [
    ("a rounded value", "trace.safetensors", "Y0", "forward:0|relu:Y0|forward:1"),
    ("a remainder", "trace.safetensors", "R1", "forward:1|range"),
    ("a gradient", "trace.safetensors", "GA1", "backward:1"),
    ("a final weight", "weights_int.safetensors", "layers.0.weight", "final:W0"),
    ("a final bias", "weights_int.safetensors", "layers.1.bias", "final:b1"),
    ("an initial weight", "initial.safetensors", "layers.0.weight", "forward:0|final:W0"),
]


@pytest.mark.parametrize("file, name, claim", [row[1:] for row in TAMPER], ids=[row[0] for row in TAMPER])
def test_check_and_prove_find_one_changed_integer(cli, copy, file, name, claim):
    def change(arrays):
        arrays[name].flat[0] += 1

    rewrite(copy / "run" / file, change)
    assert cli("check", copy / "run", "--json") == 1
    error = cli.json()["error"]
    assert error["code"] == "witness_unsatisfied" and any(part in error["message"] for part in claim.split("|"))
    assert cli("prove", copy / "run", "--json") == 1
    assert cli.json()["error"]["code"] in ("witness_unsatisfied", "commitment_mismatch")


def test_changed_data_do_not_open_the_commitment(cli, copy):
    def change(arrays):
        arrays["inputs"][0, 0] += 1

    rewrite(copy / "run" / "data.safetensors", change)
    assert cli("prove", copy / "run", "--json") == 1
    assert cli.json()["error"]["code"] in ("commitment_mismatch", "witness_unsatisfied")


# --- openings ---


def test_a_commitment_opens_as_often_as_it_was_made_for(cli, copy):
    assert cli("prove", copy / "run") == 0 and "openings left: data 0" in cli.err
    before = (copy / "run" / "proof.zkp").read_bytes()
    assert cli("prove", copy / "run", "--json") == 4
    assert cli.json()["error"]["code"] == "budget_exhausted" and "has no opening left" in cli.err
    assert (copy / "run" / "proof.zkp").read_bytes() == before


def test_an_opening_is_spent_before_the_proof_is_written(cli, copy, monkeypatch):
    seen = []

    def full(path, data, secret=False):
        seen.append(json.loads((copy / "run" / "slots.json").read_text()))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prove_module, "write_atomic", full)
    assert cli("prove", copy / "run") != 0
    assert set(seen[0].values()) == {2}


def test_a_proof_that_fails_before_it_exists_spends_nothing(cli, copy, monkeypatch):
    def broken(*_, **__):
        raise MemoryError

    monkeypatch.setattr(prove_module, "make_proof", broken)
    before = (copy / "run" / "slots.json").read_text()
    assert cli("prove", copy / "run") == 4
    assert (copy / "run" / "slots.json").read_text() == before


def test_two_provers_do_not_share_a_folder(cli, copy):
    with slots.proving(copy / "run"):
        assert cli("prove", copy / "run") == 3 and "another process is proving" in cli.err


def test_a_proof_that_does_not_pass_its_own_check_is_not_written(cli, copy, monkeypatch):
    real = prove_module.make_proof

    def wrong(*arguments, **options):
        proof = bytearray(real(*arguments, **options))
        proof[4000] ^= 1
        return bytes(proof)

    monkeypatch.setattr(prove_module, "make_proof", wrong)
    before = (copy / "run" / "proof.zkp").read_bytes()
    slots_before = (copy / "run" / "slots.json").read_text()
    assert cli("prove", copy / "run") == 70 and "own verification" in cli.err
    assert (copy / "run" / "proof.zkp").read_bytes() == before
    assert (copy / "run" / "slots.json").read_text() == slots_before


def test_a_copied_folder_is_still_a_run(cli, copy, tmp_path):
    shutil.move(copy / "run", tmp_path / "elsewhere")
    assert cli("verify", tmp_path / "elsewhere", "--security", "100") == 0
