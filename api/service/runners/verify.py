"""Verifies a proof, or a chain of them one segment at a time, each in a confined process of the verifier's own.

What this process adds to the verifier's verdicts is what ties segments together: that they are consecutive, and that
their soundness errors add up to less than promised. Both come from the statements alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from api.service.channel import in_memory
from api.service.failures import failure
from api.verification import Judgement, Limits, Pins, VerificationStopped, judge
from prover.proving import prepare
from verifier.chain import check_expected, check_links
from verifier.errors import ParametersUnsafe, StatementMismatch
from verifier.security import bits_of
from verifier.statement import Statement, parse_statement

from .link import Link, Refused


def run(link: Link, job: Mapping[str, Any]) -> None:
    """Tells the verdict: an invalid proof is a result like another, valid: false."""
    payload = job["payload"]
    texts = [text.encode("ascii") for text in job["statements"]]
    limits = Limits(seconds=job["verify_seconds"], memory=job["verify_memory"])
    pins = _pins(payload)
    try:
        verdict = _single(link, texts[0], pins, limits) if len(texts) == 1 else _chain(link, texts, pins, limits)
    except VerificationStopped as error:
        code = "deadline" if error.code == "deadline" else "out_of_memory" if error.code == "limit" else "internal"
        raise Refused(failure(code, "verify", str(error)).document()) from None
    link.done(verdict | {"pinned": pins.complete})


def _pins(payload: Mapping[str, Any]) -> Pins:
    def digest(text: str | None) -> bytes | None:
        return None if text is None else bytes.fromhex(text)

    return Pins(
        statement=digest(payload["expect_statement"]),
        params=digest(payload["expect_params"]),
        fields={name: bytes.fromhex(value) for name, value in payload["expect"].items()},
        security=payload["min_security_bits"],
        transparent=not payload["require_zk"],
    )


def _single(link: Link, statement: bytes, pins: Pins, limits: Limits) -> dict[str, Any]:
    found = _judge(link, 0, statement, pins, limits)
    return _document(found) | ({"segments": 1} if found.valid else {})


def _chain(link: Link, texts: Sequence[bytes], pins: Pins, limits: Limits) -> dict[str, Any]:
    statements = [parse_statement(text) for text in texts]
    try:
        bits = _tied(statements, pins)
    except (StatementMismatch, ParametersUnsafe) as error:
        reason = "not_expected" if isinstance(error, StatementMismatch) else "parameters_unsafe"
        return {"valid": False, "reason": reason, "message": str(error)}
    found = Judgement(False)
    own = Pins(security=pins.security, transparent=pins.transparent)
    for segment, text in enumerate(texts):
        found = _judge(link, segment, text, own, limits)
        if not found.valid:
            return _document(found) | {"segment": segment}
        link.progress(segment + 1, len(texts))
    whole = {
        "security_bits": round(bits, 2),
        "segments": len(texts),
        "first_step": 0,
        "steps": sum(s.parameters.steps for s in statements),
        "zero_knowledge": all(s.parameters.zero_knowledge for s in statements),
    }
    return _document(found) | whole


def _tied(statements: Sequence[Statement], pins: Pins) -> float:
    """The security of the whole in bits; StatementMismatch or ParametersUnsafe as the verifier would raise them."""
    check_links(statements)
    last = statements[-1]
    if pins.statement not in (None, last.digest()):
        raise StatementMismatch(f"the chain ends with statement {last.digest().hex()}, not with the expected one")
    if pins.params is not None:
        raise StatementMismatch("segments differ in their parameters' digests: expect the statement of the last one")
    check_expected(statements[0], last, pins.fields)
    error = sum((prepare(s, pins.security)[1].error for s in statements), Fraction(0))
    if error > Fraction(1, 1 << pins.security):
        raise ParametersUnsafe(
            f"the soundness errors of {len(statements)} segments add up to 2^-{bits_of(error):.1f}, "
            f"2^-{pins.security} is required"
        )
    return bits_of(error)


def _judge(link: Link, segment: int, statement: bytes, pins: Pins, limits: Limits) -> Judgement:
    link.stage(f"verify segment {segment}")
    claim = in_memory("statement", [statement])
    with open(claim, "rb"), link.input(f"proof-{segment}") as proof:
        return judge([(claim, proof)], pins, limits)


def _document(found: Judgement) -> dict[str, Any]:
    if not found.valid:
        return {"valid": False, "reason": found.reason, "message": found.message}
    return {
        "valid": True,
        "reason": None,
        "statement_digest": found.statement_digest,
        "params_digest": found.params_digest,
        "security_bits": found.security_bits,
        "zero_knowledge": found.zero_knowledge,
        "first_step": found.first_step,
        "steps": found.steps,
    }
