"""Number-theoretic transforms over several columns side by side.

A *tile* holds eight columns position-major, uint64[N, 8], so that lanes are columns and share their twiddle.
Interpolation (decimation in frequency) leaves coefficients in bit-reversed order, evaluation (decimation in
time) takes them so: no permutation is ever made.

Two stages are done at a time, so that a word is read and written half as often, and depth first: a block of a
quarter is finished while it is in the nearest cache, before the pass that joins four of them. Inside a
transform the words are flipped and loose (cpu_lanes).

Evaluation on the coset g H needs no scaling pass: f(x) = even(x^2) + x odd(x^2), so that the stage that joins
halves of length h multiplies by g^(N / 2h) w_2h^j instead of w_2h^j.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends.cpu_field import canonical, plus, times
from prover.backends.cpu_lanes import (
    FLIP,
    U,
    flip,
    flipped_minus,
    flipped_plus,
    flipped_times,
    inline,
    kernel,
    plain,
)
from prover.backends.cpu_simd import load, single, splat, store
from prover.backends.cpu_straight import straight

ONE: Any = np.uint64(1)
# Blocks up to this many positions are done stage by stage: 128 positions of eight columns are 8 KB.
LEAF: Any = 128


@kernel
def twiddles_kernel(size, root, shift, out):
    """out[h + j] = shift^(N / 2h) w_2h^j for h = 1, 2, ..., N/2 and j < h, where w_2h = root^(N / 2h)."""
    h = size // 2
    step, base = root, shift
    while h >= 1:
        value = base
        for j in range(h):
            out[h + j] = value
            value = canonical(times(value, step))
        step, base = canonical(times(step, step)), canonical(times(base, base))
        h //= 2


@straight
def scaled(x, w):
    """x · w, flipped and loose -> plain and canonical."""
    return plain(flipped_times(flip(x), w, w >> 32))


# A tile's eight columns are two lane vectors. Each stage is written out for both before the next, so that the
# processor has four butterflies at a time that do not wait for each other.


@straight
def two(tile, i):
    return load(tile, i), load(tile, i + U(4))


@straight
def put_two(tile, i, x):
    store(tile, i, x[0])
    store(tile, i + U(4), x[1])


@straight
def scaled_two(x, w):
    return scaled(x[0], w), scaled(x[1], w)


@straight
def plain_two(x):
    return plain(x[0]), plain(x[1])


@straight
def plus_two(x, y):
    return flipped_plus(x[0], y[0]), flipped_plus(x[1], y[1])


@straight
def minus_two(x, y):
    return flipped_minus(x[0], y[0]), flipped_minus(x[1], y[1])


@straight
def times_two(x, w):
    """Flipped and loose, both."""
    high = w >> 32
    return flipped_times(flip(x[0]), w, high), flipped_times(flip(x[1]), w, high)


@straight
def joined(tile, twiddles, i, h, j):
    """Two stages of evaluation, of half-lengths h and 2 h, at the words i + (0, h, 2 h, 3 h) columns."""
    step = U(8) * U(h)
    w = splat(single(twiddles, h + j))
    w_even, w_odd = splat(single(twiddles, 2 * h + j)), splat(single(twiddles, 3 * h + j))
    a, b = scaled_two(two(tile, i + step), w), scaled_two(two(tile, i + U(3) * step), w)
    x, y = two(tile, i), two(tile, i + U(2) * step)
    x0, x1, y0, y1 = plus_two(x, a), minus_two(x, a), plus_two(y, b), minus_two(y, b)
    a, b = scaled_two(y0, w_even), scaled_two(y1, w_odd)
    return plus_two(x0, a), plus_two(x1, b), minus_two(x0, a), minus_two(x1, b)


@inline
def join_two(tile, twiddles, start, h):
    """One stage of evaluation on the block of 2 h positions from `start`."""
    for j in range(h):
        w = splat(twiddles[U(h + j)])
        i = U(8) * U(start + j)
        x, y = two(tile, i), scaled_two(two(tile, i + U(8) * U(h)), w)
        put_two(tile, i, plus_two(x, y))
        put_two(tile, i + U(8) * U(h), minus_two(x, y))


@inline
def join_four(tile, twiddles, start, h):
    """Two stages of evaluation, of half-lengths h and 2 h, on the block of 4 h positions from `start`."""
    step = U(8) * U(h)
    for j in range(h):
        i = U(8) * U(start + j)
        x0, x1, x2, x3 = joined(tile, twiddles, i, h, j)
        put_two(tile, i, x0)
        put_two(tile, i + step, x1)
        put_two(tile, i + U(2) * step, x2)
        put_two(tile, i + U(3) * step, x3)


@inline
def join_out(tile, twiddles, codeword, o):
    """The last two stages, plain and canonical to the lines of a codeword from its word `o` on."""
    h, line = tile.shape[0] // 4, U(codeword.shape[1])
    far = U(h) * line
    for j in range(h):
        x0, x1, x2, x3 = joined(tile, twiddles, U(8 * j), h, j)
        i = o + U(j) * line
        put_two(codeword, i, plain_two(x0))
        put_two(codeword, i + far, plain_two(x1))
        put_two(codeword, i + U(2) * far, plain_two(x2))
        put_two(codeword, i + U(3) * far, plain_two(x3))


@inline
def part_two(tile, twiddles, start, h):
    """One stage of interpolation on the block of 2 h positions from `start`."""
    for j in range(h):
        w = splat(twiddles[U(h + j)])
        i = U(8) * U(start + j)
        x, y = two(tile, i), plain_two(two(tile, i + U(8) * U(h)))
        put_two(tile, i, plus_two(x, y))
        put_two(tile, i + U(8) * U(h), times_two(minus_two(x, y), w))


@inline
def part_four(tile, twiddles, start, h):
    """Two stages of interpolation, of half-lengths 2 h and h, on the block of 4 h positions from `start`."""
    step = U(8) * U(h)
    for j in range(h):
        w = splat(twiddles[U(h + j)])
        w_even, w_odd = splat(twiddles[U(2 * h + j)]), splat(twiddles[U(3 * h + j)])
        i = U(8) * U(start + j)
        x, a = two(tile, i), plain_two(two(tile, i + U(2) * step))
        y, b = two(tile, i + step), plain_two(two(tile, i + U(3) * step))
        x0, x2 = plus_two(x, a), times_two(minus_two(x, a), w_even)
        x1, x3 = plus_two(y, b), times_two(minus_two(y, b), w_odd)
        a, b = plain_two(x1), plain_two(x3)
        put_two(tile, i, plus_two(x0, a))
        put_two(tile, i + step, times_two(minus_two(x0, a), w))
        put_two(tile, i + U(2) * step, plus_two(x2, b))
        put_two(tile, i + U(3) * step, times_two(minus_two(x2, b), w))


@inline
def leaf_size(n):
    """The block that is done stage by stage: n divided by a power of four."""
    while n > LEAF:
        n //= 4
    return n


@kernel
def forward_kernel(source, tile, twiddles, codeword, position, first):
    """Bit-reversed coefficients, plain -> values in natural order: codeword[position + i, first + l] of column l.

    The tile is for what lies between, and may be the source. Columns that the codeword lacks are left out.
    """
    n, width = tile.shape
    leaf = leaf_size(n)
    whole = leaf < n and first + width <= codeword.shape[1]
    for start in range(0, n, leaf):
        for i in range(U(start * width), U((start + leaf) * width), U(4)):
            store(tile, i, flip(load(source, i)))
        h = 1
        if leaf & 0x55555555 == 0:
            for block in range(start, start + leaf, 2):
                join_two(tile, twiddles, block, 1)
            h = 2
        while h < leaf:
            for block in range(start, start + leaf, 4 * h):
                join_four(tile, twiddles, block, h)
            h *= 4
        end = start + leaf
        while 4 * h <= n and end % (4 * h) == 0 and not (whole and 4 * h == n):
            join_four(tile, twiddles, end - 4 * h, h)
            h *= 4
    if whole:
        join_out(tile, twiddles, codeword, U(position * codeword.shape[1] + first))
    else:
        for i in range(n):
            for l in range(min(width, codeword.shape[1] - first)):
                codeword[position + i, first + l] = canonical(tile[i, l] ^ FLIP)


@kernel
def inverse_kernel(tile, twiddles, factor):
    """Values in natural order, flipped -> bit-reversed coefficients, plain and canonical, in place.

    The twiddles are those of the inverse root; factor is 1/N.
    """
    n, width = tile.shape
    leaf = leaf_size(n)
    for start in range(0, n, leaf):
        h = n // 4
        while 4 * h > leaf:
            if start % (4 * h) == 0:
                part_four(tile, twiddles, start, h)
            h //= 4
        while h >= 1:
            for block in range(start, start + leaf, 4 * h):
                part_four(tile, twiddles, block, h)
            h //= 4
        if leaf & 0x55555555 == 0:
            for block in range(start, start + leaf, 2):
                part_two(tile, twiddles, block, 1)
        w = splat(factor)
        for i in range(U(start * width), U((start + leaf) * width), U(4)):
            store(tile, i, scaled(load(tile, i), w))


@kernel
def load_rows_kernel(rows, first, tile):
    """tile[i, l] = rows[first + l, i], flipped; zero beyond the last row."""
    n, width = tile.shape
    for l in range(width):
        if first + l < rows.shape[0]:
            for i in range(n):
                tile[i, l] = rows[first + l, i] ^ FLIP
        else:
            for i in range(n):
                tile[i, l] = FLIP


@kernel
def blind_kernel(tile, blinds, first, order, factor):
    """Adds factor · blinds[first + l, j] to the coefficient j, which stands at the position order[j]."""
    for l in range(min(tile.shape[1], blinds.shape[0] - first)):
        for j in range(blinds.shape[1]):
            o = order[j]
            tile[o, l] = canonical(plus(tile[o, l], canonical(times(blinds[first + l, j], factor))))


@kernel
def wrap_kernel(coeffs, first, order, factor, tile):
    """Adds coefficient vectors of any length, reduced mod X^N - factor, to the tile."""
    n = tile.shape[0]
    for l in range(min(tile.shape[1], coeffs.shape[0] - first)):
        scale = ONE
        for base in range(0, coeffs.shape[1], n):
            for k in range(min(n, coeffs.shape[1] - base)):
                o = order[k]
                product = canonical(times(coeffs[first + l, base + k], scale))
                tile[o, l] = canonical(plus(tile[o, l], product))
            scale = canonical(times(scale, factor))


def bit_reversal(size: int) -> NDArray[np.int64]:
    """order[k]: the position of the coefficient k, for a power of two."""
    order = np.zeros(1, dtype=np.int64)
    while order.size < size:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order
