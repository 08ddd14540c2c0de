"""Floors: the least work the protocol needs, counted from the relation, times unit costs measured in the same run.

A count is of multiplications, butterflies or bytes that no prover of this protocol can do without; what a prover moves
or does besides is what the ratio to the floor shows.
"""

from __future__ import annotations

from math import log2

from prover.proving import Job
from verifier.commitment import group_rows
from verifier.lookup import layout
from verifier.merge import committed_bits
from verifier.tensors import GROUPS

LEAF_BYTES = 64  # a salt and a prefix beside each column, a node above each leaf


def counts(job: Job) -> dict[str, float]:
    """Units by name: butterflies, hashed bytes, products in K ("k_mul") and of F by K ("f_mul" counts three)."""
    relation, code = job.relation, job.shape.code
    rows = {group: sum(count for _, count in group_rows(relation, group)) for group in GROUPS}
    # Commitments kept from before the training are not made again; the last state's belongs to the proof.
    fresh = [group for group in GROUPS if group == "final" or group not in (job.committed or {})]
    every = sum(rows[group] for group in fresh) + 3
    blowup = code.positions // code.row
    shape = layout(relation)
    leaves = sum(1 << block.bits for block in shape.blocks)
    steps = relation.parameters.steps * relation.parameters.batch
    neurons = sum(relation.parameters.widths)
    committed = sum(1 << committed_bits(relation, name) for name in relation.tensors)
    return {
        "butterflies": every * (1 + blowup) * code.row / 2 * log2(code.row),
        "hash_bytes": code.positions * (8 * every + LEAF_BYTES * len(fresh)),
        # The tree: three products a node, nodes from the third layer on. Leaves, after a first round and a first fold
        # of small numbers (the latter a third of a product an entry): four products a pair of pairs, one an entry
        # folded. Layers above: seven products a pair (two values of h, and lambda q), four for its folds. In the first
        # round of the lowest of them, made of small numbers, four instead of seven.
        "lookup_k_mul": leaves * (3 / 2 + 1 / 6 + 1 + 1 / 2 + 7 / 2 + 2 - 3 / 8),
        # A and G of every layer folded along b once, along the features three times; two sums of gradients.
        "einsum_f_mul": 3 * steps * neurons * 2 * 6,
        # Combining tensors, their values at the end point; products and folds of the largest.
        "merge_f_mul": 3 * 2 * committed,
        "merge_k_mul": 4 * 2 * max(1 << committed_bits(relation, name) for name in relation.tensors),
    }


def seconds(n: dict[str, float], unit: dict[str, float]) -> dict[str, float]:
    """The floor of each stage of `prove`, in seconds, from its counts."""
    fmul, kmul = unit["inner_kk"] / 9, unit["inner_kk"]
    return {
        "commit": n["butterflies"] * unit["butterfly"] + n["hash_bytes"] * unit["sha256_byte"],
        "lookup": n["lookup_k_mul"] * kmul,
        "einsum and history": n["einsum_f_mul"] * fmul,
        "final merge and opening": n["merge_f_mul"] * fmul + n["merge_k_mul"] * kmul,
    }
