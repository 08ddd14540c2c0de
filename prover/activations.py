"""Activations in integers: the tables that the verifier evaluates, as arrays, and what a hidden layer makes of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from verifier.activations import function_tables
from verifier.statement import Parameters
from verifier.tables import SLOPE_BITS, second_column

from .errors import OutOfRange
from .exact import Integers, beside, extremes, positive, round_half_up, take, zeros_beside


@lru_cache(maxsize=4)
def columns(p: Parameters) -> tuple[Integers, Integers]:
    """Value and slope, [2^activation_width] each, of Y = -2^(activation_width-1) upwards; not for ReLU."""
    value, slope = (np.array(second_column(table), dtype=np.int64) for table in function_tables(p))
    return value, slope


def activate(y: Integers, p: Parameters) -> tuple[Integers, Integers]:
    """(A, D) of pre-activations of any shape: ReLU has D = [Y > 0], the others their slope at scale 2^SLOPE_BITS.

    OutOfRange for a value beyond activation_width bits, where a table has no row.
    """
    if p.activation == "relu":
        d: Integers = positive(y)
        return y * d, d
    half, (low, high) = 1 << (p.activation_width - 1), extremes(y)
    if low < -half or high >= half:
        raise OutOfRange(f"activations from {low} to {high} do not fit {p.activation_width} bits")
    value, slope = (take(beside(y, column), y + half) for column in columns(p))
    return value, slope


def chain(ga: Integers, d: Integers, p: Parameters) -> tuple[Integers, Integers]:
    """(G, rest) of a hidden layer: ReLU has G = GA D and no rest; else GA D = 2^SLOPE_BITS G + rest - 2^(SLOPE_BITS-1).

    |GA| must be below 2^(62 - SLOPE_BITS), the caller's to keep.
    """
    if p.activation == "relu":
        return ga * d, zeros_beside(ga, ga.shape)
    return round_half_up(ga * d, SLOPE_BITS)
