"""LogUp-GKR: every entry of every column stands in its table, by one tree of fractions over all columns and tables.

sum over column entries of 1 / (alpha - row) = sum over table rows of count / (alpha - row), where a row (id, x, y) is
compressed to id + beta x + beta^2 y. Fractions 2i and 2i + 1 of a layer add up to fraction i of the next one. Only the
numerator of the total is asserted to be zero: as a polynomial in alpha and beta it has total degree at most 2 (N - 1),
so vanishing denominators are covered by the same bound.
Sources: Haboeck, "Multivariate lookups based on logarithmic derivatives" (ePrint 2022/1530); Papini and Haboeck,
"Improving logarithmic derivative lookup arguments using GKR" (ePrint 2023/1284).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import sumcheck, tables
from .channel import Channel, Hidden
from .claims import At, Claim, Term, Weight
from .errors import ParametersUnsafe
from .field import ONE, ZERO, Ext, P, indicator
from .relation import Lookup, Relation, Table


@dataclass(frozen=True)
class Block:
    """An aligned run of 2^bits leaves: one column, or one table with its counts."""

    bits: int
    offset: int
    lookup: Lookup | None
    table: Table


@dataclass(frozen=True)
class Layout:
    """Where the columns and tables stand among the 2^depth leaves; the rest are fractions 0/1."""

    blocks: tuple[Block, ...]
    depth: int


def layout(relation: Relation) -> Layout:
    """Blocks in falling size (columns in the relation's order, then tables), each aligned to its size."""
    sized: list[tuple[int, Lookup | None, Table]] = [
        (relation.tensors[lookup.x.terms[0][1][0]].bits, lookup, lookup.table) for lookup in relation.lookups
    ]
    sized += [(table.bits, None, table) for table in relation.tables()]
    blocks, offset = [], 0
    for bits, column, table in sorted(sized, key=lambda entry: -entry[0]):
        blocks.append(Block(bits, offset, column, table))
        offset += 1 << bits
    if offset >= P // 4:
        raise ParametersUnsafe(f"{offset} lookups in one proof: a count could wrap around the field")
    return Layout(tuple(blocks), max(1, (offset - 1).bit_length()))


def check(channel: Channel, relation: Relation) -> list[Claim]:
    """Runs the argument; returns what remains to be shown of the committed columns and counts."""
    shape = layout(relation)
    alpha, beta = channel.challenges("lookup row", 2, 2 << shape.depth)
    point: list[Ext] = []
    numerator, denominator = Hidden(ZERO), channel.scalars("lookup total", 1)[0]
    for _ in range(shape.depth):
        batch = channel.challenge("lookup batch", 1)
        point, claim = sumcheck.check_product_layer(channel, "lookup", numerator + denominator * batch, point)
        # p + batch q = (p0 + batch q0) q1 + p1 q0, with p0 recovered from its sum with batch q0.
        first, second = channel.pair("lookup end"), channel.pair("lookup end")
        u, q1, p1, q0 = first.left, first.right, second.left, second.right
        channel.zero(first.product + second.product - claim, "a layer of the lookup tree")
        fold = channel.challenge("lookup fold", 1)
        p0 = u - q0 * batch
        numerator, denominator = p0 + (p1 - p0) * fold, q0 + (q1 - q0) * fold
        point = [*point, fold]
    return _leaf_claims(relation, shape, point, (alpha, beta), numerator, denominator)


def _leaf_claims(
    relation: Relation,
    shape: Layout,
    point: Sequence[Ext],
    row: tuple[Ext, Ext],
    numerator: Hidden,
    denominator: Hidden,
) -> list[Claim]:
    """The last layer's claims, less what is public, on the columns and the counts."""
    alpha, beta = row
    filled = ones = public = ZERO
    columns: list[Term] = []
    counts: list[Term] = []
    for block in shape.blocks:
        high, low = point[: shape.depth - block.bits], tuple(point[shape.depth - block.bits :])
        share = select(high, block.offset >> block.bits)
        weight = Weight((At(low),))
        filled = filled + share
        if block.lookup is None:
            x, y = tables.evaluate(block.table, low)
            public = public + share * (alpha - block.table.identity - beta * (x + beta * y))
            counts.append(Term(share, (f"count:{block.table.name}",), weight))
            continue
        ones = ones + share * _counted(relation, block.lookup, low)
        public = public + share * (alpha - block.table.identity - beta * block.lookup.shift)
        parts = [(beta, block.lookup.x)] + ([(beta * beta, block.lookup.y)] if block.lookup.y else [])
        columns += [Term(share * power * c, tensors, weight) for power, form in parts for c, tensors in form.terms]
    public = public + ONE - filled
    return [
        Claim("lookup columns", public - denominator, tuple(columns)),
        Claim("lookup counts", ones - numerator, tuple(counts)),
    ]


def _counted(relation: Relation, lookup: Lookup, point: Sequence[Ext]) -> Ext:
    """The numerators of a column at a point: one, or the indicator of its public sizes."""
    if not lookup.masked:
        return ONE
    out, place = ONE, 0
    for axis in relation.tensors[lookup.x.terms[0][1][0]].axes:
        out = out * indicator(point[place : place + axis.bits], axis.size)
        place += axis.bits
    return out


def select(point: Sequence[Ext], index: int) -> Ext:
    """eq(point, index) for one index."""
    out = ONE
    for k, coordinate in enumerate(point):
        out = out * (coordinate if index >> (len(point) - 1 - k) & 1 else ONE - coordinate)
    return out
