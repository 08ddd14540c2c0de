"""The prover's side of the einsum and history arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verifier.claims import Point, tail
from verifier.field import Ext
from verifier.kernel import Kernel, last_kernels, state_kernel
from verifier.optimizer import coefficients
from verifier.products import Entry, Points
from verifier.relation import Einsum, Relation
from verifier.tensors import Axis

from . import sumcheck
from .backends.interface import MODULUS, Backend, Table
from .dialogue import Draw, Say, Script
from .sumcheck import ProductTerm
from .witness import Witness


@dataclass(frozen=True)
class WeightQuery:
    """A derived weight tensor asked for at kernel-combined steps and points of its rows (None: bias) and columns."""

    history: str
    kernel: Kernel
    rows: Point | None
    columns: Point

    @property
    def entry(self) -> Entry:
        """Where it is asked: queries there share the first state and the gradient."""
        return self.history, self.rows, self.columns


class Folder:
    """Folds of derived tensors at random points, each computed once."""

    def __init__(self, backend: Backend, relation: Relation, witness: Witness) -> None:
        self.backend, self.relation, self.witness = backend, relation, witness
        p = relation.parameters
        self.steps, self.places = 1 << Axis("t", p.steps).bits, 1 << Axis("b", p.batch).bits
        self._features: dict[tuple[str, Point], Table] = {}
        self._starts: dict[Entry, list[Ext]] = {}

    def cube(self, name: str) -> Table:
        """A derived tensor as F[t, b, feature]."""
        return self.witness.derived[name].reshape(self.steps, self.places, -1)

    def at_feature(self, name: str, point: Point) -> Table:
        """tensor(t, b, point) as K[3, t * b]."""
        key = (name, point)
        if key not in self._features:
            flat = self.witness.derived[name].reshape(self.steps * self.places, -1)
            self._features[key] = self.backend.contract_last(flat, self.backend.eq_table(point))
        return self._features[key]

    def at_sample(self, name: str, point: Point) -> Table:
        """tensor(t, point, feature) as K[3, t * feature]."""
        eq = self.backend.eq_table(point)
        weights = self.backend.tile(eq, self.steps).reshape(3, self.steps, self.places)
        return self.backend.contract_middle(self.cube(name), weights).reshape(3, -1)

    def gradient_sums(self, name: str, weights: Table) -> Table:
        """sum_b tensor(t, b, feature) * weights(t, b) as K[3, t, feature]; weights K[3, t * b]."""
        return self.backend.contract_middle(self.cube(name), weights.reshape(3, self.steps, self.places))

    def state(self, name: str, velocity: bool = False) -> Table:
        """The first state (or velocity) of a weight matrix as F[rows, columns], of a bias as F[1, columns]."""
        history = self.relation.histories[name]
        states = self.witness.velocities if velocity else self.witness.states
        return states[name].reshape(-1, 1 << history.columns.bits)

    def state_line(self, matrix: Table, point: Point, over_rows: bool) -> Table:
        """W(., point) over its rows, or W(point, .) over its columns."""
        eq = self.backend.eq_table(point)
        return self.backend.contract_last(matrix, eq) if over_rows else self.backend.combine_rows(eq, matrix)

    def starts(self, entry: Entry) -> list[Ext]:
        """The first state at an entry, and the first velocity if there is one."""
        name, rows, columns = entry
        if entry not in self._starts:
            matrices = [self.state(name)]
            if self.relation.histories[name].velocity is not None:
                matrices.append(self.state(name, velocity=True))
            lines = [self.backend.contract_last(matrix, self.backend.eq_table(columns)) for matrix in matrices]
            self._starts[entry] = [Ext(self.backend.inner(line, self.backend.eq_table(rows or ()))) for line in lines]
        return self._starts[entry]

    def weights_over_time(self, einsum: Einsum, point: Point) -> Table:
        """W_t at a point of its output axis, over (t, contracted axis): K[3, t * contracted]; zero for t >= steps.

        W_t(., j) = W_0(., j) - sum over tau < t of k_tau sum_b A_tau(b, .) G_tau(b, j), by one running sum; with
        momentum or decay by one sum a step, see `verifier.optimizer`.
        """
        history, p = self.relation.histories[einsum.weights], self.relation.parameters
        line = self.state_line(self.state(einsum.weights), point, over_rows=not einsum.transposed)
        if history.gradients is None or history.activations is None:
            return self._scaled(line, 1 << p.state_shift)  # there is one step
        inner, outer = (
            (history.gradients, history.activations) if einsum.transposed else (history.activations, history.gradients)
        )
        sums = self.gradient_sums(inner, self.at_feature(outer, point))
        out = self.backend.zeros(3, self.steps, line.shape[1])
        if not p.plain:
            return self._weights_moved(einsum, point, line, sums, out)
        for t in range(p.steps):
            out[:, t] = line
            line = self.backend.sub(line, self._scaled(sums[:, t], p.rate(t)))
        return out.reshape(3, -1)

    def _scaled(self, table: Table, factor: int) -> Table:
        return self.backend.scale(table, (factor % MODULUS, 0, 0))

    def _weights_moved(self, einsum: Einsum, point: Point, line: Table, sums: Table, out: Table) -> Table:
        """The lines of `weights_over_time` from the optimiser's coefficients; sums K[3, t, contracted]."""
        found, velocity = coefficients(self.relation.parameters), None
        if self.relation.histories[einsum.weights].velocity is not None:
            moving = self.state(einsum.weights, velocity=True)
            velocity = self.state_line(moving, point, over_rows=not einsum.transposed)
        for t in range(self.relation.parameters.steps):
            now = self._scaled(line, found.states[t])
            if velocity is not None:
                now = self.backend.sub(now, self._scaled(velocity, found.velocities[t]))
            if t:
                # The three planes of the sums take the place of steps, and steps that of samples.
                weights = np.zeros((3, 3, t), dtype=np.uint64)
                weights[0] = [column[t - tau - 1] % MODULUS for tau, column in enumerate(found.gradients[:t])]
                moved = self.backend.contract_middle(sums[:, :t], weights).reshape(3, 3, -1)[0]
                now = self.backend.sub(now, moved)
            out[:, t] = now
        return out.reshape(3, -1)

    def weight_value(self, query: WeightQuery) -> Ext:
        """The value of a weight query."""
        history = self.relation.histories[query.history]
        first, *velocity = self.starts(query.entry)
        value = first * query.kernel.initial
        for start in velocity:
            value = value + start * query.kernel.velocity
        if history.gradients is None:
            return value
        steps = np.zeros((3, self.steps), dtype=np.uint64)
        steps[:, : len(query.kernel.steps)] = np.array(query.kernel.steps, dtype=np.uint64).T
        kernel = np.ascontiguousarray(np.repeat(steps, self.places, axis=1))
        gradient = self.at_feature(history.gradients, query.columns)
        product = self.backend.mul(kernel, gradient)
        if query.rows is None or history.activations is None:
            return value - Ext(self.backend.total(product)) * history.scale
        return value - Ext(self.backend.inner(product, self.at_feature(history.activations, query.rows)))


