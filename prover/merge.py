"""The prover's side of the final merge: claims grouped into few products of tables, then one sumcheck."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verifier.claims import At, Below, Claim, Factor, Rows, Weight
from verifier.field import ONE, ZERO, Ext
from verifier.merge import committed_bits, degrees
from verifier.relation import Relation

from . import sumcheck
from .backends.interface import Backend, Table
from .dialogue import Draw, Script
from .sumcheck import ProductTerm
from .witness import Witness

Signature = tuple[tuple[str, Ext], ...]


def prove(backend: Backend, relation: Relation, witness: Witness, claims: Sequence[Claim]) -> Script[list[Ext]]:
    """Twin of `verifier.merge.check` up to its end point; the tensors' values there are the commitment's to compute.

    `claims` is filled by the answering channel when the verifier hands its claims over.
    """
    batch = yield Draw("merge batch", None)
    rounds = degrees(relation, claims)
    terms = [*_linear(backend, relation, witness, batch, claims), *_products(backend, relation, witness, batch, claims)]
    placed = [
        ProductTerm(backend, tables, (0, len(rounds) - (_length(tables[0]) - 1).bit_length())) for tables in terms
    ]
    return (yield from sumcheck.prove("merge", placed, rounds))


def _length(table: Table) -> int:
    return int(table.shape[-1])


def product_names(claims: Sequence[Claim]) -> list[tuple[str, ...]]:
    """Products of two tensors in the order in which the verifier receives their values."""
    return list(dict.fromkeys(term.tensors for claim in claims for term in claim.terms if len(term.tensors) == 2))


def _linear(
    backend: Backend, relation: Relation, witness: Witness, batch: Sequence[Ext], claims: Sequence[Claim]
) -> list[list[Table]]:
    """[weight table, combined tensor] pairs: tensors that share a weight are added up, and so are the weights of claims
    on the same combination of tensors (up to a factor)."""
    shares: dict[Weight, dict[str, Ext]] = {}
    for coefficient, claim in zip(batch, claims, strict=True):
        for term in claim.terms:
            if len(term.tensors) == 1:
                own = shares.setdefault(term.weight, {})
                own[term.tensors[0]] = own.get(term.tensors[0], ZERO) + coefficient * term.coefficient
    groups: dict[Signature, list[tuple[Ext, Weight]]] = {}
    for weight, tensors in shares.items():
        for size in {committed_bits(relation, name) for name in tensors}:
            chosen = {name: c for name, c in tensors.items() if committed_bits(relation, name) == size}
            lead = next(iter(chosen.values()))
            inverse = lead.inverse() if lead != ZERO else ONE
            signature = tuple((name, c * inverse) for name, c in chosen.items())
            groups.setdefault(signature, []).append((lead if lead != ZERO else ONE, weight))
    out = []
    for signature, weighted in groups.items():
        size = 1 << committed_bits(relation, signature[0][0])
        total = backend.zeros(3, size)
        for scale, weight in weighted:
            add_weight(backend, total, scale, weight)
        out.append([total, _combined(backend, witness, signature, size)])
    return out


def _combined(backend: Backend, witness: Witness, signature: Signature, size: int) -> Table:
    if len(signature) == 1 and signature[0][1] == ONE:
        return padded(backend, witness.tensors[signature[0][0]], size)
    out = backend.zeros(3, size)
    for name, coefficient in signature:
        backend.accumulate(out, coefficient, padded(backend, witness.tensors[name], size))
    return out


def padded(backend: Backend, table: Table, size: int) -> Table:
    """A flat F table, zero-padded to `size` entries."""
    return table if table.size == size else backend.join([table, backend.zeros(size - table.size)])


def _products(
    backend: Backend, relation: Relation, witness: Witness, batch: Sequence[Ext], claims: Sequence[Claim]
) -> list[list[Table]]:
    """[weight table, tensor, tensor] for every product of two tensors."""
    weights: dict[tuple[str, ...], Table] = {}
    sizes: dict[tuple[str, ...], int] = {}
    for coefficient, claim in zip(batch, claims, strict=True):
        for term in claim.terms:
            if len(term.tensors) != 2:
                continue
            sizes[term.tensors] = size = 1 << committed_bits(relation, term.tensors[0])
            table = weights[term.tensors] if term.tensors in weights else backend.zeros(3, size)
            weights[term.tensors] = table
            add_weight(backend, table, coefficient * term.coefficient, term.weight)
    return [
        [table, *(padded(backend, witness.tensors[name], sizes[names]) for name in names)]
        for names, table in weights.items()
    ]


def add_weight(backend: Backend, out: Table, scale: Ext, weight: Weight) -> None:
    """out += scale * weight, at the low-order end of a possibly larger table."""
    tables = [_factor(backend, factor) for factor in weight.factors]
    low = tables[-1]
    high = np.array([[scale[0]], [scale[1]], [scale[2]]], dtype=np.uint64)
    for table in tables[:-1]:
        high = outer(backend, high, table)
    if out.shape[1] == 1 << weight.bits:
        backend.outer_accumulate(out, high, low)
        return
    part = backend.zeros(3, 1 << weight.bits)
    backend.outer_accumulate(part, high, low)
    out[:, : part.shape[1]] = backend.add(out[:, : part.shape[1]], part)


def outer(backend: Backend, a: Table, b: Table) -> Table:
    """K[3, m n] of a_i b_j."""
    out = backend.zeros(3, a.shape[1] * b.shape[1])
    backend.outer_accumulate(out, a, b)
    return out


def _factor(backend: Backend, factor: Factor) -> Table:
    """A factor of a weight as a table."""
    if isinstance(factor, At):
        table = backend.eq_table(factor.point)
        if factor.size is not None:
            table[:, factor.size :] = 0
        return table
    table = np.zeros((3, 1 << factor.bits), dtype=np.uint64)
    if isinstance(factor, Below):
        table[0, : factor.size] = 1
    else:
        assert isinstance(factor, Rows)
        for row, value in factor.entries:
            table[:, row] = value
    return table
