"""Tensor-Ligero: tensors as rows of a Reed-Solomon code, columns in salted Merkle trees, one combined row opened.

A row of N = 2^row_bits entries becomes f = interpolant on H (order N) + (X^N - 1) r with r random of degree < t'.
Codeword position c N + i is f(7 zeta^c w^i), zeta^blowup = w: off H, so any t' positions are uniform and independent of
the entries. All groups share one code domain and one set of positions: together they are one interleaved codeword, and
one combined row, under one mask row, opens them all and is the proximity test.
Source of the tensor combination: Diamond and Gruen, "Proximity gaps in interleaved codes" (ePrint 2024/1351).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from .arithmetic import evaluate_on_subgroup, evaluate_polynomial, pack, unpack
from .channel import Channel, Hidden, Opened
from .errors import ParametersUnsafe
from .field import GENERATOR, ZERO, Ext, P, equality_table, root_of_unity
from .merge import Merged, committed_bits
from .relation import Relation
from .statement import Parameters
from .tensors import GROUPS

MARGIN_BITS = 2  # the query term alone aims this far below the security asked for, to leave room for the others


@dataclass(frozen=True)
class Code:
    """The code of a proof: row length, positions, queries, and the random coefficients t' of each group's rows."""

    row_bits: int
    blowup_bits: int
    queries: int
    blinds: dict[str, int]

    @property
    def row(self) -> int:
        """N, entries a row."""
        return 1 << self.row_bits

    @property
    def positions(self) -> int:
        """n, positions of the codeword and leaves of a tree."""
        return 1 << (self.row_bits + self.blowup_bits)

    @property
    def combined(self) -> int:
        """Coefficients of the combined row and of its mask: N plus the largest t'."""
        return self.row + max(self.blinds.values())


def code_of(p: Parameters) -> Code:
    """The smallest number of queries t with ((1 + rate) / 2)^t <= 2^-(security + margin), where t' itself grows with t.

    Fresh rows are opened once (t' = t); standing commitments as often as their budget says. Unique decoding only.
    Errors: ParametersUnsafe when no t fits.
    """
    budgets = {"witness": 1, "initial": p.state_openings, "final": p.state_openings, "data": p.data_openings}
    row, positions = 1 << p.row_bits, 1 << (p.row_bits + p.blowup_bits)
    target = 1 << (p.security_bits + MARGIN_BITS)
    for queries in range(1, row + 1):
        blinds = {group: queries * budgets[group] for group in GROUPS}
        code = Code(p.row_bits, p.blowup_bits, queries, blinds)
        if max(blinds.values()) > row:
            break
        if (positions + code.combined) ** queries * target <= (2 * positions) ** queries:
            return code
    raise ParametersUnsafe(
        f"rows of 2^{p.row_bits} entries at blow-up 2^{p.blowup_bits} cannot give {p.security_bits} "
        f"bits with {max(budgets.values())} openings: use longer rows or fewer openings"
    )


def group_rows(relation: Relation, group: str) -> list[tuple[str, int]]:
    """The tensors of a group in row order, with the number of rows of each."""
    kappa = relation.parameters.row_bits
    return [(tensor.name, 1 << (committed_bits(relation, tensor.name) - kappa)) for tensor in relation.group(group)]


@dataclass(frozen=True)
class Combination:
    """The combined row's coefficients and what it is made of: per group one weight a row, and rho."""

    weights: dict[str, list[Ext]]
    rho: Ext
    row: list[Ext]


def check_value(channel: Channel, relation: Relation, merged: Merged, code: Code) -> Combination:
    """Receives the combined row y = rho * sum of weight * row + mask and ties it to the claimed values.

    Equation: sum_i eq(x_col, i) y(w^i) = rho * sum of coefficient * value + s, with s, the mask's share, sent before
    rho and the coefficients are drawn.
    """
    mask = channel.scalars("mask value", 1)[0]
    coefficients = channel.challenges("tensor coefficients", len(relation.tensors), code.positions + 1)
    rho = channel.challenge("rho", code.positions + 1)
    claimed = Hidden(ZERO)
    scale: dict[str, Ext] = {}
    for name, coefficient in zip(relation.tensors, coefficients, strict=True):
        claimed = claimed + merged.values[name] * coefficient
        scale[name] = coefficient
    row = channel.clear("combined row", code.combined)
    at_column = channel.arithmetic.on_subgroup(row, merged.point[len(merged.point) - code.row_bits :])
    channel.zero(claimed * rho + mask - at_column, "the opening")
    weights = {group: _row_weights(relation, group, merged.point, scale) for group in GROUPS}
    return Combination(weights, rho, row)


def _row_weights(relation: Relation, group: str, point: Sequence[Ext], scale: dict[str, Ext]) -> list[Ext]:
    weights: list[Ext] = []
    tables: dict[int, list[Ext]] = {}
    for name, rows in group_rows(relation, group):
        bits = committed_bits(relation, name)
        if bits not in tables:
            tables[bits] = equality_table(point[len(point) - bits : len(point) - relation.parameters.row_bits])
        assert len(tables[bits]) == rows
        weights += [value * scale[name] for value in tables[bits]]
    return weights


