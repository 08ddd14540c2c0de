"""A layer of the tree of fractions in memory, as far as it is filled: the fractions 0/1 beyond are known."""

from __future__ import annotations

from verifier.field import ONE, Ext, indicator

from .backends.interface import Backend, Table
from .tail import near


class Stored:
    """Numerators and denominators K[3, L]: the first L of 2^bits fractions, of which the others are 0/1."""

    def __init__(self, backend: Backend, p: Table, q: Table, bits: int) -> None:
        self.bits = bits
        length = min(1 << bits, -(-p.shape[1] // 4) * 4)
        filled = _lengthened(backend, p, length, 0), _lengthened(backend, q, length, 1)
        self._backend, (self.p, self.q) = near(backend, filled)

    def round(self, point: list[Ext], batch: Ext) -> list[Ext]:
        """h(0) and h(2) under eq at the coordinates that follow."""
        weights = self._backend.fraction_weights(point)
        found = self._backend.fraction_round(self.p, self.q, weights, 0, batch)
        return [Ext(value) + beyond(point, self.p.shape[1] // 4, batch) for value in found]

    def fold(self, challenge: Ext) -> Stored:
        """The layer with its lowest variable bound."""
        p, q = (self._backend.fraction_fold(table, challenge) for table in (self.p, self.q))
        return Stored(self._backend, p, q, self.bits - 1)

    def ends(self) -> list[Ext]:
        """p0, p1, q0, q1 when all variables are bound."""
        return [element(self._backend, table, child) for table in (self.p, self.q) for child in (0, 1)]

    def parent(self) -> Stored:
        """The layer above."""
        return Stored(self._backend, *self._backend.fraction_layer(self.p, self.q), self.bits - 1)


def beyond(point: list[Ext], used: int, batch: Ext) -> Ext:
    """What the fractions 0/1 at indices from `used` on add to h: batch times their weights."""
    return batch * (ONE - indicator(point, used))


def element(backend: Backend, table: Table, index: int) -> Ext:
    """One entry of a K table."""
    return Ext.of([int(word) for word in backend.host(table[:, index])])


def _lengthened(backend: Backend, table: Table, length: int, filler: int) -> Table:
    if table.shape[1] == length:
        return table
    out = backend.zeros(3, length)
    out[:, : table.shape[1]] = table
    out[0, table.shape[1] :] = filler
    return out
