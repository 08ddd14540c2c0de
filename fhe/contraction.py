"""Lower one contraction to instructions: three ways, each a candidate for the planner to weigh.

product: operands broadcast into the product index space, multiplied once, reduced by rotate-and-add
(the method of EinHops, 2025). linear: one encrypted operand, the plain ones folded into its diagonals.
skew: two compact encrypted matrices, turned against each other (Jiang, Kim, Lauter, Song, 2018), with the
first permutations done by the client's encoding.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fhe.expression import Expression
from fhe.graph import Graph, PlainNode
from fhe.layout import GARBAGE, ZERO, Layout, Map, Space, Where, flat_index, make_space, power_of_two
from fhe.linear import MAX_TERMS, Terms, apply, convert, one, total
from fhe.probe import Probe
from fhe.values import Public, Secret, Tensor, Unplaced, current, periodic_rows, place


@dataclass(frozen=True)
class Term:
    """One operand of a contraction: its labels, without axes of size 1, and the sizes that remain."""

    labels: tuple[str, ...]
    tensor: Tensor
    shape: tuple[int, ...]


def term(labels: Sequence[str], tensor: Tensor) -> Term:
    """A term without its axes of size 1: they broadcast like absent ones and leave flat indices as they are.
    """
    kept = [(x, size) for x, size in zip(labels, tensor.shape, strict=True) if size > 1]
    return Term(tuple(x for x, _ in kept), tensor, tuple(size for _, size in kept))


@dataclass(frozen=True)
class Strategy:
    """How to lower one contraction; `order` and `tiled` apply to the product method."""

    method: str
    replicate: str = "client"
    order: tuple[str, ...] = ()
    tiled: tuple[str, ...] = ()
    exact: bool = False
    across: tuple[str, ...] = ()


def fold_plain(graph: Graph, expression: Expression, terms: Sequence[Term]) -> list[Term]:
    """At most one plain term: plain operands are contracted with each other first, in the clear."""
    plain = [t for t in terms if isinstance(t.tensor, Public)]
    secret = [t for t in terms if not isinstance(t.tensor, Public)]
    if not plain:
        return secret
    needed = set(expression.output) | {x for t in secret for x in t.labels}
    keep = tuple(dict.fromkeys(x for t in plain for x in t.labels if x in needed))
    sizes: dict[str, int] = {}
    for t in plain:
        sizes.update(zip(t.labels, t.shape, strict=True))
    lost = math.prod(size for x, size in sizes.items() if x not in keep)
    if len(plain) == 1 and plain[0].labels == keep:
        return [*secret, plain[0]]
    names = {x: chr(ord("A") + k) if k < 26 else chr(ord("a") + k - 26) for k, x in enumerate(sizes)}
    text = (
        ",".join("".join(names[x] for x in t.labels) for t in plain) + "->" + "".join(names[x] for x in keep)
    )
    bound = math.prod(t.tensor.bound for t in plain) * lost
    shape = tuple(sizes[x] for x in keep)
    nodes = tuple(squeezed(graph, t) for t in plain)
    node = graph.plain_node(PlainNode("einsum", shape, bound, name=text, args=nodes))
    return [*secret, Term(keep, Public(node, shape, bound), shape)]


def squeezed(graph: Graph, plain: Term) -> int:
    """The node of a plain term in the shape without axes of size 1."""
    assert isinstance(plain.tensor, Public)
    node = PlainNode("reshape", plain.shape, plain.tensor.bound, args=(plain.tensor.node,))
    return plain.tensor.node if plain.tensor.shape == plain.shape else graph.plain_node(node)


def lower(graph: Graph, expression: Expression, terms: Sequence[Term], strategy: Strategy) -> Secret | None:
    """Instructions for one contraction with at least one encrypted term; None when the strategy does not
    apply.
    """
    terms = fold_plain(graph, expression, terms)
    if strategy.method == "linear":
        return _linear(graph, expression, terms)
    if strategy.method == "skew":
        return _skew(graph, expression, terms)
    return _product(graph, expression, terms, strategy)


def output_bound(expression: Expression, terms: Sequence[Term]) -> float:
    """Largest magnitude of a result entry: the number of summed products times the operands' bounds."""
    present = {x for t in terms for x in t.labels}
    summed = math.prod(expression.extents[x] for x in expression.contracted if x in present)
    return summed * math.prod(t.tensor.bound for t in terms)


