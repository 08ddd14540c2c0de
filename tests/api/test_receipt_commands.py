"""Signed verdicts by the command line: real proofs, the verifier's process, keys and registries in files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from api import bls, manifest, registry, verdict, verification
from api.app import run as command
from api.console import LimitError
from tests.api.conftest import TRAIN, write_table
from tests.api.test_refusals import cut, flip
from verifier.errors import StatementMismatch
from verifier.statement import parse_statement

DAYS = ("--not-before", "2000-01-01", "--not-after", "9000-01-01")


@pytest.fixture(scope="module")
def signers(tmp_path_factory) -> Path:
    """A folder with two signers' key files, and a registry that knows both."""
    folder = tmp_path_factory.mktemp("signers")
    for name in ("ada", "grace"):
        files = ("--key", folder / f"{name}.key", "--public", folder / f"{name}.json")
        assert command([str(a) for a in ("receipt", "keygen", "--identity", name, *files)]) == 0
        known = ("--registry", folder / "registry.json", *DAYS)
        assert command([str(a) for a in ("receipt", "register", folder / f"{name}.json", *known)]) == 0
    return folder


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Path:
    """A proven run of two segments; a rate so low that no batch order leaves the ranges of the dry run."""
    folder = tmp_path_factory.mktemp("chain")
    options = [*TRAIN[:4], "--steps", "4", "--lr", "0.0029296875", *TRAIN[8:14], "--segment-steps", "2"]
    table = write_table(folder / "table.csv")
    assert command(["train", "--data", str(table), *options, "--out", str(folder / "run")]) == 0
    assert command(["prove", str(folder / "run")]) == 0
    return folder / "run"


def sign(cli, signers, name, run, out, *more) -> int:
    return cli("receipt", "sign", *run, "--key", signers / f"{name}.key", "--out", out, "--security", "100", *more)


def test_a_session_of_two_signers(cli, proven, signers, tmp_path):
    run, known = proven / "run", ("--registry", signers / "registry.json", "--security", "100")
    for name in ("ada", "grace"):
        assert sign(cli, signers, name, [run], tmp_path / f"{name}.receipt", "--json") == 0
    statement = parse_statement((run / "statement.json").read_bytes())
    assert cli.json()["digest"] == statement.digest().hex()
    both = tmp_path / "both.receipt"
    assert cli("receipt", "aggregate", tmp_path / "ada.receipt", tmp_path / "grace.receipt", "-o", both) == 0
    for subject in (run, run / "statement.json", f"sha256:{statement.digest().hex()}"):
        assert cli("receipt", "verify", subject, both, "--quorum", "2", *known, "--json") == 0
        assert cli.json()["signers"] == ["ada", "grace"]
    assert cli("receipt", "verify", run, tmp_path / "ada.receipt", "--quorum", "2", *known, "--json") == 1
    assert cli.json()["error"]["code"] == "receipt_rejected"
    assert cli("receipt", "verify", run, both, "--quorum", "2", *known[:2]) == 1 and "128 are required" in cli.err


def test_a_receipt_for_another_statement_is_refused(cli, proven, signers, tmp_path):
    assert sign(cli, signers, "ada", [proven / "run"], tmp_path / "r") == 0
    known = ("--registry", signers / "registry.json", "--security", "100", "--quorum", "1")
    other = dataclasses.replace(parse_statement((proven / "run/statement.json").read_bytes()), nonce=b"\1" * 32)
    (tmp_path / "other.json").write_bytes(other.to_bytes())
    assert cli("receipt", "verify", tmp_path / "other.json", tmp_path / "r", *known, "--json") == 5
    assert cli.json()["error"]["code"] == "not_expected"


