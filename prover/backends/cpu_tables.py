"""Kernels over tables of F and K: elementwise arithmetic, multilinear folds and sumcheck sums.

Every table is uint64[planes, n] with planes = 1 (F) or 3 (K), and n is a multiple of four times the number of
equal runs it is read as (halves, children): four neighbours are computed side by side. A kernel works on the
lane vectors [start, stop), that is, the indices [4 start, 4 stop) of a run. It writes either its part of the
output or its own row of sums, so that any split over threads gives the same bytes.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np

from prover.backends.cpu_field import P
from prover.backends.cpu_lanes import (
    E,
    U,
    base_times_constant,
    columns,
    ext_columns,
    ext_columns_plus,
    ext_constant,
    ext_reduced,
    ext_times_constant,
    flip,
    flipped_minus,
    flipped_plus,
    flipped_times,
    inline,
    kernel,
    limbs,
    plain,
    reduced,
    right,
)
from prover.backends.cpu_simd import load, splat, store
from prover.backends.cpu_straight import straight
from prover.backends.interface import Table, Triple

# Columns grow by less than 2^57 an index and must stay below 2^62 (reduced) or 2^64 (as sums).
FLUSH: Any = np.uint64(64)
# Words of every plane that are copied together to a scratch array before they are used. Planes and halves
# of a table lie a power of two apart and so fall into the same few cache lines: more than eight at a time
# displace each other.
CHUNK: Any = np.uint64(64)
SLOT: Any = np.uint64(3 * 64)
# A sum in K is kept as 3 coordinates x 6 columns x (low, high half) x 4 lanes.
SUM_WORDS = 144

# -- helpers ------------------------------------------------------------------------------------------


@straight
def at(t, i):
    """Four neighbours of a K table."""
    n = U(t.shape[1])
    return load(t, i), load(t, i + n), load(t, i + n + n)


@inline
def stage(t, i, count, scratch, slot):
    """Copies `count` neighbours of a K table, from index i, to a slot of the scratch array."""
    n = U(t.shape[1])
    for k in range(U(3)):
        o = U(slot) * SLOT + k * CHUNK
        for l in range(U(0), count, U(4)):
            store(scratch, o + l, load(t, k * n + i + l))


@straight
def staged(scratch, slot, l):
    """Four neighbours of a slot."""
    o = U(slot) * SLOT + l
    return load(scratch, o), load(scratch, o + CHUNK), load(scratch, o + CHUNK + CHUNK)


@straight
def put_staged(scratch, slot, l, x):
    """Writes plain words to a slot."""
    o = U(slot) * SLOT + l
    store(scratch, o, x[0])
    store(scratch, o + CHUNK, x[1])
    store(scratch, o + CHUNK + CHUNK, x[2])


@straight
def put(out, i, x):
    """Writes flipped, loose words to a K table."""
    n = U(out.shape[1])
    store(out, i, plain(x[0]))
    store(out, i + n, plain(x[1]))
    store(out, i + n + n, plain(x[2]))


@straight
def ext_plus(x, y):
    """Flipped and loose + plain and canonical."""
    return flipped_plus(x[0], y[0]), flipped_plus(x[1], y[1]), flipped_plus(x[2], y[2])


@straight
def flip_all(x):
    return flip(x[0]), flip(x[1]), flip(x[2])


@straight
def canonical_all(x):
    """Plain and loose -> plain and canonical."""
    return plain(flip(x[0])), plain(flip(x[1])), plain(flip(x[2]))


@straight
def difference(hi, lo):
    """hi - lo, plain and loose; lo canonical."""
    return flip(flipped_minus(flip(hi), lo))


@straight
def ext_difference(hi, lo):
    return difference(hi[0], lo[0]), difference(hi[1], lo[1]), difference(hi[2], lo[2])


@straight
def line_at_two(hi, lo):
    """2 hi - lo, flipped and loose: the line through lo at 0 and hi at 1, at 2."""
    return flipped_plus(flipped_minus(flip(hi), lo), hi)


@straight
def at_two(hi, lo):
    """The same, plain and loose."""
    return flip(line_at_two(hi, lo))


@straight
def ext_at_two(hi, lo):
    return at_two(hi[0], lo[0]), at_two(hi[1], lo[1]), at_two(hi[2], lo[2])


@straight
def at_three(hi, lo):
    """3 hi - 2 lo, plain and loose: the same line at 3."""
    return flip(flipped_plus(flipped_minus(line_at_two(hi, lo), lo), hi))


@straight
def ext_at_three(hi, lo):
    return at_three(hi[0], lo[0]), at_three(hi[1], lo[1]), at_three(hi[2], lo[2])


@straight
def no_columns():
    z = splat(U(0))
    c = (z, z, z, z, z, z)
    return c, c, c


@straight
def flush_columns(s, out, at):
    for j in range(6):
        o = at + U(8) * U(j)
        store(out, o, load(out, o) + (s[j] & splat(E)))
        store(out, o + U(4), load(out, o + U(4)) + (s[j] >> 32))


@straight
def flush(s, out, part, k):
    """Adds the columns of an element of K to row k of the sums of this part."""
    o = U((part * out.shape[1] + k) * SUM_WORDS)
    flush_columns(s[0], out, o)
    flush_columns(s[1], out, o + U(48))
    flush_columns(s[2], out, o + U(96))


def sums_to_triples(out: Table) -> list[Triple]:
    """uint64[parts, sums, 144] -> the sums in K, canonical; outside kernels, in exact integers."""
    weights = (0, 22, 44, 32, 54, 76)
    triples = []
    # Each half is below 2^32 a flush, so that a few lanes and parts add up within 64 bits.
    halves = out.reshape(out.shape[0], out.shape[1], 3, 6, 2, 4).sum(axis=(0, 5))
    for coordinates in halves.tolist():
        pairs = [zip(row, weights, strict=True) for row in coordinates]
        c = [sum((lo + (hi << 32)) << w for (lo, hi), w in pair) for pair in pairs]
        triples.append((c[0] % P, c[1] % P, c[2] % P))
    return triples


@straight
def base_columns(x, y):
    """A word · three plain words -> the columns of an element of K."""
    return columns(x, limbs(y[0])), columns(x, limbs(y[1])), columns(x, limbs(y[2]))


# -- elementwise --------------------------------------------------------------------------------------


@kernel
def add_kernel(a, b, out, start, stop):
    """All planes as one table."""
    for i in range(U(4 * start), U(4 * stop), U(4)):
        store(out, i, plain(flipped_plus(flip(load(a, i)), load(b, i))))


@kernel
def sub_kernel(a, b, out, start, stop):
    """All planes as one table."""
    for i in range(U(4 * start), U(4 * stop), U(4)):
        store(out, i, plain(flipped_minus(flip(load(a, i)), load(b, i))))


@kernel
def mul_base_kernel(a, b, out, start, stop):
    """a over F, b and out over F or K, plane by plane."""
    n = U(a.shape[1])
    for k in range(U(b.shape[0])):
        for i in range(U(4 * start), U(4 * stop), U(4)):
            x = load(a, i)
            store(out, k * n + i, plain(flipped_times(load(b, k * n + i), x, x >> 32)))


@kernel
def mul_kernel(a, b, out, start, stop):
    for i in range(U(4 * start), U(4 * stop), U(4)):
        s = ext_columns(at(a, i), right(at(b, i)))
        put(out, i, (reduced(s[0]), reduced(s[1]), reduced(s[2])))


@kernel
def scale_kernel(a, k, out, start, stop):
    constant = ext_constant((k[0], k[1], k[2]))
    if a.shape[0] == 3:
        for i in range(U(4 * start), U(4 * stop), U(4)):
            put(out, i, ext_times_constant(at(a, i), constant))
    else:
        for i in range(U(4 * start), U(4 * stop), U(4)):
            put(out, i, base_times_constant(load(a, i), constant))


# -- sums ---------------------------------------------------------------------------------------------


@kernel
def total_kernel(a, out, part, start, stop):
    """Sums of the low and high halves of the words, for fewer than 2^32 of them."""
    n = U(a.shape[1])
    for k in range(U(a.shape[0])):
        lo, hi = splat(U(0)), splat(U(0))
        for i in range(k * n + U(4 * start), k * n + U(4 * stop), U(4)):
            x = load(a, i)
            lo, hi = lo + (x & splat(E)), hi + (x >> 32)
        o = (U(part) * U(3) + k) * U(8)
        store(out, o, lo)
        store(out, o + U(4), hi)


@kernel
def inner_kernel(a, b, out, part, start, stop):
    """b over K; a over F or K."""
    for first in range(U(4 * start), U(4 * stop), U(4) * FLUSH):
        last = min(first + U(4) * FLUSH, U(4 * stop))
        s = no_columns()
        if a.shape[0] == 1:
            for i in range(first, last, U(4)):
                s = ext_columns_plus(s, base_columns(load(a, i), at(b, i)))
        else:
            for i in range(first, last, U(4)):
                s = ext_columns_plus(s, ext_columns(at(a, i), right(at(b, i))))
        flush(s, out, part, 0)


# -- multilinear tables -------------------------------------------------------------------------------


@kernel
def fold_kernel(t, r, out, runs, start, stop):
    """Folds each of `runs` equal runs of every plane: lo + r (hi - lo), lo and hi its halves."""
    constant = ext_constant((r[0], r[1], r[2]))
    h = U(t.shape[1] // (2 * runs))
    for run in range(U(runs)):
        o = run * h
        if t.shape[0] == 1:
            for i in range(U(2) * o + U(4 * start), U(2) * o + U(4 * stop), U(4)):
                lo = load(t, i)
                x = base_times_constant(difference(load(t, i + h), lo), constant)
                put(out, i - o, (flipped_plus(x[0], lo), x[1], x[2]))
        else:
            for i in range(U(2) * o + U(4 * start), U(2) * o + U(4 * stop), U(4)):
                lo = at(t, i)
                put(out, i - o, ext_plus(ext_times_constant(ext_difference(at(t, i + h), lo), constant), lo))


@kernel
def round_two_kernel(a, b, out, part, start, stop):
    """s(0) and s(2) of a product of a table over F or K and one over K."""
    h = U(a.shape[1] // 2)
    for first in range(U(4 * start), U(4 * stop), U(4) * FLUSH):
        last = min(first + U(4) * FLUSH, U(4 * stop))
        s0, s2 = no_columns(), no_columns()
        if a.shape[0] == 1:
            for i in range(first, last, U(4)):
                a0, b0 = load(a, i), at(b, i)
                s0 = ext_columns_plus(s0, base_columns(a0, b0))
                a2, b2 = at_two(load(a, i + h), a0), ext_at_two(at(b, i + h), b0)
                s2 = ext_columns_plus(s2, base_columns(a2, b2))
        else:
            for i in range(first, last, U(4)):
                a0, b0 = at(a, i), at(b, i)
                s0 = ext_columns_plus(s0, ext_columns(a0, right(b0)))
                a2, b2 = ext_at_two(at(a, i + h), a0), ext_at_two(at(b, i + h), b0)
                s2 = ext_columns_plus(s2, ext_columns(a2, right(b2)))
        flush(s0, out, part, 0)
        flush(s2, out, part, 1)


@straight
def base_product(x, y):
    """Plain and loose."""
    return flip(flipped_times(x, y, y >> 32))


@kernel
def round_three_kernel(a, b, c, out, part, start, stop):
    """s(0), s(2), s(3) of a product of three tables over K."""
    h = U(a.shape[1] // 2)
    for first in range(U(4 * start), U(4 * stop), U(4) * FLUSH):
        last = min(first + U(4) * FLUSH, U(4 * stop))
        s0, s2, s3 = no_columns(), no_columns(), no_columns()
        for i in range(first, last, U(4)):
            a0, b0, c0 = at(a, i), at(b, i), at(c, i)
            a1, b1, c1 = at(a, i + h), at(b, i + h), at(c, i + h)
            x = ext_reduced(ext_columns(a0, right(b0)))
            s0 = ext_columns_plus(s0, ext_columns(x, right(c0)))
            x = ext_reduced(ext_columns(ext_at_two(a1, a0), right(ext_at_two(b1, b0))))
            s2 = ext_columns_plus(s2, ext_columns(x, right(ext_at_two(c1, c0))))
            x = ext_reduced(ext_columns(ext_at_three(a1, a0), right(ext_at_three(b1, b0))))
            s3 = ext_columns_plus(s3, ext_columns(x, right(ext_at_three(c1, c0))))
        flush(s0, out, part, 0)
        flush(s2, out, part, 1)
        flush(s3, out, part, 2)


@straight
def scaled_product(x, y):
    """A word · three plain words, plain and loose."""
    return base_product(y[0], x), base_product(y[1], x), base_product(y[2], x)


@kernel
def round_three_one_kernel(a, b, c, out, part, start, stop):
    """The same with a over F."""
    h = U(a.shape[1] // 2)
    for first in range(U(4 * start), U(4 * stop), U(4) * FLUSH):
        last = min(first + U(4) * FLUSH, U(4 * stop))
        s0, s2, s3 = no_columns(), no_columns(), no_columns()
        for i in range(first, last, U(4)):
            a0, b0, c0 = load(a, i), at(b, i), at(c, i)
            a1, b1, c1 = load(a, i + h), at(b, i + h), at(c, i + h)
            s0 = ext_columns_plus(s0, ext_columns(scaled_product(a0, b0), right(c0)))
            x = scaled_product(at_two(a1, a0), ext_at_two(b1, b0))
            s2 = ext_columns_plus(s2, ext_columns(x, right(ext_at_two(c1, c0))))
            x = scaled_product(at_three(a1, a0), ext_at_three(b1, b0))
            s3 = ext_columns_plus(s3, ext_columns(x, right(ext_at_three(c1, c0))))
        flush(s0, out, part, 0)
        flush(s2, out, part, 1)
        flush(s3, out, part, 2)


@kernel
def round_three_two_kernel(a, b, c, out, part, start, stop):
    """The same with a and b over F."""
    h = U(a.shape[1] // 2)
    for first in range(U(4 * start), U(4 * stop), U(4) * FLUSH):
        last = min(first + U(4) * FLUSH, U(4 * stop))
        s0, s2, s3 = no_columns(), no_columns(), no_columns()
        for i in range(first, last, U(4)):
            a0, b0, c0 = load(a, i), load(b, i), at(c, i)
            a1, b1, c1 = load(a, i + h), load(b, i + h), at(c, i + h)
            s0 = ext_columns_plus(s0, base_columns(base_product(a0, b0), c0))
            x = base_product(at_two(a1, a0), at_two(b1, b0))
            s2 = ext_columns_plus(s2, base_columns(x, ext_at_two(c1, c0)))
            x = base_product(at_three(a1, a0), at_three(b1, b0))
            s3 = ext_columns_plus(s3, base_columns(x, ext_at_three(c1, c0)))
        flush(s0, out, part, 0)
        flush(s2, out, part, 1)
        flush(s3, out, part, 2)
