"""The prover's side of the lookup argument: the tree of fractions, from its leaves to its root and back."""

from __future__ import annotations

import numpy as np

from verifier.field import Ext
from verifier.lookup import Block, layout
from verifier.relation import Form, Relation
from verifier.tables import second_column

from .backends.interface import Backend, Table
from .dialogue import Draw, Say, Script
from .witness import Witness, counted, to_field

Level = tuple[Table, Table]


def prove(backend: Backend, relation: Relation, witness: Witness) -> Script[None]:
    """Twin of `verifier.lookup.check`."""
    alpha, beta = yield Draw("lookup row", 2)
    levels = _tree(backend, relation, witness, alpha, beta)
    root = levels.pop()
    yield Say("lookup total", [Ext.of([int(v) for v in root[1][:, 0]])])
    point: list[Ext] = []
    while levels:
        (batch,) = yield Draw("lookup batch", 1)
        p, q = (table.reshape(3, 2, -1) for table in levels.pop())
        rounds = list(point)
        point = []
        for number in range(len(rounds)):
            eq = backend.eq_table(rounds[number + 1 :])
            yield Say("lookup round", [Ext(v) for v in backend.fraction_round(p, q, eq, batch)])
            (challenge,) = yield Draw("lookup round", 1)
            p, q = backend.fraction_fold(p, q, challenge)
            point.append(challenge)
        p0, p1, q0, q1 = (Ext.of([int(v) for v in table[:, child, 0]]) for table in (p, q) for child in (0, 1))
        yield Say("lookup end", [p0 + q0 * batch, q1])
        yield Say("lookup end", [p1, q0])
        (fold,) = yield Draw("lookup fold", 1)
        point = [fold, *point]


def _tree(backend: Backend, relation: Relation, witness: Witness, alpha: Ext, beta: Ext) -> list[Level]:
    """All levels, leaves first: numerators and denominators K[3, 2^k]."""
    shape = layout(relation)
    p = np.zeros((3, 1 << shape.depth), dtype=np.uint64)
    q = np.zeros((3, 1 << shape.depth), dtype=np.uint64)
    q[0] = 1
    for block in shape.blocks:
        span = slice(block.offset, block.offset + (1 << block.bits))
        p[:, span], q[:, span] = _block(backend, relation, witness, block, alpha, beta)
    levels = [(p, q)]
    while levels[-1][0].shape[1] > 1:
        levels.append(backend.fraction_layer(*levels[-1]))
    return levels


def _block(backend: Backend, relation: Relation, witness: Witness, block: Block, alpha: Ext, beta: Ext) -> Level:
    size = 1 << block.bits
    numerator = np.zeros((3, size), dtype=np.uint64)
    shift = block.lookup.shift if block.lookup else 0
    denominator = np.empty((3, size), dtype=np.uint64)
    denominator[:] = np.array(alpha - block.table.identity - beta * shift, dtype=np.uint64)[:, None]
    if block.lookup is None:
        x = np.arange(size, dtype=np.uint64)
        y = np.array(second_column(block.table), dtype=np.uint64)
        numerator[0] = to_field(-witness.tensors[f"count:{block.table.name}"].astype(np.int64))
        backend.accumulate(denominator, -beta, x)
        backend.accumulate(denominator, -(beta * beta), y)
        return numerator, denominator
    numerator[0] = counted(relation, block.lookup)
    _subtract(backend, witness, denominator, beta, block.lookup.x)
    if block.lookup.y is not None:
        _subtract(backend, witness, denominator, beta * beta, block.lookup.y)
    return numerator, denominator


def _subtract(backend: Backend, witness: Witness, out: Table, power: Ext, form: Form) -> None:
    for coefficient, (name,) in form.terms:
        backend.accumulate(out, -power * coefficient, witness.tensors[name])
