"""Signed verdicts: what is signed, whose signature counts, and what is refused."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import hmac
import json
import sys
from pathlib import Path

import pytest

from api import bls, receipts, registry, verdict
from verifier.errors import MalformedStatement, ParametersUnsafe, StatementMismatch
from verifier.statement import parse_statement

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "receipts.json").read_text())
TODAY = datetime.date(2026, 6, 1)
FIRST, LAST = datetime.date(2026, 1, 1), datetime.date(2026, 12, 31)


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


def test_nested_json_is_an_error_after_signing():
    """The library raises the recursion limit when it is imported, so far that such a text would end the process."""
    limit = sys.getrecursionlimit()
    assert bls.public_key(bls.new_secret()) and sys.getrecursionlimit() == limit
    with pytest.raises(RecursionError):
        json.loads("[" * 100_000)
    sys.setrecursionlimit(1 << 20)
    try:
        with pytest.raises(MalformedStatement, match="nested more than 8 deep"):
            parse_statement(b"[" * 100_000)
    finally:
        sys.setrecursionlimit(limit)