def _rows(term: Term, space: Space, compact: bool) -> tuple[Map, list[int], list[str]]:
    """Distinct rows of an operand in the index space, the row of every tile, and the labels to replicate."""
    coordinates = space.coordinates()
    rows = flat_index(term.labels, term.shape, coordinates)
    missing = [a for a in space.axes if a.label not in term.labels and a.block > 1]
    if compact:
        slot = np.arange(space.slots)
        for axis in missing:
            rows = np.where((slot // axis.stride % axis.block == 0)[None, :], rows, ZERO)
    tiles = np.unravel_index(np.arange(space.tiles), space.tile_shape) if space.axes else ()
    keys = [
        tuple(int(t[k]) for t, a in zip(tiles, space.axes, strict=True) if a.label in term.labels)
        for k in range(space.tiles)
    ]
    distinct = list(dict.fromkeys(keys))
    merged = [rows[[k for k, key in enumerate(keys) if key == want]].max(axis=0) for want in distinct]
    return (
        np.stack(merged),
        [distinct.index(key) for key in keys],
        [a.label for a in missing] if compact else [],
    )


def _doubling(graph: Graph, ct: int, stride: int, count: int, bound: float) -> int:
    """Σ over j < count of `ct` rotated by j·stride, by binary decomposition of `count`.

    `bound`: no partial sum exceeds it in any slot.
    """
    result, offset, power, block = None, 0, ct, 1
    bits = count
    while bits:
        if bits & 1:
            turned = graph.rotate(power, offset * stride)
            result = turned if result is None else graph.limit(graph.add(result, turned), bound)
            offset += block
        bits >>= 1
        if bits:
            power = graph.limit(graph.add(power, graph.rotate(power, block * stride)), bound)
            block *= 2
    assert result is not None
    return result


def _operand(graph: Graph, term: Term, space: Space, replicate: str, ignore: bool) -> list[int]:
    """Ciphertexts of one encrypted operand for every tile of the index space."""
    tensor = current(term.tensor)
    assert not isinstance(tensor, Public)
    compact = replicate == "server"
    rows, which, missing = _rows(term, space, compact)
    text = f"{''.join(term.labels)}: {space.describe()}" + (", replicated" if not compact else "")
    if isinstance(tensor, Unplaced):
        placed = place(graph, tensor, rows, text)
    else:
        placed = convert(graph, tensor, rows, text, (rows == ZERO) if ignore and not compact else None)
    cts = []
    for ct in placed.cts:
        for axis in space.axes:
            if axis.label in missing:
                ct = _doubling(graph, ct, -axis.stride, axis.block, placed.bound)
        cts.append(ct)
    return [cts[k] for k in which]


def _tree(graph: Graph, factors: list[int]) -> int:
    """A product of least depth, its last multiplication neither relinearised nor rescaled."""
    factors = sorted(factors, key=graph.depth)
    while len(factors) > 1:
        a, b, *rest = factors
        product = graph.multiply(a, b)
        factors = sorted([*rest, graph.settle(product)], key=graph.depth) if rest else [product]
    return factors[0]


def _product(
    graph: Graph, expression: Expression, terms: Sequence[Term], strategy: Strategy
) -> Secret | None:
    present = {x for t in terms for x in t.labels}
    order = [x for x in strategy.order if x in present]
    space = make_space(
        order, expression.extents, graph.slots, strategy.exact, strategy.tiled, strategy.across
    )
    secret = [t for t in terms if not isinstance(t.tensor, Public)]
    if (
        space is None
        or space.tiles * space.slots > MAX_TERMS
        or space.tiles * max(len(secret) - 1, 0.2) > graph.budget
    ):
        return None
    plain = [t for t in terms if isinstance(t.tensor, Public)]
    ignore = bool(plain) and len(secret) == 1
    columns = [_operand(graph, t, space, strategy.replicate, ignore) for t in secret]
    products = []
    for tile in range(space.tiles):
        factors = [column[tile] for column in columns]
        if plain:
            index = flat_index(plain[0].labels, plain[0].shape, space.coordinates())[tile]
            assert isinstance(plain[0].tensor, Public)
            shallow = min(range(len(factors)), key=lambda k: graph.depth(factors[k]))
            factors[shallow] = graph.multiply_plain(
                factors[shallow], graph.gather(plain[0].tensor.node, index)
            )
        products.append(_tree(graph, factors))
    return _reduce(graph, expression, space, products, output_bound(expression, terms))


def _reduce(graph: Graph, expression: Expression, space: Space, products: list[int], bound: float) -> Secret:
    """Sum contracted axes: across ciphertexts by addition, then in the slots by rotations at the lower level.
    """
    contracted = [a for a in space.axes if a.label in expression.contracted]
    tiles = np.unravel_index(np.arange(space.tiles), space.tile_shape) if space.axes else ()
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for k in range(space.tiles):
        free = tuple(int(t[k]) for t, a in zip(tiles, space.axes, strict=True) if a not in contracted)
        groups[free].append(k)
    probe = Probe(expression, space)
    cts, rows = [], []
    for members in groups.values():
        ct = graph.settle(total(graph, [products[k] for k in members]))
        probe.start(members)
        for axis in contracted:
            ct = _doubling(graph, ct, axis.stride, axis.block, bound)
            probe.reduce(axis.stride, axis.block)
        cts.append(graph.limit(ct, bound))
        rows.append(probe.row(members[0]))
    return Secret(Layout(expression.shape, np.stack(rows), f"result: {space.describe()}"), cts, bound)


def _linear(graph: Graph, expression: Expression, terms: Sequence[Term]) -> Secret | None:
    """One encrypted operand: out = Σ_d diagonal_d ⊙ rot_d(x), the plain operand's entries on the diagonals.
    """
    secret = [t for t in terms if not isinstance(t.tensor, Public)]
    plain = [t for t in terms if isinstance(t.tensor, Public)]
    size = math.prod(expression.extents[x] for x in {y for t in terms for y in t.labels})
    if len(secret) != 1 or size > 1 << 24:
        return None
    term = secret[0]
    shared = [x for x in dict.fromkeys(term.labels) if x in expression.output]
    summed = [x for x in dict.fromkeys(term.labels) if x not in expression.output]
    order = (*shared, *summed)
    source = current(term.tensor)
    if isinstance(source, Unplaced):
        if len(set(term.labels)) != len(term.labels):
            return None
        rows, text = periodic_rows(term.shape, tuple(term.labels.index(x) for x in order), graph.slots)
        source = place(graph, source, rows, f"{''.join(term.labels)}: {text}")
    assert isinstance(source, Secret)
    fresh = [x for x in expression.output if x not in shared]
    out_order = tuple(expression.output.index(x) for x in (*shared, *fresh))
    rows, text = periodic_rows(expression.shape, out_order, graph.slots)
    dst = np.flatnonzero(rows.reshape(-1) >= 0)
    wide = max(1, math.prod(expression.extents[x] for x in summed))
    if dst.size * wide > MAX_TERMS:
        return None
    found = (
        dict(zip(expression.output, np.unravel_index(rows.reshape(-1)[dst], expression.shape), strict=True))
        if expression.output
        else {}
    )
    inner = np.unravel_index(np.arange(wide), [expression.extents[x] for x in summed]) if summed else ()
    coordinate = {x: np.repeat(v, wide) for x, v in found.items()}
    coordinate |= {x: np.tile(v, dst.size) for x, v in zip(summed, inner, strict=True)}
    coordinate[""] = np.zeros(dst.size * wide, np.int64)
    entry = flat_index(term.labels, term.shape, coordinate)
    node, weight = one(graph), np.zeros_like(entry)
    if plain:
        assert isinstance(plain[0].tensor, Public)
        node, weight = plain[0].tensor.node, flat_index(plain[0].labels, plain[0].shape, coordinate)
    bound = output_bound(expression, terms)
    return apply(
        graph,
        source,
        Terms(np.repeat(dst, wide), entry, weight, node),
        rows,
        expression.shape,
        bound,
        f"result: {text}",
    )


def _skew(graph: Graph, expression: Expression, terms: Sequence[Term]) -> Secret | None:
    """Two unplaced encrypted matrices: contracted index = row + column + turn, one product a turn.

    The left operand is sent as L[p, q] = X[p, p + q mod K], the right one as M[p, q] = Y[p + q mod K, q]; a
    turn is one column rotation of L and one row rotation of M. Baby steps share the rotations of M.
    """
    found = _skew_labels(expression, terms)
    if found is None:
        return None
    left, right, rows_of, columns_of, inner = found
    height, width, depth = (
        math.prod(expression.extents[x] for x in part) for part in (rows_of, columns_of, inner)
    )
    pitch = power_of_two(width + depth - 1)
    lines = graph.slots // pitch
    if lines < height or not (lines >= height + depth - 1 or lines % depth == 0):
        return None
    p, q = np.divmod(np.arange(graph.slots), pitch)
    k = (p + q) % depth
    coordinate = {"": np.zeros(graph.slots, np.int64)}
    for part, value in ((rows_of, p), (columns_of, q), (inner, k)):
        sizes = [expression.extents[label] for label in part]
        inside = np.minimum(value, math.prod(sizes) - 1)
        for label, c in zip(part, np.unravel_index(inside, sizes) if part else (), strict=True):
            coordinate[label] = c
    x = place_row(graph, left, coordinate, p < height, depth, "rows")
    y = place_row(graph, right, coordinate, q < width, depth, "columns")
    result = _turns(graph, x, y, depth, pitch)
    ok = (p < height) & (q < width)
    entry = flat_index(expression.output, expression.shape, coordinate)
    bound = output_bound(expression, terms)
    layout = Layout(
        expression.shape, np.where(ok, entry, GARBAGE)[None, :], f"result: row stride {pitch}, column 1"
    )
    return Secret(layout, [graph.limit(result, bound)], bound)


def place_row(
    graph: Graph, term: Term, coordinate: dict[str, Map], where: Where, depth: int, side: str
) -> int:
    """Place one compact operand of the skew method."""
    assert isinstance(term.tensor, Unplaced)
    index = np.where(where, flat_index(term.labels, term.shape, coordinate), ZERO)
    text = f"{''.join(term.labels)}: skewed by {side}, contracted index = row + column mod {depth}"
    return place(graph, term.tensor, index[None, :], text).cts[0]


def _skew_labels(
    expression: Expression, terms: Sequence[Term]
) -> tuple[Term, Term, list[str], list[str], list[str]] | None:
    if len(terms) != 2 or any(not isinstance(current(t.tensor), Unplaced) for t in terms):
        return None
    left, right = terms
    if left.tensor is right.tensor:
        return None
    a, b, out = set(left.labels), set(right.labels), expression.output
    inner = [x for x in left.labels if x in b and x not in out]
    rows = [x for x in out if x in a - b]
    columns = [x for x in out if x in b - a]
    if not inner or len(rows) + len(columns) != len(out) or a | b != {*rows, *columns, *inner}:
        return None
    return left, right, rows, columns, inner


def _turns(graph: Graph, x: int, y: int, depth: int, pitch: int) -> int:
    """Σ over t < depth of rot(x, t) ⊙ rot(y, t·pitch), with four rotation keys."""
    step = power_of_two(math.isqrt(depth))
    babies = [y]
    for _ in range(1, min(step, depth)):
        babies.append(graph.rotate(babies[-1], pitch))
    sums, start = [], x
    for base in range(0, depth, step):
        turned, products = start, []
        for b in range(min(step, depth - base)):
            products.append(graph.multiply(turned, babies[b]))
            turned = graph.rotate(turned, 1)
        sums.append(graph.settle(total(graph, products)))
        start = graph.rotate(start, step - step * pitch)
    result = sums[-1]
    for part in reversed(sums[:-1]):
        result = graph.add(part, graph.rotate(result, step * pitch))
    return result
