"""Kernels of the layer above the leaves, from columns of small numbers: it is never written down.

Two fractions of that layer stand on four leaves 1 / (c - beta a). Their sum has the denominator and numerator

    q = c^4 - c^3 beta e1 + c^2 beta^2 e2 - c beta^3 e3 + beta^4 e4,
    p = 4 c^3 - 3 c^2 beta e1 + 2 c beta^2 e2 - beta^3 e3,

e1 .. e4 the elementary symmetric polynomials of the four numbers: words, where the fractions are elements of K.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np

from prover.backends.cpu_fractions import add_high, four
from prover.backends.cpu_lanes import (
    U,
    columns_sum,
    constant_columns,
    flip,
    flipped_plus,
    flipped_times,
    inline,
    kernel,
    limbs,
    plain,
    put_constant,
    reduced,
)
from prover.backends.cpu_leaves import put_plus, small_columns
from prover.backends.cpu_simd import evens, half_product, load, odds, splat, store
from prover.backends.cpu_straight import straight
from prover.backends.cpu_tables import CHUNK, FLUSH, at_two, flush

# A constant of K: the limbs of its three words.
CONSTANT: Any = np.uint64(72)
# e1 .. e4 at lo, then at two.
SUMS = 8
SCRATCH: Any = SUMS * 64


@inline
def constants(k):
    """Constants of K, three words each, as limbs."""
    out = np.empty(24 * k.shape[0], np.uint64)
    for i in range(k.shape[0]):
        put_constant(out, U(24 * i), splat(k[i]))
    return out


@straight
def small_symmetric(a, b, c, d):
    """e1 .. e4 of numbers below 2^18: below 2^20, 2^39 and 2^56, and a loose word; all plain."""
    s, t, m, n = a + b, c + d, half_product(a, b), half_product(c, d)
    by_low = half_product(s, n) + half_product(t, m)
    by_high = half_product(s, n >> 32) + half_product(t, m >> 32)
    return s + t, m + n + half_product(s, t), by_low + (by_high << 32), flip(flipped_times(m, n, n >> 32))


@straight
def symmetric(s, t, m, n):
    """e2 .. e4 from sums and products of two each, plain and loose."""
    n_high, products = n >> 32, plain(flip(m))
    e2 = flipped_plus(flipped_plus(flipped_times(s, t, t >> 32), products), plain(flip(n)))
    e3 = flipped_plus(flipped_times(t, m, m >> 32), plain(flipped_times(s, n, n_high)))
    return flip(e2), flip(e3), flip(flipped_times(m, n, n_high))


@straight
def up_to_cubes(e1, e2, e3, fixed, o):
    """The columns of e1, e2 and e3, each by a constant, the first of them at o."""
    s = columns_sum(small_columns(e1, fixed, o), constant_columns(e2, fixed, o + CONSTANT))
    return columns_sum(s, constant_columns(e3, fixed, o + U(2) * CONSTANT))


@straight
def two_small(s, t, fixed, o):
    """The columns of two sums, each by a constant, the first of them at o."""
    return columns_sum(small_columns(s, fixed, o), small_columns(t, fixed, o + CONSTANT))


@kernel
def pairs_layer_kernel(column, k, p_out, q_out, start, stop):
    """k holds the words of p's constants 4 c^3, -3 c^2 beta, 2 c beta^2, -beta^3, then of q's five."""
    fixed, n = constants(k), U(p_out.shape[1])
    for i in range(U(4 * start), U(4 * stop), U(4)):
        a, b, c, d = four(column, U(4) * i, U(4))
        e1, e2, e3, e4 = small_symmetric(a, b, c, d)
        for j in range(U(3)):
            o = U(24) * j
            put_plus(p_out, j * n + i, up_to_cubes(e1, e2, e3, fixed, CONSTANT + o), k[j])
            s = up_to_cubes(e1, e2, e3, fixed, U(5) * CONSTANT + o)
            s = columns_sum(s, constant_columns(e4, fixed, U(8) * CONSTANT + o))
            put_plus(q_out, j * n + i, s, k[j + U(12)])


@kernel
def pairs_fold_kernel(column, k, p_out, q_out, start, stop):
    """p = 2 c - beta s and q = c^2 - c beta s + beta^2 m of two leaves, s their sum and m their product, folded.

    k holds the words of 2 c, -beta (1 - r), -beta r; c^2, -c beta (1 - r), -c beta r, beta^2 (1 - r), beta^2 r.
    """
    fixed, n = constants(k), U(p_out.shape[1])
    for i in range(U(4 * start), U(4 * stop), U(4)):
        x, y = load(column, U(4) * i), load(column, U(4) * i + U(8))
        a, b = evens(x, y), odds(x, y)
        x, y = load(column, U(4) * i + U(4)), load(column, U(4) * i + U(12))
        c, d = evens(x, y), odds(x, y)
        s, t, m, l = a + b, c + d, half_product(a, b), half_product(c, d)
        for j in range(U(3)):
            o = U(24) * j
            put_plus(p_out, j * n + i, two_small(s, t, fixed, CONSTANT + o), k[j])
            w = two_small(s, t, fixed, U(4) * CONSTANT + o)
            w = columns_sum(w, constant_columns(m, fixed, U(6) * CONSTANT + o))
            w = columns_sum(w, constant_columns(l, fixed, U(7) * CONSTANT + o))
            put_plus(q_out, j * n + i, w, k[j + U(9)])


@inline
def stage_symmetric(column, i, count, scratch):
    """e1 .. e4 of four leaves at lo and at two; two fractions are lines each, of s and of m."""
    for l in range(U(0), count, U(4)):
        j = i + U(8) * l
        a, b, c, d = four(column, j, U(8))
        e1, e2, e3, e4 = small_symmetric(a, b, c, d)
        store(scratch, l, e1)
        store(scratch, CHUNK + l, e2)
        store(scratch, U(2) * CHUNK + l, e3)
        store(scratch, U(3) * CHUNK + l, e4)
        e, f, g, h = four(column, j + U(4), U(8))
        s, t = at_two(e + f, a + b), at_two(g + h, c + d)
        m, n = at_two(half_product(e, f), half_product(a, b)), at_two(half_product(g, h), half_product(c, d))
        e2, e3, e4 = symmetric(s, t, m, n)
        store(scratch, U(4) * CHUNK + l, at_two(e + f + g + h, e1))
        store(scratch, U(5) * CHUNK + l, e2)
        store(scratch, U(6) * CHUNK + l, e3)
        store(scratch, U(7) * CHUNK + l, e4)


@inline
def weight_limbs(low):
    """The limbs of the low weights: three planes for each of their words."""
    size = U(low.shape[1])
    out = np.empty(9 * low.shape[1], np.uint64)
    for k in range(U(3)):
        for i in range(U(0), size, U(4)):
            x, y, z = limbs(load(low, k * size + i))
            o = U(3) * k * size + i
            store(out, o, x)
            store(out, o + size, y)
            store(out, o + size + size, z)
    return out


@inline
def words_weighted(weights, size, first, count, scratch, slot):
    """The sum of a slot's words under a plane of weights, plain and loose; `first` is the place of its first limb."""
    z = splat(U(0))
    s0, s1, s2, s3, s4, s5 = z, z, z, z, z, z
    for l in range(U(0), count, U(4)):
        x, i = load(scratch, slot * CHUNK + l), first + l
        high, w0, w1, w2 = x >> 32, load(weights, i), load(weights, i + size), load(weights, i + size + size)
        s0, s1, s2 = s0 + half_product(x, w0), s1 + half_product(x, w1), s2 + half_product(x, w2)
        s3, s4, s5 = s3 + half_product(high, w0), s4 + half_product(high, w1), s5 + half_product(high, w2)
    return flip(reduced((s0, s1, s2, s3, s4, s5)))


