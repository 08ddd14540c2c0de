"""verify(statement, proof): from two files to a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from .arithmetic import Arithmetic
from .channel import ReadingChannel
from .commitment import code_of, group_rows
from .errors import MalformedProof, ParametersUnsafe, StatementMismatch
from .proof import decode_proof
from .protocol import converse
from .relation import GROUPS, Relation
from .schedule import work
from .security import bits_of, check_promise, check_security, shape_of
from .statement import Statement, parse_statement
from .training import check_bounds, training_relation

MAX_SCHEDULE = 1 << 22
DEFAULT_SECURITY = 128
LEAST_SECURITY = 100


@dataclass(frozen=True)
class Verdict:
    """A valid proof: of which statement, how securely, and whether it hides its witness."""

    statement: Statement
    statement_digest: bytes
    parameters_digest: bytes
    error: Fraction
    zero_knowledge: bool

    @property
    def security_bits(self) -> float:
        """-log2 of the soundness error."""
        return bits_of(self.error)


def verify(
    statement: bytes,
    proof: bytes,
    *,
    minimum_security: int = DEFAULT_SECURITY,
    allow_transparent: bool = False,
    expect_statement: bytes | None = None,
    expect_parameters: bytes | None = None,
    arithmetic: Arithmetic | None = None,
) -> Verdict:
    """Checks a proof file against a statement file; returns only if the proof is valid.

    `minimum_security` is in bits (the command line offers 128 and 100; less is for tests). The expected digests pin
    what the caller wants proven: a valid proof of a statement the prover chose means nothing by itself. `arithmetic`
    replaces the plain one; the verdict is then as good as its numbers.
    Errors: MalformedStatement, MalformedProof, StatementMismatch, ParametersUnsafe, RejectedProof.
    Not checked, and the caller's to judge: that the committed data are good or complete, and that the initial state
    was not already trained.
    """
    claim = parse_statement(statement)
    digest, parameters = claim.digest(), claim.parameters
    if expect_statement is not None and digest != expect_statement:
        raise StatementMismatch(f"statement {digest.hex()}, expected {expect_statement.hex()}")
    if expect_parameters is not None and parameters.digest() != expect_parameters:
        raise StatementMismatch(f"parameters {parameters.digest().hex()}, expected {expect_parameters.hex()}")
    if not parameters.zero_knowledge and not allow_transparent:
        raise ParametersUnsafe("a transparent proof shows its scalars: it is refused unless asked for")
    check_promise(parameters, minimum_security)
    check_bounds(parameters)
    relation = training_relation(claim)
    body = decode_proof(proof, digest)
    _check_size(claim, relation, len(body))
    shape = shape_of(claim, relation)
    check_security(shape, parameters)
    if len(body) > shape.max_bytes:
        raise MalformedProof(f"the body has {len(body)} bytes, a proof of this statement at most {shape.max_bytes}")
    channel = ReadingChannel(parameters.zero_knowledge, body)
    channel.arithmetic = arithmetic or channel.arithmetic
    converse(channel, claim, relation, shape.code, shape.pads)
    channel.close()
    return Verdict(claim, digest, parameters.digest(), shape.error, parameters.zero_knowledge)


def _check_size(claim: Statement, relation: Relation, length: int) -> None:
    """Refuses, before any work in its size, a statement that no proof of this length can be about, or too long a
    schedule: a column has eight bytes a row, and the schedule is drawn index by index."""
    p = claim.parameters
    drawn = work(claim.samples, p.batch, p.first_step, p.steps)
    if drawn > MAX_SCHEDULE:
        raise ParametersUnsafe(f"the schedule has {drawn} indices to draw, at most {MAX_SCHEDULE} are verified")
    rows = sum(count for group in GROUPS for _, count in group_rows(relation, group))
    least = 8 * rows * code_of(p).queries
    if length < least:
        raise MalformedProof(f"the body has {length} bytes, a proof of this statement at least {least}")
