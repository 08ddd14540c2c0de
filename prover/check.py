"""Every claim of the relation, checked on the integers themselves: what `zkgrad check` runs, and no proof.

Each check reads the relation's own description of a claim, so that a claim without a check cannot go
unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from verifier.relation import Einsum, Form, History, Relation
from verifier.statement import Statement

from .errors import WitnessUnsatisfied
from .exact import Integers, matmul_exact
from .session import run_integers
from .trainer import Trace, public_state
from .witness import lookup_rows

Progress = Callable[[str], None]


@dataclass
class _Run:
    """The committed tensors without padding, and the weights of the step that is being checked."""

    relation: Relation
    tensors: Mapping[str, Integers]
    weights: dict[str, Integers] = field(default_factory=dict)

    def cut(self, name: str) -> Integers:
        """A committed tensor in its public shape."""
        axes = self.relation.tensors[name].axes
        whole = self.tensors[name].reshape([1 << axis.bits for axis in axes])
        return whole[tuple(slice(0, axis.size) for axis in axes)]

    def form(self, form: Form, step: int | None = None) -> Integers:
        """A linear form over products of committed tensors, of one step or of all."""
        total: Integers | None = None
        for coefficient, names in form.terms:
            product = np.asarray(coefficient, dtype=np.int64)
            for name in names:
                product = product * (self.cut(name) if step is None else self.cut(name)[step])
            total = product if total is None else total + product
        assert total is not None
        return total

    def derived(self, name: str, step: int) -> Integers:
        """An activation or gradient of one step, [B, d]."""
        return self.form(self.relation.masked[name].form, step)


def check_run(
    statement: Statement,
    relation: Relation,
    inputs: Integers,
    targets: Integers,
    trace: Trace,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Checks every claim of the relation on the integers of a run; returns how many values of each kind held.

    WitnessUnsatisfied names the first claim that fails, its place and both numbers. Not checked: that the
    secrets open the roots of the statement (`prove` does that).
    """
    progress = progress or (lambda stage: None)
    integers = run_integers(relation, inputs, targets, trace)
    run = _Run(relation, integers)
    held = {"lookups": 0, "products": 0, "selections": 0, "identities": 0, "final weights": 0}
    progress("lookups")
    for lookup in relation.lookups:
        held["lookups"] += len(lookup_rows(relation, lookup, integers, strict=True))
    progress("selection")
    held["selections"] = _check_selections(statement, run)
    held["identities"] = _check_identities(run)
    progress("steps")
    for name, history in relation.histories.items():
        if history.initial is None:
            first = public_state(relation.parameters, statement.initial_root)
            run.weights[name] = (first.biases if history.rows is None else first.weights)[history.layer]
        else:
            run.weights[name] = run.form(history.initial) - history.offset
    for step in range(relation.parameters.steps):
        for einsum in relation.einsums:
            held["products"] += _check_einsum(run, einsum, step)
        for name, history in relation.histories.items():
            run.weights[name] = run.weights[name] - relation.parameters.rate(step) * _gradient(run, history, step)
    progress("final state")
    for name in relation.finals:
        history = relation.histories[name]
        assert history.final is not None
        claimed = run.form(history.final) - history.offset
        held["final weights"] += _same(f"final:{name}", claimed, run.weights[name])
    return held


def _same(claim: str, found: Integers, expected: Integers, step: int | None = None) -> int:
    wrong = np.argwhere(found != expected)
    if len(wrong):
        place = tuple(int(k) for k in wrong[0])
        where = "" if step is None else f"step {step}, "
        raise WitnessUnsatisfied(
            f"{claim}: {where}index {list(place)}: {found[place]} should be {expected[place]} "
            f"({len(wrong)} of {found.size} differ)"
        )
    return int(found.size)


def _check_selections(statement: Statement, run: _Run) -> int:
    schedule = np.asarray(statement.batches(), dtype=np.int64)
    return sum(
        _same(claim.name, run.cut(claim.tensor), run.cut(claim.data)[schedule])
        for claim in run.relation.selections
    )


def _check_identities(run: _Run) -> int:
    held = 0
    for claim in run.relation.identities:
        total: Integers = np.zeros([axis.size for axis in claim.axes], dtype=np.int64)
        for part in claim.parts:
            product = run.form(Form(((part.coefficient, part.tensors),)))
            total = total + (product.sum(axis=-1, keepdims=True) if part.summed else product)
        held += _same(claim.name, total, np.full_like(total, claim.constant))
    return held


def _check_einsum(run: _Run, einsum: Einsum, step: int) -> int:
    weights = run.weights[einsum.weights]
    left = run.derived(einsum.left, step)
    product = matmul_exact(left, weights.T if einsum.transposed else weights)
    if einsum.bias is not None:
        product = product + (run.weights[einsum.bias] << run.relation.parameters.activation_bits)
    found = run.form(einsum.output, step) + einsum.constant
    return _same(einsum.name, found, product, step)


def _gradient(run: _Run, history: History, step: int) -> Integers:
    assert history.gradients is not None
    gradients = run.derived(history.gradients, step)
    if history.activations is None:
        return np.asarray(history.scale * gradients.sum(axis=0))
    return history.scale * matmul_exact(run.derived(history.activations, step).T, gradients)