def test_a_receipt_for_a_run_in_segments(cli, chain, signers, tmp_path):
    assert sign(cli, signers, "ada", [chain], tmp_path / "r", "--json") == 0
    signed = cli.json()
    assert signed["subject"] == "run"
    digests = [parse_statement((chain / f"segments/00{k}/statement.json").read_bytes()).digest() for k in (0, 1)]
    assert signed["digest"] == hashlib.sha256(b"zkgrad run v1\0" + b"".join(digests)).hexdigest()
    last = parse_statement((chain / "segments/001/statement.json").read_bytes())
    assert signed["parameters"] == last.parameters.digest().hex()
    pairs = [chain / f"segments/00{k}/{name}" for k in (0, 1) for name in ("statement.json", "proof.zkp")]
    assert sign(cli, signers, "ada", pairs, tmp_path / "same") == 0
    assert (tmp_path / "same").read_bytes() == (tmp_path / "r").read_bytes()
    known = ("--registry", signers / "registry.json", "--security", "100", "--quorum", "1")
    assert cli("receipt", "verify", chain, tmp_path / "r", *known) == 0
    assert cli("receipt", "verify", chain / "segments/001/statement.json", tmp_path / "r", *known) == 5
    assert sign(cli, signers, "ada", pairs[2:], tmp_path / "half", "--json") == 0
    assert cli.json()["subject"] == "statement"
    assert cli("receipt", "verify", chain, tmp_path / "half", *known) == 5


def test_an_unfinished_run_has_no_receipt(cli, chain, signers, tmp_path):
    shutil.copytree(chain, tmp_path / "run")
    entries = manifest.parse((chain / "run.json").read_bytes())
    open_end = (entries[0], manifest.Entry(entries[1].statement))
    (tmp_path / "run" / "run.json").write_bytes(manifest.to_bytes(open_end))
    assert sign(cli, signers, "ada", [tmp_path / "run"], tmp_path / "r") == 5 and not (tmp_path / "r").exists()
    assert sign(cli, signers, "ada", [chain], tmp_path / "r") == 0
    known = ("--registry", signers / "registry.json", "--security", "100", "--quorum", "1")
    assert cli("receipt", "verify", tmp_path / "run", tmp_path / "r", *known) == 5


INVALID = [
    ("a changed byte", lambda run: flip(run / "proof.zkp", 5000), 1, "proof_invalid"),
    ("a proof cut short", lambda run: cut(run / "proof.zkp", 9000), 3, "malformed_proof"),
    ("a foreign statement", lambda run: (run / "statement.json").write_text("{}"), 3, "malformed_statement"),
]


@pytest.mark.parametrize("spoil, status, code", [row[1:] for row in INVALID], ids=[row[0] for row in INVALID])
def test_only_valid_is_signed(cli, copy, signers, tmp_path, spoil, status, code):
    spoil(copy / "run")
    files = [copy / "run" / "statement.json", copy / "run" / "proof.zkp"]
    assert sign(cli, signers, "ada", files, tmp_path / "r", "--json") == status
    assert cli.json()["error"]["code"] == code and not (tmp_path / "r").exists()


def test_too_little_security_or_another_statement_is_not_signed(cli, proven, signers, tmp_path):
    run, key = proven / "run", ("--key", signers / "ada.key", "--out", tmp_path / "r")
    assert cli("receipt", "sign", run, *key) == 1 and "100 bits of security, 128 are required" in cli.err
    expected = ("--expect-statement", "sha256:" + "0" * 64)
    assert cli("receipt", "sign", run, *key, "--security", "100", *expected) == 5
    assert not (tmp_path / "r").exists()


def test_the_verifier_has_ended_before_the_key_is_read(cli, proven, signers, tmp_path, monkeypatch):
    """Its process has no environment and no file of ours but those it judges; the key is read when it is gone."""
    seen, real_popen, real_read = [], subprocess.Popen, registry.read_secret

    class Popen(real_popen):
        def __init__(self, arguments, **options):
            files = options["pass_fds"]
            assert len(files) == 2 and [Path(a).name for a in arguments[-2:]] == [str(handle) for handle in files]
            seen.append(("began", options["env"], options["stdin"], options.get("close_fds", True)))
            super().__init__(arguments, **options)

        def wait(self, timeout=None):
            status = super().wait(timeout)
            seen.append(("ended", status))
            return status

    def read_secret(path):
        seen.append(("key",))
        return real_read(path)

    monkeypatch.setattr(verification.subprocess, "Popen", Popen)
    monkeypatch.setattr(registry, "read_secret", read_secret)
    assert sign(cli, signers, "ada", [proven / "run"], tmp_path / "r") == 0
    assert seen[0] == ("began", {}, subprocess.DEVNULL, True)
    assert set(seen[1:-1]) == {("ended", 0)} and seen[-1] == ("key",)


