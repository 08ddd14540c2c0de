"""Receipts: signed verdicts. A signer says that the verifier found the proof of a statement valid, and nothing else.

    {
     "format": "zkgrad-receipt/1",
     "subject": "statement" or "run",
     "protocol": 1, the proof version,
     "digest": 64 hexadecimal digits, of the statement, or of the run's manifest,
     "parameters": 64 hexadecimal digits, the parameters' digest (of a run: of its last statement),
     "security_bits": 128 or 100, what the verifier was told to demand,
     "zero_knowledge": true, or false when a transparent proof was accepted,
     "keys": [96 hexadecimal digits, ...], who signed, in ascending order,
     "signature": 192 hexadecimal digits, the aggregate of their signatures on one message
    }

The signed message has no time, no name and no software version, so that signatures on one verdict add up to one.
A verdict of invalid is never signed: anybody could have one, with garbage.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from verifier.errors import ParametersUnsafe, StatementMismatch
from verifier.proof import VERSION

from . import bls
from .registry import (
    MAX_KEYS,
    Entry,
    MalformedReceipt,
    Registry,
    RejectedReceipt,
    check_canonical,
    dump,
    hex_bytes,
    load,
)
from .verdict import Subject, Valid

FORMAT = "zkgrad-receipt/1"
TAGS = {"statement": b"ZKGRAD-RECEIPT-v1\0", "run": b"ZKGRAD-RUN-RECEIPT-v1\0"}


@dataclass(frozen=True)
class Receipt:
    """A verdict and the signatures on it. `keys` are distinct and in ascending order."""

    verdict: Valid
    keys: tuple[bytes, ...]
    signature: bytes

    def to_bytes(self) -> bytes:
        """The one canonical text."""
        return dump({"format": FORMAT} | self.fields())

    def fields(self) -> dict[str, Any]:
        """What the file says, ready for JSON."""
        v = self.verdict
        return {
            "subject": v.subject.kind,
            "protocol": v.protocol,
            "digest": v.subject.digest.hex(),
            "parameters": v.subject.parameters.hex(),
            "security_bits": v.security_bits,
            "zero_knowledge": v.zero_knowledge,
            "keys": [key.hex() for key in self.keys],
            "signature": self.signature.hex(),
        }


def message(verdict: Valid) -> bytes:
    """What is signed: tag || protocol (4 bytes) || digest || parameters' digest || bits (2 bytes) || hides (1 byte).

    Big-endian; 89 bytes for a statement, 93 for a run, so never the 32 bytes that other protocols sign.
    """
    subject = verdict.subject
    return (
        TAGS[subject.kind]
        + verdict.protocol.to_bytes(4, "big")
        + subject.digest
        + subject.parameters
        + verdict.security_bits.to_bytes(2, "big")
        + bytes([verdict.zero_knowledge])
    )


def parse_receipt(text: bytes) -> Receipt:
    """The receipt of a canonical text; MalformedReceipt, with the place, for anything else."""
    document = load(text, FORMAT)
    kind, bits, hides = (document.get(name) for name in ("subject", "security_bits", "zero_knowledge"))
    if kind not in TAGS:
        raise MalformedReceipt(f"subject must be one of {', '.join(TAGS)}")
    if document.get("protocol") != VERSION:
        raise MalformedReceipt(f"protocol {str(document.get('protocol'))[:20]}; this version reads {VERSION}")
    if bits not in (100, 128) or not isinstance(hides, bool):
        raise MalformedReceipt("security_bits must be 128 or 100, zero_knowledge true or false")
    digests = [hex_bytes(document.get(name), 32, name) for name in ("digest", "parameters")]
    listed = document.get("keys")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_KEYS:
        raise MalformedReceipt(f"keys must list 1 to {MAX_KEYS} keys")
    keys = tuple(hex_bytes(key, bls.KEY_BYTES, f"keys[{k}]") for k, key in enumerate(listed))
    if list(keys) != sorted(set(keys)):
        raise MalformedReceipt("keys must be in ascending order, none twice")
    signature = hex_bytes(document.get("signature"), bls.SIGNATURE_BYTES, "signature")
    receipt = Receipt(Valid(Subject(kind, *digests), VERSION, bits, hides), keys, signature)
    check_canonical(receipt.to_bytes(), text, "receipt")
    return receipt


def sign(verdict: Valid, secret: int) -> Receipt:
    """A receipt by one key for a verdict that `api.verdict.judge` came to."""
    return Receipt(verdict, (bls.public_key(secret),), bls.sign(secret, message(verdict)))


def aggregate(receipts: Sequence[Receipt]) -> Receipt:
    """One receipt with one signature by all keys.

    RejectedReceipt: other verdicts, a key that has signed two of them, or a signature that does not hold. Whether the
    keys are registered is left to whoever verifies.
    """
    first, keys = receipts[0], [key for receipt in receipts for key in receipt.keys]
    for number, receipt in enumerate(receipts):
        if receipt.verdict != first.verdict:
            differences = _differences(receipt, first)
            raise RejectedReceipt(f"receipt {number} is about another verdict than receipt 0: {differences}")
        if any(key in other.keys for other in receipts[:number] for key in receipt.keys):
            raise RejectedReceipt(f"receipt {number} holds a key that one before it holds: give each signer's once")
        if not bls.holds(receipt.keys, message(receipt.verdict), receipt.signature):
            raise RejectedReceipt(f"the signature of receipt {number} does not hold")
    return Receipt(first.verdict, tuple(sorted(keys)), bls.aggregate([receipt.signature for receipt in receipts]))


def _differences(one: Receipt, other: Receipt) -> str:
    a, b = (replace(receipt, keys=(), signature=b"").fields() for receipt in (one, other))
    return ", ".join(f"{name} {a[name]}, not {b[name]}" for name in a if a[name] != b[name])


@dataclass(frozen=True)
class Demand:
    """What whoever reads a receipt asks of it. `parameters` is None where only the subject's digest is known."""

    digest: bytes
    parameters: bytes | None
    quorum: int
    security: int = 128
    transparent: bool = False


