"""Kernels over tables of F and K: elementwise arithmetic, multilinear folds and sumcheck sums.

Every table is uint64[planes, n] with planes = 1 (F) or 3 (K). A kernel works on the indices [start, stop) and writes
either its part of the output or a nine-word sum, so that any split over threads gives the same bytes.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from prover.backends.cpu_field import (
    canonical,
    ext_cross,
    ext_scale_plus,
    ext_times,
    ext_times_plus,
    minus,
    plus,
    reduce_sum,
    sum_product,
    sum_scaled,
    times,
)

# Unsigned indices: Numba then leaves out the wrap-around of negative ones.
U: Any = np.uint64
ZERO: Any = np.uint64(0)
ONE: Any = np.uint64(1)
LOW: Any = np.uint64(2**32 - 1)
HALF: Any = np.uint64(32)

kernel: Any = numba.njit(nogil=True, cache=True)
inline: Any = numba.njit(nogil=True, forceinline=True)


@inline
def at(t, i):
    """The element i of a table, as one of K."""
    if t.shape[0] == 1:
        return t[0, i], ZERO, ZERO
    return t[0, i], t[1, i], t[2, i]


@inline
def put(out, i, x):
    out[0, i] = canonical(x[0])
    out[1, i] = canonical(x[1])
    out[2, i] = canonical(x[2])


@inline
def ext_minus(x, y):
    return minus(x[0], y[0]), minus(x[1], y[1]), minus(x[2], y[2])


@inline
def ext_plus(x, y):
    return plus(x[0], y[0]), plus(x[1], y[1]), plus(x[2], y[2])


@inline
def double_minus(hi, lo):
    """2 hi - lo, loose: the line through lo at 0 and hi at 1, at 2."""
    return plus(minus(hi, lo), hi)


@inline
def ext_double_minus(hi, lo):
    return double_minus(hi[0], lo[0]), double_minus(hi[1], lo[1]), double_minus(hi[2], lo[2])


@inline
def triple_minus(hi, lo):
    """3 hi - 2 lo, loose: the same line at 3."""
    return plus(minus(double_minus(hi, lo), lo), hi)


@inline
def ext_triple_minus(hi, lo):
    return triple_minus(hi[0], lo[0]), triple_minus(hi[1], lo[1]), triple_minus(hi[2], lo[2])


@inline
def no_sum():
    return ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO


@inline
def put_sum(out, k, s):
    for j in range(9):
        out[k, j] = s[j]


# -- elementwise -----------------------------------------------------------------------------------


@kernel
def add_kernel(a, b, out, start, stop):
    for k in range(a.shape[0]):
        for i in range(U(start), U(stop)):
            out[k, i] = canonical(plus(a[k, i], b[k, i]))


@kernel
def sub_kernel(a, b, out, start, stop):
    for k in range(a.shape[0]):
        for i in range(U(start), U(stop)):
            out[k, i] = canonical(minus(a[k, i], b[k, i]))


@kernel
def mul_base_kernel(a, b, out, start, stop):
    """a over F, b and out over F or K, plane by plane."""
    for k in range(b.shape[0]):
        for i in range(U(start), U(stop)):
            out[k, i] = canonical(times(a[0, i], b[k, i]))


@kernel
def mul_kernel(a, b, out, start, stop):
    for i in range(U(start), U(stop)):
        put(out, i, ext_times((a[0, i], a[1, i], a[2, i]), (b[0, i], b[1, i], b[2, i])))


@kernel
def scale_kernel(a, k, out, start, stop):
    scalar = (k[0], k[1], k[2])
    if a.shape[0] == 3:
        for i in range(U(start), U(stop)):
            put(out, i, ext_times((a[0, i], a[1, i], a[2, i]), scalar))
    else:
        for j in range(3):
            for i in range(U(start), U(stop)):
                out[j, i] = canonical(times(a[0, i], k[j]))


@kernel
def accumulate_kernel(out, k, tensor, start, stop):
    scalar = (k[0], k[1], k[2])
    for i in range(U(start), U(stop)):
        put(out, i, ext_scale_plus(tensor[i], scalar, (out[0, i], out[1, i], out[2, i])))


@kernel
def outer_accumulate_kernel(out, a, b, start, stop):
    """Rows [start, stop) of the outer product."""
    n = U(b.shape[1])
    for i in range(U(start), U(stop)):
        x = (a[0, i], a[1, i], a[2, i])
        for j in range(n):
            o = i * n + j
            put(out, o, ext_times_plus(x, (b[0, j], b[1, j], b[2, j]), (out[0, o], out[1, o], out[2, o])))


# -- sums ------------------------------------------------------------------------------------------


@kernel
def total_kernel(a, out, part, start, stop):
    """Sums of the low and high halves of the words, for fewer than 2^32 of them."""
    for k in range(a.shape[0]):
        lo, hi = ZERO, ZERO
        for i in range(U(start), U(stop)):
            lo += a[k, i] & LOW
            hi += a[k, i] >> HALF
        out[part, k, 0] = lo
        out[part, k, 1] = hi


@kernel
def inner_kernel(a, b, out, part, start, stop):
    """b over K; a over F or K."""
    s = no_sum()
    if a.shape[0] == 1:
        for i in range(U(start), U(stop)):
            s = sum_scaled(s, a[0, i], (b[0, i], b[1, i], b[2, i]))
    else:
        for i in range(U(start), U(stop)):
            s = sum_product(s, (a[0, i], a[1, i], a[2, i]), (b[0, i], b[1, i], b[2, i]))
    put_sum(out[part], 0, s)


# -- multilinear tables ----------------------------------------------------------------------------


@kernel
def fold_kernel(t, r, out, blocks, start, stop):
    """Folds each of `blocks` equal runs of every plane: out[k, b h + i] = lo + r (hi - lo), h the half of a run."""
    scalar = (r[0], r[1], r[2])
    h = U(t.shape[1] // (2 * blocks))
    for block in range(U(blocks)):
        for j in range(U(start), U(stop)):
            i = block * U(2) * h + j
            if t.shape[0] == 1:
                x = minus(t[0, i + h], t[0, i])
                put(out, block * h + j, ext_scale_plus(x, scalar, (t[0, i], ZERO, ZERO)))
            else:
                lo = (t[0, i], t[1, i], t[2, i])
                hi = (t[0, i + h], t[1, i + h], t[2, i + h])
                put(out, block * h + j, ext_times_plus(ext_minus(hi, lo), scalar, lo))


@kernel
def expand_kernel(t, x, size):
    """One more variable, at the bottom of the index: t[2 i] = (1 - x) t[i], t[2 i + 1] = x t[i], in place."""
    scalar = (x[0], x[1], x[2])
    for k in range(size):
        i = U(size - 1 - k)
        old = (t[0, i], t[1, i], t[2, i])
        new = ext_times(old, scalar)
        new = (canonical(new[0]), canonical(new[1]), canonical(new[2]))
        put(t, U(2) * i, ext_minus(old, new))
        put(t, U(2) * i + ONE, new)


@kernel
def round_two_kernel(a, b, out, part, start, stop):
    """s(0) and s(2) of a product of a table over F or K and one over K."""
    h = U(a.shape[1] // 2)
    s0, s2 = no_sum(), no_sum()
    for i in range(U(start), U(stop)):
        b0, b1 = (b[0, i], b[1, i], b[2, i]), (b[0, i + h], b[1, i + h], b[2, i + h])
        if a.shape[0] == 1:
            s0 = sum_scaled(s0, a[0, i], b0)
            s2 = sum_scaled(s2, double_minus(a[0, i + h], a[0, i]), ext_double_minus(b1, b0))
        else:
            a0, a1 = (a[0, i], a[1, i], a[2, i]), (a[0, i + h], a[1, i + h], a[2, i + h])
            s0 = sum_product(s0, a0, b0)
            s2 = sum_product(s2, ext_double_minus(a1, a0), ext_double_minus(b1, b0))
    put_sum(out[part], 0, s0)
    put_sum(out[part], 1, s2)


@inline
def product_sum(s, fields, a, b, c):
    """s + a b c, where the first `fields` factors lie in F."""
    if fields == 2:
        return sum_scaled(s, times(a[0], b[0]), c)
    if fields == 1:
        return sum_product(s, (times(a[0], b[0]), times(a[0], b[1]), times(a[0], b[2])), c)
    return sum_product(s, ext_times(a, b), c)


@kernel
def round_three_kernel(a, b, c, out, part, start, stop):
    """s(0), s(2), s(3) of a product of three tables, those over F first; c over K."""
    h = U(a.shape[1] // 2)
    fields = 0
    if a.shape[0] == 1:
        fields = 1
        if b.shape[0] == 1:
            fields = 2
    s0, s2, s3 = no_sum(), no_sum(), no_sum()
    for i in range(U(start), U(stop)):
        a0, a1 = at(a, i), at(a, i + h)
        b0, b1 = at(b, i), at(b, i + h)
        c0, c1 = at(c, i), at(c, i + h)
        s0 = product_sum(s0, fields, a0, b0, c0)
        s2 = product_sum(s2, fields, ext_double_minus(a1, a0), ext_double_minus(b1, b0), ext_double_minus(c1, c0))
        s3 = product_sum(s3, fields, ext_triple_minus(a1, a0), ext_triple_minus(b1, b0), ext_triple_minus(c1, c0))
    put_sum(out[part], 0, s0)
    put_sum(out[part], 1, s2)
    put_sum(out[part], 2, s3)


# -- batching --------------------------------------------------------------------------------------


@kernel
def combine_kernel(weights, rows, out, start, stop):
    """out[., i] = sum_r w[., r] rows[r, i] for the columns [start, stop)."""
    for i in range(U(start), U(stop)):
        s = no_sum()
        for r in range(U(rows.shape[0])):
            s = sum_scaled(s, rows[r, i], (weights[0, r], weights[1, r], weights[2, r]))
        put(out, i, reduce_sum(s))


@kernel
def contract_kernel(tensor, weights, out, start, stop):
    """out[., m] = sum_i T[m, i] w[., i] for the rows [start, stop)."""
    for m in range(U(start), U(stop)):
        s = no_sum()
        for i in range(U(tensor.shape[1])):
            s = sum_scaled(s, tensor[m, i], (weights[0, i], weights[1, i], weights[2, i]))
        put(out, m, reduce_sum(s))


# -- fractional sums -------------------------------------------------------------------------------


@kernel
def fraction_layer_kernel(p, q, p_out, q_out, start, stop):
    h = U(p.shape[1] // 2)
    for i in range(U(start), U(stop)):
        q0, q1 = (q[0, i], q[1, i], q[2, i]), (q[0, i + h], q[1, i + h], q[2, i + h])
        p0, p1 = (p[0, i], p[1, i], p[2, i]), (p[0, i + h], p[1, i + h], p[2, i + h])
        put(p_out, i, ext_cross(p0, q1, p1, q0))
        put(q_out, i, ext_times(q0, q1))


@inline
def fraction_value(p0, p1, q0, q1, lam):
    """p_0 q_1 + p_1 q_0 + lam q_0 q_1 = p_0 q_1 + q_0 (p_1 + lam q_1), loose."""
    return ext_cross(p0, q1, q0, ext_times_plus(lam, q1, p1))


@kernel
def fraction_round_kernel(p, q, eq, k, out, part, start, stop):
    """p and q as K[3, 2 M]: child, then x; nine-word sums for X = 0 and X = 2."""
    lam = (k[0], k[1], k[2])
    m = U(p.shape[1] // 2)
    h = m // U(2)
    s0, s2 = no_sum(), no_sum()
    for i in range(U(start), U(stop)):
        p0, p1 = (p[0, i], p[1, i], p[2, i]), (p[0, i + m], p[1, i + m], p[2, i + m])
        q0, q1 = (q[0, i], q[1, i], q[2, i]), (q[0, i + m], q[1, i + m], q[2, i + m])
        e = (eq[0, i], eq[1, i], eq[2, i])
        s0 = sum_product(s0, fraction_value(p0, p1, q0, q1, lam), e)
        j = i + h
        p0 = ext_double_minus((p[0, j], p[1, j], p[2, j]), p0)
        q0 = ext_double_minus((q[0, j], q[1, j], q[2, j]), q0)
        p1 = ext_double_minus((p[0, j + m], p[1, j + m], p[2, j + m]), p1)
        q1 = ext_double_minus((q[0, j + m], q[1, j + m], q[2, j + m]), q1)
        s2 = sum_product(s2, fraction_value(p0, p1, q0, q1, lam), e)
    put_sum(out[part], 0, s0)
    put_sum(out[part], 1, s2)
