"""Channels: what the verifier talks through. It is written once and runs on hidden scalars.

A hidden scalar s is sent as c = s + pad; the pad is committed beforehand and never sent. So each scalar is an affine
expression c - pad in unknown pads, and every check on scalars is an affine equation in them, or a product of two
scalars whose pads' product is committed too. `zero_knowledge.py` proves at the end that all equations hold.
In a transparent proof there are no pads: scalars are constants and every equation is decided on the spot.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .arithmetic import Arithmetic
from .errors import MalformedProof, RejectedProof
from .field import ONE, ZERO, Ext, P
from .transcript import Transcript

if TYPE_CHECKING:
    from .claims import Claim

# Kinds of pad: single ones, and the left, right and product members of a pair. A variable is (index << 2) | kind.
SINGLE, LEFT, RIGHT, PRODUCT = 0, 1, 2, 3
_MINUS_ONE = -ONE


class Hidden:
    """An affine expression `constant + sum of coefficient * pad`; adds to Hidden, Ext, int; scales by Ext, int."""

    __slots__ = ("constant", "terms")

    def __init__(self, constant: Ext, terms: dict[int, Ext] | None = None) -> None:
        self.constant = constant
        self.terms = terms or {}

    def __add__(self, other: Hidden | Ext | int) -> Hidden:
        if not isinstance(other, Hidden):
            return Hidden(self.constant + other, self.terms)
        terms = dict(self.terms)
        for variable, coefficient in other.terms.items():
            terms[variable] = terms[variable] + coefficient if variable in terms else coefficient
        return Hidden(self.constant + other.constant, terms)

    __radd__ = __add__

    def __neg__(self) -> Hidden:
        return self * _MINUS_ONE

    def __sub__(self, other: Hidden | Ext | int) -> Hidden:
        return self + (-other)

    def __rsub__(self, other: Ext | int) -> Hidden:
        return -self + other

    def __mul__(self, factor: Ext | int) -> Hidden:
        return Hidden(self.constant * factor, {v: c * factor for v, c in self.terms.items()})

    __rmul__ = __mul__


class Pair(NamedTuple):
    """Two hidden scalars and the expression of their product."""

    left: Hidden
    right: Hidden
    product: Hidden


class Opened(NamedTuple):
    """Columns of one tree: per position a salt and a column of field elements, and the sibling nodes of the paths."""

    salts: list[bytes]
    columns: list[list[int]]
    nodes: list[bytes]


class Channel:
    """What every channel does: absorb what is sent, draw challenges, collect equations on hidden scalars.

    Subclasses say where values come from (`_elements`, `_bytes`, `opened`).
    """

    def __init__(self, zero_knowledge: bool) -> None:
        self.zero_knowledge = zero_knowledge
        self.transcript = Transcript()
        self.arithmetic = Arithmetic()
        self.singles = 0
        self.pairs = 0
        self.equations: list[tuple[Hidden, str]] = []

    def _elements(self, label: str, count: int) -> list[Ext]:
        raise NotImplementedError

    def _bytes(self, label: str, count: int) -> bytes:
        raise NotImplementedError

    def opened(self, label: str, positions: Sequence[int], rows: int, nodes: int) -> Opened:
        """The columns at `positions` (rows words each), their salts, and `nodes` sibling digests; not absorbed."""
        raise NotImplementedError

    def observe(self, label: str, data: bytes) -> None:
        """Absorbs what both sides know (the statement's digest)."""
        self.transcript.observe_bytes(label, data)

    def root(self, label: str) -> bytes:
        """A Merkle root, absorbed."""
        data = self._bytes(label, 32)
        self.transcript.observe_bytes(label, data)
        return data

    def clear(self, label: str, count: int) -> list[Ext]:
        """Elements of K that reveal nothing (masked rows), absorbed."""
        values = self._elements(label, count)
        self.transcript.observe(label, values)
        return values

    def scalars(self, label: str, count: int) -> list[Hidden]:
        """Hidden scalars, absorbed as sent (under their pads)."""
        first = self.singles
        self.singles += count
        sent = self.clear(label, count)
        if not self.zero_knowledge:
            return [Hidden(value) for value in sent]
        return [Hidden(value, {(first + k) << 2 | SINGLE: _MINUS_ONE}) for k, value in enumerate(sent)]

    def pair(self, label: str) -> Pair:
        """Two hidden scalars with committed pads p, q and p q: x y = c d - c q - d p + p q for x = c - p, y = d - q."""
        index = self.pairs
        self.pairs += 1
        c, d = self.clear(label, 2)
        if not self.zero_knowledge:
            return Pair(Hidden(c), Hidden(d), Hidden(c * d))
        p, q, pq = index << 2 | LEFT, index << 2 | RIGHT, index << 2 | PRODUCT
        return Pair(Hidden(c, {p: _MINUS_ONE}), Hidden(d, {q: _MINUS_ONE}), Hidden(c * d, {p: -d, q: -c, pq: ONE}))

    def challenges(self, label: str, count: int, degree: int) -> list[Ext]:
        """`count` uniform elements of K; degree / |K| bounds the chance that a false claim survives this draw."""
        return self.transcript.sample(label, count)

    def challenge(self, label: str, degree: int) -> Ext:
        """One uniform element of K; see `challenges`."""
        return self.challenges(label, 1, degree)[0]

    def positions(self, label: str, count: int, size: int) -> list[int]:
        """Distinct query positions, sorted."""
        return self.transcript.positions(label, count, size)

    def settle(self, claims: Sequence[Claim]) -> None:
        """Told the claims that the final merge settles; the prover's channel passes them on to its script."""

    def zero(self, expression: Hidden, what: str) -> None:
        """Demands that an expression in hidden scalars vanishes."""
        if expression.terms:
            self.equations.append((expression, what))
        elif expression.constant != ZERO:
            raise RejectedProof(f"{what} does not hold")

    def check(self, holds: bool, what: str) -> None:
        """Demands a condition on public values."""
        if not holds:
            raise RejectedProof(f"{what} does not hold")


class ReadingChannel(Channel):
    """Reads a proof front to back; every byte has one meaning and must be in canonical form."""

    def __init__(self, zero_knowledge: bool, body: bytes) -> None:
        super().__init__(zero_knowledge)
        self._body = body
        self._place = 0

    def _bytes(self, label: str, count: int) -> bytes:
        end = self._place + count
        if end > len(self._body):
            raise MalformedProof(
                f"the proof ends inside {label!r}: {count} bytes wanted at byte {self._place}, "
                f"{len(self._body) - self._place} left"
            )
        data = self._body[self._place : end]
        self._place = end
        return data

    def _words(self, label: str, count: int) -> list[int]:
        data = self._bytes(label, 8 * count)
        words = list(struct.unpack(f"<{count}Q", data))
        if words and max(words) >= P:
            raise MalformedProof(f"{label!r} holds a number that is not below p")
        return words

    def _elements(self, label: str, count: int) -> list[Ext]:
        words = self._words(label, 3 * count)
        return [Ext((words[k], words[k + 1], words[k + 2])) for k in range(0, len(words), 3)]

    def opened(self, label: str, positions: Sequence[int], rows: int, nodes: int) -> Opened:
        salts, columns = [], []
        for _ in positions:
            salts.append(self._bytes(f"{label} salt", 32))
            columns.append(self._words(f"{label} column", rows))
        return Opened(salts, columns, [self._bytes(f"{label} path", 32) for _ in range(nodes)])

    def close(self) -> None:
        """Refuses bytes after the end."""
        if self._place != len(self._body):
            raise MalformedProof(f"{len(self._body) - self._place} bytes follow the end of the proof")
