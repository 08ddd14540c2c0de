"""The prover's side of the lookup argument: the tree of fractions, from its leaves to its root and back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from verifier.field import ZERO, Ext
from verifier.lookup import Block, layout
from verifier.relation import Form, Lookup, Relation
from verifier.relation import Table as PublicTable
from verifier.tables import second_column

from .backends import memory
from .backends.interface import Backend, Table
from .dialogue import Draw, Say, Script
from .witness import Witness, counted, to_field

Level = tuple[Table, Table]
_SLICE = 1 << 16


def prove(backend: Backend, relation: Relation, witness: Witness) -> Script[None]:
    """Twin of `verifier.lookup.check`."""
    if not relation.lookups:
        return
    alpha, beta = yield Draw("lookup row", 2)
    leaves = Leaves(backend, relation, witness, alpha, beta)
    levels = _tree(backend, leaves)
    root = levels.pop()
    yield Say("lookup total", [Ext.of([int(v) for v in root[1][:, 0]])])
    point: list[Ext] = []
    for _ in range(leaves.depth):
        (batch,) = yield Draw("lookup batch", 1)
        layer = _Stored(backend, *levels.pop()) if levels else leaves
        rounds, point = point, []
        for number in range(len(rounds)):
            eq = backend.eq_table(rounds[number + 1 :])
            yield Say("lookup round", layer.round(eq, batch))
            (challenge,) = yield Draw("lookup round", 1)
            layer = layer.fold(challenge)
            point.append(challenge)
        p0, p1, q0, q1 = layer.ends()
        yield Say("lookup end", [p0 + q0 * batch, q1])
        yield Say("lookup end", [p1, q0])
        (fold,) = yield Draw("lookup fold", 1)
        point = [fold, *point]


class _Stored:
    """A layer of the tree in memory: numerators and denominators as (3, child, x)."""

    def __init__(self, backend: Backend, p: Table, q: Table) -> None:
        self._backend, self._p, self._q = backend, p.reshape(3, 2, -1), q.reshape(3, 2, -1)

    def round(self, eq: Table, batch: Ext) -> list[Ext]:
        """h(0) and h(2)."""
        return [Ext(value) for value in self._backend.fraction_round(self._p, self._q, eq, batch)]

    def fold(self, challenge: Ext) -> _Stored:
        """The layer with its first variable bound."""
        return _Stored(self._backend, *self._backend.fraction_fold(self._p, self._q, challenge))

    def ends(self) -> list[Ext]:
        """p0, p1, q0, q1 when all variables are bound."""
        return [Ext.of([int(v) for v in table[:, child, 0]]) for table in (self._p, self._q) for child in (0, 1)]


class Leaves:
    """The lowest layer: never stored, but made a slice at a time from the columns, whenever it is needed.

    A leaf takes 48 bytes and is made from 8 or 16; making it anew three times costs less than touching fresh memory.
    """

    def __init__(self, backend: Backend, relation: Relation, witness: Witness, alpha: Ext, beta: Ext) -> None:
        self._backend, self._relation, self._witness = backend, relation, witness
        self._alpha, self._beta = alpha, beta
        shape = layout(relation)
        self.depth = shape.depth
        self._blocks = shape.blocks

    def _fill(self, p: Table, q: Table, start: int) -> None:
        """Writes leaves start, start + 1, ... into numerators and denominators [3, size]. Unused ones are 0/1."""
        size = p.shape[1]
        p[:], q[:] = 0, 0
        q[0] = 1
        for block in self._blocks:
            low, high = max(start, block.offset), min(start + size, block.offset + (1 << block.bits))
            if low < high:
                own = slice(low - block.offset, high - block.offset)
                p[0, low - start : high - start] = self._numerators(block, own)
                q[:, low - start : high - start] = self._denominators(block, own)

    def _numerators(self, block: Block, own: slice) -> Table | int:
        if block.lookup is None:
            return to_field(-self._witness.tensors[f"count:{block.table.name}"][own].astype(np.int64))
        return self._inside(block.lookup)[own] if block.lookup.masked else 1

    @cache  # noqa: B019 - lives as long as one proof
    def _inside(self, lookup: Lookup) -> Table:
        return counted(self._relation, lookup).astype(np.uint64)

    @cache  # noqa: B019
    def _second(self, table: PublicTable) -> Table:
        return to_field(np.array(second_column(table), dtype=np.int64))

    def _denominators(self, block: Block, own: slice) -> Table:
        """alpha - (id + beta x + beta^2 y)."""
        beta, shift = self._beta, block.lookup.shift if block.lookup else 0
        out = memory.empty(3, own.stop - own.start)
        out[:] = np.array(self._alpha - block.table.identity - beta * shift, dtype=np.uint64)[:, None]
        if block.lookup is None:
            self._backend.accumulate(out, -beta, np.arange(own.start, own.stop, dtype=np.uint64))
            self._backend.accumulate(out, -(beta * beta), self._second(block.table)[own])
            return out
        self._subtract(out, beta, block.lookup.x, own)
        if block.lookup.y is not None:
            self._subtract(out, beta * beta, block.lookup.y, own)
        return out

    def _subtract(self, out: Table, power: Ext, form: Form, own: slice) -> None:
        for coefficient, (name,) in form.terms:
            self._backend.accumulate(out, -power * coefficient, self._witness.tensors[name][own])

    def parent(self) -> Level:
        """The layer above, slice by slice: leaf i and leaf i + half make one fraction."""
        half = 1 << (self.depth - 1)
        p, q = memory.empty(3, half), memory.empty(3, half)
        for start, size in _slices(half):
            span = slice(start, start + size)
            p[:, span], q[:, span] = self._backend.fraction_layer(*self._gather(start, half, 2, size))
        return p, q

    def _gather(self, start: int, step: int, count: int, size: int) -> Level:
        """Slices at start, start + step, ..., one after the other in each plane."""
        p, q = memory.empty(3, count * size), memory.empty(3, count * size)
        for k in range(count):
            span = slice(k * size, (k + 1) * size)
            self._fill(p[:, span], q[:, span], start + k * step)
        return p, q

    def _quarters(self, eq_size: int) -> Iterator[tuple[int, int, Table, Table]]:
        """Slices of the four quarters (child, first bit of x), as tables (3, 2, 2 * size)."""
        for start, size in _slices(eq_size):
            p, q = self._gather(start, eq_size, 4, size)
            yield start, size, p.reshape(3, 2, -1), q.reshape(3, 2, -1)

    def round(self, eq: Table, batch: Ext) -> list[Ext]:
        """h(0) and h(2) of the first round."""
        sums = [ZERO, ZERO]
        for start, size, p, q in self._quarters(eq.shape[1]):
            weights = np.ascontiguousarray(eq[:, start : start + size])
            values = self._backend.fraction_round(p, q, weights, batch)
            sums = [total + Ext(value) for total, value in zip(sums, values, strict=True)]
        return sums

    def fold(self, challenge: Ext) -> _Stored:
        """The layer with its first variable bound, now in memory."""
        quarter = 1 << (self.depth - 2)
        out = [memory.empty(3, 2, quarter) for _ in range(2)]
        for start, size, p, q in self._quarters(quarter):
            for whole, part in zip(out, self._backend.fraction_fold(p, q, challenge), strict=True):
                whole[:, :, start : start + size] = part
        return _Stored(self._backend, *out)

    def ends(self) -> list[Ext]:
        """p0, p1, q0, q1 of a tree of two leaves."""
        return _Stored(self._backend, *self._gather(0, 1, 2, 1)).ends()


def _slices(total: int) -> Iterator[tuple[int, int]]:
    size = min(total, _SLICE)
    return ((start, size) for start in range(0, total, size))


def _tree(backend: Backend, leaves: Leaves) -> list[Level]:
    """The levels above the leaves, the root last: numerators and denominators K[3, 2^k]."""
    levels = [leaves.parent()]
    while levels[-1][0].shape[1] > 1:
        levels.append(backend.fraction_layer(*levels[-1]))
    return levels
