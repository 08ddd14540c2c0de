"""Fractional sums on the CPU: layers of the tree of fractions, rounds over them, and its leaves.

What each function computes is said in the interface module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prover.backends import cpu_fractions, cpu_leaves, cpu_pairs, cpu_shapes, cpu_tables
from prover.backends.cpu_equality import eq_table
from prover.backends.cpu_shapes import (
    LANES,
    half_of,
    lengthened,
    over_lanes,
    padded_table,
    ready,
    rounded_up,
    same_length,
    trimmed,
    words_of,
)
from prover.backends.interface import Scalar, Table, Triple
from prover.backends.memory import empty
from prover.backends.threads import spread, threads
from verifier.field import ONE, ZERO, Ext, total


def fraction_layer(p: Table, q: Table) -> tuple[Table, Table]:
    half = half_of(p, q)
    x, y = padded_table(p, 1), padded_table(q, 1)
    p_out, q_out = (empty(3, rounded_up(half)) for _ in range(2))
    if x.shape[1] < 2 * rounded_up(half):
        x, y = (lengthened(t, 2 * rounded_up(half)) for t in (x, y))
    over_lanes(rounded_up(half), lambda _, i, j: cpu_fractions.fraction_layer_kernel(x, y, p_out, q_out, i, j))
    return trimmed(p_out, 1, half), trimmed(q_out, 1, half)


@dataclass(frozen=True)
class Weights:
    """eq of a point as an outer product: K[3, H] and K[3, S], S a multiple of four and at most a chunk."""

    high: Table
    low: Table


_CHUNK_BITS = 6


def fraction_weights(point: Sequence[Scalar]) -> Weights:
    cut = max(0, len(point) - _CHUNK_BITS)
    return Weights(ready(eq_table(point[:cut])), padded_table(eq_table(point[cut:]), 1))


def _grouped(table: Table, start: int, group: int = 4) -> tuple[Table, int, int]:
    """A [planes, group · Y] table for the weights [begin, end), multiples of four: zeros meet those that it lacks."""
    flat = ready(table).reshape(1 if table.ndim == 1 else 3, -1)
    count = flat.shape[1] // group
    begin, end = start - start % LANES, rounded_up(start + count)
    if count % LANES or start % LANES:
        flat = lengthened(flat, group * (end - begin), group * (start - begin))
    return flat, begin, end


def _groups(group: int, *tables: Table) -> int:
    n = same_length(*tables)
    if n < group or n % group:
        raise ValueError(f"a table of {n} entries has no groups of {group}")
    return n // group


def _rounds(weights: Weights, begin: int, end: int, count: int, work: Callable[..., None]) -> list[Triple]:
    """`count` sums in K: work(out, part, i, j) adds those of the high weights [i, j) to out[part]."""
    size = weights.low.shape[1]
    first, last = begin // size, -(-end // size)
    out = np.zeros((threads(), count, cpu_tables.SUM_WORDS), dtype=np.uint64)
    grain = 1 + cpu_shapes.GRAIN * LANES // size
    spread(last - first, grain, lambda part, i, j: work(out, part, first + i, first + j))
    return cpu_tables.sums_to_triples(out)


def fraction_round(p: Table, q: Table, weights: Weights, start: int, lam: Scalar) -> tuple[Triple, Triple]:
    _groups(4, p, q)
    words, (x, begin, end), y = words_of(lam), _grouped(p, start), _grouped(q, start)[0]
    kernel, w = cpu_fractions.fraction_round_kernel, weights
    h0, h2 = _rounds(
        w, begin, end, 2, lambda out, part, i, j: kernel(x, y, w.high, w.low, words, begin, end, out, part, i, j)
    )
    return h0, h2


def fraction_fold(table: Table, r: Scalar) -> Table:
    half = 2 * _groups(4, table)
    x, words = padded_table(table, 1), words_of(r)
    if x.shape[1] < 2 * rounded_up(half):
        x = lengthened(x, 2 * rounded_up(half))
    out = empty(3, rounded_up(half))
    over_lanes(rounded_up(half), lambda _, i, j: cpu_fractions.fraction_fold_kernel(x, words, out, i, j))
    return trimmed(out, 1, half)


# -- leaves -------------------------------------------------------------------------------------------


def leaf_layer(column: Table, constant: Scalar, beta: Scalar) -> tuple[Table, Table]:
    half, c, b = half_of(column), Ext.of(constant), Ext.of(beta)
    scalars = [c * 2, -b, c * c, -(c * b), b * b] if column.ndim == 1 else [c, -b]
    kernel = cpu_leaves.small_layer_kernel if column.ndim == 1 else cpu_leaves.leaf_layer_kernel
    words, x = words_of([word for scalar in scalars for word in scalar]), padded_table(column, 1)
    if x.shape[1] < 2 * rounded_up(half):
        x = lengthened(x, 2 * rounded_up(half))
    p, q = (empty(3, rounded_up(half)) for _ in range(2))
    over_lanes(rounded_up(half), lambda _, i, j: kernel(x, words, p, q, i, j))
    return trimmed(p, 1, half), trimmed(q, 1, half)


def leaf_round(column: Table, shift: Scalar, weights: Weights, start: int) -> tuple[Triple, Triple]:
    count, w, s = _groups(4, column), weights, Ext.of(shift)
    x, begin, end = _grouped(column, start)
    # Zeros that fill a group up meet weights too.
    ones = _weight_sum(w, start, start + count)
    more = ZERO if end - begin == count else _weight_sum(w, begin, end) - ones
    if column.ndim == 2:
        words, kernel = words_of(shift), cpu_leaves.leaf_round_kernel
        h0, h2 = _rounds(
            w, begin, end, 2, lambda out, part, i, j: kernel(x, words, w.high, w.low, begin, end, out, part, i, j)
        )
        excess = s * s * more
        return _triple(Ext(h0) - excess), _triple(Ext(h2) - excess)
    small = cpu_leaves.small_round_kernel
    lo, hi, product, raised = (
        Ext(value)
        for value in _rounds(
            w, begin, end, 4, lambda out, part, i, j: small(x, w.high, w.low, begin, end, out, part, i, j)
        )
    )
    up, two, squares = int(cpu_leaves.RAISE), hi * 2 - lo, s * s * ones
    two_product = raised - two * up - (ones + more) * up * up
    return _triple(product - s * lo + squares), _triple(two_product - s * two + squares)


# -- the layer above leaves that are small numbers ----------------------------------------------------


def _small_layer(kernel: Any, column: Table, constants: Sequence[Ext], share: int) -> tuple[Table, Table]:
    """Tables p and q of a share of the column's length, from constants of K."""
    length, words = len(column) // share, words_of([word for constant in constants for word in constant])
    x, size = padded_table(column, 1), rounded_up(length)
    if x.shape[1] < share * size:
        x = lengthened(x, share * size)
    p, q = empty(3, size), empty(3, size)
    over_lanes(size, lambda _, i, j: kernel(x, words, p, q, i, j))
    return trimmed(p, 1, length), trimmed(q, 1, length)


