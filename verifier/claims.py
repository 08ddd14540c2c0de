"""Evaluation claims on committed tensors, collected during a proof and settled together at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .channel import Hidden
from .field import ONE, ZERO, Ext, bounded_equality, equality, equality_table, indicator, total
from .tensors import Axis, Form, History, Sharing, State

Point = tuple[Ext, ...]


@dataclass(frozen=True)
class At:
    """The weight vector eq(point, .) of an axis or of several; restricted to indices below `size` if given."""

    point: Point
    size: int | None = None

    @property
    def bits(self) -> int:
        """Variables of the weight."""
        return len(self.point)

    def evaluate(self, x: Sequence[Ext]) -> Ext:
        """The weight's multilinear extension at x."""
        return equality(self.point, x) if self.size is None else bounded_equality(self.point, x, self.size)


@dataclass(frozen=True)
class Below:
    """The weight vector [i < size] of an axis."""

    bits: int
    size: int

    def evaluate(self, x: Sequence[Ext]) -> Ext:
        """The weight's multilinear extension at x."""
        return indicator(x, self.size)


@dataclass(frozen=True)
class Rows:
    """A sparse weight vector over the rows of a data table: (row, weight) pairs, rows ascending."""

    bits: int
    entries: tuple[tuple[int, Ext], ...]

    def evaluate(self, x: Sequence[Ext]) -> Ext:
        """sum of weight * eq(x, row), with eq split in two tables of about 2^(bits/2)."""
        low_bits = self.bits // 2
        high, low = equality_table(x[: self.bits - low_bits]), equality_table(x[self.bits - low_bits :])
        mask = (1 << low_bits) - 1
        return total(weight * (high[row >> low_bits] * low[row & mask]) for row, weight in self.entries)


Factor = At | Below | Rows


@dataclass(frozen=True)
class Weight:
    """A weight vector over a flat tensor: the outer product of factors, the first over the high-order variables."""

    factors: tuple[Factor, ...]

    @property
    def bits(self) -> int:
        """Variables of the weight; a larger tensor is weighted by zero beyond its first 2^bits entries."""
        return sum(factor.bits for factor in self.factors)

    def evaluate(self, x: Sequence[Ext]) -> Ext:
        """The multilinear extension at x, whose excess high-order coordinates must all select index 0."""
        place = len(x) - self.bits
        out = ONE
        for coordinate in x[:place]:
            out = out * (ONE - coordinate)
        for factor in self.factors:
            out = out * factor.evaluate(x[place : place + factor.bits])
            place += factor.bits
        return out


@dataclass(frozen=True)
class Term:
    """coefficient * sum_x weight(x) * (product of the named tensors)(x)."""

    coefficient: Ext
    tensors: tuple[str, ...]
    weight: Weight


@dataclass(frozen=True)
class Claim:
    """The terms add up to the hidden `value`."""

    name: str
    value: Hidden
    terms: tuple[Term, ...]


def form_claim(name: str, value: Hidden, form: Form, weight: Weight) -> Claim:
    """The claim that a form, weighted, sums to `value`."""
    return Claim(name, value, tuple(Term(Ext.of(c), tensors, weight) for c, tensors in form.terms))


def at_axes(axes: Sequence[Axis], points: Sequence[Sequence[Ext]], masked: bool) -> Weight:
    """eq at one point an axis; zero outside the public sizes when `masked`."""
    return Weight(
        tuple(At(tuple(point), axis.size if masked else None) for axis, point in zip(axes, points, strict=True))
    )


def tail(point: Sequence[Ext], axis: Axis) -> tuple[Ext, ...]:
    """The low-order coordinates of a shared point that belong to an axis."""
    return tuple(point[len(point) - axis.bits :])


def inside(axes: Sequence[Axis], points: Sequence[Sequence[Ext]]) -> Ext:
    """The multilinear extension of the indicator I = [every index below its axis's public size], one point an axis."""
    out = ONE
    for axis, point in zip(axes, points, strict=True):
        out = out * indicator(point, axis.size)
    return out


def state_claim(name: str, history: History, state: State, rows: Point | None, columns: Point, value: Hidden) -> Claim:
    """form - offset * I = value at an entry of a committed state; of a shared one, summed over the list with the weight
    that each of its entries has there."""
    if state.sharing is not None:
        weights = sharing_weights(state.sharing, rows or (), columns)
        listed = Weight((Rows(Axis("k", state.sharing.size).bits, weights),))
        return form_claim(name, value + total(w for _, w in weights) * state.offset, state.form, listed)
    axes = [history.columns] if history.rows is None else [history.rows, history.columns]
    where = [columns] if rows is None else [rows, columns]
    weight = at_axes(axes, where, masked=False)
    return form_claim(name, value + inside(axes, where) * state.offset, state.form, weight)


def sharing_weights(sharing: Sharing, rows: Point, columns: Point) -> tuple[tuple[int, Ext], ...]:
    """(k, sum of eq(rows, row) eq(columns, column) over the places of k): how the list makes up the shared tensor's
    multilinear extension. One multiplication an entry."""
    at_row, at_column = equality_table(rows), equality_table(columns)
    weights: dict[int, Ext] = {}
    for row, column, k in sharing.entries:
        weights[k] = weights.get(k, ZERO) + at_row[row] * at_column[column]
    return tuple(sorted(weights.items()))