def verify(
    receipts: Sequence[Receipt], registry: Registry, demand: Demand, today: datetime.date
) -> tuple[Entry, ...]:
    """The signers, one an identity, of receipts that all are about the demanded subject; returns only if they are
    enough.

    Every key must count today: one that is unknown, revoked or out of its days makes its receipt worthless, since what
    it adds to an aggregate cannot be told apart. StatementMismatch: another subject. ParametersUnsafe: less security,
    or transparent. RejectedReceipt: keys, signatures, quorum.
    """
    signers: dict[str, Entry] = {}
    for receipt in receipts:
        _check_verdict(receipt.verdict, demand)
        entries = [registry.signer(key, today) for key in receipt.keys]
        if not bls.holds(receipt.keys, message(receipt.verdict), receipt.signature):
            raise RejectedReceipt("the signature does not hold for these keys and this verdict")
        # Two keys of one identity, as after a change of keys, are one voice.
        for entry in entries:
            signers.setdefault(entry.signer.identity, entry)
    if len(signers) < demand.quorum:
        names = ", ".join(repr(name) for name in sorted(signers)) or "nobody"
        raise RejectedReceipt(f"{len(signers)} registered signer(s) ({names}), {demand.quorum} are demanded")
    return tuple(signers[name] for name in sorted(signers))


def _check_verdict(verdict: Valid, demand: Demand) -> None:
    subject = verdict.subject
    if subject.digest != demand.digest:
        raise StatementMismatch(
            f"the receipt is for {subject.kind} {subject.digest.hex()}, expected {demand.digest.hex()}"
        )
    if demand.parameters not in (None, subject.parameters):
        raise StatementMismatch(f"the receipt names parameters {subject.parameters.hex()}, the statement has others")
    if verdict.security_bits < demand.security:
        raise ParametersUnsafe(
            f"the receipt vouches for {verdict.security_bits} bits of security, {demand.security} are required"
        )
    if not verdict.zero_knowledge and not demand.transparent:
        raise ParametersUnsafe("the receipt is for a transparent proof: it is refused unless asked for")
