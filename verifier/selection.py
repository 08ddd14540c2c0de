"""Claims that need no message: batches are the scheduled rows of the committed data; identities of the loss."""

from __future__ import annotations

from collections.abc import Sequence

from .channel import Hidden
from .claims import At, Below, Claim, Rows, Term, Weight, at_axes, form_claim, inside, tail
from .field import ONE, ZERO, Ext, equality_table
from .products import Points
from .relation import Identity, Norm, Public, Relation, Selection, Total
from .statement import Statement


def direct_claims(statement: Statement, relation: Relation, points: Points) -> list[Claim]:
    """tensor(p_t, p_b, p_f) = sum_n S(n) data(n, p_f), with S(n) = sum of eq(p_t, t) eq(p_b, b) over (t, b) at row n.

    S costs one multiplication a scheduled sample. Identities are taken at the same point. All values are public.
    """
    rows = _scheduled_rows(statement.batches(), points) if relation.selections else ()
    claims = [_selection(relation, selection, points, rows) for selection in relation.selections]
    claims += [_identity(identity, points) for identity in relation.identities]
    claims += [_norm(relation, norm, points) for norm in relation.norms]
    claims += [_total(total) for total in relation.totals]
    return claims + [_public(public, points) for public in relation.publics]


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


def _total(entry: Total) -> Claim:
    weight = Weight(tuple(Below(axis.bits, axis.size) for axis in entry.axes))
    return Claim(entry.name, Hidden(Ext.of(entry.value)), (Term(ONE, entry.tensors, weight),))


def _public(entry: Public, points: Points) -> Claim:
    """The form's sum, weighted by eq inside the public sizes, is the extension of the public values."""
    where = {3: (points.t, points.b, points.f), 2: (points.rows, points.columns), 1: (points.columns,)}[len(entry.axes)]
    where = tuple(tail(point, axis) for point, axis in zip(where, entry.axes, strict=True))
    value = entry.values.evaluate(where[-2] if len(where) > 1 else (), where[-1])
    value = value + inside(entry.axes, where) * entry.offset
    return form_claim(entry.name, Hidden(value), entry.form, at_axes(entry.axes, where, masked=True))


def _norm(relation: Relation, claim: Norm, points: Points) -> Claim:
    """The sum of squares over the batch at (p_t, p_f), or of a row over its features at (p_t, p_b)."""
    _, places, feature = relation.tensors[claim.tensor].axes
    if claim.rows:
        weight = Weight((At(points.t), At(points.b)))
        summed = Weight((*weight.factors, Below(feature.bits, feature.size)))
    else:
        at = At(tail(points.f, feature))
        weight = Weight((At(points.t), at))
        summed = Weight((At(points.t), Below(places.bits, places.size), at))
    squares = Term(ONE, (claim.tensor, claim.tensor), summed)
    limbs = tuple(Term(Ext.of(-coefficient), names, weight) for coefficient, names in claim.norm.terms)
    return Claim(claim.name, Hidden(ZERO), (squares, *limbs))


def _identity(identity: Identity, points: Points) -> Claim:
    """An identity at the output point: parts at (p_t, p_b, p_f), or summed over f below the public size."""
    steps, places, feature = identity.axes
    at = Weight((At(points.t), At(points.b), At(tail(points.f, feature))))
    summed = Weight((At(points.t), At(points.b), Below(feature.bits, feature.size)))
    terms = tuple(
        Term(Ext.of(part.coefficient), part.tensors, summed if part.summed else at) for part in identity.parts
    )
    value = Ext.of(identity.constant)
    if identity.masked:
        value = value * inside((steps, places), (points.t, points.b))
    return Claim(identity.name, Hidden(value), terms)