@straight
def held_columns(sums, o):
    return (
        load(sums, o), load(sums, o + U(4)), load(sums, o + U(8)),
        load(sums, o + U(12)), load(sums, o + U(16)), load(sums, o + U(20)),
    )  # fmt: skip


@straight
def hold_columns(sums, o, s):
    store(sums, o, s[0])
    store(sums, o + U(4), s[1])
    store(sums, o + U(8), s[2])
    store(sums, o + U(12), s[3])
    store(sums, o + U(16), s[4])
    store(sums, o + U(20), s[5])


@straight
def held(sums, o):
    """The columns of an element of K out of an array."""
    return held_columns(sums, o), held_columns(sums, o + U(24)), held_columns(sums, o + U(48))


@straight
def hold(sums, o, s):
    hold_columns(sums, o, s[0])
    hold_columns(sums, o + U(24), s[1])
    hold_columns(sums, o + U(48), s[2])


@kernel
def pairs_round_kernel(column, high, low, begin, end, out, part, start, stop):
    """The weighted sums of e1 .. e4 at lo and at two. Places as in fraction_round_kernel."""
    size, weights = U(low.shape[1]), weight_limbs(low)
    scratch, sums = np.empty(SCRATCH, np.uint64), np.empty(72 * SUMS, np.uint64)
    for group in range(U(start), U(stop), FLUSH):
        sums[:] = 0
        for h in range(group, min(group + FLUSH, U(stop))):
            first, last = max(U(begin), h * size), min(U(end), (h + U(1)) * size)
            o, count = first - h * size, last - first
            stage_symmetric(column, U(8) * (first - U(begin)), count, scratch)
            for j in range(U(SUMS)):
                x = (
                    words_weighted(weights, size, o, count, scratch, j),
                    words_weighted(weights, size, o + U(3) * size, count, scratch, j),
                    words_weighted(weights, size, o + U(6) * size, count, scratch, j),
                )
                hold(sums, U(72) * j, add_high(held(sums, U(72) * j), high, h, x))
        for j in range(SUMS):
            flush(held(sums, U(72 * j)), out, part, j)
