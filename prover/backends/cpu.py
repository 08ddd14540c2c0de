"""The CPU backend: Numba kernels on all cores. What each function computes is said in the interface module.

Functions here check shapes, pad to whole lane vectors, choose the kernel and split the work; the arithmetic
is in the cpu_* modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends import cpu_batch, cpu_field, cpu_shapes, cpu_tables
from prover.backends.cpu_code import coefficients_natural, encode, encode_polynomials, encode_rows, interpolate
from prover.backends.cpu_equality import eq_table, lift, outer_accumulate
from prover.backends.cpu_hash import hash_columns, merkle_levels
from prover.backends.cpu_layers import (
    fraction_fold,
    fraction_layer,
    fraction_round,
    fraction_weights,
    leaf_layer,
    leaf_round,
    pairs_fold,
    pairs_layer,
    pairs_round,
)
from prover.backends.cpu_shapes import (
    LANES,
    half_of,
    over_lanes,
    padded_rows,
    padded_table,
    ready,
    rounded_up,
    same_length,
    sums_of,
    trimmed,
    words_of,
)
from prover.backends.host import (
    columns,
    each,
    field,
    fields,
    host,
    integers,
    join,
    largest,
    repeat,
    short_length,
    slice_length,
    tile,
)
from prover.backends.interface import Backend, Scalar, Table, Triple
from prover.backends.memory import empty, release, zeros
from prover.backends.threads import set_threads, spread, threads

__all__ = [
    "BACKEND",
    "accumulate",
    "add",
    "coefficients_natural",
    "columns",
    "combine_rows",
    "contract_last",
    "contract_middle",
    "count_table",
    "each",
    "empty",
    "encode",
    "encode_polynomials",
    "encode_rows",
    "eq_table",
    "field",
    "fields",
    "fold",
    "fraction_fold",
    "fraction_layer",
    "fraction_round",
    "fraction_weights",
    "hash_columns",
    "host",
    "inner",
    "integers",
    "interpolate",
    "join",
    "largest",
    "leaf_layer",
    "leaf_round",
    "lift",
    "merkle_levels",
    "mul",
    "outer_accumulate",
    "pairs_fold",
    "pairs_layer",
    "pairs_round",
    "release",
    "repeat",
    "round_sums",
    "scale",
    "set_threads",
    "short_length",
    "slice_length",
    "sub",
    "tile",
    "total",
    "zeros",
]

# -- elementwise --------------------------------------------------------------------------------------


def _elementwise(kernel: Any, a: Table, b: Table) -> Table:
    """A kernel that treats all planes alike."""
    same_length(a, b)
    if a.ndim != b.ndim:
        a, b = (lift(t) if t.ndim == 1 else t for t in (a, b))
    x, y = padded_table(a.reshape(-1), 1), padded_table(b.reshape(-1), 1)
    out = empty(*x.shape)
    over_lanes(x.size, lambda _, i, j: kernel(x, y, out, i, j))
    return out.reshape(-1)[: a.size].reshape(a.shape)


def add(a: Table, b: Table) -> Table:
    return _elementwise(cpu_tables.add_kernel, a, b)


def sub(a: Table, b: Table) -> Table:
    return _elementwise(cpu_tables.sub_kernel, a, b)


def mul(a: Table, b: Table) -> Table:
    n = same_length(a, b)
    if a.ndim > b.ndim:
        a, b = b, a
    kernel = cpu_tables.mul_base_kernel if a.ndim == 1 else cpu_tables.mul_kernel
    x, y = padded_table(a, 1), padded_table(b, 1)
    out = empty(*y.shape)
    over_lanes(x.shape[1], lambda _, i, j: kernel(x, y, out, i, j))
    return trimmed(out, 1, n).reshape(b.shape)


def scale(a: Table, k: Scalar) -> Table:
    x, words = padded_table(a, 1), words_of(k)
    out = empty(3, x.shape[1])
    over_lanes(x.shape[1], lambda _, i, j: cpu_tables.scale_kernel(x, words, out, i, j))
    return trimmed(out, 1, a.shape[-1])


# -- sums ---------------------------------------------------------------------------------------------


def inner(a: Table, b: Table) -> Triple:
    same_length(a, b)
    if a.ndim > b.ndim:
        a, b = b, a
    x, y = padded_table(a, 1), padded_table(b if b.ndim == 2 else lift(b), 1)
    return sums_of(x.shape[1], 1, lambda out, part, i, j: cpu_tables.inner_kernel(x, y, out, part, i, j))[0]


def _total(a: Table, n: int) -> Triple:
    """The sum of the first n entries of a table over F or K; n is the length or half of it."""
    x = padded_table(a, a.shape[-1] // n)
    out = np.zeros((threads(), 3, 2, LANES), dtype=np.uint64)
    over_lanes(rounded_up(n), lambda part, i, j: cpu_tables.total_kernel(x, out, part, i, j))
    halves = out.astype(object).sum(axis=(0, 3))
    c = [int(lo + (hi << 32)) % cpu_field.P for lo, hi in halves]
    return c[0], c[1], c[2]


def total(a: Table) -> Triple:
    return _total(a, a.shape[1])


# -- multilinear tables -------------------------------------------------------------------------------


def _fold(table: Table, r: Scalar, runs: int) -> Table:
    """Every one of `runs` equal runs of a table bound in its own high-order bit."""
    half = table.shape[-1] // 2 if runs == 1 else table.size // (6 * runs)
    x, words = padded_table(table, 2 * runs), words_of(r)
    out = empty(3, x.shape[1] // 2)
    over_lanes(rounded_up(half), lambda _, i, j: cpu_tables.fold_kernel(x, words, out, runs, i, j))
    return trimmed(out, runs, half)


def fold(table: Table, r: Scalar) -> Table:
    half_of(table)
    return _fold(table, r, 1)


def round_sums(factors: Sequence[Table]) -> list[Triple]:
    half = half_of(*factors)
    if len(factors) == 1:
        return [_total(factors[0], half)]
    if len(factors) > 3:
        raise ValueError(f"round_sums takes 1 to 3 factors, not {len(factors)}")
    # Products commute: the factors over F come first, so that the kernels meet few cases, and the last
    # is over K.
    tables = sorted(factors, key=lambda t: t.ndim)
    if tables[-1].ndim == 1:
        tables[-1] = lift(tables[-1])
    kernel: Any = cpu_tables.round_two_kernel
    if len(tables) == 3:
        over_f = sum(t.ndim == 1 for t in tables)
        kernel = (
            cpu_tables.round_three_kernel,
            cpu_tables.round_three_one_kernel,
            cpu_tables.round_three_two_kernel,
        )[over_f]
    padded = [padded_table(t, 2) for t in tables]
    return sums_of(rounded_up(half), len(tables), lambda out, part, i, j: kernel(*padded, out, part, i, j))


# -- batching -----------------------------------------------------------------------------------------


def accumulate(out: Table, coefficient: Scalar, tensor: Table) -> None:
    n = same_length(out, tensor)
    x, y, words = padded_table(out, 1), padded_table(tensor, 1), words_of(coefficient)
    over_lanes(x.shape[1], lambda _, i, j: cpu_batch.accumulate_kernel(x, words, y, i, j))
    if not np.shares_memory(x, out):
        out[:] = x[:, :n]


def combine_rows(weights: Table, rows: Table) -> Table:
    count, n = rows.shape
    if weights.shape[1] != count:
        raise ValueError(f"combine_rows: {weights.shape[1]} weights for {count} rows")
    constants = empty(count, 72)
    cpu_batch.constants_kernel(ready(weights), constants)
    x = padded_rows(rows)
    out = zeros(3, rounded_up(n))
    grain = 1 + cpu_shapes.GRAIN // max(count, 1)
    spread(rounded_up(n) // LANES, grain, lambda _, i, j: cpu_batch.combine_kernel(constants, x, out, i, j))
    return trimmed(out, 1, n)


def contract_last(tensor: Table, weights: Table) -> Table:
    count, n = tensor.shape
    if weights.shape[1] != n:
        raise ValueError(f"contract_last: {weights.shape[1]} weights for rows of {n}")
    x, w = padded_rows(tensor), padded_table(weights, 1)
    sums = zeros(threads(), 3, count)
    grain = 1 + cpu_shapes.GRAIN // max(count, 1)
    parts = spread(x.shape[1] // LANES, grain, lambda part, i, j: cpu_batch.contract_kernel(x, w, sums, part, i, j))
    return reduce(add, sums[1:parts], sums[0])


def contract_middle(tensor: Table, weights: Table) -> Table:
    if tensor.shape[:2] != weights.shape[1:]:
        raise ValueError(f"contract_middle: weights {weights.shape[1:]} for a tensor {tensor.shape}")
    out = empty(3, tensor.shape[0], tensor.shape[2])
    for a in range(tensor.shape[0]):
        out[:, a] = combine_rows(np.ascontiguousarray(weights[:, a]), tensor[a])
    return out


# -- counts -------------------------------------------------------------------------------------------


def count_table(values: Sequence[NDArray[Any]], size: int) -> Table:
    def counted(array: NDArray[Any]) -> Table:
        flat, counts = np.ascontiguousarray(array, dtype=np.int64).reshape(-1), np.zeros(size, dtype=np.uint64)
        wrong = cpu_batch.count_kernel(np.require(flat, requirements=["W"]), counts)
        if wrong < flat.size:
            raise ValueError(f"count_table: {flat[wrong]} is outside 0 .. {size - 1}")
        return counts

    return sum(each(counted, values), start=np.zeros(size, dtype=np.uint64))


import prover.backends.cpu as _itself  # noqa: E402  (a module is a backend; complete only here)

BACKEND: Backend = _itself
