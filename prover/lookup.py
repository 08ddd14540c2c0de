"""The prover's side of the lookup argument: the tree of fractions, from its leaves to its root and back."""

from __future__ import annotations

import numpy as np

from verifier.field import Ext
from verifier.lookup import Block, layout
from verifier.relation import Form, Relation
from verifier.tables import second_column

from .backends import memory
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
        rounds, point = point, []
        eq = backend.eq_table(rounds[1:])
        for number in range(len(rounds)):
            yield Say("lookup round", [Ext(v) for v in backend.fraction_round(p, q, eq, batch)])
            (challenge,) = yield Draw("lookup round", 1)
            p, q = backend.fraction_fold(p, q, challenge)
            point.append(challenge)
            if number + 1 < len(rounds):
                eq = _without_first(backend, eq)
        p0, p1, q0, q1 = (Ext.of([int(v) for v in table[:, child, 0]]) for table in (p, q) for child in (0, 1))
        yield Say("lookup end", [p0 + q0 * batch, q1])
        yield Say("lookup end", [p1, q0])
        (fold,) = yield Draw("lookup fold", 1)
        point = [fold, *point]


def _without_first(backend: Backend, eq: Table) -> Table:
    """eq(z_2 .. z_m, .) from eq(z_1 .. z_m, .): the halves add up, since eq(z_1, 0) + eq(z_1, 1) = 1."""
    half = eq.shape[1] // 2
    return backend.add(np.ascontiguousarray(eq[:, :half]), np.ascontiguousarray(eq[:, half:])) if half else eq


def _tree(backend: Backend, relation: Relation, witness: Witness, alpha: Ext, beta: Ext) -> list[Level]:
    """All levels, leaves first: numerators and denominators K[3, 2^k]. Unused leaves are 0/1."""
    shape = layout(relation)
    size = 1 << shape.depth
    p, q = memory.zeros(3, size), memory.empty(3, size)
    used = shape.blocks[-1].offset + (1 << shape.blocks[-1].bits)
    q[0, used:], q[1:, used:] = 1, 0
    for block in shape.blocks:
        span = slice(block.offset, block.offset + (1 << block.bits))
        p[0, span] = _numerators(relation, witness, block)
        q[:, span] = _denominators(backend, witness, block, alpha, beta)
    levels = [(p, q)]
    while levels[-1][0].shape[1] > 1:
        levels.append(backend.fraction_layer(*levels[-1]))
    return levels


def _numerators(relation: Relation, witness: Witness, block: Block) -> Table | int:
    if block.lookup is None:
        return to_field(-witness.tensors[f"count:{block.table.name}"].astype(np.int64))
    return counted(relation, block.lookup).astype(np.uint64) if block.lookup.masked else 1


def _denominators(backend: Backend, witness: Witness, block: Block, alpha: Ext, beta: Ext) -> Table:
    """alpha - (id + beta x + beta^2 y) of a block."""
    size = 1 << block.bits
    shift = block.lookup.shift if block.lookup else 0
    out = memory.empty(3, size)
    out[:] = np.array(alpha - block.table.identity - beta * shift, dtype=np.uint64)[:, None]
    if block.lookup is None:
        backend.accumulate(out, -beta, np.arange(size, dtype=np.uint64))
        backend.accumulate(out, -(beta * beta), np.array(second_column(block.table), dtype=np.uint64))
        return out
    _subtract(backend, witness, out, beta, block.lookup.x)
    if block.lookup.y is not None:
        _subtract(backend, witness, out, beta * beta, block.lookup.y)
    return out


def _subtract(backend: Backend, witness: Witness, out: Table, power: Ext, form: Form) -> None:
    for coefficient, (name,) in form.terms:
        backend.accumulate(out, -power * coefficient, witness.tensors[name])
