"""The CPU backend: Numba kernels on all cores. What each function computes is said in the interface module.

Functions here check shapes, pad to whole lane vectors, choose the kernel and split the work; the arithmetic
is in the cpu_* modules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends import cpu_batch, cpu_field, cpu_fractions, cpu_leaves, cpu_tables
from prover.backends.cpu_code import coefficients_natural, encode, encode_polynomials, interpolate
from prover.backends.cpu_hash import hash_columns, merkle_levels
from prover.backends.host import columns, field, host, join, largest, matmul, repeat, slice_length, tile
from prover.backends.interface import Backend, Scalar, Table, Triple
from prover.backends.memory import empty, release, zeros
from prover.backends.threads import set_threads, spread, threads
from verifier.field import ZERO, Ext

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
    "empty",
    "encode",
    "encode_polynomials",
    "eq_table",
    "field",
    "fold",
    "fraction_fold",
    "fraction_layer",
    "fraction_round",
    "fraction_weights",
    "hash_columns",
    "host",
    "inner",
    "interpolate",
    "join",
    "largest",
    "leaf_layer",
    "leaf_round",
    "lift",
    "matmul",
    "merkle_levels",
    "mul",
    "outer_accumulate",
    "release",
    "repeat",
    "round_sums",
    "scale",
    "set_threads",
    "slice_length",
    "sub",
    "tile",
    "total",
    "zeros",
]

_LANES = 4
# A range of fewer lane vectors than this is not worth a second thread.
_GRAIN = 1024


def _words(k: Scalar) -> Table:
    return np.array([int(c) for c in k], dtype=np.uint64)


def _ready(table: Table) -> Table:
    """The table as every kernel is compiled for it: uint64, C-contiguous, writable; a copy only if it is not so."""
    if table.dtype != np.uint64:
        raise ValueError(f"a table of {table.dtype}, shape {table.shape}: uint64 is needed")
    return np.require(table, requirements=["C", "W"])


def _padded(table: Table, runs: int) -> Table:
    """F[n] or K[3, ...] as [planes, runs · length'], every run padded with zeros to whole lane vectors."""
    planes = 1 if table.ndim == 1 else 3
    length = table.size // (planes * runs)
    if length % _LANES == 0:
        return _ready(table).reshape(planes, -1)
    out = zeros(planes, runs, _up(length))
    out[:, :, :length] = _ready(table).reshape(planes, runs, length)
    return out.reshape(planes, -1)


def _padded_rows(rows: Table) -> Table:
    """F[R, n] with every row padded to whole lane vectors."""
    n = rows.shape[1]
    return _ready(np.pad(rows, ((0, 0), (0, _up(n) - n))) if n % _LANES else rows)


def _up(length: int) -> int:
    """The length, rounded up to whole lane vectors."""
    return -(-length // _LANES) * _LANES


def _trimmed(out: Table, runs: int, length: int) -> Table:
    """Undoes the padding of the runs of a result [planes, runs · length']."""
    if out.shape[1] == runs * length:
        return out
    kept = out.reshape(-1, runs, out.shape[1] // runs)[:, :, :length]
    return np.ascontiguousarray(kept).reshape(-1, runs * length)


def _over_lanes(padded_length: int, work: Callable[[int, int, int], None]) -> None:
    """work(part, start, stop) over the lane vectors of a padded length."""
    spread(padded_length // _LANES, _GRAIN, work)


def _same_length(*tables: Table) -> int:
    lengths = {t.shape[-1] for t in tables}
    if len(lengths) != 1:
        raise ValueError(f"tables of different lengths: {[t.shape for t in tables]}")
    return int(lengths.pop())


def _half(*tables: Table) -> int:
    """Half the common length, which must be even and positive."""
    n = _same_length(*tables)
    if n < 2 or n % 2:
        raise ValueError(f"a table of {n} entries has no halves")
    return n // 2


# -- elementwise --------------------------------------------------------------------------------------


def lift(a: Table) -> Table:
    out = zeros(3, a.shape[0])
    out[0] = a
    return out


def _elementwise(kernel: Any, a: Table, b: Table) -> Table:
    """A kernel that treats all planes alike."""
    _same_length(a, b)
    if a.ndim != b.ndim:
        a, b = (lift(t) if t.ndim == 1 else t for t in (a, b))
    x, y = _padded(a.reshape(-1), 1), _padded(b.reshape(-1), 1)
    out = empty(*x.shape)
    _over_lanes(x.size, lambda _, i, j: kernel(x, y, out, i, j))
    return out.reshape(-1)[: a.size].reshape(a.shape)


def add(a: Table, b: Table) -> Table:
    return _elementwise(cpu_tables.add_kernel, a, b)


def sub(a: Table, b: Table) -> Table:
    return _elementwise(cpu_tables.sub_kernel, a, b)


def mul(a: Table, b: Table) -> Table:
    n = _same_length(a, b)
    if a.ndim > b.ndim:
        a, b = b, a
    kernel = cpu_tables.mul_base_kernel if a.ndim == 1 else cpu_tables.mul_kernel
    x, y = _padded(a, 1), _padded(b, 1)
    out = empty(*y.shape)
    _over_lanes(x.shape[1], lambda _, i, j: kernel(x, y, out, i, j))
    return _trimmed(out, 1, n).reshape(b.shape)


def scale(a: Table, k: Scalar) -> Table:
    x, words = _padded(a, 1), _words(k)
    out = empty(3, x.shape[1])
    _over_lanes(x.shape[1], lambda _, i, j: cpu_tables.scale_kernel(x, words, out, i, j))
    return _trimmed(out, 1, a.shape[-1])


# -- sums ---------------------------------------------------------------------------------------------


def _sums(padded_length: int, count: int, work: Callable[[Table, int, int, int], None]) -> list[Triple]:
    """`count` sums in K: work adds those of its range to out[part]."""
    out = np.zeros((threads(), count, cpu_tables.SUM_WORDS), dtype=np.uint64)
    _over_lanes(padded_length, lambda part, i, j: work(out, part, i, j))
    return cpu_tables.sums_to_triples(out)


def inner(a: Table, b: Table) -> Triple:
    _same_length(a, b)
    if a.ndim > b.ndim:
        a, b = b, a
    x, y = _padded(a, 1), _padded(b if b.ndim == 2 else lift(b), 1)
    return _sums(x.shape[1], 1, lambda out, part, i, j: cpu_tables.inner_kernel(x, y, out, part, i, j))[0]


def _total(a: Table, n: int) -> Triple:
    """The sum of the first n entries of a table over F or K; n is the length or half of it."""
    x = _padded(a, a.shape[-1] // n)
    out = np.zeros((threads(), 3, 2, _LANES), dtype=np.uint64)
    _over_lanes(_up(n), lambda part, i, j: cpu_tables.total_kernel(x, out, part, i, j))
    halves = out.astype(object).sum(axis=(0, 3))
    c = [int(lo + (hi << 32)) % cpu_field.P for lo, hi in halves]
    return c[0], c[1], c[2]


def total(a: Table) -> Triple:
    return _total(a, a.shape[1])


# -- multilinear tables -------------------------------------------------------------------------------


def eq_table(point: Sequence[Scalar]) -> Table:
    """The outer product of the tables of the two halves of the point; that of one variable is (1 - x, x)."""
    if not point:
        return lift(np.ones(1, dtype=np.uint64))
    if len(point) == 1:
        x = _words(point[0]).reshape(3, 1)
        return np.concatenate([sub(lift(np.ones(1, dtype=np.uint64)), x), x], axis=1)
    # The second half is the longer one, so that it fills lane vectors.
    middle = len(point) // 2
    out = zeros(3, 2 ** len(point))
    outer_accumulate(out, eq_table(point[:middle]), eq_table(point[middle:]))
    return out


def _fold(table: Table, r: Scalar, runs: int) -> Table:
    """Every one of `runs` equal runs of a table bound in its own high-order bit."""
    half = table.shape[-1] // 2 if runs == 1 else table.size // (6 * runs)
    x, words = _padded(table, 2 * runs), _words(r)
    out = empty(3, x.shape[1] // 2)
    _over_lanes(_up(half), lambda _, i, j: cpu_tables.fold_kernel(x, words, out, runs, i, j))
    return _trimmed(out, runs, half)


def fold(table: Table, r: Scalar) -> Table:
    _half(table)
    return _fold(table, r, 1)


def round_sums(factors: Sequence[Table]) -> list[Triple]:
    half = _half(*factors)
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
    padded = [_padded(t, 2) for t in tables]
    return _sums(_up(half), len(tables), lambda out, part, i, j: kernel(*padded, out, part, i, j))


# -- batching -----------------------------------------------------------------------------------------


def accumulate(out: Table, coefficient: Scalar, tensor: Table) -> None:
    n = _same_length(out, tensor)
    x, y, words = _padded(out, 1), _padded(tensor, 1), _words(coefficient)
    _over_lanes(x.shape[1], lambda _, i, j: cpu_batch.accumulate_kernel(x, words, y, i, j))
    if not np.shares_memory(x, out):
        out[:] = x[:, :n]


def outer_accumulate(out: Table, a: Table, b: Table) -> None:
    m, n = a.shape[1], b.shape[1]
    if out.shape[1] != m * n:
        raise ValueError(f"outer_accumulate: {m} x {n} products into {out.shape[1]} entries")
    w, x, z = _ready(a), _padded(b, 1), _padded(out, m)
    grain = 1 + _GRAIN * _LANES // max(n, 1)
    spread(m, grain, lambda _, i, j: cpu_batch.outer_accumulate_kernel(z, w, x, i, j))
    if not np.shares_memory(z, out):
        out[:] = _trimmed(z, m, n)


def combine_rows(weights: Table, rows: Table) -> Table:
    count, n = rows.shape
    if weights.shape[1] != count:
        raise ValueError(f"combine_rows: {weights.shape[1]} weights for {count} rows")
    constants = empty(count, 72)
    cpu_batch.constants_kernel(_ready(weights), constants)
    x = _padded_rows(rows)
    out = zeros(3, _up(n))
    grain = 1 + _GRAIN // max(count, 1)
    spread(_up(n) // _LANES, grain, lambda _, i, j: cpu_batch.combine_kernel(constants, x, out, i, j))
    return _trimmed(out, 1, n)


def contract_last(tensor: Table, weights: Table) -> Table:
    count, n = tensor.shape
    if weights.shape[1] != n:
        raise ValueError(f"contract_last: {weights.shape[1]} weights for rows of {n}")
    limbs = empty(_up(n), 18)
    cpu_batch.limb_lanes_kernel(_padded(weights, 1), limbs)
    x = _padded_rows(tensor)
    out = empty(3, count)
    grain = 1 + _GRAIN * _LANES // max(n, 1)
    spread(count, grain, lambda _, i, j: cpu_batch.contract_kernel(x, limbs, out, i, j))
    return out


def contract_middle(tensor: Table, weights: Table) -> Table:
    if tensor.shape[:2] != weights.shape[1:]:
        raise ValueError(f"contract_middle: weights {weights.shape[1:]} for a tensor {tensor.shape}")
    out = empty(3, tensor.shape[0], tensor.shape[2])
    for a in range(tensor.shape[0]):
        out[:, a] = combine_rows(np.ascontiguousarray(weights[:, a]), tensor[a])
    return out


# -- fractional sums ----------------------------------------------------------------------------------


def fraction_layer(p: Table, q: Table) -> tuple[Table, Table]:
    half = _half(p, q)
    x, y = _padded(p, 1), _padded(q, 1)
    p_out, q_out = (empty(3, _up(half)) for _ in range(2))
    if x.shape[1] < 2 * _up(half):
        x, y = (_lengthened(t, 2 * _up(half)) for t in (x, y))
    _over_lanes(_up(half), lambda _, i, j: cpu_fractions.fraction_layer_kernel(x, y, p_out, q_out, i, j))
    return _trimmed(p_out, 1, half), _trimmed(q_out, 1, half)


def _lengthened(table: Table, length: int, before: int = 0) -> Table:
    """A [planes, n] table between zeros: n' = length in all, `before` of them first."""
    out = zeros(table.shape[0], length)
    out[:, before : before + table.shape[1]] = table
    return out


@dataclass(frozen=True)
class Weights:
    """eq of a point as an outer product: K[3, H] and K[3, S], S a multiple of four and at most a chunk."""

    high: Table
    low: Table


_CHUNK_BITS = 6


def fraction_weights(point: Sequence[Scalar]) -> Weights:
    cut = max(0, len(point) - _CHUNK_BITS)
    return Weights(_ready(eq_table(point[:cut])), _padded(eq_table(point[cut:]), 1))


def _grouped(table: Table, start: int) -> tuple[Table, int, int]:
    """A [planes, 4 Y] table for the weights [begin, end), both multiples of four: zeros meet those that it lacks."""
    flat = _ready(table).reshape(1 if table.ndim == 1 else 3, -1)
    count = flat.shape[1] // 4
    begin, end = start - start % _LANES, _up(start + count)
    if count % _LANES or start % _LANES:
        flat = _lengthened(flat, 4 * (end - begin), 4 * (start - begin))
    return flat, begin, end


def _fours(*tables: Table) -> int:
    n = _same_length(*tables)
    if n < 4 or n % 4:
        raise ValueError(f"a table of {n} entries has no groups of four")
    return n


def _rounds(weights: Weights, begin: int, end: int, count: int, work: Callable[..., None]) -> list[Triple]:
    """`count` sums in K: work(out, part, i, j) adds those of the high weights [i, j) to out[part]."""
    size = weights.low.shape[1]
    first, last = begin // size, -(-end // size)
    out = np.zeros((threads(), count, cpu_tables.SUM_WORDS), dtype=np.uint64)
    spread(last - first, 1 + _GRAIN * _LANES // size, lambda part, i, j: work(out, part, first + i, first + j))
    return cpu_tables.sums_to_triples(out)


def fraction_round(p: Table, q: Table, weights: Weights, start: int, lam: Scalar) -> tuple[Triple, Triple]:
    _fours(p, q)
    words, (x, begin, end), y = _words(lam), _grouped(p, start), _grouped(q, start)[0]
    kernel, w = cpu_fractions.fraction_round_kernel, weights
    h0, h2 = _rounds(
        w, begin, end, 2, lambda out, part, i, j: kernel(x, y, w.high, w.low, words, begin, end, out, part, i, j)
    )
    return h0, h2


def fraction_fold(table: Table, r: Scalar) -> Table:
    half = _fours(table) // 2
    x, words = _padded(table, 1), _words(r)
    if x.shape[1] < 2 * _up(half):
        x = _lengthened(x, 2 * _up(half))
    out = empty(3, _up(half))
    _over_lanes(_up(half), lambda _, i, j: cpu_fractions.fraction_fold_kernel(x, words, out, i, j))
    return _trimmed(out, 1, half)


# -- leaves -------------------------------------------------------------------------------------------


def leaf_layer(column: Table, constant: Scalar, beta: Scalar) -> tuple[Table, Table]:
    half, c, b = _half(column), Ext.of(constant), Ext.of(beta)
    scalars = [c * 2, -b, c * c, -(c * b), b * b] if column.ndim == 1 else [c, -b]
    kernel = cpu_leaves.small_layer_kernel if column.ndim == 1 else cpu_leaves.leaf_layer_kernel
    words, x = _words([word for scalar in scalars for word in scalar]), _padded(column, 1)
    if x.shape[1] < 2 * _up(half):
        x = _lengthened(x, 2 * _up(half))
    p, q = (empty(3, _up(half)) for _ in range(2))
    _over_lanes(_up(half), lambda _, i, j: kernel(x, words, p, q, i, j))
    return _trimmed(p, 1, half), _trimmed(q, 1, half)


def leaf_round(column: Table, shift: Scalar, weights: Weights, start: int) -> tuple[Triple, Triple]:
    count, w, s = _fours(column) // 4, weights, Ext.of(shift)
    x, begin, end = _grouped(column, start)
    # Zeros that fill a group up meet weights too.
    ones = _weight_sum(w, start, start + count)
    more = ZERO if end - begin == count else _weight_sum(w, begin, end) - ones
    if column.ndim == 2:
        words, kernel = _words(shift), cpu_leaves.leaf_round_kernel
        h0, h2 = _rounds(
            w, begin, end, 2, lambda out, part, i, j: kernel(x, words, w.high, w.low, begin, end, out, part, i, j)
        )
        excess = s * s * more
        return tuple(Ext(h0) - excess), tuple(Ext(h2) - excess)
    small = cpu_leaves.small_round_kernel
    lo, hi, product, raised = (
        Ext(value)
        for value in _rounds(
            w, begin, end, 4, lambda out, part, i, j: small(x, w.high, w.low, begin, end, out, part, i, j)
        )
    )
    up, two, squares = int(cpu_leaves.RAISE), hi * 2 - lo, s * s * ones
    two_product = raised - two * up - (ones + more) * up * up
    return tuple(product - s * lo + squares), tuple(two_product - s * two + squares)


def _weight_sum(weights: Weights, begin: int, end: int) -> Ext:
    """The sum of the weights [begin, end)."""
    size = weights.low.shape[1]
    out = ZERO
    while begin < end:
        h, l = divmod(begin, size)
        whole = 1 if l else max(1, (end - begin) // size)
        stop = min(end, (h + whole) * size)
        low = total(np.ascontiguousarray(weights.low[:, l : min(size, l + stop - begin)]))
        out = out + Ext(total(np.ascontiguousarray(weights.high[:, h : h + whole]))) * Ext(low)
        begin = stop
    return out


# -- counts -------------------------------------------------------------------------------------------


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