def leaf_digest(prefix: bytes, salt: bytes, column: Sequence[int]) -> bytes:
    """SHA-256(prefix || salt || column), words little-endian; a prefix starts with a zero byte."""
    return hashlib.sha256(prefix + salt + struct.pack(f"<{len(column)}Q", *column)).digest()


PADS_PREFIX = b"\x00pads"


def leaf_prefix(relation: Relation, group: str) -> bytes:
    """What stands before the salt in every leaf of a group's tree: its kind and a digest of what its rows mean.

    So a root binds the code, the number of samples and all widths; that of a state also binds the model: what makes
    integers of limbs, a scale of integers, and a network of weights. A statement with other parameters that names
    the root of a trained model therefore has no proof. The first and the last state of a segment are of one kind: the
    last one of a segment is the first one of the next.
    """
    p, kind = relation.parameters, "state" if group in ("initial", "final") else group
    shapes = [[axis.size for axis in tensor.axes] for tensor in relation.group(group)]
    meaning: tuple[object, ...] = (p.row_bits, p.blowup_bits)
    if kind == "state":
        limbs = (p.table_bits, p.weight_width, p.velocity_width, p.momentum > 0)
        scales = (p.activation_bits, p.gradient_bits, p.rate_bits, p.state_bits)
        meaning += (*limbs, *scales, p.activation, p.bias)
    return b"\x00" + kind.encode("ascii") + hashlib.sha256(repr((kind, shapes, meaning)).encode("ascii")).digest()


def node_digest(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def sibling_count(positions: Sequence[int], depth: int) -> int:
    """Nodes that the joint paths of sorted distinct leaves need besides the leaves themselves."""
    count, level = 0, list(positions)
    for _ in range(depth):
        parents = sorted({place >> 1 for place in level})
        count += 2 * len(parents) - len(level)
        level = parents
    return count


def root_from_leaves(positions: Sequence[int], leaves: Sequence[bytes], nodes: Sequence[bytes], depth: int) -> bytes:
    """The root that opened leaves and sibling nodes (level by level, left to right) hash to."""
    level, supply = dict(zip(positions, leaves, strict=True)), iter(nodes)
    for _ in range(depth):
        above: dict[int, bytes] = {}
        for place in sorted(level):
            if place >> 1 in above:
                continue
            sibling = level[place ^ 1] if place ^ 1 in level else next(supply)
            left, right = (sibling, level[place]) if place & 1 else (level[place], sibling)
            above[place >> 1] = node_digest(left, right)
        level = above
    return level[0]


def open_tree(
    channel: Channel, label: str, prefix: bytes, root: bytes, rows: int, positions: Sequence[int], depth: int
) -> Opened:
    """Reads columns at the positions and checks their paths to the root."""
    opened = channel.opened(label, positions, rows, sibling_count(positions, depth))
    if opened.columns:
        leaves = [leaf_digest(prefix, salt, column) for salt, column in zip(opened.salts, opened.columns, strict=True)]
        channel.check(
            root_from_leaves(positions, leaves, opened.nodes, depth) == root, f"the Merkle paths of {label!r}"
        )
    return opened


def check_columns(
    channel: Channel, relation: Relation, code: Code, combination: Combination, roots: dict[str, bytes]
) -> None:
    """Opens every tree at the same random positions; each combined column must lie on the combined row."""
    depth = code.row_bits + code.blowup_bits
    positions = channel.positions("positions", code.queries, code.positions)
    sums = [ZERO] * len(positions)
    masks: list[list[int]] = []
    for group in GROUPS:
        weights = combination.weights[group]
        extra = 3 if group == "witness" else 0  # the mask row over K is three rows over F, after the tensors
        if not weights and not extra:
            continue  # public data and a public first state have no tree
        opened = open_tree(
            channel, group, leaf_prefix(relation, group), roots[group], len(weights) + extra, positions, depth
        )
        if opened.columns:
            shares = channel.arithmetic.columns(weights, [column[: len(weights)] for column in opened.columns])
            sums = [value + share for value, share in zip(sums, shares, strict=True)]
        if extra:
            masks = [column[len(weights) :] for column in opened.columns]
    if not masks:
        return
    expected = channel.arithmetic.at_points(
        combination.row, [codeword_point(q, code.row_bits, code.blowup_bits) for q in positions]
    )
    for place, value, mask, wanted in zip(positions, sums, masks, expected, strict=True):
        found = value * combination.rho + Ext.of(mask)
        channel.check(found == wanted, f"the combined row at position {place}")


def codeword_point(position: int, row_bits: int, blowup_bits: int) -> int:
    """The field element at which codeword position c N + i is evaluated: 7 zeta^c w^i."""
    coset, index = position >> row_bits, position & ((1 << row_bits) - 1)
    zeta, omega = root_of_unity(row_bits + blowup_bits), root_of_unity(row_bits)
    return GENERATOR * pow(zeta, coset, P) * pow(omega, index, P) % P


__all__ = [
    "Code",
    "Combination",
    "check_columns",
    "check_value",
    "code_of",
    "codeword_point",
    "evaluate_on_subgroup",
    "evaluate_polynomial",
    "group_rows",
    "leaf_digest",
    "leaf_prefix",
    "node_digest",
    "open_tree",
    "pack",
    "root_from_leaves",
    "sibling_count",
    "unpack",
]
