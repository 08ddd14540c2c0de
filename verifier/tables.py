"""The public tables of lookups: their rows, and the multilinear extensions that the verifier evaluates itself."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from operator import mul

from .field import ONE, ZERO, Ext, equality_table, total
from .relation import Table

SLOPE_BITS = 8  # activations' slopes stand at scale 2^8; none is beyond +-2
_DIGITS = 60  # no rounding of a 60-digit exponential can depend on the platform
_LEAK_BITS = 3  # the slope of leaky ReLU below zero is 2^-3
_LANE = 128  # bits a coefficient of K takes in a packed sum: 64, and room for the sum of 2^31 entries below 2^32
_MIDDLE = 1 << (_LANE - 1)

Columns = tuple[tuple[int, ...], tuple[int, ...]]


@lru_cache(maxsize=8)
def exponential(bits: int, scale: int, top: int) -> tuple[int, ...]:
    """round(top * exp(-u / 2^scale)) for u = 0, 1, ..., up to the last entry that is not zero, at most 2^bits."""
    context = Context(prec=_DIGITS)
    values: list[int] = []
    for u in range(1 << bits):
        exact = context.multiply(Decimal(top), context.exp(context.divide(Decimal(-u), Decimal(1 << scale))))
        value = int(exact.to_integral_value(ROUND_HALF_UP))
        if value == 0:
            break
        values.append(value)
    return tuple(values)


@lru_cache(maxsize=8)
def silu(bits: int, scale: int) -> Columns:
    """y * sigma(y) rounded at scale 2^scale, and its derivative at scale 2^SLOPE_BITS, y from -2^(bits-1) upwards.

    With E = exp(-y) for y >= 0: value y / (1 + E), slope (1 + E + y E) / (1 + E)^2; at -y they are the value less y and
    one less the slope. E is a power of exp(-2^-scale), of relative error below 10^-54 after 2^15 products: no entry is
    that near to a half, and y = 0 (value 0, slope 1/2) is exact at any scale.
    """
    context, half = Context(prec=_DIGITS), 1 << (bits - 1)
    one, decay = Decimal(1), Decimal(1)
    step = context.exp(context.divide(Decimal(-1), Decimal(1 << scale)))
    values, slopes = [], []
    for y in range(half + 1):
        bottom = context.add(one, decay)
        real = context.divide(Decimal(y), Decimal(1 << scale))
        top = context.add(bottom, context.multiply(real, decay))
        slope = context.divide(context.multiply(Decimal(1 << SLOPE_BITS), top), context.multiply(bottom, bottom))
        values.append(int(context.divide(Decimal(y), bottom).to_integral_value(ROUND_HALF_UP)))
        slopes.append(int(slope.to_integral_value(ROUND_HALF_UP)))
        decay = context.multiply(decay, step)
    below = range(half, 0, -1)
    return (
        (*(values[y] - y for y in below), *values[:half]),
        (*((1 << SLOPE_BITS) - slopes[y] for y in below), *slopes[:half]),
    )


@lru_cache(maxsize=8)
def leaky_relu(bits: int) -> Columns:
    """y for y > 0, else floor(y / 8 + 1/2); slope 1 or 1/8 at scale 2^SLOPE_BITS; y from -2^(bits-1) upwards."""
    half, round_up = 1 << (bits - 1), 1 << (_LEAK_BITS - 1)
    values = (y if y > 0 else (y + round_up) >> _LEAK_BITS for y in range(-half, half))
    slopes = (1 << (SLOPE_BITS if y > 0 else SLOPE_BITS - _LEAK_BITS) for y in range(-half, half))
    return tuple(values), tuple(slopes)


def _listed(table: Table) -> tuple[int, ...]:
    """f(u) for u = 0, 1, ... of a table without closed form; zero beyond what is listed."""
    if table.kind == "exp":
        return exponential(table.bits, table.scale, table.top)
    function = table.kind.removesuffix("-slope")
    columns = silu(table.bits, table.scale) if function == "silu" else leaky_relu(table.bits)
    return columns[function != table.kind]


def second_column(table: Table) -> list[int]:
    """f(u) for u in [0, 2^bits); negative values of activations stand for themselves mod p."""
    if table.kind == "range":
        return [0] * (1 << table.bits)
    if table.kind == "relu":
        half = 1 << (table.bits - 1)
        return [0] * (half + 1) + [1] * (half - 1)
    values = _listed(table)
    return [*values, *([0] * ((1 << table.bits) - len(values)))]


def evaluate(table: Table, point: Sequence[Ext]) -> tuple[Ext, Ext]:
    """The multilinear extensions of u and f at a point."""
    x, low = ZERO, ONE
    for k, coordinate in enumerate(point):
        x = x + coordinate * (1 << (table.bits - 1 - k))
        if k:
            low = low * (ONE - coordinate)
    if table.kind == "range":
        return x, ZERO
    if table.kind == "relu":
        return x, point[0] * (ONE - low)
    return x, extension(_listed(table), point)


def extension(values: Sequence[int], point: Sequence[Ext]) -> Ext:
    """sum over u of values[u] eq(point, u), |values| below 2^32, zero beyond the last.

    The point is cut in half; along the lower half a share's three coefficients are lanes of one integer, so that an
    entry costs one product of integers. Lanes of a sum may be negative: they are read with 2^(lane-1) added.
    """
    cut = len(point) // 2
    high, low = equality_table(point[:cut]), equality_table(point[cut:])
    packed = [c[0] | c[1] << _LANE | c[2] << (2 * _LANE) for c in low]
    lifted = _MIDDLE | _MIDDLE << _LANE | _MIDDLE << (2 * _LANE)
    lines = []
    for start in range(0, len(values), len(low)):
        line = sum(map(mul, packed, values[start : start + len(low)])) + lifted
        lines.append(Ext.of([(line >> (_LANE * k) & (2 * _MIDDLE - 1)) - _MIDDLE for k in range(3)]))
    return total(share * line for share, line in zip(high, lines, strict=False))
