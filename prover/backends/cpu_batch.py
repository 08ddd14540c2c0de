"""Kernels that batch tensors over F with weights in K: scaled sums, outer products, contractions.

Weights are cut into limbs once, as constants (cpu_lanes), and used for many entries; sums of products stay in
columns for up to 128 terms.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np

from prover.backends.cpu_field import P, canonical, plus, times
from prover.backends.cpu_lanes import (
    U,
    base_times_constant,
    columns_sum,
    constant_columns,
    constant_reduced,
    ext_constant,
    ext_times_constant,
    inline,
    kernel,
    plain,
    put_constant,
)
from prover.backends.cpu_simd import load, splat, store
from prover.backends.cpu_straight import straight
from prover.backends.cpu_tables import at, ext_plus, put

# A product with a constant adds less than 2^55 to a column, and columns must stay below 2^62.
TERMS: Any = 128
# Columns worked on at a time, so that their sums, or the limbs of their weights, stay in the nearest cache.
BLOCK: Any = 128
P_WORD: Any = np.uint64(P)
ONE: Any = np.uint64(1)


@kernel
def accumulate_kernel(out, k, tensor, start, stop):
    constant = ext_constant((k[0], k[1], k[2]))
    for i in range(U(4 * start), U(4 * stop), U(4)):
        put(out, i, ext_plus(base_times_constant(load(tensor, i), constant), at(out, i)))


@kernel
def outer_accumulate_kernel(out, a, b, start, stop):
    """The lane vectors [start, stop) of the outer product; b of a multiple of four entries."""
    n = U(b.shape[1])
    first = U(4 * start)
    while first < U(4 * stop):
        i = first // n
        last = min((i + U(1)) * n, U(4 * stop))
        constant = ext_constant((a[0, i], a[1, i], a[2, i]))
        for o in range(first, last, U(4)):
            put(out, o, ext_plus(ext_times_constant(at(b, o - i * n), constant), at(out, o)))
        first = last


@inline
def word_sum(a, b, c, twice):
    """a + b + c, or a + 2 (b + c), canonical; of loose words."""
    rest = canonical(plus(b, canonical(c)))
    if twice:
        rest = canonical(plus(rest, rest))
    return canonical(plus(a, rest))


@kernel
def equality_kernel(point, out):
    """out = eq(point, .) for point [m, 3], one variable after the other; entry i becomes the entries 2i and 2i + 1."""
    out[0, 0], out[1, 0], out[2, 0] = U(1), U(0), U(0)
    size = 1
    for j in range(point.shape[0]):
        r0, r1, r2 = point[j, 0], point[j, 1], point[j, 2]
        for i in range(size - 1, -1, -1):
            x0, x1, x2 = out[0, i], out[1, i], out[2, i]
            h0 = word_sum(times(x0, r0), times(x1, r2), times(x2, r1), True)
            h2 = word_sum(times(x0, r2), times(x1, r1), times(x2, r0), False)
            c = canonical(times(x2, r2))
            h1 = word_sum(times(x0, r1), times(x1, r0), plus(c, c), False)
            out[0, 2 * i + 1], out[1, 2 * i + 1], out[2, 2 * i + 1] = h0, h1, h2
            out[0, 2 * i], out[1, 2 * i], out[2, 2 * i] = (
                canonical(plus(x0, P_WORD - h0)),
                canonical(plus(x1, P_WORD - h1)),
                canonical(plus(x2, P_WORD - h2)),
            )
        size *= 2


@kernel
def count_kernel(values, counts):
    """Adds one to counts[x] for each x of values, int64, up to the first that is no index; returns that one's place."""
    size = counts.shape[0]
    for i in range(values.shape[0]):
        x = values[i]
        if x < 0 or x >= size:
            return i
        counts[x] += ONE
    return values.shape[0]


@kernel
def constants_kernel(weights, out):
    """out[r]: the 72 words of the constants w_r0, w_r1, w_r2."""
    for r in range(weights.shape[1]):
        for k in range(3):
            put_constant(out, U(72 * r + 24 * k), splat(weights[k, r]))


@straight
def add_columns(sums, o, s):
    """Adds three columns to those at o."""
    store(sums, o, load(sums, o) + s[0])
    store(sums, o + U(4), load(sums, o + U(4)) + s[1])
    store(sums, o + U(8), load(sums, o + U(8)) + s[2])


@straight
def take_columns(sums, o):
    """The three columns at o, reduced: flipped and loose; leaves zeros."""
    word = constant_reduced((load(sums, o), load(sums, o + U(4)), load(sums, o + U(8))))
    zero = splat(U(0))
    store(sums, o, zero)
    store(sums, o + U(4), zero)
    store(sums, o + U(8), zero)
    return word


@kernel
def combine_kernel(constants, rows, out, start, stop):
    """out[., i] += sum_r w_r rows[r, i] for the lane vectors [start, stop) of the columns."""
    n, count = U(rows.shape[1]), U(rows.shape[0])
    sums = np.zeros(9 * BLOCK, np.uint64)
    for first in range(U(4 * start), U(4 * stop), U(BLOCK)):
        last = min(first + U(BLOCK), U(4 * stop))
        for top in range(U(0), count, U(TERMS)):
            for r in range(top, min(top + U(TERMS), count)):
                for i in range(first, last, U(4)):
                    x, o = load(rows, r * n + i), U(9) * (i - first)
                    add_columns(sums, o, constant_columns(x, constants, U(72) * r))
                    add_columns(sums, o + U(12), constant_columns(x, constants, U(72) * r + U(24)))
                    add_columns(sums, o + U(24), constant_columns(x, constants, U(72) * r + U(48)))
            for i in range(first, last, U(4)):
                o = U(9) * (i - first)
                words = take_columns(sums, o), take_columns(sums, o + U(12)), take_columns(sums, o + U(24))
                put(out, i, ext_plus(words, at(out, i)))


@inline
def add_lanes(word, scratch, old):
    """old + the sum of the lanes of flipped, loose words."""
    store(scratch, U(0), plain(word))
    for l in range(4):
        old = canonical(plus(old, scratch[l]))
    return old


@kernel
def contract_kernel(tensor, weights, out, part, start, stop):
    """out[part, ., m] += sum_i T[m, i] w[., i] over the lane vectors [start, stop) of the columns, for every row m."""
    n, count = U(tensor.shape[1]), U(tensor.shape[0])
    scratch, own = np.empty(4, np.uint64), np.empty(18 * BLOCK, np.uint64)
    for first in range(U(4 * start), U(4 * stop), U(BLOCK)):
        last = min(first + U(BLOCK), U(4 * stop))
        for i in range(first, last, U(4)):
            for k in range(U(3)):
                put_constant(own, U(18) * (i - first) + U(24) * k, load(weights, k * n + i))
        for m in range(count):
            z = splat(U(0))
            s0, s1, s2 = (z, z, z), (z, z, z), (z, z, z)
            for i in range(first, last, U(4)):
                x, o = load(tensor, m * n + i), U(18) * (i - first)
                s0 = columns_sum(s0, constant_columns(x, own, o))
                s1 = columns_sum(s1, constant_columns(x, own, o + U(24)))
                s2 = columns_sum(s2, constant_columns(x, own, o + U(48)))
            out[part, 0, m] = add_lanes(constant_reduced(s0), scratch, out[part, 0, m])
            out[part, 1, m] = add_lanes(constant_reduced(s1), scratch, out[part, 1, m])
            out[part, 2, m] = add_lanes(constant_reduced(s2), scratch, out[part, 2, m])
