"""Public matrices, from a statement, a file or a seed: the verifier evaluates their multilinear extensions itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

from .field import Ext, equality_table, total

_LANE = 192  # bits a coefficient of K takes in a packed sum: 64, 63 of an integer, and room for any number of them
_MIDDLE = 1 << (_LANE - 1)
_LIFT = _MIDDLE | _MIDDLE << _LANE | _MIDDLE << (2 * _LANE)
_MASK = (1 << _LANE) - 1


@dataclass(frozen=True)
class Matrix:
    """Integers below 2^63 in magnitude, line by line; the lines are columns of the matrix if it is `transposed`."""

    lines: Sequence[Sequence[int]]
    transposed: bool = False

    def evaluate(self, rows: Sequence[Ext], columns: Sequence[Ext]) -> Ext:
        """The multilinear extension at (rows, columns), zero beyond the last row and column.

        Along a line the three coefficients of a share are lanes of one integer, so that an entry costs one product of
        integers. Lanes of a sum may be negative: they are read with 2^(lane-1) added.
        """
        across, along = (columns, rows) if self.transposed else (rows, columns)
        shares = equality_table(along, len(self.lines[0]) if self.lines else 0)
        packed = [c[0] | c[1] << _LANE | c[2] << (2 * _LANE) for c in shares]
        sums = (sum(map(mul, packed, line)) + _LIFT for line in self.lines)
        lines = (Ext.of([(value >> (_LANE * k) & _MASK) - _MIDDLE for k in range(3)]) for value in sums)
        return total(share * line for share, line in zip(equality_table(across, len(self.lines)), lines, strict=True))
