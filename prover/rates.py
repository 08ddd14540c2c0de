"""Learning rates: public schedules, and the integers k_t with lr_t / batch = k_t 2^-e that a statement holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from verifier.statement import Parameters

from .errors import InputInvalid

MAX_RATE_BITS = 30
MAX_MULTIPLIER = 1 << 20
FINE = 7  # rates are rounded by less than 2^-FINE / 2 of the largest
COARSE = 0.5  # a rate that rounding moves by more than this share of itself is worth a word to the user


def multipliers(batch: int, rates: Sequence[float], least: int = 1) -> tuple[int, tuple[int, ...]]:
    """(e, k): rates[t] / batch = k[t] 2^-e with the smallest e that rounds each by less than 2^-FINE / 2 of the
    largest; one k if all are equal.

    A rate with FINE + 1 significant bits or fewer is exact, since fewer bits would be further off. Small multipliers
    leave room for more steps in a proof: weights stand at a scale of e more bits. `least` is the smallest the largest k
    may be: optimisers that weigh the rates need fine ones. InputInvalid for a rate that is no positive number, or that
    e <= 30 cannot reach.
    """
    for rate in rates:
        if not math.isfinite(rate) or rate <= 0:
            raise InputInvalid(f"the learning rate must be a positive number, found {rate!r}")
    exact = [Fraction(rate) / batch for rate in rates]
    fine, e = max(0, FINE + 1 - _floor_log2(max(exact))), 0
    while e < fine and not _close(exact, e):
        e += 1
    e = max(e, (least - 1).bit_length() - _floor_log2(max(exact)))
    found = tuple(_nearest(value * 2**e) for value in exact)
    if e > MAX_RATE_BITS or max(found) > MAX_MULTIPLIER:
        raise InputInvalid(
            f"lr / batch = {max(rates):g} / {batch} cannot be had: it is k 2^-e with e from 0 to {MAX_RATE_BITS} and k "
            f"up to {MAX_MULTIPLIER}. Use a smaller batch, or a rate nearer to one."
        )
    if min(found) == 0:
        raise InputInvalid(
            f"the smallest learning rate, {min(rates):g}, is rounded to zero beside the largest, {max(rates):g}: let "
            f"the schedule end at {max(rates) / 2**FINE:.2g} or more"
        )
    return e, found[:1] if len(set(found)) == 1 else found


def _close(rates: Sequence[Fraction], e: int) -> bool:
    """Whether multiples of 2^-e are near enough to all rates."""
    limit = max(rates) / 2 ** (FINE + 1)
    return all(abs(Fraction(_nearest(rate * 2**e), 2**e) - rate) < limit for rate in rates)


def _floor_log2(value: Fraction) -> int:
    guess = value.numerator.bit_length() - value.denominator.bit_length()
    return guess if value >= Fraction(2) ** guess else guess - 1


def _nearest(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def coarse_note(p: Parameters, rates: float | Sequence[float]) -> str | None:
    """What to tell a user about rates far below the largest, which rounding moves by much, if there are any.

    `p` has the multipliers of `rates`; a single rate is always fine enough.
    """
    if isinstance(rates, int | float):
        return None
    unit = p.batch / 2**p.rate_bits
    pairs = zip(rates, (p.rate(t) * unit for t in range(p.steps)), strict=True)
    moved = [(abs(k - rate) / rate, rate, k) for rate, k in pairs if abs(k - rate) > COARSE * rate]
    if not moved:
        return None
    _, rate, k = max(moved)
    return (
        f"{len(moved)} of {len(rates)} learning rates are rounded by more than {COARSE:.0%}, {rate:.3g} to {k:.3g} for "
        f"one: all are multiples of {unit:.3g}, which is fine for the largest, {max(rates):.3g}. A schedule that ends "
        "higher is rounded by less"
    )


def scheduled(rate: float, steps: int, schedule: str = "constant", warmup: int = 0) -> float | list[float]:
    """One rate, or one for each step: a schedule, after `warmup` steps that lead up to its first rate linearly.

    `schedule` is constant; cosine, or cosine:END, from `rate` down to END (default: a hundredth of it); or
    step:EVERY:FACTOR, times FACTOR after each EVERY steps. InputInvalid for anything else.
    """
    if not 0 <= warmup < steps:
        raise InputInvalid(f"a warm-up of {warmup} steps in a run of {steps}: from 0 to {steps - 1}")
    kind, _, rest = schedule.partition(":")
    main = steps - warmup
    try:
        if kind == "constant" and not rest:
            rates = [rate] * main
        elif kind == "cosine":
            end = float(rest) if rest else rate / 100
            turn = [(1 + math.cos(math.pi * t / max(1, main - 1))) / 2 for t in range(main)]
            rates = [end + (rate - end) * share for share in turn]
        elif kind == "step":
            every, factor = rest.split(":")
            rates = [rate * float(factor) ** (t // int(every)) for t in range(main)]
        else:
            raise ValueError
    except (ValueError, ZeroDivisionError, OverflowError):
        raise InputInvalid(f"schedule {schedule!r}: constant, cosine, cosine:END or step:EVERY:FACTOR") from None
    rates = [rates[0] * (t + 1) / (warmup + 1) for t in range(warmup)] + rates
    return rate if len(set(rates)) == 1 else rates
