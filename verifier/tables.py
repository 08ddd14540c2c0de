"""The public tables of lookups: their rows, and the multilinear extensions that the verifier evaluates itself."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

from .field import ONE, ZERO, Ext, equality_table, total
from .relation import Table

_DIGITS = 60  # no rounding of a 60-digit exponential can depend on the platform


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


def second_column(table: Table) -> list[int]:
    """f(u) for u in [0, 2^bits)."""
    if table.kind == "relu":
        half = 1 << (table.bits - 1)
        return [0] * (half + 1) + [1] * (half - 1)
    values = exponential(table.bits, table.scale, table.top) if table.kind == "exp" else ()
    return [*values, *([0] * ((1 << table.bits) - len(values)))]


def evaluate(table: Table, point: Sequence[Ext]) -> tuple[Ext, Ext]:
    """The multilinear extensions of u and f at a point. For `exp` it costs one multiplication a non-zero entry."""
    x, low = ZERO, ONE
    for k, coordinate in enumerate(point):
        x = x + coordinate * (1 << (table.bits - 1 - k))
        if k:
            low = low * (ONE - coordinate)
    if table.kind == "relu":
        return x, point[0] * (ONE - low)
    if table.kind == "exp":
        values = exponential(table.bits, table.scale, table.top)
        shares = equality_table(point, len(values))
        return x, total(share * value for share, value in zip(shares, values, strict=True))
    return x, ZERO