def pairs_layer(column: Table, constant: Scalar, beta: Scalar) -> tuple[Table, Table]:
    _groups(4, column)
    c, b = Ext.of(constant), Ext.of(beta)
    squares = c * c, b * b
    p = [c * squares[0] * 4, -(squares[0] * b * 3), c * squares[1] * 2, -(b * squares[1])]
    q = [squares[0] * squares[0], -(c * squares[0] * b), squares[0] * squares[1], -(c * b * squares[1])]
    return _small_layer(cpu_pairs.pairs_layer_kernel, column, [*p, *q, squares[1] * squares[1]], 4)


def pairs_fold(column: Table, constant: Scalar, beta: Scalar, r: Scalar) -> tuple[Table, Table]:
    _groups(8, column)
    c, b, hi = Ext.of(constant), Ext.of(beta), Ext.of(r)
    lo = ONE - hi
    p = [c * 2, -(b * lo), -(b * hi)]
    q = [c * c, -(c * b * lo), -(c * b * hi), b * b * lo, b * b * hi]
    return _small_layer(cpu_pairs.pairs_fold_kernel, column, [*p, *q], 4)


def pairs_round(
    column: Table, constant: Scalar, beta: Scalar, weights: Weights, start: int, lam: Scalar
) -> tuple[Triple, Triple]:
    c, b, k, w = Ext.of(constant), Ext.of(beta), Ext.of(lam), weights
    ones = _weight_sum(w, start, start + _groups(8, column))
    (x, begin, end), kernel = _grouped(column, start, 8), cpu_pairs.pairs_round_kernel
    sums = _rounds(
        w, begin, end, 8, lambda out, part, i, j: kernel(x, w.high, w.low, begin, end, out, part, i, j)
    )
    fixed = c * c * c * (c * k + 4) * ones
    by = [-(b * c * c * (c * k + 3)), b * b * c * (c * k + 2), -(b * b * b * (c * k + 1)), b * b * b * b * k]
    h0, h2 = (total([fixed, *(Ext(e) * f for e, f in zip(sums[i : i + 4], by, strict=True))]) for i in (0, 4))
    return _triple(h0), _triple(h2)


# -- sums of weights ----------------------------------------------------------------------------------


def _triple(value: Ext) -> Triple:
    return value[0], value[1], value[2]


def _weight_sum(weights: Weights, begin: int, end: int) -> Ext:
    """The sum of the weights [begin, end)."""
    size = weights.low.shape[1]
    out = ZERO
    while begin < end:
        h, l = divmod(begin, size)
        whole = 1 if l else max(1, (end - begin) // size)
        stop = min(end, (h + whole) * size)
        low = _sum(weights.low[:, l : min(size, l + stop - begin)])
        out = out + _sum(weights.high[:, h : h + whole]) * low
        begin = stop
    return out


def _sum(table: Table) -> Ext:
    """The sum of fewer than 2^32 elements of K."""
    low, high = (table & np.uint64(2**32 - 1)).sum(axis=1), (table >> np.uint64(32)).sum(axis=1)
    return Ext.of([int(a) + (int(b) << 32) for a, b in zip(low, high, strict=True)])
