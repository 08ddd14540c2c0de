"""Signed verdicts: what is signed, whose signature counts, and what is refused."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import hmac
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from api import bls, manifest, receipts, registry, verdict, verification
from api.app import run as command
from api.console import LimitError
from tests.api.conftest import TRAIN, write_table
from tests.api.test_refusals import cut, flip
from verifier.errors import ParametersUnsafe, StatementMismatch
from verifier.statement import parse_statement

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "receipts.json").read_text())
TODAY = datetime.date(2026, 6, 1)
FIRST, LAST = datetime.date(2026, 1, 1), datetime.date(2026, 12, 31)
DAYS = ("--not-before", "2000-01-01", "--not-after", "9000-01-01")


def data(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def cases(*path: str) -> list:
    found = VECTORS
    for name in path:
        found = found[name]
    return [pytest.param(case["input"], case["output"], id="-".join((*path, name))) for name, case in found.items()]


# --- vectors ---


@pytest.mark.parametrize("given, found", cases("message"))
def test_messages_are_those_of_the_vectors(given, found):
    subject = verdict.Subject(given["subject"], data(given["digest"]), data(given["parameters"]))
    valid = verdict.Valid(subject, given["protocol"], given["security_bits"], given["zero_knowledge"])
    assert receipts.message(valid) == data(found) and len(data(found)) in (89, 93)


@pytest.mark.parametrize("given, found", cases("sign") + cases("public", "sign"))
def test_signatures_are_those_of_the_vectors(given, found):
    assert bls.sign(int(given["privkey"], 16), data(given["message"])) == data(found)


@pytest.mark.parametrize("given, found", cases("aggregate"))
def test_aggregates_are_those_of_the_vectors(given, found):
    assert bls.aggregate([data(signature) for signature in given]) == data(found)


@pytest.mark.parametrize(
    "given, found", cases("fast_aggregate_verify") + cases("public", "fast_aggregate_verify")
)
def test_verification_of_aggregates_is_that_of_the_vectors(given, found):
    """Also the two cases that make a registry necessary: a rogue key and a repeated one pass here."""
    keys = [data(key) for key in given["pubkeys"]]
    assert bls.holds(keys, data(given["message"]), data(given["signature"])) is found


@pytest.mark.parametrize("given, found", cases("possession"))
def test_proofs_of_possession_are_those_of_the_vectors(given, found):
    assert bls.possession_holds(data(given["pubkey"]), data(given["proof"])) is found


@pytest.mark.parametrize("given, found", cases("public", "keygen"))
def test_key_generation_is_the_published_one(given, found, monkeypatch):
    """Against the published answer, and against HKDF written out here."""
    monkeypatch.setattr(bls.secrets, "token_bytes", lambda count: data(given))
    assert bls.new_secret() == int(found)
    extracted = hmac.digest(hashlib.sha256(b"BLS-SIG-KEYGEN-SALT-").digest(), data(given) + b"\0", "sha256")
    first = hmac.digest(extracted, b"\0\x30\1", "sha256")
    second = hmac.digest(extracted, first + b"\0\x30\2", "sha256")
    assert int.from_bytes((first + second)[:48], "big") % bls.ORDER == int(found)


# --- signers that need no proof: the verdict is made up ---


def made_up(**changes) -> verdict.Valid:
    subject = verdict.Subject("statement", hashlib.sha256(b"s").digest(), hashlib.sha256(b"p").digest())
    return dataclasses.replace(verdict.Valid(subject, 1, 128, True), **changes)


class Party:
    """A signer with his secret key, and his entry in a registry."""

    def __init__(self, number: int, identity: str) -> None:
        self.secret = number + 1000
        self.signer = registry.Signer(identity, bls.public_key(self.secret), bls.prove_possession(self.secret))
        self.entry = registry.Entry(self.signer, FIRST, LAST)


@pytest.fixture(scope="module")
def parties() -> list[Party]:
    return [Party(1, "Ada"), Party(2, "Grace"), Party(3, "Emmy"), Party(4, "Ada")]


@pytest.fixture(scope="module")
def signed(parties) -> list[receipts.Receipt]:
    return [receipts.sign(made_up(), party.secret) for party in parties]


def registered(*entries: registry.Entry) -> registry.Registry:
    return registry.Registry({entry.signer.key: entry for entry in entries})


def demand(quorum: int = 1, **changes) -> receipts.Demand:
    subject = made_up().subject
    return dataclasses.replace(receipts.Demand(subject.digest, subject.parameters, quorum), **changes)


def test_a_quorum_of_an_aggregate(parties, signed):
    known = registered(*(party.entry for party in parties))
    one = receipts.aggregate([signed[2], signed[0], signed[1]])
    assert list(one.keys) == sorted(one.keys) and len(one.signature) == 96
    assert receipts.parse_receipt(one.to_bytes()) == one
    found = receipts.verify([one], known, demand(3), TODAY)
    assert [entry.signer.identity for entry in found] == ["Ada", "Emmy", "Grace"]
    with pytest.raises(receipts.RejectedReceipt, match=r"3 registered .*4 are demanded"):
        receipts.verify([one], known, demand(4), TODAY)


def test_a_voice_counts_once(parties, signed):
    """Not twice by a receipt given twice, nor by two keys of one identity."""
    known = registered(*(party.entry for party in parties))
    for given in ([signed[0], signed[0]], [signed[0], signed[3]]):
        with pytest.raises(receipts.RejectedReceipt, match="1 registered"):
            receipts.verify(given, known, demand(2), TODAY)
    assert len(receipts.verify([signed[0], signed[1]], known, demand(2), TODAY)) == 2


def test_a_key_listed_twice_is_refused(parties, signed):
    double = receipts.Receipt(made_up(), signed[0].keys * 2, bls.aggregate([signed[0].signature] * 2))
    assert bls.holds(double.keys, receipts.message(made_up()), double.signature)
    with pytest.raises(receipts.MalformedReceipt, match="none twice"):
        receipts.parse_receipt(double.to_bytes())
    with pytest.raises(receipts.RejectedReceipt, match="holds a key that one before it holds"):
        receipts.aggregate([signed[0], receipts.aggregate([signed[0], signed[1]])])
    twice = registered(parties[0].entry).to_bytes()
    document = json.loads(twice)
    document["keys"] *= 2
    with pytest.raises(receipts.MalformedReceipt, match="stands there before"):
        registry.parse_registry(registry.dump(document))


def test_a_rogue_key_is_refused(parties):
    """A key that cancels another's would sign for both; nobody can prove to possess it."""
    case = VECTORS["fast_aggregate_verify"]["a_rogue_key"]["input"]
    honest, rogue = (data(key) for key in case["pubkeys"])
    message = data(case["message"])
    subject = verdict.Subject("statement", message[22:54], message[54:86])
    forged = receipts.Receipt(
        verdict.Valid(subject, 1, 128, True), tuple(sorted((honest, rogue))), data(case["signature"])
    )
    assert bls.holds(forged.keys, receipts.message(forged.verdict), forged.signature)
    owner = registry.Signer("Ada", honest, data(VECTORS["possession"]["own_key"]["input"]["proof"]))
    attacker = registry.Signer("Eve", rogue, data(VECTORS["possession"]["a_rogue_key"]["input"]["proof"]))
    known = registered(registry.Entry(owner, FIRST, LAST))
    with pytest.raises(receipts.RejectedReceipt, match="not in the registry"):
        receipts.verify([forged], known, receipts.Demand(subject.digest, None, 2), TODAY)
    with pytest.raises(receipts.RejectedReceipt, match="proof of possession"):
        known.with_entry(registry.Entry(attacker, FIRST, LAST))
    written = registered(registry.Entry(owner, FIRST, LAST), registry.Entry(attacker, FIRST, LAST))
    with pytest.raises(receipts.RejectedReceipt, match="proof of possession"):
        receipts.verify([forged], written, receipts.Demand(subject.digest, None, 2), TODAY)


