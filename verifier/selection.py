"""Batches are the scheduled rows of the committed data, and one-hot targets sum to one: linear claims, nothing sent."""

from __future__ import annotations

from collections.abc import Sequence

from .channel import Hidden
from .claims import At, Below, Claim, Rows, Term, Weight, at_axes, tail
from .field import ONE, ZERO, Ext, equality_table, indicator
from .products import Points
from .relation import OneHot, Relation, Selection
from .statement import Statement


def selection_claims(statement: Statement, relation: Relation, points: Points) -> list[Claim]:
    """tensor(p_t, p_b, p_f) = sum_n S(n) data(n, p_f), with S(n) = sum of eq(p_t, t) eq(p_b, b) over (t, b) at row n.

    S costs one multiplication a scheduled sample. Every claim has the value zero, so no scalar is sent.
    """
    rows = _scheduled_rows(statement.batches(), points) if relation.selections else ()
    claims = [_selection(relation, selection, points, rows) for selection in relation.selections]
    return claims + [_one_hot(relation, one_hot, points) for one_hot in relation.one_hots]


def _scheduled_rows(batches: Sequence[Sequence[int]], points: Points) -> tuple[tuple[int, Ext], ...]:
    steps = equality_table(points.t, len(batches))
    places = equality_table(points.b, len(batches[0]))
    weights: dict[int, Ext] = {}
    for step, batch in zip(steps, batches, strict=True):
        for place, row in zip(places, batch, strict=True):
            weights[row] = weights.get(row, ZERO) + step * place
    return tuple(sorted(weights.items()))


def _selection(relation: Relation, selection: Selection, points: Points, rows: tuple[tuple[int, Ext], ...]) -> Claim:
    tensor, data = relation.tensors[selection.tensor], relation.tensors[selection.data]
    feature = tail(points.f, tensor.axes[2])
    batch = at_axes(tensor.axes, (points.t, points.b, feature), masked=False)
    picked = Weight((Rows(data.axes[0].bits, rows), At(feature)))
    return Claim(selection.name, Hidden(ZERO), (Term(ONE, (tensor.name,), batch), Term(-ONE, (data.name,), picked)))


def _one_hot(relation: Relation, one_hot: OneHot, points: Points) -> Claim:
    """sum over classes c < C of target(p_t, p_b, c) = sum over t < T, b < B of eq(p_t, t) eq(p_b, b)."""
    steps, places, classes = relation.tensors[one_hot.tensor].axes
    weight = Weight((At(points.t), At(points.b), Below(classes.bits, classes.size)))
    value = indicator(points.t, steps.size) * indicator(points.b, places.size)
    return Claim(one_hot.name, Hidden(value), (Term(ONE, (one_hot.tensor,), weight),))
