"""The two lowest layers of the tree of fractions, made from the columns.

A column's leaves are 1 / (c - beta a) with one c a column and small numbers a. As long as a column's own variables are
bound, its numerators stay 1 and only a is folded, so that a round is a sum of products of two numbers:

    p0 q1 + p1 q0 + lambda q0 q1 = lambda beta^2 (a0 - s)(a1 - s) - 1 / lambda,   s = (c + 1 / lambda) / beta.

Other leaves (public tables with their counts, columns that count only some entries, short columns) are fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from verifier.field import ZERO, Ext, P, total
from verifier.lookup import Block, layout, select
from verifier.relation import Lookup, Relation
from verifier.tables import second_column
from verifier.tensors import Form

from .backends.interface import Backend, Made, Table
from .fractions import Stored, beyond
from .witness import Witness, counted, to_field

# Columns of at least 2^12 leaves are parts of their own, until they are so short that the work on a part is mostly its
# overhead. Kernels take groups of four, so that the layer is one table before a part is no multiple of that.
APART_BITS, APART_LENGTH, UNIT = 12, 1 << 10, 16
_SMALL = 1 << 18  # what a backend takes for a small number


@dataclass(frozen=True)
class Part:
    """Consecutive leaves from `start` on: a column F[n] or K[3, n] of leaves 1 / (constant - beta column), or
    fractions p / q."""

    start: int
    length: int
    column: Table | None = None
    constant: Ext = ZERO
    p: Table | None = None
    q: Table | None = None


def leaf_parts(
    backend: Backend, relation: Relation, witness: Witness, alpha: Ext, beta: Ext
) -> tuple[list[Part], int]:
    """The leaves in order, without unused ones, and the depth of the tree."""
    shape = layout(relation)
    make = _Maker(backend, relation, witness, alpha, beta)
    parts, rest = [], []
    for block in shape.blocks:
        if block.bits < APART_BITS:
            rest.append(block)
        elif block.lookup is None or block.lookup.masked:
            parts.append(make.fractions([block], block.offset, 1 << block.bits))
        else:
            parts.append(make.column(block))
    if rest:
        start, unit = rest[0].offset, 1 << min(APART_BITS, shape.depth)
        used = rest[-1].offset + (1 << rest[-1].bits) - start
        parts.append(make.fractions(rest, start, -(-used // unit) * unit))
    return parts, shape.depth


class _Maker:
    """Makes parts from blocks of the layout."""

    def __init__(self, backend: Backend, relation: Relation, witness: Witness, alpha: Ext, beta: Ext) -> None:
        self._backend, self._relation, self._witness = backend, relation, witness
        self._alpha, self._beta = alpha, beta

    def column(self, block: Block) -> Part:
        """A column that counts every entry."""
        assert block.lookup is not None
        return Part(block.offset, 1 << block.bits, self._values(block.lookup), self._alpha - block.table.identity)

    def _values(self, lookup: Lookup) -> Table:
        """x + shift, small numbers if the witness is as it should be; with beta y added, or too large, over K."""
        x = self._shifted(lookup.x, lookup.shift)
        if lookup.y is None and self._backend.largest(x) < _SMALL:
            return x
        out = self._backend.lift(x)
        if lookup.y is not None:
            self._backend.accumulate(out, self._beta, self._shifted(lookup.y, 0))
        return out

    def _shifted(self, form: Form, shift: int) -> Table:
        """form + shift over F; the tensor itself if it is that."""
        (first, (name,)), *others = form.terms
        out = self._scaled(first, name)
        for coefficient, (name,) in others:
            out = self._backend.add(out, self._scaled(coefficient, name))
        if shift == 0:
            return out
        added = self._backend.empty(out.size)
        added[:] = shift % P
        return self._backend.add(out, added)

    def _scaled(self, coefficient: int, name: str) -> Table:
        tensor = self._witness.tensors[name]
        if coefficient == 1:
            return tensor
        scaled: Table = self._backend.scale(tensor, (coefficient % P, 0, 0))[0]
        return scaled

    def fractions(self, blocks: Sequence[Block], start: int, length: int) -> Part:
        """Blocks as one part of fractions, 0/1 where they leave room."""
        p, q = self._backend.zeros(3, length), self._backend.zeros(3, length)
        q[0] = 1
        for block in blocks:
            own = slice(block.offset - start, block.offset - start + (1 << block.bits))
            p[0, own], q[:, own] = self._numerators(block), self._denominators(block)
        return Part(start, length, p=p, q=q)

    def _numerators(self, block: Block) -> Table | int:
        if block.lookup is None:
            counts = self._witness.tensors[f"count:{block.table.name}"]
            return self._backend.sub(self._backend.zeros(counts.size), counts)
        return counted(self._relation, block.lookup).astype(np.uint64) if block.lookup.masked else 1

    def _denominators(self, block: Block) -> Table:
        """alpha - (id + beta x + beta^2 y)."""
        out = _constant(self._backend, self._alpha - block.table.identity, 1 << block.bits)
        power = self._beta * self._beta
        if block.lookup is None:
            second = to_field(np.array(second_column(block.table), dtype=np.int64))
            self._backend.accumulate(out, -self._beta, np.arange(1 << block.bits, dtype=np.uint64))
            self._backend.accumulate(out, -power, second)
            return out
        self._backend.accumulate(out, -self._beta, self._shifted(block.lookup.x, block.lookup.shift))
        if block.lookup.y is not None:
            self._backend.accumulate(out, -power, self._shifted(block.lookup.y, 0))
        return out


def _constant(backend: Backend, value: Ext, length: int) -> Table:
    """K[3, length] of one element."""
    out = backend.empty(3, length)
    for plane, word in enumerate(value):
        out[plane] = word
    return out


def added(sums: Sequence[Sequence[Ext]], start: Ext) -> list[Ext]:
    """h(0) and h(2) of all slices or parts."""
    return [total([start, *values]) for values in zip(*sums, strict=True)]


class Leaves:
    """The lowest layer, part by part."""

    def __init__(self, backend: Backend, parts: Sequence[Part], bits: int, beta: Ext) -> None:
        self._backend, self.parts, self.bits, self.beta = backend, parts, bits, beta
        self.used = parts[-1].start + parts[-1].length

    def round(self, point: list[Ext], batch: Ext) -> list[Ext]:
        """h(0) and h(2)."""
        weights, inverse = self._backend.fraction_weights(point), batch.inverse()
        gain, unit = batch * self.beta * self.beta, self.beta.inverse()

        def sums(part: Part) -> list[Ext]:
            if part.column is None:
                assert part.p is not None and part.q is not None
                found = self._backend.fraction_round(part.p, part.q, weights, part.start // 4, batch)
                return [Ext(value) for value in found]
            found = self._backend.leaf_round(part.column, (part.constant + inverse) * unit, weights, part.start // 4)
            bits = (part.length // 4).bit_length() - 1
            share = inverse * select(point[: len(point) - bits], part.start // part.length)
            return [gain * Ext(value) - share for value in found]

        return added(self._backend.each(sums, self.parts), beyond(point, self.used // 4, batch))

    def fold(self, challenge: Ext) -> Leaves | Stored:
        """The layer with its lowest variable bound."""
        parts = self._backend.each(lambda part: self._folded(part, challenge), self.parts)
        folded = Leaves(self._backend, parts, self.bits - 1, self.beta)
        apart = list(takewhile(lambda part: part.length > APART_LENGTH, parts))
        if not apart or any(part.length % UNIT for part in parts):
            return folded.stored()
        if len(apart) + 1 < len(parts):
            folded.parts = [*apart, folded._joined(parts[len(apart) :])]
        return folded

    def _folded(self, part: Part, challenge: Ext) -> Part:
        start, length = part.start // 2, part.length // 2
        column, p, q = (
            None if table is None else self._backend.fraction_fold(table, challenge)
            for table in (part.column, part.p, part.q)
        )
        return Part(start, length, column, part.constant, p, q)

    def stored(self) -> Stored:
        """The layer as one table."""
        whole = self._joined(self.parts)
        assert whole.p is not None and whole.q is not None
        return Stored(self._backend, whole.p, whole.q, self.bits)

    def _joined(self, parts: Sequence[Part]) -> Part:
        """Consecutive parts as one of fractions."""
        start = parts[0].start
        length = parts[-1].start + parts[-1].length - start
        p, q = self._backend.zeros(3, length), self._backend.zeros(3, length)
        for part in parts:
            own = slice(part.start - start, part.start - start + part.length)
            if part.column is None:
                assert part.p is not None and part.q is not None
                p[:, own], q[:, own] = part.p, part.q
                continue
            p[0, own] = 1
            constant = _constant(self._backend, part.constant, part.length)
            q[:, own] = self._backend.sub(constant, self._backend.scale(part.column, self.beta))
        return Part(start, length, p=p, q=q)


class Pairs:
    """The layer above the leaves: what is needed of it is made slice by slice, of small numbers without writing it."""

    def __init__(self, backend: Backend, leaves: Leaves) -> None:
        self._backend, self._leaves = backend, leaves
        self._bits, self._used = leaves.bits - 1, leaves.used // 2

    def _slices(
        self, small: Callable[[int, Table, Ext], Made], stored: Callable[[int, Table, Table], Made]
    ) -> list[Made]:
        """small(first index, numbers, constant) or stored(first index, numerators, denominators) of all slices."""

        def at(place: tuple[Part, int]) -> Made:
            part, first = place
            own = slice(first, min(part.length, first + self._backend.slice_length))
            start = (part.start + first) // 2
            if part.column is None:
                assert part.p is not None and part.q is not None
                return stored(start, *self._backend.fraction_layer(part.p[:, own], part.q[:, own]))
            if part.column.ndim == 1:
                return small(start, part.column[own], part.constant)
            return stored(start, *self._backend.leaf_layer(part.column[:, own], part.constant, self._leaves.beta))

        size = self._backend.slice_length
        return self._backend.each(at, [(part, k) for part in self._leaves.parts for k in range(0, part.length, size)])

    def _half(
        self, small: Callable[[Table, Ext], tuple[Table, Table]], stored: Callable[[Table, Table], tuple[Table, Table]]
    ) -> Stored:
        """A layer of half as many entries, made slice by slice."""
        p, q = (self._backend.empty(3, self._used // 2) for _ in range(2))

        def put(start: int, made: tuple[Table, Table]) -> None:
            for out, table in zip((p, q), made, strict=True):
                out[:, start // 2 : start // 2 + table.shape[1]] = table

        self._slices(lambda start, *numbers: put(start, small(*numbers)), lambda start, *own: put(start, stored(*own)))
        return Stored(self._backend, p, q, self._bits - 1)

    def parent(self) -> Stored:
        """The layer above."""
        backend, beta = self._backend, self._leaves.beta
        return self._half(lambda column, c: backend.pairs_layer(column, c, beta), backend.fraction_layer)

    def round(self, point: list[Ext], batch: Ext) -> list[Ext]:
        """h(0) and h(2)."""
        backend, beta, weights = self._backend, self._leaves.beta, self._backend.fraction_weights(point)

        def small(start: int, column: Table, constant: Ext) -> list[Ext]:
            return [Ext(h) for h in backend.pairs_round(column, constant, beta, weights, start // 4, batch)]

        def stored(start: int, p: Table, q: Table) -> list[Ext]:
            return [Ext(h) for h in backend.fraction_round(p, q, weights, start // 4, batch)]

        return added(self._slices(small, stored), beyond(point, self._used // 4, batch))

    def fold(self, challenge: Ext) -> Stored:
        """The layer with its lowest variable bound."""
        backend, beta = self._backend, self._leaves.beta
        return self._half(
            lambda column, c: backend.pairs_fold(column, c, beta, challenge),
            lambda p, q: (backend.fraction_fold(p, challenge), backend.fraction_fold(q, challenge)),
        )
