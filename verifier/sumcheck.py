"""The sumcheck protocol: a claim on a sum over all 0/1 points becomes a claim at one random point."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from .channel import Channel, Hidden
from .field import ONE, Ext, P


def _inverse_denominators(degree: int) -> list[int]:
    return [pow(prod(k - j for j in range(degree + 1) if j != k), -1, P) for k in range(degree + 1)]


_DENOMINATORS = [_inverse_denominators(degree) for degree in range(4)]


def lagrange(degree: int, x: Ext) -> list[Ext]:
    """The weights that evaluate at x a polynomial known at 0, 1, ..., degree; degree <= 3."""
    weights = []
    for k, inverse in enumerate(_DENOMINATORS[degree]):
        numerator = Ext((inverse, 0, 0))
        for j in range(degree + 1):
            if j != k:
                numerator = numerator * (x - j)
        weights.append(numerator)
    return weights


def check(channel: Channel, label: str, claim: Hidden, degrees: Sequence[int]) -> tuple[list[Ext], Hidden]:
    """Runs one round a variable, the high-order one first; `degrees` bounds the degree in each.

    A round polynomial s is sent as s(0), s(2), ..., s(d): s(1) = claim - s(0) needs no equation of its own.
    Returns the random point and what the summand must equal there. The caller must check that end claim.
    """
    point = []
    for degree in degrees:
        sent = channel.scalars(f"{label} round", degree)
        challenge = channel.challenge(f"{label} round", degree)
        values = [sent[0], claim - sent[0], *sent[1:]]
        claim = _combine(lagrange(degree, challenge), values)
        point.append(challenge)
    return point, claim


def _combine(weights: Sequence[Ext], values: Sequence[Hidden]) -> Hidden:
    out = values[0] * weights[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        out = out + value * weight
    return out


def check_product_layer(channel: Channel, label: str, claim: Hidden, point: Sequence[Ext]) -> tuple[list[Ext], Hidden]:
    """Sumcheck of claim = sum_x eq(point, x) h(x), h of degree 2 in each variable, with eq divided out.

    The low-order variable is bound first, so that a layer filled from its start stays so. In each round h(0) and h(2)
    are sent; h(1) = (claim - (1 - z) h(0)) / z for the coordinate z of `point`.
    Returns the random point r and the claim on h(r) itself. Errors: RejectedProof if a coordinate is zero.
    """
    out: list[Ext] = []
    for z in reversed(point):
        h0, h2 = channel.scalars(f"{label} round", 2)
        challenge = channel.challenge(f"{label} round", 3)
        channel.check(any(z), f"{label}: a non-zero coordinate")
        h1 = (claim - h0 * (ONE - z)) * z.inverse()
        claim = _combine(lagrange(2, challenge), [h0, h1, h2])
        out.append(challenge)
    return out[::-1], claim
