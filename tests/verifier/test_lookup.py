"""The table and the layout of the lookup argument: nothing in one table passes for something else."""

from __future__ import annotations

import dataclasses
import random
from itertools import product

import pytest

from tests.support import PRESET, forge
from verifier import ParametersUnsafe
from verifier.field import Ext, P, equality_table, total
from verifier.lookup import layout
from verifier.relation import Lookup, Relation, Table
from verifier.tables import evaluate, second_column
from verifier.tensors import Axis, Tensor, linear


def test_no_two_tables_share_an_identity() -> None:
    """[x] against [0, x] against [x, y]: the identity keeps rows of different tables apart."""
    tables = [Table(kind, bits) for kind, bits in product(("range", "relu", "exp"), range(1, 19))]
    assert len({table.identity for table in tables}) == len(tables)
    assert min(table.identity for table in tables) > 0


def test_a_table_of_another_width_is_another_table() -> None:
    narrow, wide = Table("range", 5), Table("range", 6)
    assert narrow.identity != wide.identity and narrow.name != wide.name


@pytest.mark.parametrize("table", [Table("range", 1), Table("range", 5), Table("relu", 2), Table("relu", 6),
                                   Table("exp", 5, 3, 40)])
def test_extensions_of_the_columns(table: Table) -> None:
    rng = random.Random(table.bits)
    point = [Ext((rng.randrange(P), rng.randrange(P), rng.randrange(P))) for _ in range(table.bits)]
    shares, values = equality_table(point), second_column(table)
    assert len(values) == 1 << table.bits
    assert evaluate(table, point) == (total(share * u for u, share in enumerate(shares)),
                                      total(share * v for v, share in zip(values, shares, strict=True)))


def test_relu_is_strict() -> None:
    values = second_column(Table("relu", 4))
    assert [values[u] for u in (0, 7, 8, 9, 15)] == [0, 0, 0, 1, 1]  # u = 8 is Y = 0


def test_blocks_are_aligned_and_apart() -> None:
    relation = forge(PRESET).relation
    found = layout(relation)
    place = 0
    for block in found.blocks:
        assert block.offset == place and block.offset % (1 << block.bits) == 0
        place += 1 << block.bits
    assert 1 << (found.depth - 1) < place <= 1 << found.depth
    assert [b.lookup for b in found.blocks if b.lookup] != [] and len(found.blocks) == len(relation.lookups) + len(
        relation.tables())


def _with_column(bits: int) -> Relation:
    relation = forge(PRESET).relation
    huge = Tensor("huge", "witness", (Axis("t", 1 << bits),))
    lookup = Lookup("range:huge", Table("range", 6), linear((1, "huge")), 0)
    return dataclasses.replace(relation, tensors=relation.tensors | {"huge": huge}, lookups=(*relation.lookups, lookup))


def test_so_many_lookups_that_a_count_could_reach_p() -> None:
    assert layout(_with_column(40)).depth == 41
    with pytest.raises(ParametersUnsafe, match="a count could wrap around the field"):
        layout(_with_column(62))