def prove(backend: Backend, relation: Relation, witness: Witness) -> Script[Points]:
    """Twin of `verifier.products`: output points, einsum sumcheck, history sumcheck."""
    folder = Folder(backend, relation, witness)
    p = relation.parameters
    t, b = Axis("t", p.steps).bits, Axis("b", p.batch).bits
    feature = max(Axis("f", width).bits for width in p.widths)
    drawn = []
    for count in (t, b, feature, feature, feature):
        drawn.append(tuple((yield Draw("output point", count))))
    points = Points(*drawn)
    queries = yield from _final_states(folder, relation, points)
    if not relation.einsums:
        return points
    terms = yield from _outputs(folder, relation, points, queries)
    batch = yield Draw("einsum batch", len(terms))
    steps = backend.eq_table(points.t)
    products = []
    for coefficient, (left, weights) in zip(batch, terms, strict=True):
        width = left.shape[1] >> t
        shared = backend.repeat(backend.scale(steps, coefficient), width)
        absent = (t, t + feature - (width - 1).bit_length())
        products.append(ProductTerm(backend, [shared, left, weights], absent, leading=t))
    end = yield from sumcheck.prove(backend, "einsum", products, [3] * t + [2] * feature)
    state = state_kernel(end[:t], p)
    for einsum, term in zip(relation.einsums, products, strict=True):
        yield Say("einsum end", term.ends())
        history = relation.histories[einsum.weights]
        assert history.rows is not None
        inner = tail(end[t:], history.columns if einsum.transposed else history.rows)
        outer = tail(points.f, einsum.axes[2])
        rows, columns = (outer, inner) if einsum.transposed else (inner, outer)
        queries.append(WeightQuery(einsum.weights, state, rows, columns))
    yield from _histories(folder, relation, queries, (t, b))
    return points


