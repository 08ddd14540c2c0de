"""Number-theoretic transforms over many columns at once, and Reed–Solomon encoding.

A *tile* holds the coefficients of a few polynomials position-major, uint64[N, W], so that the inner loops run over
contiguous words and vectorise. Interpolation (decimation in frequency) leaves the coefficients in bit-reversed
order, evaluation (decimation in time) takes them so: no permutation is ever made.

Evaluation on the coset g H needs no scaling pass: f(x) = even(x^2) + x odd(x^2), so that the stage that joins halves
of length h multiplies by g^(N / 2h) w_2h^j instead of w_2h^j.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from prover.backends.cpu_field import canonical, minus, plus, times
from prover.backends.cpu_tables import ONE, ZERO, U, inline, kernel


@inline
def power(x, n):
    """x^n, canonical."""
    result = ONE
    while n > 0:
        if n & 1:
            result = times(result, x)
        x = times(x, x)
        n >>= 1
    return canonical(result)


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


@kernel
def forward_kernel(tile, twiddles):
    """Bit-reversed coefficients -> values in natural order, in place; canonical."""
    n, width = tile.shape
    h = 1
    while h < n:
        for block in range(0, n, 2 * h):
            for j in range(h):
                w = twiddles[h + j]
                i, k = U(block + j), U(block + j + h)
                for l in range(U(width)):
                    x, y = tile[i, l], canonical(times(tile[k, l], w))
                    tile[i, l] = canonical(plus(x, y))
                    tile[k, l] = canonical(minus(x, y))
        h *= 2


@kernel
def inverse_kernel(tile, twiddles, factor):
    """Values in natural order -> bit-reversed coefficients, in place; twiddles of the inverse root, factor 1/N."""
    n, width = tile.shape
    h = n // 2
    while h >= 1:
        for block in range(0, n, 2 * h):
            for j in range(h):
                w = twiddles[h + j]
                i, k = U(block + j), U(block + j + h)
                for l in range(U(width)):
                    x, y = tile[i, l], tile[k, l]
                    tile[i, l] = canonical(plus(x, y))
                    tile[k, l] = canonical(times(canonical(minus(x, y)), w))
        h //= 2
    for i in range(U(n)):
        for l in range(U(width)):
            tile[i, l] = canonical(times(tile[i, l], factor))


@kernel
def load_rows_kernel(rows, first, tile):
    """tile[i, l] = rows[first + l, i], zero beyond the last row."""
    n, width = tile.shape
    for l in range(width):
        r = first + l
        for i in range(n):
            tile[i, l] = rows[r, i] if r < rows.shape[0] else ZERO


@kernel
def blind_kernel(tile, blinds, first, order, factor):
    """Adds factor · blinds[first + l, j] to the coefficient j, which stands at the position order[j]."""
    for l in range(tile.shape[1]):
        r = first + l
        if r < blinds.shape[0]:
            for j in range(blinds.shape[1]):
                o = order[j]
                tile[o, l] = canonical(plus(tile[o, l], canonical(times(blinds[r, j], factor))))


@kernel
def wrap_kernel(coeffs, first, order, factor, tile):
    """Coefficient vectors of any length, reduced mod X^N - factor, into the zeroed tile."""
    n, width = tile.shape
    for l in range(width):
        r = first + l
        if r < coeffs.shape[0]:
            scale = ONE
            for base in range(0, coeffs.shape[1], n):
                for k in range(min(n, coeffs.shape[1] - base)):
                    o = order[k]
                    tile[o, l] = canonical(plus(tile[o, l], canonical(times(coeffs[r, base + k], scale))))
                scale = canonical(times(scale, factor))


@kernel
def store_kernel(tile, codeword, position, first):
    """codeword[position + i, first + l] = tile[i, l] for the rows that there are."""
    n, width = tile.shape
    width = min(width, codeword.shape[1] - first)
    for i in range(n):
        for l in range(width):
            codeword[position + i, first + l] = tile[i, l]


def bit_reversal(size: int) -> np.ndarray:
    """order[k]: the position of the coefficient k, for a power of two."""
    order = np.zeros(1, dtype=np.int64)
    while order.size < size:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order
