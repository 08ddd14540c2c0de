"""Kernels that batch tensors over F with weights in K: scaled sums, outer products, contractions.

Weights are cut into limbs once, as constants (cpu_lanes), and used for many entries; sums of products stay in
columns for up to 128 terms.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np

from prover.backends.cpu_field import canonical, plus, times
from prover.backends.cpu_lanes import (
    U,
    base_times_constant,
    constant_columns,
    constant_reduced,
    ext_constant,
    ext_times_constant,
    inline,
    kernel,
    put_constant,
)
from prover.backends.cpu_simd import load, splat, store
from prover.backends.cpu_tables import at, ext_plus, plain, put

# A product with a constant adds less than 2^55 to a column, and columns must stay below 2^62.
TERMS: Any = 128
# Columns of the output worked on at a time, so that their sums stay in the nearest cache.
BLOCK: Any = 128
LIMB: Any = np.uint64(2**22 - 1)


@kernel
def accumulate_kernel(out, k, tensor, start, stop):
    constant = ext_constant((k[0], k[1], k[2]))
    for i in range(U(4 * start), U(4 * stop), U(4)):
        put(out, i, ext_plus(base_times_constant(load(tensor, i), constant), at(out, i)))


@kernel
def outer_accumulate_kernel(out, a, b, start, stop):
    """Rows [start, stop) of the outer product; b of a multiple of four entries."""
    n = U(b.shape[1])
    for i in range(start, stop):
        constant = ext_constant((a[0, i], a[1, i], a[2, i]))
        for j in range(U(0), n, U(4)):
            o = U(i) * n + j
            put(out, o, ext_plus(ext_times_constant(at(b, j), constant), at(out, o)))


@kernel
def constants_kernel(weights, out):
    """out[r]: the 72 words of the constants w_r0, w_r1, w_r2."""
    for r in range(weights.shape[1]):
        for k in range(3):
            put_constant(out, U(72 * r + 24 * k), weights[k, r])


@inline
def add_columns(sums, o, s):
    """Adds three columns to those at o."""
    store(sums, o, load(sums, o) + s[0])
    store(sums, o + U(4), load(sums, o + U(4)) + s[1])
    store(sums, o + U(8), load(sums, o + U(8)) + s[2])


@inline
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


@kernel
def limb_lanes_kernel(weights, out):
    """The constants of cpu_lanes with the lanes along i: for every four weights 18 lane vectors in a row.

    Vector 6 k + 3 h + l holds limb l of 2^(32 h) w_ik. Planes of limbs instead would lie a power of two
    apart.
    """
    flat = out.reshape(-1)
    for k in range(3):
        for i in range(weights.shape[1]):
            y = weights[k, i]
            o = 72 * (i // 4) + i % 4 + 24 * k
            for h in range(2):
                flat[o + 12 * h] = y & LIMB
                flat[o + 12 * h + 4] = (y >> U(22)) & LIMB
                flat[o + 12 * h + 8] = y >> U(44)
                y = canonical(times(y, U(2**32)))


@inline
def columns_sum(s, t):
    return s[0] + t[0], s[1] + t[1], s[2] + t[2]


@inline
def add_lanes(word, scratch, old):
    """old + the sum of the lanes of flipped, loose words."""
    store(scratch, U(0), plain(word))
    for l in range(4):
        old = canonical(plus(old, scratch[l]))
    return old


@kernel
def contract_kernel(tensor, limbs, out, start, stop):
    """out[., m] = sum_i T[m, i] w[., i] for the rows [start, stop); a multiple of four entries a row."""
    n = U(tensor.shape[1])
    scratch = np.empty(4, np.uint64)
    for m in range(U(start), U(stop)):
        c0, c1, c2 = U(0), U(0), U(0)
        for first in range(U(0), n, U(4 * TERMS)):
            z = splat(U(0))
            s0, s1, s2 = (z, z, z), (z, z, z), (z, z, z)
            for i in range(first, min(first + U(4 * TERMS), n), U(4)):
                x = load(tensor, m * n + i)
                s0 = columns_sum(s0, constant_columns(x, limbs, U(18) * i))
                s1 = columns_sum(s1, constant_columns(x, limbs, U(18) * i + U(24)))
                s2 = columns_sum(s2, constant_columns(x, limbs, U(18) * i + U(48)))
            c0 = add_lanes(constant_reduced(s0), scratch, c0)
            c1 = add_lanes(constant_reduced(s1), scratch, c1)
            c2 = add_lanes(constant_reduced(s2), scratch, c2)
        out[0, m], out[1, m], out[2, m] = c0, c1, c2
