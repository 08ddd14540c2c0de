"""Kernels of the leaves of the tree of fractions: columns that are still small numbers, or already in K.

A leaf is 1 / (constant - beta a). Sums over pairs of leaves are sums over a_0 + a_1 and a_0 a_1, which for small
numbers take a fraction of the work of products in K.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np

from prover.backends.cpu_fractions import add_high, four, stage_fours, weighted
from prover.backends.cpu_lanes import (
    U,
    columns_sum,
    constant_columns,
    constant_reduced,
    ext_columns,
    ext_constant,
    ext_reduced,
    ext_times_constant,
    flip,
    flipped_minus,
    flipped_plus,
    inline,
    kernel,
    plain,
    reduced,
    right,
)
from prover.backends.cpu_simd import evens, half_product, load, odds, single, splat, store
from prover.backends.cpu_straight import straight
from prover.backends.cpu_tables import (
    CHUNK,
    FLUSH,
    at_two,
    flush,
    no_columns,
    put,
    put_staged,
    staged,
)

# Numbers of a column are below 2^18; with this added, 2 hi - lo is below 2^20 and not negative.
RAISE: Any = np.uint64(2**18)
LIMB: Any = np.uint64(2**22 - 1)
# Slots of the scratch array: four neighbours and the product, in K; sums and products, of small numbers.
A0, VALUE = 0, 4
SCRATCH: Any = 5 * 3 * 64
SUM_LO, SUM_HI, LOW_LO, LOW_HI, TWO_LO, TWO_HI = range(6)


# -- the first layer above them -----------------------------------------------------------------------


@straight
def small_columns(x, constant, at):
    """word < 2^32 · constant -> three columns below 2^54."""
    return (
        half_product(x, load(constant, at)),
        half_product(x, load(constant, at + U(4))),
        half_product(x, load(constant, at + U(8))),
    )


@straight
def put_plus(out, i, s, word):
    """Writes three columns, reduced, plus a word."""
    store(out, i, plain(flipped_plus(constant_reduced(s), splat(word))))


@kernel
def small_layer_kernel(column, k, p_out, q_out, start, stop):
    """p = 2 c - beta (a_0 + a_1), q = c^2 - c beta (a_0 + a_1) + beta^2 a_0 a_1.

    k holds the words of 2 c, -beta, c^2, -c beta, beta^2.
    """
    p_sum = ext_constant((k[3], k[4], k[5]))
    q_sum = ext_constant((k[9], k[10], k[11]))
    q_product = ext_constant((k[12], k[13], k[14]))
    n = U(p_out.shape[1])
    for i in range(U(4 * start), U(4 * stop), U(4)):
        x, y = load(column, i + i), load(column, i + i + U(4))
        a, b = evens(x, y), odds(x, y)
        total, product = a + b, half_product(a, b)
        for j in range(U(3)):
            put_plus(p_out, j * n + i, small_columns(total, p_sum, U(24) * j), k[j])
            s = columns_sum(
                small_columns(total, q_sum, U(24) * j), constant_columns(product, q_product, U(24) * j)
            )
            put_plus(q_out, j * n + i, s, k[j + U(6)])


@straight
def leaf(pick, constant, c):
    """constant - beta a for one child of four pairs, plain and loose; `constant` is that of -beta."""
    x = ext_times_constant(pick, constant)
    return (
        flip(flipped_plus(x[0], splat(single(c, 0)))),
        flip(flipped_plus(x[1], splat(single(c, 1)))),
        flip(flipped_plus(x[2], splat(single(c, 2)))),
    )


@kernel
def leaf_layer_kernel(column, k, p_out, q_out, start, stop):
    """The same over K; k holds the words of c and -beta."""
    minus_beta = ext_constant((k[3], k[4], k[5]))
    n = U(column.shape[1])
    for i in range(U(4 * start), U(4 * stop), U(4)):
        j = i + i
        x0, y0 = load(column, j), load(column, j + U(4))
        x1, y1 = load(column, n + j), load(column, n + j + U(4))
        x2, y2 = load(column, n + n + j), load(column, n + n + j + U(4))
        a = leaf((evens(x0, y0), evens(x1, y1), evens(x2, y2)), minus_beta, k)
        b = leaf((odds(x0, y0), odds(x1, y1), odds(x2, y2)), minus_beta, k)
        put(p_out, i, (
            flipped_plus(flip(a[0]), plain(flip(b[0]))),
            flipped_plus(flip(a[1]), plain(flip(b[1]))),
            flipped_plus(flip(a[2]), plain(flip(b[2]))),
        ))  # fmt: skip
        s = ext_columns(a, right(b))
        put(q_out, i, (reduced(s[0]), reduced(s[1]), reduced(s[2])))


# -- rounds -------------------------------------------------------------------------------------------


@straight
def put_limbs(scratch, slot, l, x):
    """Writes a word below 2^44 as two limbs to a slot and the next."""
    o = U(slot) * CHUNK + l
    store(scratch, o, x & splat(LIMB))
    store(scratch, o + CHUNK, x >> 22)


@inline
def stage_small(column, i, count, scratch):
    """Sums at lo and hi, products at lo and at two, of four pairs at a time."""
    for l in range(U(0), count, U(4)):
        a, b, c, d = four(column, i + U(4) * l, U(4))
        store(scratch, U(SUM_LO) * CHUNK + l, a + b)
        store(scratch, U(SUM_HI) * CHUNK + l, c + d)
        put_limbs(scratch, LOW_LO, l, half_product(a, b))
        raised = splat(RAISE)
        put_limbs(scratch, TWO_LO, l, half_product(c + c + raised - a, d + d + raised - b))


@inline
def small_sum(low, o, count, scratch, slot):
    """The sum over a slot of words below 2^22, times words of a plane of low weights: flipped and loose."""
    z = splat(U(0))
    lo, hi = z, z
    for l in range(U(0), count, U(4)):
        w, x = load(low, o + l), load(scratch, U(slot) * CHUNK + l)
        lo, hi = lo + half_product(w, x), hi + half_product(w >> 32, x)
    return reduced((lo, z, z, hi, z, z))


@inline
def limb_sum(low, o, count, scratch, slot):
    """The same over words of two limbs."""
    z = splat(U(0))
    s0, s1, s3, s4 = z, z, z, z
    for l in range(U(0), count, U(4)):
        w = load(low, o + l)
        h, x = w >> 32, load(scratch, U(slot) * CHUNK + l)
        y = load(scratch, U(slot) * CHUNK + CHUNK + l)
        s0, s1 = s0 + half_product(w, x), s1 + half_product(w, y)
        s3, s4 = s3 + half_product(h, x), s4 + half_product(h, y)
    return reduced((s0, s1, z, s3, s4, z))


@inline
def small_weighted(low, first, count, scratch, slot):
    n = U(low.shape[1])
    return (
        flip(small_sum(low, first, count, scratch, slot)),
        flip(small_sum(low, first + n, count, scratch, slot)),
        flip(small_sum(low, first + n + n, count, scratch, slot)),
    )


@inline
def limb_weighted(low, first, count, scratch, slot):
    n = U(low.shape[1])
    return (
        flip(limb_sum(low, first, count, scratch, slot)),
        flip(limb_sum(low, first + n, count, scratch, slot)),
        flip(limb_sum(low, first + n + n, count, scratch, slot)),
    )


@kernel
def small_round_kernel(column, high, low, begin, end, out, part, start, stop):
    """Four weighted sums over small numbers: of a_0 + a_1 at lo and at hi, of a_0 a_1 at lo, and of (a_0 + RAISE)
    (a_1 + RAISE) at two. Places as in fraction_round_kernel."""
    size = U(low.shape[1])
    scratch = np.empty(6 * 64, np.uint64)
    for group in range(U(start), U(stop), FLUSH):
        s, t, u, v = no_columns(), no_columns(), no_columns(), no_columns()
        for h in range(group, min(group + FLUSH, U(stop))):
            first, last = max(U(begin), h * size), min(U(end), (h + U(1)) * size)
            o, count = first - h * size, last - first
            stage_small(column, U(4) * (first - U(begin)), count, scratch)
            s = add_high(s, high, h, small_weighted(low, o, count, scratch, SUM_LO))
            t = add_high(t, high, h, small_weighted(low, o, count, scratch, SUM_HI))
            u = add_high(u, high, h, limb_weighted(low, o, count, scratch, LOW_LO))
            v = add_high(v, high, h, limb_weighted(low, o, count, scratch, TWO_LO))
        flush(s, out, part, 0)
        flush(t, out, part, 1)
        flush(u, out, part, 2)
        flush(v, out, part, 3)


@straight
def less(scratch, slot, l, k):
    """Four neighbours of a slot less a scalar, plain and canonical; put back there."""
    x = staged(scratch, slot, l)
    y = (
        plain(flipped_minus(flip(x[0]), splat(single(k, 0)))),
        plain(flipped_minus(flip(x[1]), splat(single(k, 1)))),
        plain(flipped_minus(flip(x[2]), splat(single(k, 2)))),
    )
    put_staged(scratch, slot, l, y)
    return y


@straight
def two(scratch, slot, l):
    lo, hi = staged(scratch, slot, l), staged(scratch, slot + 2, l)
    return at_two(hi[0], lo[0]), at_two(hi[1], lo[1]), at_two(hi[2], lo[2])


@kernel
def leaf_round_kernel(column, k, high, low, begin, end, out, part, start, stop):
    """The sums of (a_0 - k)(a_1 - k) at X = 0 and 2 over K. Places as in fraction_round_kernel."""
    size = U(low.shape[1])
    scratch = np.empty(SCRATCH, np.uint64)
    for group in range(U(start), U(stop), FLUSH):
        s0, s2 = no_columns(), no_columns()
        for h in range(group, min(group + FLUSH, U(stop))):
            first, last = max(U(begin), h * size), min(U(end), (h + U(1)) * size)
            o, count = first - h * size, last - first
            stage_fours(column, U(4) * (first - U(begin)), count, scratch, A0)
            for l in range(U(0), count, U(4)):
                less(scratch, A0 + 2, l, k)
                less(scratch, A0 + 3, l, k)
                a, b = less(scratch, A0, l, k), less(scratch, A0 + 1, l, k)
                put_staged(scratch, VALUE, l, ext_reduced(ext_columns(a, right(b))))
            s0 = add_high(s0, high, h, weighted(low, o, count, scratch, VALUE))
            for l in range(U(0), count, U(4)):
                a, b = two(scratch, A0, l), two(scratch, A0 + 1, l)
                put_staged(scratch, VALUE, l, ext_reduced(ext_columns(a, right(b))))
            s2 = add_high(s2, high, h, weighted(low, o, count, scratch, VALUE))
        flush(s0, out, part, 0)
        flush(s2, out, part, 1)
