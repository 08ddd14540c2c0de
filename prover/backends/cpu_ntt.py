"""Number-theoretic transforms over several columns side by side.

A *tile* holds a few columns position-major, uint64[N, W] with W a multiple of four, so that lanes are columns
and share their twiddle. Interpolation (decimation in frequency) leaves coefficients in bit-reversed order,
evaluation (decimation in time) takes them so: no permutation is ever made.

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
from prover.backends.cpu_simd import load, splat, store

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


@inline
def scaled(x, w):
    """x · w, flipped and loose -> plain and canonical."""
    return plain(flipped_times(flip(x), w, w >> 32))


@inline
def join_two(tile, twiddles, start, h, width):
    """One stage of evaluation on the block of 2 h positions from `start`."""
    for j in range(h):
        w = splat(twiddles[U(h + j)])
        i = U((start + j) * width)
        k = i + U(h * width)
        for l in range(U(0), U(width), U(4)):
            x, y = load(tile, i + l), scaled(load(tile, k + l), w)
            store(tile, i + l, flipped_plus(x, y))
            store(tile, k + l, flipped_minus(x, y))


@inline
def join_four(tile, twiddles, start, h, width):
    """Two stages of evaluation, of half-lengths h and 2 h, on the block of 4 h positions from `start`."""
    step = U(h * width)
    for j in range(h):
        w = splat(twiddles[U(h + j)])
        w_even, w_odd = splat(twiddles[U(2 * h + j)]), splat(twiddles[U(3 * h + j)])
        i = U((start + j) * width)
        for l in range(i, i + U(width), U(4)):
            x0, y = load(tile, l), scaled(load(tile, l + step), w)
            x0, x1 = flipped_plus(x0, y), flipped_minus(x0, y)
            x2, y = load(tile, l + U(2) * step), scaled(load(tile, l + U(3) * step), w)
            x2, x3 = flipped_plus(x2, y), flipped_minus(x2, y)
            y = scaled(x2, w_even)
            store(tile, l, flipped_plus(x0, y))
            store(tile, l + U(2) * step, flipped_minus(x0, y))
            y = scaled(x3, w_odd)
            store(tile, l + step, flipped_plus(x1, y))
            store(tile, l + U(3) * step, flipped_minus(x1, y))


@inline
def part_two(tile, twiddles, start, h, width):
    """One stage of interpolation on the block of 2 h positions from `start`."""
    for j in range(h):
        w = splat(twiddles[U(h + j)])
        i = U((start + j) * width)
        k = i + U(h * width)
        for l in range(U(0), U(width), U(4)):
            x, y = load(tile, i + l), plain(load(tile, k + l))
            store(tile, i + l, flipped_plus(x, y))
            store(tile, k + l, flipped_times(flip(flipped_minus(x, y)), w, w >> 32))


@inline
def part_four(tile, twiddles, start, h, width):
    """Two stages of interpolation, of half-lengths 2 h and h, on the block of 4 h positions from `start`."""
    step = U(h * width)
    for j in range(h):
        w = splat(twiddles[U(h + j)])
        w_even, w_odd = splat(twiddles[U(2 * h + j)]), splat(twiddles[U(3 * h + j)])
        i = U((start + j) * width)
        for l in range(i, i + U(width), U(4)):
            x0, y = load(tile, l), plain(load(tile, l + U(2) * step))
            x0, x2 = flipped_plus(x0, y), flipped_times(flip(flipped_minus(x0, y)), w_even, w_even >> 32)
            x1, y = load(tile, l + step), plain(load(tile, l + U(3) * step))
            x1, x3 = flipped_plus(x1, y), flipped_times(flip(flipped_minus(x1, y)), w_odd, w_odd >> 32)
            y = plain(x1)
            store(tile, l, flipped_plus(x0, y))
            store(tile, l + step, flipped_times(flip(flipped_minus(x0, y)), w, w >> 32))
            y = plain(x3)
            store(tile, l + U(2) * step, flipped_plus(x2, y))
            store(tile, l + U(3) * step, flipped_times(flip(flipped_minus(x2, y)), w, w >> 32))


@inline
def leaf_size(n):
    """The block that is done stage by stage: n divided by a power of four."""
    while n > LEAF:
        n //= 4
    return n


@kernel
def forward_kernel(tile, twiddles):
    """Bit-reversed coefficients, plain -> values in natural order, flipped and loose, in place."""
    n, width = tile.shape
    leaf = leaf_size(n)
    for start in range(0, n, leaf):
        for i in range(U(start * width), U((start + leaf) * width), U(4)):
            store(tile, i, flip(load(tile, i)))
        h = 1
        if leaf & 0x55555555 == 0:
            for block in range(start, start + leaf, 2):
                join_two(tile, twiddles, block, 1, width)
            h = 2
        while h < leaf:
            for block in range(start, start + leaf, 4 * h):
                join_four(tile, twiddles, block, h, width)
            h *= 4
        end = start + leaf
        while 4 * h <= n and end % (4 * h) == 0:
            join_four(tile, twiddles, end - 4 * h, h, width)
            h *= 4


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
                part_four(tile, twiddles, start, h, width)
            h //= 4
        while h >= 1:
            for block in range(start, start + leaf, 4 * h):
                part_four(tile, twiddles, block, h, width)
            h //= 4
        if leaf & 0x55555555 == 0:
            for block in range(start, start + leaf, 2):
                part_two(tile, twiddles, block, 1, width)
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


@kernel
def store_kernel(tile, codeword, position, first):
    """codeword[position + i, first + l] = tile[i, l], made plain and canonical, for existing rows."""
    n, width = tile.shape
    count = codeword.shape[1]
    if first + width <= count:
        for i in range(n):
            o = U((position + i) * count + first)
            for l in range(U(0), U(width), U(4)):
                store(codeword, o + l, plain(load(tile, U(i * width) + l)))
    else:
        for i in range(n):
            for l in range(count - first):
                codeword[position + i, first + l] = canonical(tile[i, l] ^ FLIP)


def bit_reversal(size: int) -> NDArray[np.int64]:
    """order[k]: the position of the coefficient k, for a power of two."""
    order = np.zeros(1, dtype=np.int64)
    while order.size < size:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order
