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
from .sumcheck import LinearTerm, ProductTerm
from .witness import Witness

Signature = tuple[tuple[str, Ext], ...]


def prove(backend: Backend, relation: Relation, witness: Witness, claims: Sequence[Claim]) -> Script[list[Ext]]:
    """Twin of `verifier.merge.check` up to its end point; the tensors' values there are the commitment's to compute.

    `claims` is filled by the answering channel when the verifier hands its claims over.
    """
    batch = yield Draw("merge batch", None)
    rounds = degrees(relation, claims)
    shares, split = _shares(relation, batch, claims), []
    for (weight, size), tensors in list(shares.items()):
        tables = _split(backend, relation, weight, size)
        if tables is not None:
            del shares[weight, size]
            terms = [(coefficient, witness.tensors[name]) for name, coefficient in tensors.items()]
            split.append(LinearTerm(backend, terms, *tables, absent=len(rounds) - size))
    dense = [*_linear(backend, witness, shares), *_products(backend, relation, witness, batch, claims)]
    placed = [
        ProductTerm(backend, tables, (0, len(rounds) - (tables[0].shape[-1] - 1).bit_length())) for tables in dense
    ]
    return (yield from sumcheck.prove(backend, "merge", [*split, *placed], rounds))


Shares = dict[tuple[Weight, int], dict[str, Ext]]


def _shares(relation: Relation, batch: Sequence[Ext], claims: Sequence[Claim]) -> Shares:
    """What multiplies each weight, among tensors of one size (in variables): tensors with their coefficients."""
    shares: Shares = {}
    for coefficient, claim in zip(batch, claims, strict=True):
        for term in claim.terms:
            if len(term.tensors) == 1:
                (name,) = term.tensors
                own = shares.setdefault((term.weight, committed_bits(relation, name)), {})
                own[name] = own.get(name, ZERO) + coefficient * term.coefficient
    return shares


def _split(backend: Backend, relation: Relation, weight: Weight, size: int) -> tuple[Table, Table] | None:
    """A weight as tables over its high-order and its low-order variables, about a row of the latter; None for a weight
    that is no such product, or too short to be worth it."""
    if weight.bits != size or size <= relation.parameters.row_bits:
        return None
    low: list[Factor] = []
    high = list(weight.factors)
    missing = relation.parameters.row_bits
    while high and high[-1].bits <= missing:
        missing -= high[-1].bits
        low.insert(0, high.pop())
    if high and isinstance(high[-1], At) and high[-1].size is None and missing:
        last = high.pop()
        assert isinstance(last, At)
        high.append(At(last.point[: last.bits - missing]))
        low.insert(0, At(last.point[last.bits - missing :]))
    if not high or not low:
        return None
    return _table(backend, high), _table(backend, low)


def _table(backend: Backend, factors: Sequence[Factor]) -> Table:
    """The outer product of factors."""
    out = _factor(backend, factors[0])
    for factor in factors[1:]:
        out = outer(backend, out, _factor(backend, factor))
    return out


def product_names(claims: Sequence[Claim]) -> list[tuple[str, ...]]:
    """Products of two tensors in the order in which the verifier receives their values."""
    return list(dict.fromkeys(term.tensors for claim in claims for term in claim.terms if len(term.tensors) == 2))


def _linear(backend: Backend, witness: Witness, shares: Shares) -> list[list[Table]]:
    """[weight table, combined tensor] pairs: tensors that share a weight are added up, and so are the weights of claims
    on the same combination of tensors (up to a factor)."""
    groups: dict[tuple[Signature, int], list[tuple[Ext, Weight]]] = {}
    for (weight, bits), tensors in shares.items():
        lead = next(iter(tensors.values()))
        inverse = lead.inverse() if lead != ZERO else ONE
        signature = tuple((name, c * inverse) for name, c in tensors.items())
        groups.setdefault((signature, bits), []).append((lead if lead != ZERO else ONE, weight))
    out = []
    for (signature, bits), weighted in groups.items():
        total = backend.zeros(3, 1 << bits)
        for scale, weight in weighted:
            add_weight(backend, total, scale, weight)
        out.append([total, _combined(backend, witness, signature, 1 << bits)])
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
