"""Every constraint of a relation on a witness, in integers and without a proof: the naive reading of the relation.

Slow and plain on purpose: it says which claim fails first, where, and with what numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifier.relation import Axis, Einsum, Form, History, Relation
from verifier.statement import Statement

from .errors import WitnessUnsatisfied
from .exact import matmul_exact
from .witness import Integers, evaluate_form, lookup_rows


@dataclass(frozen=True)
class Checked:
    """What was checked: the number of claims and of single equations."""

    claims: int
    equations: int


def check_witness(statement: Statement, relation: Relation, integers: Mapping[str, Integers]) -> Checked:
    """Checks every lookup, definition, einsum, history, selection and one-hot claim.

    `integers` are the committed tensors, padded and flat. Errors: WitnessUnsatisfied with claim, place and numbers.
    """
    checker = _Checker(statement, relation, integers)
    for lookup in relation.lookups:
        rows = lookup_rows(lookup, integers, strict=True)
        checker.count(rows.size)
    checker.steps()
    checker.data()
    return Checked(checker.claims, checker.equations)


class _Checker:
    def __init__(self, statement: Statement, relation: Relation, integers: Mapping[str, Integers]) -> None:
        self.statement, self.relation, self.integers = statement, relation, integers
        self.claims = self.equations = 0
        self._derived: dict[str, Integers] = {}

    def count(self, equations: int) -> None:
        self.claims, self.equations = self.claims + 1, self.equations + equations

    def equal(self, name: str, left: Integers, right: Integers) -> None:
        bad = np.flatnonzero(left != right)
        if bad.size:
            place = int(bad[0])
            raise WitnessUnsatisfied(f"{name}: {int(left.reshape(-1)[place])} where {int(right.reshape(-1)[place])} "
                                     f"is wanted, at entry {place} of {left.shape}")
        self.count(left.size)

    def cut(self, values: Integers, axes: tuple[Axis, ...]) -> Integers:
        """The public part of a padded flat tensor, in its shape."""
        return values.reshape([1 << axis.bits for axis in axes])[tuple(slice(0, axis.size) for axis in axes)]

    def form(self, form: Form, axes: tuple[Axis, ...]) -> Integers:
        return self.cut(evaluate_form(form, self.integers), axes)

    def derived(self, name: str) -> Integers:
        if name not in self._derived:
            masked = self.relation.masked[name]
            total: NDArray[np.int64] = np.zeros([axis.size for axis in masked.axes], dtype=np.int64)
            for coefficient, names in masked.form.terms:
                product = np.full(total.shape, coefficient, dtype=np.int64)
                for factor in names:
                    product = product * self.cut(self.integers[factor], masked.axes)
                total = total + product
            self._derived[name] = total
        return self._derived[name]

    def state(self, history: History, form: Form) -> Integers:
        axes = (history.columns,) if history.rows is None else (history.rows, history.columns)
        return self.form(form, axes) - history.offset

    def steps(self) -> None:
        """Replays the weight histories and checks every einsum at every step, then the final states."""
        states = {name: self.state(history, history.initial) for name, history in self.relation.histories.items()}
        for t in range(self.relation.parameters.steps):
            for einsum in self.relation.einsums:
                self._einsum(einsum, t, states)
            for name, history in self.relation.histories.items():
                states[name] = states[name] - self._change(history, t)
        for name in self.relation.finals:
            history = self.relation.histories[name]
            self.equal(f"final:{name}", self.state(history, history.final), states[name])

    def _change(self, history: History, t: int) -> Integers:
        gradient = self.derived(history.gradients)[t]
        if history.activations is None:
            return gradient.sum(axis=0) * history.scale
        return matmul_exact(np.ascontiguousarray(self.derived(history.activations)[t].T), gradient)

    def _einsum(self, einsum: Einsum, t: int, states: Mapping[str, Integers]) -> None:
        weights = states[einsum.weights]
        product = matmul_exact(self.derived(einsum.left)[t],
                               np.ascontiguousarray(weights.T) if einsum.transposed else weights)
        if einsum.bias is not None:
            product = product + states[einsum.bias] * self.relation.histories[einsum.bias].scale
        output = self.form(einsum.output, einsum.axes)[t] + einsum.constant
        self.equal(f"{einsum.name} at step {t}", output, product)

    def data(self) -> None:
        """Scheduled rows and one-hot targets."""
        indices = np.array(self.statement.batches())
        for selection in self.relation.selections:
            tensor = self.relation.tensors[selection.tensor]
            data = self.cut(self.integers[selection.data], self.relation.tensors[selection.data].axes)
            self.equal(selection.name, self.cut(self.integers[tensor.name], tensor.axes), data[indices])
        for one_hot in self.relation.one_hots:
            values = self.cut(self.integers[one_hot.tensor], self.relation.tensors[one_hot.tensor].axes)
            sums = values.sum(axis=2)
            self.equal(one_hot.name, sums, np.ones_like(sums))
