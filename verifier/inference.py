"""The relation of an inference: what a committed model gives for committed or public inputs."""

from __future__ import annotations

from .builder import Builder
from .network import chosen, forward, states
from .public import Matrix
from .relation import Public, Relation
from .statement import Statement
from .tensors import linear


def inference_relation(statement: Statement) -> Relation:
    """One forward pass over all samples, in their order, whose last outputs are the statement's.

    Public inputs stand in the place of the committed data set. If only classes are public, the choice is: it is
    one-hot by being public, and no output exceeds the chosen one. On a tie any of the tied classes may be stated.
    """
    build, claimed = Builder(statement), statement.inference
    assert claimed is not None
    build.selected = ("input",) if claimed.inputs is None else ()
    axes, last = (build.t, build.b, build.f[-1]), f"Y{build.p.layers - 1}"
    einsums = forward(build)
    if claimed.inputs is not None:
        given = Matrix(claimed.inputs)
        build.publics.append(Public("inputs", linear((1, "input")), (build.t, build.b, build.f[0]), given))
    if claimed.outputs is not None:
        build.publics.append(Public("outputs", linear((1, last)), axes, Matrix(claimed.outputs)))
    if claimed.classes is not None:
        choice, classes = chosen(build), range(build.p.widths[-1])
        rows = tuple(tuple(int(k == label) for k in classes) for label in claimed.classes)
        build.publics.append(Public("classes", linear((1, choice)), axes, Matrix(rows)))
    return build.relation(einsums, states(build, moving=False), ())
