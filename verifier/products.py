"""The einsum claims of all layers and steps, and the history that resolves their weights.

Both are batched sumchecks whose end claims fall on derived tensors: activations and gradients (settled pointwise at the
end) and weights, which `check_histories` turns into claims on the initial state, activations and gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import initial, sumcheck
from .channel import Channel, Hidden, Pair
from .claims import Claim, Point, at_axes, form_claim, inside, state_claim, tail
from .field import ONE, ZERO, Ext, equality
from .kernel import Kernel, last_kernels, state_kernel
from .relation import Einsum, Relation
from .statement import Statement
from .tensors import Axis, History


@dataclass(frozen=True)
class WeightClaim:
    """A claim on a derived weight tensor: kernel-combined over t, at points of its rows (None: bias) and columns."""

    history: str
    kernel: Kernel
    rows: Point | None
    columns: Point
    value: Hidden


@dataclass(frozen=True)
class Points:
    """The random points at which outputs are taken, shared by all layers: an axis uses the low-order coordinates."""

    t: Point
    b: Point
    f: Point
    rows: Point
    columns: Point


def draw_points(channel: Channel, relation: Relation) -> Points:
    """Output points of the einsums (t, b, f) and of the final state (rows, columns)."""
    t, b, feature = _axes(relation)
    lengths = (t.bits, b.bits, feature, feature, feature)
    return Points(*(tuple(channel.challenges("output point", n, n)) for n in lengths))


def _axes(relation: Relation) -> tuple[Axis, Axis, int]:
    p = relation.parameters
    return Axis("t", p.steps), Axis("b", p.batch), max(Axis("f", width).bits for width in p.widths)


def check_einsums(channel: Channel, relation: Relation, points: Points) -> tuple[list[Claim], list[WeightClaim]]:
    """Reduces every einsum and final state to claims on derived tensors.

    Per einsum: output(p) + constant I(p) - scale I_b(p_b) bias(p_t, p_j)
                  = sum_{t,k} eq(p_t, t) left(t, p_b, k) W(t, k).
    """
    t, _, feature = _axes(relation)
    claims: list[Claim] = []
    weights = _final_states(channel, relation, points, claims)
    sums: list[Hidden] = []
    kernel = state_kernel(points.t, relation.parameters)
    for einsum in relation.einsums:
        value = channel.scalars("output", 1)[0]
        where = (points.t, points.b, tail(points.f, einsum.axes[2]))
        claims.append(form_claim(einsum.name, value, einsum.output, at_axes(einsum.axes, where, masked=False)))
        value = value + inside(einsum.axes, where) * einsum.constant
        if einsum.bias is not None:
            bias = channel.scalars("bias", 1)[0]
            weights.append(WeightClaim(einsum.bias, kernel, None, where[2], bias))
            value = value - bias * (inside(einsum.axes[1:2], where[1:2]) * relation.histories[einsum.bias].scale)
        sums.append(value)
    if not sums:
        return claims, weights
    batch = channel.challenges("einsum batch", len(sums), 1)
    degrees = [3] * t.bits + [2] * feature
    end, claim = sumcheck.check(channel, "einsum", _dot(batch, sums), degrees)
    state = state_kernel(end[: t.bits], relation.parameters)
    shared = equality(points.t, end[: t.bits])
    for coefficient, einsum in zip(batch, relation.einsums, strict=True):
        pair = channel.pair("einsum end")
        claim = claim - _finish(relation, einsum, points, end, state, pair, claims, weights) * (coefficient * shared)
    channel.zero(claim, "the einsum sumcheck")
    return claims, weights


def _final_states(channel: Channel, relation: Relation, points: Points, claims: list[Claim]) -> list[WeightClaim]:
    """A claim on each final tensor at a random entry, tied to its history by the value both have there."""
    out, kernels = [], last_kernels(relation.parameters)
    for final in relation.finals:
        history = relation.histories[final.history]
        value = channel.scalars("final state", 1)[0]
        rows = None if history.rows is None else tail(points.rows, history.rows)
        columns = tail(points.columns, history.columns)
        claims.append(state_claim(final.name, history, final.state, rows, columns, value))
        out.append(WeightClaim(final.history, kernels[final.velocity], rows, columns, value))
    return out


def _finish(
    relation: Relation,
    einsum: Einsum,
    points: Points,
    end: Sequence[Ext],
    state: Kernel,
    pair: Pair,
    claims: list[Claim],
    weights: list[WeightClaim],
) -> Hidden:
    """The end claims of one einsum; returns its summand, zero-extended over the contracted variables it lacks."""
    t = relation.parameters.steps
    history = relation.histories[einsum.weights]
    assert history.rows is not None
    contracted = history.columns if einsum.transposed else history.rows
    steps = Axis("t", t).bits
    inner = tail(end[steps:], contracted)
    outer = tail(points.f, einsum.axes[2])
    left = relation.masked[einsum.left]
    weight = at_axes(left.axes, (end[:steps], points.b, inner), f"mask:{left.name}" not in relation.removed)
    claims.append(form_claim(left.name, pair.left, left.form, weight))
    rows, columns = (outer, inner) if einsum.transposed else (inner, outer)
    weights.append(WeightClaim(einsum.weights, state, rows, columns, pair.right))
    gap = ONE
    for coordinate in end[steps : len(end) - contracted.bits]:
        gap = gap * (ONE - coordinate)
    return pair.product * gap


Entry = tuple[str, Point | None, Point]


def check_histories(
    channel: Channel, statement: Statement, relation: Relation, weights: Sequence[WeightClaim]
) -> list[Claim]:
    """Resolves weight claims: initial parts minus a batched sumcheck over (tau, b) of kernel * activation * gradient.

    Claims at one entry (of a last state and its velocity) share what is sent of the first state and of the gradient.
    """
    t, b, _ = _axes(relation)
    claims: list[Claim] = []
    starts: dict[Entry, tuple[Hidden, Hidden]] = {}
    sums, moving = [], []
    for weight in weights:
        history = relation.histories[weight.history]
        entry = (weight.history, weight.rows, weight.columns)
        if history.gradients is None and history.initial is not None:
            # There is one step only, and the state before it is the first; an integer above zero, so its inverse is.
            value = weight.value * weight.kernel.initial.inverse()
            claims.append(
                state_claim(f"initial:{weight.history}", history, history.initial, weight.rows, weight.columns, value)
            )
            continue
        if entry not in starts:
            starts[entry] = _first_state(channel, statement, relation, history, weight, claims)
        first, velocity = starts[entry]
        sums.append(first * weight.kernel.initial + velocity * weight.kernel.velocity - weight.value)
        moving.append(weight)
    if not moving:
        return claims
    batch = channel.challenges("history batch", len(sums), 1)
    end, claim = sumcheck.check(channel, "history", _dot(batch, sums), [3] * t.bits + [2] * b.bits)
    ends = _Ends(channel, relation, end)
    kernels: dict[Kernel, Ext] = {}
    for coefficient, weight in sorted(zip(batch, moving, strict=True), key=lambda pair: pair[1].rows is None):
        history = relation.histories[weight.history]
        if weight.kernel not in kernels:
            kernels[weight.kernel] = weight.kernel.evaluate(end[: t.bits])
        claim = claim - ends.gradient(history, weight) * (coefficient * kernels[weight.kernel] * history.scale)
    channel.zero(claim, "the history sumcheck")
    return claims + ends.claims


def _first_state(
    channel: Channel,
    statement: Statement,
    relation: Relation,
    history: History,
    weight: WeightClaim,
    claims: list[Claim],
) -> tuple[Hidden, Hidden]:
    """The first state and velocity at an entry: received, with claims, or known."""
    found = []
    if history.initial is None:
        found.append(Hidden(_public_start(relation, statement, history, weight)))
    for part, state in (("initial", history.initial), ("initial.velocity", history.velocity)):
        if state is not None:
            found.append(channel.scalars("initial state", 1)[0])
            name = f"{part}:{weight.history}"
            claims.append(state_claim(name, history, state, weight.rows, weight.columns, found[-1]))
    return found[0], found[1] if history.velocity is not None else Hidden(ZERO)


def _public_start(relation: Relation, statement: Statement, history: History, weight: WeightClaim) -> Ext:
    """The first state at a point, from its seed; biases start at zero."""
    if weight.rows is None:
        return ZERO
    return initial.evaluate(relation.parameters, statement.initial_root, history.layer, weight.rows, weight.columns)


class _Ends:
    """Gradients at the end point of the history sumcheck, each received and claimed once."""

    def __init__(self, channel: Channel, relation: Relation, end: Sequence[Ext]) -> None:
        self.channel, self.relation, self.end = channel, relation, end
        self.claims: list[Claim] = []
        self._gradients: dict[tuple[str, Point], Hidden] = {}
        self._products: dict[Entry, Hidden] = {}

    def gradient(self, history: History, weight: WeightClaim) -> Hidden:
        """A(end, rows) * G(end, columns), or G alone for a bias."""
        assert history.gradients is not None
        key, entry = (history.gradients, weight.columns), (weight.history, weight.rows, weight.columns)
        if weight.rows is None or history.activations is None:
            if key not in self._gradients:
                self._gradients[key] = self.channel.scalars("gradient end", 1)[0]
                self._claim(history.gradients, weight.columns, self._gradients[key])
            return self._gradients[key]
        if entry not in self._products:
            pair = self.channel.pair("history end")
            self._gradients.setdefault(key, pair.right)
            self._claim(history.activations, weight.rows, pair.left)
            self._claim(history.gradients, weight.columns, pair.right)
            self._products[entry] = pair.product
        return self._products[entry]

    def _claim(self, name: str, feature: Point, value: Hidden) -> None:
        self.claims.append(_derived(self.relation, name, self.end, feature, value))


def _derived(relation: Relation, name: str, end: Sequence[Ext], feature: Point, value: Hidden) -> Claim:
    masked = relation.masked[name]
    steps = masked.axes[0].bits
    where = (end[:steps], end[steps:], feature)
    weight = at_axes(masked.axes, where, f"mask:{name}" not in relation.removed)
    return form_claim(name, value, masked.form, weight)


def _dot(coefficients: Sequence[Ext], values: Sequence[Hidden]) -> Hidden:
    out = Hidden(ZERO)
    for coefficient, value in zip(coefficients, values, strict=True):
        out = out + value * coefficient
    return out
