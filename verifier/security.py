"""The soundness sum: the chance that a false statement is accepted, term by term, from the protocol as it runs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import log2

from .commitment import Code, code_of
from .errors import ParametersUnsafe
from .field import P
from .merge import committed_bits
from .protocol import converse
from .recording import RecordingChannel
from .relation import Relation
from .statement import Parameters, Statement
from .zero_knowledge import PadCode, pad_code

EXTENSION_SIZE = P**3
HASH_BITS = 128  # collision resistance of SHA-256, which Fiat-Shamir and the trees rest on: computational, listed apart


@dataclass(frozen=True)
class Shape:
    """What is known of a proof from its statement alone: codes, items, largest length, soundness terms."""

    code: Code
    pads: PadCode
    recorder: RecordingChannel
    terms: tuple[tuple[str, Fraction], ...]

    @property
    def error(self) -> Fraction:
        """The union bound over all terms."""
        return sum((value for _, value in self.terms), Fraction(0))

    @property
    def bits(self) -> float:
        """-log2 of the error."""
        return bits_of(self.error)

    @property
    def max_bytes(self) -> int:
        """The largest length a proof's body can have (paths share nodes by luck of the positions)."""
        return self.recorder.length


def bits_of(value: Fraction) -> float:
    """-log2 of a fraction that may be far below the range of floats."""
    return log2(value.denominator) - log2(value.numerator) if value else float("inf")


def shape_of(statement: Statement, relation: Relation) -> Shape:
    """Runs the protocol without a proof and adds up what each draw may let through."""
    p = statement.parameters
    code, pads = code_of(p), pad_code(p)
    recorder = RecordingChannel(p.zero_knowledge)
    converse(recorder, statement, relation, code, pads)
    errors = dict(recorder.errors)
    largest = max(committed_bits(relation, name) for name in relation.tensors)
    errors["row folds"] = (largest - p.row_bits) * code.positions
    terms = [(label, Fraction(degree, EXTENSION_SIZE)) for label, degree in errors.items() if degree]
    terms.append(("queries", Fraction(code.positions + code.combined, 2 * code.positions) ** code.queries))
    if p.zero_knowledge:
        terms.append(("pads queries", Fraction(pads.positions + 2 * pads.length, 2 * pads.positions) ** pads.queries))
    return Shape(code, pads, recorder, tuple(terms))


def check_promise(p: Parameters, minimum: int) -> None:
    """Refuses a statement that promises less than the caller demands; needs no shape."""
    if p.security_bits < minimum:
        raise ParametersUnsafe(f"the statement promises {p.security_bits} bits of security, {minimum} are required")


def check_security(shape: Shape, p: Parameters) -> None:
    """Refuses a statement whose error exceeds what it promises."""
    if shape.error > Fraction(1, 1 << p.security_bits):
        raise ParametersUnsafe(
            f"the soundness error adds up to 2^-{shape.bits:.1f}, the statement promises 2^-{p.security_bits}"
        )
