"""Arithmetic of F on four lanes side by side.

There is no unsigned comparison of 64-bit lanes, only a signed one; so a running word is kept *flipped*, with
its top bit inverted, wherever carries are looked for. Adding or subtracting a plain word keeps it flipped,
and the order of flipped words as signed integers is the order of the words themselves.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from prover.backends.cpu_field import canonical, times
from prover.backends.cpu_simd import exceeds, half_product, load, splat, store
from prover.backends.cpu_straight import straight

U: Any = np.uint64
FLIP: Any = np.uint64(2**63)
E: Any = np.uint64(2**32 - 1)
# p - 1, flipped.
LAST: Any = np.uint64((2**64 - 2**32) ^ 2**63)

_njit: Any = numba.njit
# Wrappers that nobody calls take a third of a helper's time in the compiler.
kernel: Any = _njit(nogil=True, cache=True, no_cfunc_wrapper=True)
# For helpers with loops; those without are `straight`.
inline: Any = _njit(nogil=True, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


@straight
def flip(x):
    return x ^ splat(FLIP)


@straight
def flipped_plus(x, y):
    """x + y mod p: flipped and loose + plain (<= 2^64 - 2^32) -> flipped and loose."""
    total = x + y
    return total + (exceeds(x, total) >> 32)


@straight
def flipped_minus(x, y):
    """x - y mod p: flipped and loose - plain (<= p) -> flipped and loose."""
    total = x - y
    return total - (exceeds(total, x) >> 32)


@straight
def flipped_canonical(x):
    """Flipped and loose -> flipped and < p: subtracting p is adding 2^32 - 1."""
    return x + (exceeds(x, splat(LAST)) >> 32)


@straight
def plain(x):
    """Flipped and loose -> plain and canonical."""
    return flip(flipped_canonical(x))


@straight
def flipped_times(x, y, y_high):
    """x · y, plain and loose -> flipped and loose; y_high = y >> 32."""
    x_high = x >> 32
    low = half_product(x, y)
    middle = half_product(x_high, y) + (low >> 32)
    other = half_product(x, y_high) + (middle & splat(E))
    high = half_product(x_high, y_high) + (middle >> 32) + (other >> 32)
    result = flip((other << 32) | (low & splat(E)))
    # The product is result + 2^64 (h0 + 2^32 h1) = result - h1 + (2^32 - 1) h0.
    result = flipped_minus(result, high >> 32)
    return flipped_plus(result, half_product(high, splat(E)))


# -- K: products as sums of limbs ---------------------------------------------------------------------
#
# A product of 64-bit words takes four half products with carries between them. To add products up without
# carries, one factor, the *left*, is cut into two halves x0 + 2^32 x1 and the other, the *right*, into
# three limbs of 22, 22 and 20 bits: the six half products are below 2^54, have the weights 2^(0, 22, 44,
# 32, 54, 76), and more than 2^9 of them can be added up in a lane. Six lanes with these weights are called
# *columns* here.


@straight
def limbs(x):
    """A plain word as limbs of 22, 22 and 20 bits."""
    mask = splat(U(2**22 - 1))
    return x & mask, (x >> 22) & mask, x >> 44


@straight
def twice(x):
    return x[0] + x[0], x[1] + x[1], x[2] + x[2]


@straight
def right(x):
    """Three plain words as the limbs of b0, b1, b2, 2 b1, 2 b2 (the last two because X^3 = 2)."""
    b0, b1, b2 = limbs(x[0]), limbs(x[1]), limbs(x[2])
    return b0, b1, b2, twice(b1), twice(b2)


@straight
def columns(x, y):
    """word · limbs -> columns, each below 2^54 (2^55 for doubled limbs)."""
    high = x >> 32
    return (
        half_product(x, y[0]),
        half_product(x, y[1]),
        half_product(x, y[2]),
        half_product(high, y[0]),
        half_product(high, y[1]),
        half_product(high, y[2]),
    )


@straight
def columns_plus(s, t):
    return s[0] + t[0], s[1] + t[1], s[2] + t[2], s[3] + t[3], s[4] + t[4], s[5] + t[5]


@straight
def ext_columns(x, y):
    """Three plain words · right -> the columns of the three coordinates, each below 5 · 2^54."""
    b0, b1, b2, d1, d2 = y
    c0 = columns_plus(columns_plus(columns(x[0], b0), columns(x[1], d2)), columns(x[2], d1))
    c1 = columns_plus(columns_plus(columns(x[0], b1), columns(x[1], b0)), columns(x[2], d2))
    c2 = columns_plus(columns_plus(columns(x[0], b2), columns(x[1], b1)), columns(x[2], b0))
    return c0, c1, c2


@straight
def ext_columns_plus(s, t):
    return columns_plus(s[0], t[0]), columns_plus(s[1], t[1]), columns_plus(s[2], t[2])


@straight
def low_word(s0, s1, s2):
    """s0 + 2^22 s1 + 2^44 s2 mod 2^64."""
    return s0 + (s1 << 22) + (s2 << 44)


@straight
def high_word(s0, s1, s2):
    """(s0 + 2^22 s1 + 2^44 s2) >> 64, below 2^43 for columns below 2^62."""
    return (s2 + ((s1 + (s0 >> 22)) >> 22)) >> 20


@straight
def small_times_e(x):
    """(2^32 - 1) x for x < 2^32."""
    return (x << 32) - x


@straight
def reduced(s):
    """Columns below 2^62 -> flipped and loose.

    With a + 2^64 h and b + 2^64 g the sums of the columns of either half: a + 2^64 h + 2^32 b + 2^96 g.
    Let b = b0 + 2^32 b1 and h + b1 = k0 + 2^32 k1: this is a + 2^32 b0 + (2^32 - 1) k0 - (k1 + g).
    """
    b = low_word(s[3], s[4], s[5])
    k = high_word(s[0], s[1], s[2]) + (b >> 32)
    word = flipped_plus(flip(low_word(s[0], s[1], s[2])), b << 32)
    word = flipped_plus(word, small_times_e(k & splat(E)))
    return flipped_minus(word, (k >> 32) + high_word(s[3], s[4], s[5]))


@straight
def ext_reduced(s):
    """The columns of an element of K -> its words, plain and loose."""
    return flip(reduced(s[0])), flip(reduced(s[1])), flip(reduced(s[2]))


# -- K: products with a constant ----------------------------------------------------------------------
#
# For a constant y, 2^32 y mod p can be had beforehand, so that x y = x0 (y) + x1 (2^32 y) needs three
# columns, not six.


@straight
def put_constant(out, at, y):
    """The limbs of y and of 2^32 y, three lane vectors each, at the 24 words from `at`."""
    factor = splat(U(2**32))
    for j in range(U(2)):
        y0, y1, y2 = limbs(y)
        o = at + U(12) * j
        store(out, o, y0)
        store(out, o + U(4), y1)
        store(out, o + U(8), y2)
        y = plain(flipped_times(y, factor, factor >> 32))


@inline
def ext_constant(y):
    """A constant of K as the limbs of b0, b1, b2, 2 b1, 2 b2."""
    out = np.empty(120, np.uint64)
    put_constant(out, U(0), splat(y[0]))
    put_constant(out, U(24), splat(y[1]))
    put_constant(out, U(48), splat(y[2]))
    put_constant(out, U(72), splat(canonical(times(y[1], U(2)))))
    put_constant(out, U(96), splat(canonical(times(y[2], U(2)))))
    return out


@straight
def constant_columns(x, constant, at):
    """word · constant -> three columns below 2^55."""
    high = x >> 32
    return (
        half_product(x, load(constant, at)) + half_product(high, load(constant, at + U(12))),
        half_product(x, load(constant, at + U(4))) + half_product(high, load(constant, at + U(16))),
        half_product(x, load(constant, at + U(8))) + half_product(high, load(constant, at + U(20))),
    )


@straight
def constant_reduced(s):
    """Three columns below 2^62 -> flipped and loose."""
    k = high_word(s[0], s[1], s[2])
    word = flipped_plus(flip(low_word(s[0], s[1], s[2])), small_times_e(k & splat(E)))
    return flipped_minus(word, k >> 32)


@straight
def columns_sum(s, t):
    """The sum of three columns each."""
    return s[0] + t[0], s[1] + t[1], s[2] + t[2]


@straight
def three(x, constant, at0, at1, at2):
    """The columns of a coordinate: three words, each by the constant at its place."""
    s = columns_sum(constant_columns(x[0], constant, at0), constant_columns(x[1], constant, at1))
    return columns_sum(s, constant_columns(x[2], constant, at2))


@straight
def base_times_constant(x, constant):
    """word · constant of K -> three words, flipped and loose."""
    return (
        constant_reduced(constant_columns(x, constant, U(0))),
        constant_reduced(constant_columns(x, constant, U(24))),
        constant_reduced(constant_columns(x, constant, U(48))),
    )


@straight
def ext_times_constant(x, constant):
    """Three plain words · constant of K -> three words, flipped and loose."""
    b1, b2, d1, d2 = U(24), U(48), U(72), U(96)
    c0 = three(x, constant, U(0), d2, d1)
    c1 = three(x, constant, b1, U(0), d2)
    c2 = three(x, constant, b2, b1, U(0))
    return constant_reduced(c0), constant_reduced(c1), constant_reduced(c2)
