"""Kernels of fractional sums: a layer of the tree, and a sumcheck round over a layer.

One loop over all of a round would hold too many words at once: a chunk of the tables is worked on in short
loops one after another, of which the processor overlaps several turns, with a scratch array between them.
Neighbours are told apart by shuffles when a chunk is copied to that array.

The weights eq of a round are an outer product: `high` times `low`, of CHUNK entries or fewer. A chunk is what
one entry of `high` stands for, so that weights cost no memory traffic.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np

from prover.backends.cpu_lanes import (
    U,
    base_times_constant,
    ext_columns,
    ext_columns_plus,
    ext_constant,
    ext_reduced,
    ext_times_constant,
    flipped_plus,
    inline,
    kernel,
    reduced,
    right,
)
from prover.backends.cpu_simd import evens, highs, load, lows, odds, single, splat, store
from prover.backends.cpu_straight import straight
from prover.backends.cpu_tables import (
    CHUNK,
    FLUSH,
    SLOT,
    canonical_all,
    difference,
    ext_at_two,
    ext_difference,
    ext_plus,
    flip_all,
    flush,
    no_columns,
    put,
    put_staged,
    staged,
)

# Slots of the scratch array: the four neighbours of p and q (of a layer, only the first of each pair), and what is
# computed from them.
P0, P1, P0_HI, P1_HI, Q0, Q1, Q0_HI, Q1_HI, LAST, Q1_TWO, VALUE = range(11)
SCRATCH: Any = 11 * 3 * 64


@straight
def four(t, i, step):
    """Four neighbours each, at i, i + step, ..., as the four lane vectors of their places."""
    a, b, c, d = load(t, i), load(t, i + step), load(t, i + step + step), load(t, i + step + step + step)
    e, f, g, h = lows(a, b), lows(c, d), highs(a, b), highs(c, d)
    return evens(e, f), odds(e, f), evens(g, h), odds(g, h)


@inline
def stage_pairs(t, i, count, scratch, slot):
    """Copies neighbours 2j and 2j + 1, j < count, of a K table from index i to a slot and the next."""
    n = U(t.shape[1])
    for k in range(U(3)):
        o = U(slot) * SLOT + k * CHUNK
        for l in range(U(0), count, U(4)):
            x, y = load(t, k * n + i + l + l), load(t, k * n + i + l + l + U(4))
            store(scratch, o + l, evens(x, y))
            store(scratch, o + SLOT + l, odds(x, y))


@inline
def stage_fours(t, i, count, scratch, slot):
    """Copies neighbours 4j .. 4j + 3, j < count, of a K table from index i to four slots."""
    n = U(t.shape[1])
    for k in range(U(3)):
        o = U(slot) * SLOT + k * CHUNK
        for l in range(U(0), count, U(4)):
            x = four(t, k * n + i + U(4) * l, U(4))
            store(scratch, o + l, x[0])
            store(scratch, o + SLOT + l, x[1])
            store(scratch, o + SLOT + SLOT + l, x[2])
            store(scratch, o + SLOT + SLOT + SLOT + l, x[3])


@kernel
def fraction_layer_kernel(p, q, p_out, q_out, start, stop):
    scratch = np.empty(SCRATCH, np.uint64)
    for first in range(U(4 * start), U(4 * stop), CHUNK):
        count = min(CHUNK, U(4 * stop) - first)
        stage_pairs(p, first + first, count, scratch, P0)
        stage_pairs(q, first + first, count, scratch, Q0)
        for l in range(U(0), count, U(4)):
            q0, q1 = staged(scratch, Q0, l), right(staged(scratch, Q1, l))
            s = ext_columns(q0, q1)
            put(q_out, first + l, (reduced(s[0]), reduced(s[1]), reduced(s[2])))
            s = ext_columns_plus(
                ext_columns(staged(scratch, P0, l), q1), ext_columns(staged(scratch, P1, l), right(q0))
            )
            put(p_out, first + l, (reduced(s[0]), reduced(s[1]), reduced(s[2])))


@kernel
def fraction_fold_kernel(t, r, out, start, stop):
    """lo + r (hi - lo); of four neighbours lo are the first two and hi the others."""
    constant = ext_constant((r[0], r[1], r[2]))
    n = U(t.shape[1])
    for i in range(U(4 * start), U(4 * stop), U(4)):
        a, b = load(t, i + i), load(t, i + i + U(4))
        if t.shape[0] == 1:
            lo = lows(a, b)
            x = base_times_constant(difference(highs(a, b), lo), constant)
            put(out, i, (flipped_plus(x[0], lo), x[1], x[2]))
        else:
            c, d = load(t, n + i + i), load(t, n + i + i + U(4))
            e, f = load(t, n + n + i + i), load(t, n + n + i + i + U(4))
            low = lows(a, b), lows(c, d), lows(e, f)
            high = highs(a, b), highs(c, d), highs(e, f)
            put(out, i, ext_plus(ext_times_constant(ext_difference(high, low), constant), low))


@straight
def last_factor(p1, q1, lam):
    """p_1 + lam q_1, plain and loose; p_1 canonical."""
    return flip_all(ext_plus(ext_times_constant(q1, lam), p1))


@straight
def value(p0, last, q0, q1):
    """p_0 q_1 + q_0 (p_1 + lam q_1), plain and loose."""
    return ext_reduced(ext_columns_plus(ext_columns(p0, right(q1)), ext_columns(last, right(q0))))


@straight
def staged_at_two(scratch, slot, l):
    """The line through a slot at 0 and the slot after the next at 1, at 2."""
    return ext_at_two(staged(scratch, slot + 2, l), staged(scratch, slot, l))


@inline
def values_at_zero(count, lam, scratch):
    for l in range(U(0), count, U(4)):
        put_staged(scratch, LAST, l, last_factor(staged(scratch, P1, l), staged(scratch, Q1, l), lam))
    for l in range(U(0), count, U(4)):
        p0, q0, q1 = staged(scratch, P0, l), staged(scratch, Q0, l), staged(scratch, Q1, l)
        put_staged(scratch, VALUE, l, value(p0, staged(scratch, LAST, l), q0, q1))


@inline
def values_at_two(count, lam, scratch):
    for l in range(U(0), count, U(4)):
        q1 = staged_at_two(scratch, Q1, l)
        put_staged(scratch, Q1_TWO, l, q1)
        put_staged(scratch, LAST, l, last_factor(canonical_all(staged_at_two(scratch, P1, l)), q1, lam))
    for l in range(U(0), count, U(4)):
        p0, q0 = staged_at_two(scratch, P0, l), staged_at_two(scratch, Q0, l)
        put_staged(scratch, VALUE, l, value(p0, staged(scratch, LAST, l), q0, staged(scratch, Q1_TWO, l)))


@inline
def weighted(low, first, count, scratch, slot):
    """The sum of a slot under the low weights from `first` on, plain and loose."""
    s, n = no_columns(), U(low.shape[1])
    for l in range(U(0), count, U(4)):
        i = first + l
        eq = load(low, i), load(low, i + n), load(low, i + n + n)
        s = ext_columns_plus(s, ext_columns(staged(scratch, slot, l), right(eq)))
    return ext_reduced(s)


@straight
def add_high(s, high, h, x):
    """Adds x times the high weight h."""
    n = U(high.shape[1])
    eq = splat(single(high, h)), splat(single(high, h + n)), splat(single(high, h + n + n))
    return ext_columns_plus(s, ext_columns(x, right(eq)))


@kernel
def fraction_round_kernel(p, q, high, low, k, begin, end, out, part, start, stop):
    """The sums for X = 0 and X = 2 under the weights begin .. end - 1, both multiples of four; p and q begin at
    `begin`. This part takes the high weights start .. stop - 1."""
    lam, size = ext_constant((k[0], k[1], k[2])), U(low.shape[1])
    scratch = np.empty(SCRATCH, np.uint64)
    for group in range(U(start), U(stop), FLUSH):
        s0, s2 = no_columns(), no_columns()
        for h in range(group, min(group + FLUSH, U(stop))):
            first, last = max(U(begin), h * size), min(U(end), (h + U(1)) * size)
            i, o, count = U(4) * (first - U(begin)), first - h * size, last - first
            stage_fours(p, i, count, scratch, P0)
            stage_fours(q, i, count, scratch, Q0)
            values_at_zero(count, lam, scratch)
            s0 = add_high(s0, high, h, weighted(low, o, count, scratch, VALUE))
            values_at_two(count, lam, scratch)
            s2 = add_high(s2, high, h, weighted(low, o, count, scratch, VALUE))
        flush(s0, out, part, 0)
        flush(s2, out, part, 1)