KEYS = [
    ("revoked", {"revoked": True}, "is revoked"),
    ("expired", {"not_after": datetime.date(2026, 5, 31)}, "counts from .* to 2026-05-31"),
    ("not yet", {"not_before": datetime.date(2026, 6, 2)}, "counts from 2026-06-02"),
]


@pytest.mark.parametrize("changes, message", [row[1:] for row in KEYS], ids=[row[0] for row in KEYS])
def test_a_key_that_does_not_count_spoils_its_receipt(parties, signed, changes, message):
    bad = dataclasses.replace(parties[1].entry, **changes)
    known = registered(parties[0].entry, bad)
    for given in ([signed[1]], [receipts.aggregate(signed[:2])]):
        with pytest.raises(receipts.RejectedReceipt, match=message):
            receipts.verify(given, known, demand(1), TODAY)


def test_the_days_of_a_key_are_both_included(parties, signed):
    for day in (FIRST, LAST):
        assert receipts.verify([signed[0]], registered(parties[0].entry), demand(), day)


MUTATIONS = [
    ("the digest", lambda v: dataclasses.replace(v, subject=dataclasses.replace(v.subject, digest=bytes(32)))),
    ("the parameters", lambda v: dataclasses.replace(v, subject=dataclasses.replace(v.subject, parameters=bytes(32)))),
    ("a run instead", lambda v: dataclasses.replace(v, subject=dataclasses.replace(v.subject, kind="run"))),
    ("the bits", lambda v: dataclasses.replace(v, security_bits=100)),
    ("the protocol", lambda v: dataclasses.replace(v, protocol=2)),
    ("what it hides", lambda v: dataclasses.replace(v, zero_knowledge=False)),
]


