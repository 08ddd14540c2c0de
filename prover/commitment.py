"""The prover's side of the commitment: encode, hash, open, and the one combined row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from verifier.channel import Opened
from verifier.commitment import Code, group_rows
from verifier.field import Ext
from verifier.merge import committed_bits
from verifier.relation import Relation
from verifier.tensors import GROUPS

from .backends.interface import Backend, Digests, Table
from .dialogue import Draw, Say, Script
from .randomness import Randomness

MASK_ROWS = 3  # a row over K is three rows over F


@dataclass(frozen=True)
class Blinding:
    """The secret randomness of one commitment: t' coefficients a row, F[R, t'], and a 32-byte salt a leaf."""

    blinds: Table
    salts: Digests


@dataclass
class Committed:
    """One group's rows F[R, N] with blinding, its codeword F[n, words] and the levels of its tree.

    Rows and codeword are the backend's.
    """

    backend: Backend
    rows: Table
    blinding: Blinding
    codeword: Table
    levels: list[Digests]

    @property
    def root(self) -> bytes:
        """The Merkle root."""
        return self.levels[-1].tobytes()


def stack_rows(
    backend: Backend, relation: Relation, group: str, tensors: Mapping[str, Table], spare: int = 0
) -> Table:
    """The rows of a group, F[R + spare, N], tensors padded to whole rows; spare rows are not initialised."""
    counts, size = group_rows(relation, group), 1 << relation.parameters.row_bits
    out = backend.empty(sum(count for _, count in counts) + spare, size)
    for name, rows in _by_tensor(relation, group, out):
        own = rows.reshape(-1)
        own[: tensors[name].size], own[tensors[name].size :] = tensors[name], 0
    return out


def draw_blinding(rows: int, blinds: int, positions: int, randomness: Randomness) -> Blinding:
    """Fresh randomness for a commitment of `rows` rows."""
    return Blinding(randomness.elements(rows, blinds), randomness.salts(positions))


def with_mask(code: Code, rows: Table, randomness: Randomness) -> Blinding:
    """Fills the MASK_ROWS spare rows after the witness's with the mask row over K; returns the blinding of all.

    The mask is uniform of degree below N + the largest t': N random values on H and as many random coefficients as the
    group with the largest budget has. The tensors' rows have zeros beyond their own t'.
    """
    own = len(rows) - MASK_ROWS
    blinds = np.zeros((len(rows), code.combined - code.row), dtype=np.uint64)
    blinds[:own, : code.blinds["witness"]] = randomness.elements(own, code.blinds["witness"])
    blinds[own:] = randomness.elements(MASK_ROWS, blinds.shape[1])
    rows[own:] = randomness.elements(MASK_ROWS, code.row)
    return Blinding(blinds, randomness.salts(code.positions))


def commit_rows(backend: Backend, code: Code, prefix: bytes, rows: Table, blinding: Blinding) -> Committed:
    """Encodes rows and builds the tree over their columns."""
    codeword = backend.encode_rows(rows, blinding.blinds, 1 << code.blowup_bits)
    leaves = backend.hash_columns(codeword, prefix, blinding.salts)
    return Committed(backend, rows, blinding, codeword, backend.merkle_levels(leaves))


def adopt_rows(relation: Relation, group: str, tensors: dict[str, Table], rows: Table) -> None:
    """Lets the tensors of a group be views of its rows, so that they are in memory once."""
    for name, own in _by_tensor(relation, group, rows):
        tensors[name] = own.reshape(-1)[: 1 << relation.tensors[name].bits]


def open_columns(committed: Committed, positions: Sequence[int]) -> Opened:
    """Columns, salts and the sibling nodes of their joint paths, level by level."""
    columns: list[list[int]] = committed.backend.columns(committed.codeword, positions).tolist()
    salts = [committed.blinding.salts[q].tobytes() for q in positions]
    nodes: list[bytes] = []
    level = list(positions)
    for digests in committed.levels[:-1]:
        present = set(level)
        nodes += [digests[q ^ 1].tobytes() for q in level if q ^ 1 not in present]
        level = sorted({q >> 1 for q in level})
    return Opened(salts, columns, nodes)


def prove_value(
    backend: Backend,
    relation: Relation,
    code: Code,
    groups: Mapping[str, Committed],
    point: Sequence[Ext],
    products: Sequence[tuple[str, ...]],
) -> Script[None]:
    """Twin of the end of `verifier.merge.check` and of `verifier.commitment.check_value`."""
    column = point[len(point) - code.row_bits :]
    folded = _fold_rows(backend, relation, groups, point)
    eq = backend.eq_table(column)
    values = dict(zip(folded, backend.each(lambda row: Ext(backend.inner(row, eq)), [*folded.values()]), strict=True))
    known: set[str] = set()
    for names in products:
        yield Say("merge end", [values[name] for name in names])
        known |= set(names)
    for name in relation.tensors:
        if name not in known:
            yield Say("merge end", [values[name]])
    yield Say("mask value", [Ext(backend.inner(groups["witness"].rows[-MASK_ROWS:], eq))])
    coefficients = yield Draw("tensor coefficients", len(relation.tensors))
    (rho,) = yield Draw("rho", 1)
    scale = {name: c * rho for name, c in zip(relation.tensors, coefficients, strict=True)}
    row = _combined_row(backend, relation, code, groups, point, folded, scale)
    yield Say("combined row", [Ext(words) for words in zip(*backend.host(row).tolist(), strict=True)])


def _row_table(backend: Backend, relation: Relation, name: str, point: Sequence[Ext]) -> Table:
    bits = committed_bits(relation, name)
    return backend.eq_table(point[len(point) - bits : len(point) - relation.parameters.row_bits])


def _fold_rows(
    backend: Backend, relation: Relation, groups: Mapping[str, Committed], point: Sequence[Ext]
) -> dict[str, Table]:
    """Each tensor with its rows combined by eq at the row coordinates of the point: K[3, N]."""

    def fold(entry: tuple[str, Table]) -> tuple[str, Table]:
        name, rows = entry
        return name, backend.combine_rows(_row_table(backend, relation, name, point), rows)

    tensors = [entry for group in _present(groups) for entry in _by_tensor(relation, group, groups[group].rows)]
    return dict(backend.each(fold, tensors))


def _present(groups: Mapping[str, Committed]) -> list[str]:
    """The groups of the relation in their order; a public first state is not committed."""
    return [group for group in GROUPS if group in groups]


def _by_tensor(relation: Relation, group: str, table: Table) -> list[tuple[str, Table]]:
    """The rows of each tensor of a group."""
    out, first = [], 0
    for name, count in group_rows(relation, group):
        out.append((name, table[first : first + count]))
        first += count
    return out


def _combined_row(
    backend: Backend,
    relation: Relation,
    code: Code,
    groups: Mapping[str, Committed],
    point: Sequence[Ext],
    folded: Mapping[str, Table],
    scale: Mapping[str, Ext],
) -> Table:
    """Coefficients K[3, N + t'] of rho * sum of weight * row + mask."""
    witness = groups["witness"]
    scaled = backend.each(lambda name: backend.scale(folded[name], scale[name]), [*folded])
    values = reduce(backend.add, scaled, witness.rows[-MASK_ROWS:])
    blinds = backend.zeros(MASK_ROWS, witness.blinding.blinds.shape[1])
    blinds[:] = witness.blinding.blinds[-MASK_ROWS:]
    for group in _present(groups):
        for name, own in _by_tensor(relation, group, groups[group].blinding.blinds):
            share = backend.combine_rows(backend.scale(_row_table(backend, relation, name, point), scale[name]), own)
            blinds[:, : share.shape[1]] = backend.add(blinds[:, : share.shape[1]], share)
    return backend.coefficients_natural(backend.interpolate(values), blinds)
