"""The CPU backend: Numba kernels on all cores; see :class:`prover.backends.interface.Backend` for what each computes.

Functions here check shapes, choose the kernel and split the work; arithmetic is in the cpu_* modules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends import cpu_field, cpu_tables
from prover.backends.cpu_code import coefficients_natural, encode, encode_polynomials, interpolate
from prover.backends.cpu_hash import hash_columns, merkle_levels
from prover.backends.interface import Backend, Scalar, Table, Triple
from prover.backends.threads import set_threads, spread, threads

__all__ = [
    "BACKEND",
    "accumulate",
    "add",
    "coefficients_natural",
    "combine_rows",
    "contract_last",
    "contract_middle",
    "count_table",
    "encode",
    "encode_polynomials",
    "eq_table",
    "fold",
    "fraction_fold",
    "fraction_layer",
    "fraction_round",
    "hash_columns",
    "inner",
    "interpolate",
    "lift",
    "merkle_levels",
    "mul",
    "outer_accumulate",
    "round_sums",
    "scale",
    "set_threads",
    "sub",
    "total",
]

# A range shorter than this many elements is not worth a second thread.
_GRAIN = 4096


def _planes(table: Table) -> Table:
    """F[n] -> [1, n]; K[3, n] as it is."""
    return np.ascontiguousarray(table).reshape(1 if table.ndim == 1 else 3, -1)


def _words(k: Scalar) -> Table:
    return np.array([int(c) for c in k], dtype=np.uint64)


def _same_length(*tables: Table) -> int:
    lengths = {t.shape[-1] for t in tables}
    if len(lengths) != 1:
        raise ValueError(f"tables of different lengths: {[t.shape for t in tables]}")
    return int(lengths.pop())


def _halvable(*tables: Table) -> int:
    """The half of the common length, which must be even and positive."""
    n = _same_length(*tables)
    if n < 2 or n % 2:
        raise ValueError(f"a table of {n} entries has no halves")
    return n // 2


# -- elementwise -----------------------------------------------------------------------------------


def lift(a: Table) -> Table:
    out = np.zeros((3, a.shape[0]), dtype=np.uint64)
    out[0] = a
    return out


def _elementwise(kernel: Any, a: Table, b: Table) -> Table:
    n = _same_length(a, b)
    if a.ndim != b.ndim:
        a, b = (lift(t) if t.ndim == 1 else t for t in (a, b))
    out = np.empty_like(a, order="C")
    x, y, z = _planes(a), _planes(b), _planes(out)
    spread(n, _GRAIN, lambda _, start, stop: kernel(x, y, z, start, stop))
    return out


def add(a: Table, b: Table) -> Table:
    return _elementwise(cpu_tables.add_kernel, a, b)


def sub(a: Table, b: Table) -> Table:
    return _elementwise(cpu_tables.sub_kernel, a, b)


def mul(a: Table, b: Table) -> Table:
    n = _same_length(a, b)
    if a.ndim > b.ndim:
        a, b = b, a
    kernel = cpu_tables.mul_base_kernel if a.ndim == 1 else cpu_tables.mul_kernel
    out = np.empty(b.shape, dtype=np.uint64)
    x, y, z = _planes(a), _planes(b), _planes(out)
    spread(n, _GRAIN, lambda _, start, stop: kernel(x, y, z, start, stop))
    return out


def scale(a: Table, k: Scalar) -> Table:
    x, words = _planes(a), _words(k)
    out = np.empty((3, a.shape[-1]), dtype=np.uint64)
    spread(a.shape[-1], _GRAIN, lambda _, start, stop: cpu_tables.scale_kernel(x, words, out, start, stop))
    return out


# -- sums ------------------------------------------------------------------------------------------


def _sums(n: int, count: int, work: Callable[[Table, int, int, int], None]) -> list[Triple]:
    """`count` sums in K, each added up over the threads: work writes nine-word sums to out[part, count]."""
    out = np.zeros((threads(), count, 9), dtype=np.uint64)
    spread(n, _GRAIN, lambda part, start, stop: work(out, part, start, stop))
    return [cpu_field.sums_to_triple(out[:, k]) for k in range(count)]


def inner(a: Table, b: Table) -> Triple:
    n = _same_length(a, b)
    if a.ndim > b.ndim:
        a, b = b, a
    if b.ndim == 1:
        b = lift(b)
    x, y = _planes(a), _planes(b)
    return _sums(n, 1, lambda out, part, i, j: cpu_tables.inner_kernel(x, y, out, part, i, j))[0]


def _total(a: Table, n: int) -> Triple:
    """The sum of the first n entries of a table over F or K."""
    x = _planes(a)
    out = np.zeros((threads(), 3, 2), dtype=np.uint64)
    spread(n, _GRAIN, lambda part, start, stop: cpu_tables.total_kernel(x, out, part, start, stop))
    c = [sum(lo + (hi << 32) for lo, hi in out[:, k].tolist()) % cpu_field.P for k in range(3)]
    return c[0], c[1], c[2]


def total(a: Table) -> Triple:
    return _total(a, a.shape[-1])


# -- multilinear tables ----------------------------------------------------------------------------


def eq_table(point: Sequence[Scalar]) -> Table:
    """Doubles a small table at the low end of the index; the last doublings are one outer product."""
    split = len(point) // 2 if len(point) > 8 else len(point)
    high = _eq_doubling(point[:split])
    if split == len(point):
        return high
    out = np.zeros((3, 2 ** len(point)), dtype=np.uint64)
    outer_accumulate(out, high, _eq_doubling(point[split:]))
    return out


def _eq_doubling(point: Sequence[Scalar]) -> Table:
    table = np.zeros((3, 2 ** len(point)), dtype=np.uint64)
    table[0, 0] = 1
    for k, x in enumerate(point):
        cpu_tables.expand_kernel(table, _words(x), 2**k)
    return table


def _fold(table: Table, r: Scalar, blocks: int) -> Table:
    half = table.shape[1] // (2 * blocks)
    out = np.empty((3, blocks * half), dtype=np.uint64)
    words = _words(r)
    spread(half, _GRAIN, lambda _, start, stop: cpu_tables.fold_kernel(table, words, out, blocks, start, stop))
    return out


def fold(table: Table, r: Scalar) -> Table:
    _halvable(table)
    return _fold(_planes(table), r, 1)


def round_sums(factors: Sequence[Table]) -> list[Triple]:
    half = _halvable(*factors)
    # Products commute: factors over F first, so that the kernels meet few cases; the last one is over K.
    tables = [_planes(t) for t in sorted(factors, key=lambda t: t.ndim)]
    if len(tables) == 1:
        return [_total(factors[0], half)]
    if tables[-1].shape[0] == 1:
        tables[-1] = lift(tables[-1][0])
    if len(tables) == 2:
        a, b = tables
        return _sums(half, 2, lambda out, part, i, j: cpu_tables.round_two_kernel(a, b, out, part, i, j))
    if len(tables) == 3:
        a, b, c = tables
        return _sums(half, 3, lambda out, part, i, j: cpu_tables.round_three_kernel(a, b, c, out, part, i, j))
    raise ValueError(f"round_sums takes 1 to 3 factors, not {len(tables)}")


# -- batching --------------------------------------------------------------------------------------


def accumulate(out: Table, coefficient: Scalar, tensor: Table) -> None:
    n = _same_length(out, tensor)
    words, values = _words(coefficient), np.ascontiguousarray(tensor)
    spread(n, _GRAIN, lambda _, i, j: cpu_tables.accumulate_kernel(out, words, values, i, j))


def outer_accumulate(out: Table, a: Table, b: Table) -> None:
    m, n = a.shape[1], b.shape[1]
    if out.shape[1] != m * n:
        raise ValueError(f"outer_accumulate: {m} x {n} products into {out.shape[1]} entries")
    spread(m, 1 + _GRAIN // max(n, 1), lambda _, i, j: cpu_tables.outer_accumulate_kernel(out, a, b, i, j))


def combine_rows(weights: Table, rows: Table) -> Table:
    if weights.shape[1] != rows.shape[0]:
        raise ValueError(f"combine_rows: {weights.shape[1]} weights for {rows.shape[0]} rows")
    out = np.empty((3, rows.shape[1]), dtype=np.uint64)
    grain = 1 + _GRAIN // max(rows.shape[0], 1)
    spread(rows.shape[1], grain, lambda _, i, j: cpu_tables.combine_kernel(weights, rows, out, i, j))
    return out


def contract_last(tensor: Table, weights: Table) -> Table:
    if tensor.shape[1] != weights.shape[1]:
        raise ValueError(f"contract_last: {weights.shape[1]} weights for rows of {tensor.shape[1]}")
    out = np.empty((3, tensor.shape[0]), dtype=np.uint64)
    grain = 1 + _GRAIN // max(tensor.shape[1], 1)
    spread(tensor.shape[0], grain, lambda _, i, j: cpu_tables.contract_kernel(tensor, weights, out, i, j))
    return out


def contract_middle(tensor: Table, weights: Table) -> Table:
    if tensor.shape[:2] != weights.shape[1:]:
        raise ValueError(f"contract_middle: weights {weights.shape[1:]} for a tensor {tensor.shape}")
    out = np.empty((3, tensor.shape[0], tensor.shape[2]), dtype=np.uint64)
    for a in range(tensor.shape[0]):
        out[:, a] = combine_rows(np.ascontiguousarray(weights[:, a]), np.ascontiguousarray(tensor[a]))
    return out


# -- fractional sums -------------------------------------------------------------------------------


def fraction_layer(p: Table, q: Table) -> tuple[Table, Table]:
    half = _halvable(p, q)
    p_out, q_out = (np.empty((3, half), dtype=np.uint64) for _ in range(2))
    spread(half, _GRAIN, lambda _, i, j: cpu_tables.fraction_layer_kernel(p, q, p_out, q_out, i, j))
    return p_out, q_out


def fraction_round(p: Table, q: Table, eq: Table, lam: Scalar) -> tuple[Triple, Triple]:
    half = _halvable(p, q)
    if eq.shape[1] != half:
        raise ValueError(f"fraction_round: {eq.shape[1]} weights for {half} pairs")
    words, x, y = _words(lam), _planes(p), _planes(q)
    kernel = cpu_tables.fraction_round_kernel
    h0, h2 = _sums(half, 2, lambda out, part, i, j: kernel(x, y, eq, words, out, part, i, j))
    return h0, h2


def fraction_fold(p: Table, q: Table, r: Scalar) -> tuple[Table, Table]:
    half = _halvable(p, q)
    return _fold(_planes(p), r, 2).reshape(3, 2, half), _fold(_planes(q), r, 2).reshape(3, 2, half)


# -- counts ----------------------------------------------------------------------------------------


def count_table(values: Sequence[NDArray[Any]], size: int) -> Table:
    counts = np.zeros(size, dtype=np.uint64)
    for array in values:
        flat = array.reshape(-1)
        if flat.size and not 0 <= int(flat.min()) <= int(flat.max()) < size:
            raise ValueError(f"count_table: {flat.min()} .. {flat.max()} leaves 0 .. {size - 1}")
        counts += np.bincount(flat.astype(np.int64, copy=False), minlength=size).astype(np.uint64)
    return counts


import prover.backends.cpu as _itself  # noqa: E402  (a module is a backend; complete only here)

BACKEND: Backend = _itself
