"""The large computations of a verification, in plain Python.

They are methods of one class so that a caller may hand over another one that computes the same numbers faster;
`python -m verifier` never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul

from .field import ZERO, Ext, P, root_of_unity

_LIMB = 192
_MASK = (1 << _LIMB) - 1
_TOGETHER = 16


def evaluate_on_subgroup(coefficients: Sequence[Ext], point: Sequence[Ext]) -> Ext:
    """sum_i eq(point, i) f(w^i) over the subgroup of order 2^len(point), f given by its coefficients.

    Coefficients are first reduced mod X^N - 1. Then each coordinate x, the last first, halves them by
    b_j = (1 - x)(a_j + a_{j+N/2}) + x w^j (a_j - a_{j+N/2}), since w^{(2i + e) j} = w^{2ij} w^{ej}.
    """
    size = 1 << len(point)
    if not any(map(any, coefficients)):
        return ZERO  # what a recorder sees
    values = list(coefficients[:size])
    for k in range(size, len(coefficients)):
        values[k % size] = values[k % size] + coefficients[k]
    values += [ZERO] * (size - len(values))
    for x in reversed(point):
        half = len(values) // 2
        root, power = root_of_unity(half.bit_length()), 1
        folded = []
        for low, high in zip(values[:half], values[half:], strict=True):
            total, twist = low + high, (low - high) * power
            folded.append(total + x * (twist - total))
            power = power * root % P
        values = folded
    return values[0]


def pack(value: Ext) -> int:
    """Three coefficients in one integer, 192 bits each: sums of 2^64 products with field elements do not carry."""
    return value[0] | value[1] << _LIMB | value[2] << 2 * _LIMB


def unpack(value: int) -> Ext:
    """The element of K that a packed sum stands for."""
    return Ext((((value & _MASK) % P), (value >> _LIMB & _MASK) % P, (value >> 2 * _LIMB) % P))


def evaluate_polynomial(coefficients: Sequence[Ext], points: Sequence[int]) -> list[Ext]:
    """f(x) for each x in F, several points at a time: their powers x^0 .. x^(m-1) stand side by side in one integer, so
    that a product with a coefficient serves all of them; Horner over the blocks of m coefficients."""
    size = max(1, 1 << (len(coefficients).bit_length() // 2 + 1))
    planes = [[c[k] for c in coefficients] for k in range(3)]
    out: list[Ext] = []
    for first in range(0, len(points), _TOGETHER):
        out += _evaluate_together(planes, size, points[first : first + _TOGETHER])
    return out


def _evaluate_together(planes: Sequence[Sequence[int]], size: int, points: Sequence[int]) -> list[Ext]:
    shifts = [_LIMB * k for k in range(len(points))]
    powers, packed = [1] * len(points), []
    for _ in range(size):
        packed.append(sum(power << shift for power, shift in zip(powers, shifts, strict=True)))
        powers = [power * x % P for power, x in zip(powers, points, strict=True)]
    values = [[0] * len(points) for _ in planes]
    for start in reversed(range(0, len(planes[0]), size)):
        for plane, value in zip(planes, values, strict=True):
            block = sum(map(mul, plane[start : start + size], packed))
            for k, (step, shift) in enumerate(zip(powers, shifts, strict=True)):
                value[k] = (value[k] * step + (block >> shift & _MASK)) % P
    return [Ext(triple) for triple in zip(*values, strict=True)]


class Arithmetic:
    """What takes the time of a verification."""

    def on_subgroup(self, coefficients: Sequence[Ext], point: Sequence[Ext]) -> Ext:
        """sum_i eq(point, i) f(w^i), f given by its coefficients: see `evaluate_on_subgroup`."""
        return evaluate_on_subgroup(coefficients, point)

    def at_points(self, coefficients: Sequence[Ext], points: Sequence[int]) -> list[Ext]:
        """f(x) for each x in F."""
        return evaluate_polynomial(coefficients, points)

    def columns(self, weights: Sequence[Ext], columns: Sequence[Sequence[int]]) -> list[Ext]:
        """sum_i weights[i] column[i] for each column of field elements."""
        packed = [pack(weight) for weight in weights]
        return [unpack(sum(map(mul, packed, column))) for column in columns]
