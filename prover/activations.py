"""Activations in integers: the tables that the verifier evaluates, as arrays, and what a hidden layer makes of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from verifier.activations import function_tables
from verifier.statement import Parameters
from verifier.tables import SLOPE_BITS, second_column

from .errors import OutOfRange
from .exact import Integers, round_half_up


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
        d = (y > 0).astype(np.int64)
        return y * d, d
    half = 1 << (p.activation_width - 1)
    if y.size and (int(y.min()) < -half or int(y.max()) >= half):
        raise OutOfRange(f"activations from {y.min()} to {y.max()} do not fit {p.activation_width} bits")
    value, slope = columns(p)
    return value[y + half], slope[y + half]


def chain(ga: Integers, d: Integers, p: Parameters) -> tuple[Integers, Integers]:
    """(G, rest) of a hidden layer: ReLU has G = GA D and no rest; else GA D = 2^SLOPE_BITS G + rest - 2^(SLOPE_BITS-1).

    |GA| must be below 2^(62 - SLOPE_BITS), the caller's to keep.
    """
    if p.activation == "relu":
        return ga * d, np.zeros_like(ga)
    return round_half_up(ga * d, SLOPE_BITS)
