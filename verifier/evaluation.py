"""The relation of an accuracy: a committed model classifies k of n committed samples correctly."""

from __future__ import annotations

from collections.abc import Mapping

from .builder import Builder
from .network import chosen, forward, states, targets
from .relation import Identity, Part, Relation, Total
from .statement import Statement
from .tensors import Sharing, linear


def accuracy_relation(statement: Statement, shared: Mapping[str, Sharing] | None = None) -> Relation:
    """One forward pass over all samples, in their order, from the initial state, and the number of correct classes.

    Per sample one class is chosen; no output exceeds the chosen one: top = sum_j choice_j Y_j and top - Y_j lies in a
    range for every real class j. The sum of choice_j target_j over all samples is the statement's `correct`. Where
    outputs tie for the top, any of them may be chosen: a tie counts as correct if one of the tied classes is the label.
    `shared` names weights that a shorter list is mapped to, as those of a convolution; statements of the task
    "accuracy" have none.
    """
    build = Builder(statement)
    axes = (build.t, build.b, build.f[-1])
    einsums = forward(build)
    target = targets(build)
    choice = chosen(build)
    build.range(choice, linear((1, choice)), 1, 0)
    build.identities.append(Identity("choice", axes, (Part(1, (choice,), True),), 1))
    build.totals.append(Total("correct", (choice, target), axes, statement.correct or 0))
    return build.relation(einsums, states(build, moving=False, shared=shared), ())
