"""The final merge: every claim on every committed tensor becomes one value of each tensor at one point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import sumcheck
from .channel import Channel, Hidden
from .claims import Claim
from .field import ZERO, Ext
from .relation import Relation


@dataclass(frozen=True)
class Merged:
    """The common point x (a tensor uses its low-order coordinates) and the hidden value of each tensor there."""

    point: tuple[Ext, ...]
    values: dict[str, Hidden]


def committed_bits(relation: Relation, name: str) -> int:
    """Variables of a tensor as committed: at least one row of 2^row_bits entries."""
    return max(relation.tensors[name].bits, relation.parameters.row_bits)


def degrees(relation: Relation, claims: Sequence[Claim]) -> list[int]:
    """The degree of the merged sumcheck in each variable: 3 where products of two tensors take part, else 2."""
    size = max(committed_bits(relation, name) for name in relation.tensors)
    products = [
        committed_bits(relation, name)
        for claim in claims
        for term in claim.terms
        if len(term.tensors) == 2
        for name in term.tensors
    ]
    largest = max(products, default=0)
    return [3 if size - k <= largest else 2 for k in range(size)]


def check(channel: Channel, relation: Relation, claims: Sequence[Claim]) -> Merged:
    """One sumcheck over sum of coefficient * weight(x) * tensors(x); then each tensor's value at the end point.

    Coefficients are drawn when all claims have been sent. A tensor in two products is received once more for the second
    one and tied to its value by an equation, since pads are committed a pair at a time.
    """
    channel.settle(claims)
    batch = channel.challenges("merge batch", len(claims), 1)
    claim = Hidden(ZERO)
    for coefficient, entry in zip(batch, claims, strict=True):
        claim = claim + entry.value * coefficient
    point, claim = sumcheck.check(channel, "merge", claim, degrees(relation, claims))
    totals = _totals(batch, claims, point)
    values: dict[str, Hidden] = {}
    for names, weight in totals.items():
        if len(names) == 2:
            claim = claim - _product(channel, names, values) * weight
    for name in relation.tensors:
        if name not in values:
            values[name] = channel.scalars("merge end", 1)[0]
    for names, weight in totals.items():
        if len(names) == 1:
            claim = claim - values[names[0]] * weight
    channel.zero(claim, "the final merge")
    return Merged(tuple(point), values)


def _totals(batch: Sequence[Ext], claims: Sequence[Claim], point: Sequence[Ext]) -> dict[tuple[str, ...], Ext]:
    """The weight at the end point of each tensor and each product of tensors, over all claims."""
    totals: dict[tuple[str, ...], Ext] = {}
    known: dict[object, Ext] = {}
    for coefficient, claim in zip(batch, claims, strict=True):
        for term in claim.terms:
            if term.weight not in known:
                known[term.weight] = term.weight.evaluate(point)
            share = coefficient * term.coefficient * known[term.weight]
            totals[term.tensors] = totals.get(term.tensors, ZERO) + share
    return totals


def _product(channel: Channel, names: tuple[str, ...], values: dict[str, Hidden]) -> Hidden:
    pair = channel.pair("merge end")
    for name, received in zip(names, pair[:2], strict=True):
        if name in values:
            channel.zero(received - values[name], f"the two values received of {name}")
        else:
            values[name] = received
    return pair.product
