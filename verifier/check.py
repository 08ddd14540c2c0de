"""verify(statement, proof): from two files to a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from .arithmetic import Arithmetic
from .channel import ReadingChannel
from .commitment import code_of, group_rows
from .display import Sheet
from .errors import MalformedProof, ParametersUnsafe, StatementMismatch
from .norms import stated
from .opening import check_file, with_file
from .parameters import Parameters
from .proof import decode_proof
from .protocol import converse
from .relation import Relation
from .schedule import work
from .security import bits_of, check_promise, check_security, shape_of
from .statement import Statement, parse_statement
from .tensors import GROUPS
from .training import check_bounds, training_relation

MAX_SCHEDULE = 1 << 22
DEFAULT_SECURITY = 128
LEAST_SECURITY = 100


@dataclass(frozen=True, repr=False)
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

    @property
    def sheet(self) -> Sheet:
        """The verdict for people."""
        s, p = self.statement, self.statement.parameters
        claims = {
            "training": f"steps {p.first_step + 1} to {p.first_step + p.steps}, batches of {p.batch}, loss {p.loss}",
            "accuracy": f"{s.correct} of {s.samples} samples classified correctly",
            "inference": f"what the committed model gives for {s.samples} samples",
            "model": "the committed model is the one of the file",
        }
        rows = [
            ("claim", claims[p.task]),
            ("network", "-".join(map(str, p.widths))),
            ("samples", f"{s.samples:,}"),
            ("security", f"2^-{self.security_bits:.1f}"),
            ("zero knowledge", "yes" if self.zero_knowledge else "NO: the proof gives secrets away"),
            ("statement", f"sha256:{self.statement_digest.hex()}"),
            ("parameters", f"sha256:{self.parameters_digest.hex()}"),
        ]
        return Sheet("VALID proof; it means what its statement says, so pin the statement you expect", rows)

    def __repr__(self) -> str:
        return repr(self.sheet)

    def _repr_html_(self) -> str:
        return self.sheet._repr_html_()


def verify(
    statement: bytes,
    proof: bytes,
    *,
    minimum_security: int = DEFAULT_SECURITY,
    allow_transparent: bool = False,
    expect_statement: bytes | None = None,
    expect_parameters: bytes | None = None,
    model: bytes | None = None,
    arithmetic: Arithmetic | None = None,
) -> Verdict:
    """Checks a proof file against a statement file; returns only if the proof is valid.

    `minimum_security` is in bits (the command line offers 128 and 100; less is for tests). The expected digests pin
    what the caller wants proven: a valid proof of a statement the prover chose means nothing by itself. `model` is the
    weights file that a statement of the task "model" speaks of. `arithmetic` replaces the plain one; the verdict is
    then as good as its numbers.
    Errors: MalformedStatement, MalformedProof, MalformedWeights, FileNeeded, StatementMismatch, ParametersUnsafe,
    RejectedProof.
    Not checked, and the caller's to judge: that the committed data are good or complete, and that the initial state
    was not already trained.
    """
    claim = parse_statement(statement)
    digest, parameters = claim.digest(), claim.parameters
    if expect_statement is not None and digest != expect_statement:
        raise StatementMismatch(f"statement {digest.hex()}, expected {expect_statement.hex()}")
    if expect_parameters is not None and parameters.digest() != expect_parameters:
        raise StatementMismatch(f"parameters {parameters.digest().hex()}, expected {expect_parameters.hex()}")
    return verify_relation(
        claim,
        training_relation,
        proof,
        minimum_security=minimum_security,
        allow_transparent=allow_transparent,
        model=model,
        arithmetic=arithmetic,
    )


def verify_relation(
    claim: Statement,
    relation_of: Callable[[Statement], Relation],
    proof: bytes,
    *,
    minimum_security: int = DEFAULT_SECURITY,
    allow_transparent: bool = False,
    model: bytes | None = None,
    arithmetic: Arithmetic | None = None,
) -> Verdict:
    """Checks a proof of the relation that `relation_of` makes of a statement, for relations that no task names.

    Whatever the relation depends on must be in the statement or fixed by the caller: the transcript covers nothing
    else.
    Errors: MalformedProof, StatementMismatch, ParametersUnsafe, RejectedProof.
    """
    digest, parameters = claim.digest(), claim.parameters
    if not parameters.zero_knowledge and not allow_transparent:
        raise ParametersUnsafe("a transparent proof shows its scalars: it is refused unless asked for")
    check_promise(parameters, minimum_security)
    check_bounds(parameters)
    weights = check_file(claim, model)
    relation = relation_of(claim)
    _check_norms(parameters, relation)
    body = decode_proof(proof, digest)
    _check_size(claim, relation, len(body))
    shape = shape_of(claim, relation)
    check_security(shape, parameters)
    if len(body) > shape.max_bytes:
        raise MalformedProof(f"the body has {len(body)} bytes, a proof of this statement at most {shape.max_bytes}")
    if weights:
        relation = with_file(relation, weights)
    channel = ReadingChannel(parameters.zero_knowledge, body)
    channel.arithmetic = arithmetic or channel.arithmetic
    converse(channel, claim, relation, shape.code, shape.pads)
    channel.close()
    return Verdict(claim, digest, parameters.digest(), shape.error, parameters.zero_knowledge)


def _check_norms(parameters: Parameters, relation: Relation) -> None:
    """Bounds trust the ranges of norms, so that a relation of the caller's has to claim them."""
    claimed = {(norm.tensor, norm.rows, norm.width) for norm in relation.norms}
    for _, *norm in stated(parameters):
        if tuple(norm) not in claimed:
            raise ParametersUnsafe(f"the statement has ranges of norms, and the relation no claim on that of {norm[0]}")


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
