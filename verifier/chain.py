"""A run proven in segments: each a statement and a proof, each starting from the state the one before ended with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from .arithmetic import Arithmetic
from .check import DEFAULT_SECURITY, Verdict, verify
from .errors import ParametersUnsafe, StatementMismatch
from .security import bits_of
from .statement import Parameters, Statement, parse_statement


@dataclass(frozen=True)
class ChainVerdict:
    """A valid chain: the verdicts in order, the steps it covers, and the security of the whole (errors add up)."""

    segments: tuple[Verdict, ...]
    steps: int
    security_bits: float

    @property
    def first(self) -> Statement:
        """The statement the chain starts with: its initial state is the run's."""
        return self.segments[0].statement

    @property
    def last(self) -> Statement:
        """The statement the chain ends with: its final state is the run's."""
        return self.segments[-1].statement


def verify_chain(
    segments: Sequence[tuple[bytes, bytes]],
    *,
    minimum_security: int = DEFAULT_SECURITY,
    allow_transparent: bool = False,
    arithmetic: Arithmetic | None = None,
) -> ChainVerdict:
    """Checks (statement, proof) files of consecutive segments of one run; returns only if all are valid and linked.

    Links: the run starts at step 0; data, nonce, origin and all parameters but steps and rates are the same; each
    segment starts at the step and with the state root at which the one before ended. `minimum_security` holds for the
    sum of all segments' errors. Errors: those of `verify`; StatementMismatch names the segment and both values.
    """
    if not segments:
        raise StatementMismatch("a chain has at least one segment")
    check_links([parse_statement(statement) for statement, _ in segments])
    verdicts = tuple(
        verify(
            statement,
            proof,
            minimum_security=minimum_security,
            allow_transparent=allow_transparent,
            arithmetic=arithmetic,
        )
        for statement, proof in segments
    )
    error = sum((verdict.error for verdict in verdicts), Fraction(0))
    if error > Fraction(1, 1 << minimum_security):
        raise ParametersUnsafe(
            f"the soundness errors of {len(verdicts)} segments add up to 2^-{bits_of(error):.1f}, "
            f"2^-{minimum_security} is required: prove segments with more security_bits"
        )
    return ChainVerdict(verdicts, sum(v.statement.parameters.steps for v in verdicts), bits_of(error))


EXPECTABLE = ("data_root", "initial_root", "final_root", "nonce")


def check_expected(first: Statement, last: Statement, expected: Mapping[str, bytes]) -> None:
    """Raises StatementMismatch unless the run from `first` to `last` has these roots and nonce, by field name."""
    for name, wanted in expected.items():
        found: bytes = getattr(last if name == "final_root" else first, name)
        if found != wanted:
            raise StatementMismatch(f"{name} is {found.hex()}, expected {wanted.hex()}")


def check_links(statements: Sequence[Statement]) -> None:
    """Raises StatementMismatch unless the statements are consecutive segments of one run that starts at step 0."""
    first, step, root = statements[0], 0, statements[0].initial_root
    for number, statement in enumerate(statements):
        found = {
            "first step": (statement.parameters.first_step, step),
            "initial state": (statement.initial_root.hex(), root.hex()),
            "data": (statement.data_root.hex(), first.data_root.hex()),
            "number of samples": (statement.samples, first.samples),
            "nonce": (statement.nonce.hex(), first.nonce.hex()),
            "origin": (statement.origin_root.hex(), first.initial_root.hex()),
            "parameters": (_common(statement.parameters), _common(first.parameters)),
        }
        for what, (value, wanted) in found.items():
            if value != wanted:
                raise StatementMismatch(
                    f"segment {number} does not continue the run: {what} {value}, expected {wanted}"
                )
        step, root = step + statement.parameters.steps, statement.final_root


def _common(p: Parameters) -> str:
    """The digest of what all segments of a run share: everything but their place in the run and their rates.

    Only the first segment can start from a public seed, so that the kind of first state belongs to the place.
    """
    return dataclasses.replace(p, first_step=0, steps=1, rates=(1,), initial="committed").digest().hex()
