"""Every claim of the relation, checked on the integers themselves: what `zkgrad check` runs, and no proof.

Each check reads the relation's own description of a claim, so that a claim without a check cannot go
unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from verifier.optimizer import coefficients
from verifier.relation import Einsum, Relation
from verifier.statement import Statement
from verifier.tensors import Form, History, State

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

    def state(self, state: State) -> Integers:
        """A committed state."""
        return self.form(state.form) - state.offset

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
    held["identities"] = _check_identities(run) + _check_norms(run)
    progress("steps")
    paths = {name: _Path(run, statement, history) for name, history in relation.histories.items()}
    for step in range(relation.parameters.steps):
        run.weights = {name: path.state(step) for name, path in paths.items()}
        for einsum in relation.einsums:
            held["products"] += _check_einsum(run, einsum, step)
        for name, history in relation.histories.items():
            paths[name].gradients.append(_gradient(run, history, step))
    progress("final state")
    for final in relation.finals:
        path = paths[final.history]
        exact = path.last_velocity() if final.velocity else path.state(relation.parameters.steps)
        held["final weights"] += _same(final.name, run.state(final.state), exact)
    return held


class _Path:
    """A weight tensor before every step, from its first state and the gradients until then."""

    def __init__(self, run: _Run, statement: Statement, history: History) -> None:
        self.p, self.gradients = run.relation.parameters, list[Integers]()
        if history.initial is None:
            public = public_state(self.p, statement.initial_root)
            self.first = (public.biases if history.rows is None else public.weights)[history.layer]
        else:
            self.first = run.state(history.initial)
        self.velocity = 0 if history.velocity is None else run.state(history.velocity)
        self._plain = self.first

    def state(self, t: int) -> Integers:
        """W_t, when the gradients of t steps are known; to be asked for in the order of t."""
        if self.p.plain:
            if t:
                self._plain = self._plain - self.p.rate(t - 1) * self.gradients[t - 1]
            return self._plain
        found = coefficients(self.p)
        value = found.states[t] * self.first - found.velocities[t] * self.velocity
        for tau, gradient in enumerate(self.gradients[:t]):
            value = value - found.gradients[tau][t - tau - 1] * gradient
        return np.asarray(value)

    def last_velocity(self) -> Integers:
        """2^q V_T."""
        found = coefficients(self.p)
        value = found.last[0] * self.first + found.last[1] * self.velocity
        for share, gradient in zip(found.last_gradients, self.gradients, strict=True):
            value = value + share * gradient
        return np.asarray(value)


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


def _check_norms(run: _Run) -> int:
    norms = run.relation.norms
    return sum(_same(n.name, run.form(n.norm), (run.cut(n.tensor) ** 2).sum(axis=2 if n.rows else 1)) for n in norms)


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