def _final_states(folder: Folder, relation: Relation, points: Points) -> Script[list[WeightQuery]]:
    queries, kernels = [], last_kernels(relation.parameters)
    for final in relation.finals:
        history = relation.histories[final.history]
        rows = None if history.rows is None else tail(points.rows, history.rows)
        query = WeightQuery(final.history, kernels[final.velocity], rows, tail(points.columns, history.columns))
        queries.append(query)
        yield Say("final state", [folder.weight_value(queries[-1])])
    return queries


def _outputs(
    folder: Folder, relation: Relation, points: Points, queries: list[WeightQuery]
) -> Script[list[tuple[Table, Table]]]:
    """Sends every output (and bias) at the output point; returns each einsum's two tables over (t, contracted)."""
    backend, terms = folder.backend, []
    kernel = state_kernel(points.t, relation.parameters)
    for einsum in relation.einsums:
        outer = tail(points.f, einsum.axes[2])
        where = backend.eq_table((*points.t, *points.b, *outer))
        value = sum(
            (Ext(backend.inner(where, folder.witness.tensors[name])) * c for c, (name,) in einsum.output.terms),
            Ext.of(0),
        )
        yield Say("output", [value])
        if einsum.bias is not None:
            query = WeightQuery(einsum.bias, kernel, None, outer)
            queries.append(query)
            yield Say("bias", [folder.weight_value(query)])
        terms.append((folder.at_sample(einsum.left, points.b), folder.weights_over_time(einsum, outer)))
    return terms


def _histories(
    folder: Folder, relation: Relation, queries: Sequence[WeightQuery], bits: tuple[int, int]
) -> Script[None]:
    backend = folder.backend
    queries = [query for query in queries if relation.histories[query.history].gradients is not None]
    if not queries:
        return
    for entry in dict.fromkeys(query.entry for query in queries):
        history = relation.histories[entry[0]]
        values = folder.starts(entry)
        for value in values[history.initial is None :]:
            yield Say("initial state", [value])
    batch = yield Draw("history batch", len(queries))
    terms = []
    for coefficient, query in zip(batch, queries, strict=True):
        history = relation.histories[query.history]
        assert history.gradients is not None
        steps = np.zeros((3, folder.steps), dtype=np.uint64)
        steps[:, : len(query.kernel.steps)] = np.array(query.kernel.steps, dtype=np.uint64).T
        kernel = backend.repeat(backend.scale(steps, coefficient * history.scale), folder.places)
        tables = [kernel, folder.at_feature(history.gradients, query.columns)]
        if query.rows is not None and history.activations is not None:
            tables.append(folder.at_feature(history.activations, query.rows))
        terms.append(ProductTerm(backend, tables, leading=bits[0]))
    yield from sumcheck.prove(backend, "history", terms, [3] * bits[0] + [2] * bits[1])
    known: set[object] = set()
    for query, term in sorted(zip(queries, terms, strict=True), key=lambda pair: pair[0].rows is None):
        gradient = (relation.histories[query.history].gradients, query.columns)
        if query.rows is None and gradient not in known:
            yield Say("gradient end", term.ends())
        elif query.rows is not None and query.entry not in known:
            yield Say("history end", term.ends()[::-1])
        known |= {gradient, query.entry}
