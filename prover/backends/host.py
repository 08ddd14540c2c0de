"""Tables as NumPy arrays: how the backends whose memory is the host's make, move and read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends import memory
from prover.backends.interface import MODULUS, Table
from prover.backends.threads import each

__all__ = [
    "columns", "each", "field", "fields", "host", "integers", "join", "largest", "repeat", "short_length",
    "slice_length", "tile",
]  # fmt: skip

# Small enough for the caches of a processor.
slice_length = 1 << 18
# There is no other place that tables could go.
short_length = 0


def host(table: Table) -> Table:
    return table


def field(values: NDArray[np.int64]) -> Table:
    """Signed integers of magnitude below p as canonical field elements: the same memory if none is negative."""
    if values.dtype != np.int64:
        values = values.astype(np.int64)
    if not values.size or values.min() >= 0:
        return values.view(np.uint64)
    # p - 2^64 = -(2^32 - 1) is added to negative ones, whose sign shifts to all ones.
    correction = np.right_shift(values, 63, out=memory.integers(*values.shape))
    correction &= 2**64 - MODULUS
    out: Table = np.subtract(values, correction, out=correction).view(np.uint64)
    return out


def fields(values: Sequence[NDArray[np.int64]]) -> list[Table]:
    return each(field, values)


def integers(values: NDArray[Any]) -> NDArray[np.int64]:
    return values.view(np.int64) if values.dtype == np.uint64 else values


def join(tables: Sequence[Table]) -> Table:
    return np.concatenate([table.reshape(-1) for table in tables])


def largest(a: Table) -> int:
    return int(a.max())


def repeat(table: Table, count: int) -> Table:
    return np.repeat(table, count, axis=-1)


def tile(table: Table, count: int) -> Table:
    return np.tile(table, count)


def columns(codeword: Table, positions: Sequence[int]) -> NDArray[Any]:
    return codeword[np.array(positions, dtype=np.int64)]
