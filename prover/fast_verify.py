"""The verifier's large computations on a backend: the same numbers, so the same verdicts, in a tenth of the time.

Whoever trusts only the standard library uses `python -m verifier`, which never comes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from verifier.arithmetic import Arithmetic
from verifier.field import Ext

from .backends import cpu
from .backends.interface import Backend, Table

_BLOCK = 512  # powers of each point that are kept


class FastArithmetic(Arithmetic):
    """Numbers by the kernels of a backend."""

    def __init__(self, backend: Backend = cpu.BACKEND) -> None:
        self._backend = backend

    def on_subgroup(self, coefficients: Sequence[Ext], point: Sequence[Ext]) -> Ext:
        """f is reduced mod X^N - 1; its values on the subgroup are N times an inverse transform, in reverse order."""
        size = 1 << len(point)
        table = _table(coefficients)
        folded = np.zeros((3, size), dtype=np.uint64)
        for start in range(0, table.shape[1], size):
            part = np.ascontiguousarray(table[:, start : start + size])
            folded[:, : part.shape[1]] = self._backend.add(np.ascontiguousarray(folded[:, : part.shape[1]]), part)
        none = np.zeros((3, 0), dtype=np.uint64)
        inverse = self._backend.coefficients_natural(self._backend.interpolate(folded), none)
        values = np.ascontiguousarray(np.roll(inverse[:, ::-1], 1, axis=1))
        return Ext(self._backend.inner(values, self._backend.eq_table(point))) * size

    def at_points(self, coefficients: Sequence[Ext], points: Sequence[int]) -> list[Ext]:
        """Horner over blocks of coefficients, all points side by side."""
        size = min(_BLOCK, len(coefficients))
        powers = self._powers(points, size + 1)
        step, low = (np.ascontiguousarray(part) for part in (powers[:, size], powers[:, :size]))
        table = _table(coefficients)
        out = np.zeros((3, len(points)), dtype=np.uint64)
        for start in reversed(range(0, table.shape[1], size)):
            block = np.zeros((3, size), dtype=np.uint64)
            part = table[:, start : start + size]
            block[:, : part.shape[1]] = part
            out = self._backend.add(self._backend.mul(step, out), self._backend.contract_last(low, block))
        return _elements(out)

    def columns(self, weights: Sequence[Ext], columns: Sequence[Sequence[int]]) -> list[Ext]:
        return _elements(self._backend.contract_last(np.array(columns, dtype=np.uint64), _table(weights)))

    def _powers(self, points: Sequence[int], count: int) -> Table:
        """F[points, count]: x^0, x^1, ... of each x."""
        x = np.array(points, dtype=np.uint64)
        out = np.empty((count, len(x)), dtype=np.uint64)
        out[0] = 1
        for k in range(1, count):
            out[k] = self._backend.mul(np.ascontiguousarray(out[k - 1]), x)
        return np.ascontiguousarray(out.T)


def _table(values: Sequence[Ext]) -> Table:
    flat = np.fromiter(chain.from_iterable(values), dtype=np.uint64, count=3 * len(values))
    return np.ascontiguousarray(flat.reshape(-1, 3).T)


def _elements(table: Table) -> list[Ext]:
    return [Ext((a, b, c)) for a, b, c in table.T.tolist()]
