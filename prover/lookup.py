"""The prover's side of the lookup argument: the tree of fractions, from its leaves to its root and back."""

from __future__ import annotations

from verifier.field import Ext
from verifier.relation import Relation

from .backends.interface import Backend
from .dialogue import Draw, Say, Script
from .fractions import Stored, element
from .leaves import Leaves, Pairs, leaf_parts
from .witness import Witness

Layer = Leaves | Pairs | Stored


def prove(backend: Backend, relation: Relation, witness: Witness) -> Script[None]:
    """Twin of `verifier.lookup.check`."""
    if not relation.lookups:
        return
    alpha, beta = yield Draw("lookup row", 2)
    levels, root = _tree(backend, Leaves(backend, *leaf_parts(backend, relation, witness, alpha, beta), beta))
    yield Say("lookup total", [root])
    point: list[Ext] = []
    while levels:
        (batch,) = yield Draw("lookup batch", 1)
        layer, rounds, point = levels.pop(), point, []
        while rounds:
            yield Say("lookup round", layer.round(rounds[:-1], batch))
            (challenge,) = yield Draw("lookup round", 1)
            rounds, layer, point = rounds[:-1], layer.fold(challenge), [challenge, *point]
        assert isinstance(layer, Stored)
        p0, p1, q0, q1 = layer.ends()
        yield Say("lookup end", [p0 + q0 * batch, q1])
        yield Say("lookup end", [p1, q0])
        (fold,) = yield Draw("lookup fold", 1)
        point = [*point, fold]


def _tree(backend: Backend, leaves: Leaves) -> tuple[list[Layer], Ext]:
    """The layers, the leaves first, without the root, whose denominator is returned."""
    levels: list[Layer] = []
    if any(part.column is not None for part in leaves.parts):
        pairs = Pairs(backend, leaves)
        levels += [leaves, pairs]
        layer = pairs.parent()
    else:
        layer = leaves.stored()
    while layer.bits:
        levels.append(layer)
        layer = layer.parent()
    return levels, element(backend, layer.q, 0)
