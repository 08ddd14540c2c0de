"""A verdict to put one's name to: files judged by the verifier in a process of its own, and the digests of those files.

The files are read once. What the verifier sees are copies that nobody else has, so they cannot be exchanged between the
look and the verdict, and what it answers must be about the digests that were computed here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from verifier import errors
from verifier.chain import run_digest
from verifier.proof import VERSION
from verifier.statement import parse_statement

from .console import LimitError
from .verification import REASONS, Judgement, Limits, Pins, spool
from .verification import judge as judge_alone

# A process may have a thousand files open, and each segment takes two.
MAX_SEGMENTS = 256
_SECONDS, _MEMORY = 600, 2 << 30


class NoVerdict(Exception):
    """The verifier answered about something else than it was asked."""


@dataclass(frozen=True)
class Subject:
    """What a verdict is about: a statement, or a run of several segments, by its digest."""

    kind: str
    digest: bytes
    parameters: bytes


@dataclass(frozen=True)
class Valid:
    """A verdict of the verifier, which is always that all proofs are valid.

    `security_bits` is what the verifier was told to demand: the same for everybody who demands the same.
    """

    subject: Subject
    protocol: int
    security_bits: int
    zero_knowledge: bool


def judge(
    segments: Iterable[tuple[bytes, bytes]],
    security: int = 128,
    transparent: bool = False,
    expect_statement: bytes | None = None,
) -> Valid:
    """The verdict on (statement, proof) files, one pair or the segments of a run in order; returns only if all are
    valid. Errors: those of `verifier.verify` and `verifier.verify_chain`; LimitError: too many segments;
    VerificationStopped, NoVerdict.
    """
    statements: list[bytes] = []
    with contextlib.ExitStack() as held:
        handles, length, text = [], 0, b""
        for number, (text, proof) in enumerate(segments):
            if number == MAX_SEGMENTS:
                raise LimitError(f"a run of more than {MAX_SEGMENTS} segments is not judged in one process")
            statements.append(parse_statement(text).digest())
            handles.append((_held(held, text), _held(held, proof)))
            length += len(proof)
        pins = Pins(statement=expect_statement, security=security, transparent=transparent)
        answer = judge_alone(handles, pins, Limits(_SECONDS * len(handles), _MEMORY + 2 * length))
    if not answer.valid:
        raise _error(answer)
    last = parse_statement(text)
    wanted = (last.digest().hex(), last.parameters.digest().hex(), len(statements))
    if (answer.statement_digest, answer.params_digest, answer.segments) != wanted:
        raise NoVerdict(f"the verifier answered about other files than it was given: {answer}")
    subject = Subject("statement", last.digest(), last.parameters.digest())
    if len(statements) > 1:
        subject = Subject("run", run_digest(statements), last.parameters.digest())
    return Valid(subject, VERSION, security, answer.zero_knowledge is True)


def _held(held: contextlib.ExitStack, data: bytes) -> int:
    handle = spool(data)
    held.callback(os.close, handle)
    return handle


def _error(answer: Judgement) -> Exception:
    """The verifier's own error, by the reason that it named."""
    kinds: dict[str, type[errors.VerifierError]] = {reason: getattr(errors, name) for name, reason in REASONS.items()}
    return kinds[answer.reason or ""](answer.message)
