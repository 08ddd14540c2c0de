"""Tables of eq on the CPU, and the outer products that they are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prover.backends import cpu_batch
from prover.backends.cpu_shapes import over_lanes, padded_table, ready, trimmed
from prover.backends.interface import Scalar, Table
from prover.backends.memory import empty, zeros

# Tables of so many variables take microseconds on one thread.
_SHORT = 8


def lift(a: Table) -> Table:
    out = zeros(3, a.shape[0])
    out[0] = a
    return out


def outer_accumulate(out: Table, a: Table, b: Table) -> None:
    m, n = a.shape[1], b.shape[1]
    if out.shape[1] != m * n:
        raise ValueError(f"outer_accumulate: {m} x {n} products into {out.shape[1]} entries")
    w, x, z = ready(a), padded_table(b, 1), padded_table(out, m)
    over_lanes(z.shape[1], lambda _, i, j: cpu_batch.outer_accumulate_kernel(z, w, x, i, j))
    if not np.shares_memory(z, out):
        out[:] = trimmed(z, m, n)


def eq_table(point: Sequence[Scalar]) -> Table:
    """The outer product of the tables of the two halves of the point; short ones by doubling."""
    if len(point) <= _SHORT:
        table = empty(3, 2 ** len(point))
        cpu_batch.equality_kernel(np.array(point, dtype=np.uint64).reshape(-1, 3), table)
        return table
    # The second half is the longer one, so that it fills lane vectors.
    middle = len(point) // 2
    out = zeros(3, 2 ** len(point))
    outer_accumulate(out, eq_table(point[:middle]), eq_table(point[middle:]))
    return out
