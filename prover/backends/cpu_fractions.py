"""Kernels of fractional sums: a layer of the tree, and a sumcheck round over a layer.

One loop over all of a round would hold too many words at once: a chunk of the tables is worked on in short
loops one after another, of which the processor overlaps several turns, with a scratch array between them.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from prover.backends.cpu_lanes import (
    U,
    ext_columns,
    ext_columns_plus,
    ext_constant,
    ext_reduced,
    ext_times_constant,
    inline,
    kernel,
    reduced,
    right,
)
from prover.backends.cpu_tables import (
    CHUNK,
    FLUSH,
    at,
    canonical_all,
    ext_at_two,
    ext_plus,
    flip_all,
    flush,
    no_columns,
    put,
    put_staged,
    stage,
    staged,
)

# Slots of the scratch array, of a layer and of a round.
P0, P1, Q0, Q1 = range(4)
LAST, Q1_TWO, VALUE = range(3)


@kernel
def fraction_layer_kernel(p, q, p_out, q_out, start, stop):
    h = U(p.shape[1] // 2)
    scratch = np.empty(4 * 3 * 64, np.uint64)
    for first in range(U(4 * start), U(4 * stop), CHUNK):
        count = min(CHUNK, U(4 * stop) - first)
        stage(p, first, count, scratch, P0)
        stage(p, first + h, count, scratch, P1)
        stage(q, first, count, scratch, Q0)
        stage(q, first + h, count, scratch, Q1)
        for l in range(U(0), count, U(4)):
            q0, q1 = staged(scratch, Q0, l), right(staged(scratch, Q1, l))
            s = ext_columns(q0, q1)
            put(q_out, first + l, (reduced(s[0]), reduced(s[1]), reduced(s[2])))
            s = ext_columns_plus(
                ext_columns(staged(scratch, P0, l), q1), ext_columns(staged(scratch, P1, l), right(q0))
            )
            put(p_out, first + l, (reduced(s[0]), reduced(s[1]), reduced(s[2])))


@inline
def last_factor(p1, q1, lam):
    """p_1 + lam q_1, plain and loose; p_1 canonical."""
    return flip_all(ext_plus(ext_times_constant(q1, lam), p1))


@inline
def value(p0, last, q0, q1):
    """p_0 q_1 + q_0 (p_1 + lam q_1), plain and loose."""
    return ext_reduced(ext_columns_plus(ext_columns(p0, right(q1)), ext_columns(last, right(q0))))


@inline
def values_at_zero(p, q, first, count, lam, scratch):
    m = U(p.shape[1] // 2)
    for l in range(U(0), count, U(4)):
        i = first + l
        put_staged(scratch, LAST, l, last_factor(at(p, i + m), at(q, i + m), lam))
    for l in range(U(0), count, U(4)):
        i = first + l
        v = value(at(p, i), staged(scratch, LAST, l), at(q, i), at(q, i + m))
        put_staged(scratch, VALUE, l, v)


@inline
def values_at_two(p, q, first, count, lam, scratch):
    m = U(p.shape[1] // 2)
    h = m // U(2)
    for l in range(U(0), count, U(4)):
        i = first + l + m
        q1 = ext_at_two(at(q, i + h), at(q, i))
        put_staged(scratch, Q1_TWO, l, q1)
        p1 = canonical_all(ext_at_two(at(p, i + h), at(p, i)))
        put_staged(scratch, LAST, l, last_factor(p1, q1, lam))
    for l in range(U(0), count, U(4)):
        i = first + l
        p0, q0 = ext_at_two(at(p, i + h), at(p, i)), ext_at_two(at(q, i + h), at(q, i))
        put_staged(scratch, VALUE, l, value(p0, staged(scratch, LAST, l), q0, staged(scratch, Q1_TWO, l)))


@inline
def add_weighted(s, eq, first, count, scratch):
    for l in range(U(0), count, U(4)):
        s = ext_columns_plus(s, ext_columns(staged(scratch, VALUE, l), right(at(eq, first + l))))
    return s


@kernel
def fraction_round_kernel(p, q, eq, k, out, part, start, stop):
    """p and q as K[3, 2 M]: child, then x; the sums for X = 0 and X = 2."""
    lam = ext_constant((k[0], k[1], k[2]))
    scratch = np.empty(3 * 3 * 64, np.uint64)
    for group in range(U(4 * start), U(4 * stop), U(4) * FLUSH):
        s0, s2 = no_columns(), no_columns()
        end = min(group + U(4) * FLUSH, U(4 * stop))
        for first in range(group, end, CHUNK):
            count = min(CHUNK, end - first)
            values_at_zero(p, q, first, count, lam, scratch)
            s0 = add_weighted(s0, eq, first, count, scratch)
            values_at_two(p, q, first, count, lam, scratch)
            s2 = add_weighted(s2, eq, first, count, scratch)
        flush(s0, out, part, 0)
        flush(s2, out, part, 1)