@pytest.mark.parametrize("mutate", [row[1] for row in MUTATIONS], ids=[row[0] for row in MUTATIONS])
def test_a_signature_holds_for_its_own_verdict_only(parties, signed, mutate):
    changed = dataclasses.replace(signed[0], verdict=mutate(made_up()))
    found = changed.verdict
    wanted = receipts.Demand(found.subject.digest, found.subject.parameters, 1, 100, True)
    with pytest.raises(receipts.RejectedReceipt, match="does not hold"):
        receipts.verify([changed], registered(parties[0].entry), wanted, TODAY)


def test_a_receipt_for_something_else_or_for_less_is_refused(parties, signed):
    known = registered(parties[0].entry)
    for wanted in (demand(digest=bytes(32)), demand(parameters=bytes(32))):
        with pytest.raises(StatementMismatch):
            receipts.verify([signed[0]], known, wanted, TODAY)
    weak = receipts.sign(made_up(security_bits=100), parties[0].secret)
    with pytest.raises(ParametersUnsafe, match="100 bits of security, 128 are required"):
        receipts.verify([weak], known, demand(), TODAY)
    assert receipts.verify([weak], known, demand(security=100), TODAY)
    bare = receipts.sign(made_up(zero_knowledge=False), parties[0].secret)
    with pytest.raises(ParametersUnsafe, match="transparent"):
        receipts.verify([bare], known, demand(), TODAY)
    with pytest.raises(receipts.RejectedReceipt, match="zero_knowledge False, not True"):
        receipts.aggregate([signed[1], bare])


def test_a_bad_signature_is_found_before_it_spoils_the_sum(signed):
    wrong = dataclasses.replace(signed[1], signature=signed[0].signature)
    with pytest.raises(receipts.RejectedReceipt, match="signature of receipt 1"):
        receipts.aggregate([signed[0], wrong])


RECEIPT = [
    ("no JSON", lambda t: t[:-3], "not JSON"),
    ("another format", lambda t: t.replace(b"receipt/1", b"receipt/2"), "not a file of format"),
    ("another subject", lambda t: t.replace(b'"statement"', b'"dataset"'), "subject must be"),
    ("another protocol", lambda t: t.replace(b'"protocol": 1', b'"protocol": 2'), "this version reads 1"),
    ("other bits", lambda t: t.replace(b": 128", b": 127"), "security_bits must be"),
    ("a flag as number", lambda t: t.replace(b"true", b"1"), "true or false"),
    ("upper case", lambda t: t.replace(t[-50:-10], t[-50:-10].upper()), "lower-case"),
    ("a short signature", lambda t: t.replace(t[-12:-6], b""), "192 lower-case"),
    ("spaces", lambda t: t.replace(b": ", b":  "), "canonical"),
    ("no keys", lambda t: registry.dump(json.loads(t) | {"keys": []}), "1 to"),
]


@pytest.mark.parametrize("spoil, message", [row[1:] for row in RECEIPT], ids=[row[0] for row in RECEIPT])
def test_a_malformed_receipt_names_the_place(signed, spoil, message):
    with pytest.raises(receipts.MalformedReceipt, match=message):
        receipts.parse_receipt(spoil(signed[0].to_bytes()))


REGISTRY = [
    ("a day", lambda t: t.replace(b"2026-12-31", b"2026-13-31"), r"keys\[0\].not_after must be a day"),
    ("a name", lambda t: t.replace(b'"Ada"', b'""'), r"keys\[0\].identity"),
    ("a control character", lambda t: t.replace(b'"Ada"', b'"Ada\\n"'), r"keys\[0\].identity"),
    ("no flag", lambda t: t.replace(b"false", b"null"), r"keys\[0\].revoked"),
    ("an unknown field", lambda t: t.replace(b'"revoked"', b'"admin": true, "revoked"'), "canonical"),
]


@pytest.mark.parametrize("spoil, message", [row[1:] for row in REGISTRY], ids=[row[0] for row in REGISTRY])
def test_a_malformed_registry_names_the_place(parties, spoil, message):
    with pytest.raises(receipts.MalformedReceipt, match=message):
        registry.parse_registry(spoil(registered(parties[0].entry).to_bytes()))


# --- verdicts of real proofs, by the command line ---


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
    text = (chain / "run.json").read_bytes()
    assert signed["digest"] == hashlib.sha256(b"zkgrad run v1\0" + text).hexdigest()
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