LIES = [
    ("another statement", {"statement_digest": "00" * 32}),
    ("other parameters", {"params_digest": "00" * 32}),
    ("more segments", {"segments": 2}),
]


@pytest.mark.parametrize("changes", [row[1] for row in LIES], ids=[row[0] for row in LIES])
def test_a_verdict_about_something_else_is_not_signed(cli, proven, signers, tmp_path, monkeypatch, changes):
    real = verdict.judge_alone
    monkeypatch.setattr(verdict, "judge_alone", lambda *given: dataclasses.replace(real(*given), **changes))
    assert sign(cli, signers, "ada", [proven / "run"], tmp_path / "r") == 70
    assert "NoVerdict" in cli.err and not (tmp_path / "r").exists()


def test_a_verifier_that_is_stopped_has_no_verdict(cli, proven, signers, tmp_path, monkeypatch):
    monkeypatch.setattr(verdict, "_MEMORY", 1 << 20)
    assert sign(cli, signers, "ada", [proven / "run"], tmp_path / "r", "--json") == 4
    assert cli.json()["error"]["code"] == "verification_stopped" and not (tmp_path / "r").exists()


def test_a_run_of_many_segments_reaches_the_verifier_whole(proven):
    """More files than a process is commonly allowed by default reach it: it refuses the chain, which is none."""
    pair = ((proven / "run/statement.json").read_bytes(), (proven / "run/proof.zkp").read_bytes())
    with pytest.raises(StatementMismatch, match="segment 1 does not continue the run"):
        verdict.judge([pair] * 100, 100)
    with pytest.raises(LimitError, match="more than 256 segments"):
        verdict.judge([pair] * 257, 100)


def test_a_secret_key_is_for_its_owner_and_never_overwritten(cli, signers, tmp_path):
    key = signers / "ada.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    again = ("--identity", "Ada", "--key", key, "--public", tmp_path / "p")
    assert cli("receipt", "keygen", *again, "--json") == 2 and cli.json()["error"]["code"] == "usage"
    assert key.read_bytes() == before and {path.name for path in signers.iterdir()} == {
        "ada.key", "ada.json", "grace.key", "grace.json", "registry.json"}  # fmt: skip
    assert before not in (signers / "ada.json").read_bytes()
    assert json.loads(before)["secret"] not in (signers / "ada.json").read_text()


def test_a_secret_key_that_others_can_read_is_refused(cli, proven, signers, tmp_path):
    shutil.copy(signers / "ada.key", tmp_path / "ada.key")
    (tmp_path / "ada.key").chmod(0o640)
    assert sign(cli, tmp_path, "ada", [proven / "run"], tmp_path / "r") == 2 and "0640" in cli.err
    document = json.loads((signers / "ada.key").read_text()) | {"secret": f"{bls.ORDER:064x}"}
    (tmp_path / "ada.key").write_text(json.dumps(document))
    (tmp_path / "ada.key").chmod(0o600)
    assert sign(cli, tmp_path, "ada", [proven / "run"], tmp_path / "r") == 3 and "order" in cli.err


def test_a_registry_by_the_command_line(cli, proven, signers, tmp_path):
    known = tmp_path / "registry.json"
    shutil.copy(signers / "registry.json", known)
    assert cli("receipt", "register", signers / "ada.json", "--registry", known, *DAYS) == 1
    assert "in the registry already, as 'ada'" in cli.err
    assert sign(cli, signers, "ada", [proven / "run"], tmp_path / "r") == 0
    demanded = ("--registry", known, "--security", "100", "--quorum", "1")
    assert cli("receipt", "verify", proven / "run", tmp_path / "r", *demanded) == 0
    key = json.loads((signers / "ada.json").read_text())["key"]
    assert cli("receipt", "revoke", "xyz", "--registry", known) == 2
    assert cli("receipt", "revoke", key[:20], "--registry", known) == 0
    assert cli("receipt", "verify", proven / "run", tmp_path / "r", *demanded) == 1 and "is revoked" in cli.err
    backwards = ("--not-before", "2026-02-01", "--not-after", "2026-01-31")
    assert cli("receipt", "register", signers / "ada.json", "--registry", tmp_path / "new.json", *backwards) == 2
    assert not (tmp_path / "new.json").exists()
