"""What the CPU backend's functions share: tables as kernels take them, and work split over threads.

Kernels work on whole lane vectors: a table of another length is padded with zeros.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prover.backends import cpu_tables
from prover.backends.interface import Scalar, Table, Triple
from prover.backends.memory import zeros
from prover.backends.threads import spread, threads

LANES = 4
# A range of fewer lane vectors than this is not worth a second thread.
GRAIN = 1024


def words_of(k: Scalar) -> Table:
    return np.array([int(c) for c in k], dtype=np.uint64)


def ready(table: Table) -> Table:
    """The table as every kernel is compiled for it: uint64, C-contiguous, writable; a copy only if it is not so."""
    if table.dtype != np.uint64:
        raise ValueError(f"a table of {table.dtype}, shape {table.shape}: uint64 is needed")
    if table.flags.c_contiguous and table.flags.writeable:
        return table
    return np.require(table, requirements=["C", "W"])


def padded_table(table: Table, runs: int) -> Table:
    """F[n] or K[3, ...] as [planes, runs · length'], every run padded with zeros to whole lane vectors."""
    planes = 1 if table.ndim == 1 else 3
    length = table.size // (planes * runs)
    if length % LANES == 0:
        return ready(table).reshape(planes, -1)
    out = zeros(planes, runs, rounded_up(length))
    out[:, :, :length] = ready(table).reshape(planes, runs, length)
    return out.reshape(planes, -1)


def padded_rows(rows: Table) -> Table:
    """F[R, n] with every row padded to whole lane vectors."""
    n = rows.shape[1]
    return ready(np.pad(rows, ((0, 0), (0, rounded_up(n) - n))) if n % LANES else rows)


def rounded_up(length: int) -> int:
    """The length, rounded up to whole lane vectors."""
    return -(-length // LANES) * LANES


def trimmed(out: Table, runs: int, length: int) -> Table:
    """Undoes the padding of the runs of a result [planes, runs · length']."""
    if out.shape[1] == runs * length:
        return out
    kept = out.reshape(-1, runs, out.shape[1] // runs)[:, :, :length]
    return np.ascontiguousarray(kept).reshape(-1, runs * length)


def over_lanes(padded_length: int, work: Callable[[int, int, int], None]) -> None:
    """work(part, start, stop) over the lane vectors of a padded length."""
    spread(padded_length // LANES, GRAIN, work)


def same_length(*tables: Table) -> int:
    lengths = {t.shape[-1] for t in tables}
    if len(lengths) != 1:
        raise ValueError(f"tables of different lengths: {[t.shape for t in tables]}")
    return int(lengths.pop())


def half_of(*tables: Table) -> int:
    """Half the common length, which must be even and positive."""
    n = same_length(*tables)
    if n < 2 or n % 2:
        raise ValueError(f"a table of {n} entries has no halves")
    return n // 2


def sums_of(padded_length: int, count: int, work: Callable[[Table, int, int, int], None]) -> list[Triple]:
    """`count` sums in K: work adds those of its range to out[part]."""
    out = np.zeros((threads(), count, cpu_tables.SUM_WORDS), dtype=np.uint64)
    over_lanes(padded_length, lambda part, i, j: work(out, part, i, j))
    return cpu_tables.sums_to_triples(out)


def lengthened(table: Table, length: int, before: int = 0) -> Table:
    """A [planes, n] table between zeros: n' = length in all, `before` of them first."""
    out = zeros(table.shape[0], length)
    out[:, before : before + table.shape[1]] = table
    return out
