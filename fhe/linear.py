"""Any linear map of one encrypted tensor, by its diagonals, in baby steps and giant steps."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import reduce
from math import gcd

import numpy as np
import numpy.typing as npt

from fhe.graph import Graph, Inapplicable, PlainNode
from fhe.layout import GARBAGE, ZERO, Layout, Map
from fhe.values import Secret

_MAX_DIAGONALS = 4096
MAX_TERMS = 1 << 23
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Terms:
    """out[dst] += source[entry] · node[weight], one row per term; dst counts slots over all output tiles."""

    dst: Ints
    entry: Ints
    weight: Ints
    node: int


def sources(layout: Layout, entry: Ints, near: Ints) -> tuple[Ints, Ints]:
    """For each wanted entry the ciphertext and the slot to read it from: the first copy at or after slot
    `near`.
    """
    flat = layout.maps.reshape(-1)
    held = np.flatnonzero(flat >= 0)
    tile, slot = held // layout.slots, held % layout.slots
    what = flat[held]
    first = np.full(int(what.max()) + 1 if what.size else 1, layout.tiles, np.int64)
    np.minimum.at(first, what, tile)
    keep = tile == first[what]
    key = np.sort(what[keep] * layout.slots + slot[keep])
    position = np.searchsorted(key, entry * layout.slots + near)
    start = np.searchsorted(key, entry * layout.slots)
    wrapped = (position >= key.size) | (key[np.minimum(position, key.size - 1)] // layout.slots != entry)
    return first[entry], key[np.where(wrapped, start, position)] % layout.slots


def apply(
    graph: Graph, source: Secret, terms: Terms, rows: Map, shape: tuple[int, ...], bound: float, text: str
) -> Secret:
    """Evaluate `terms` into a clean tensor laid out as `rows`; one level.

    Rotations: about 2√D for D diagonals (Halevi and Shoup, "Algorithms in HElib", 2014).
    """
    slots = graph.slots
    near = terms.dst % slots
    tile, slot = sources(source.layout, terms.entry, near)
    step = (slot - near) % slots
    diagonals: dict[tuple[int, int, int], Ints] = {}
    key = (terms.dst // slots * source.layout.tiles + tile) * slots + step
    order = np.argsort(key, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(key[order])) + 1)
    if len(parts) > min(graph.budget * 5, _MAX_DIAGONALS):
        raise Inapplicable(f"{len(parts)} diagonals")
    for part in parts:
        index = np.full(slots, ZERO, np.int64)
        index[near[part]] = terms.weight[part]
        k = int(part[0])
        diagonals[int(terms.dst[k] // slots), int(tile[k]), int(step[k])] = index
    width = baby_width(list(diagonals), slots)
    partial: dict[tuple[int, int], list[int]] = defaultdict(list)
    for (out, src, d), index in diagonals.items():
        giant = d - d % width
        baby = graph.rotate(source.cts[src], d % width)
        plaintext = graph.gather(terms.node, np.roll(index, giant))
        partial[out, giant].append(graph.multiply_plain(baby, plaintext))
    cts = []
    for out in range(rows.shape[0]):
        turned = [
            graph.rotate(graph.rescale(total(graph, products)), giant)
            for (o, giant), products in partial.items()
            if o == out
        ]
        cts.append(graph.limit(total(graph, turned), bound))
    return Secret(Layout(shape, rows, text), cts, bound)


def total(graph: Graph, values: list[int]) -> int:
    """The sum of several ciphertexts."""
    return reduce(graph.add, values)


def baby_width(keys: list[tuple[int, int, int]], slots: int) -> int:
    """The width (a multiple of the diagonals' common step) that needs the fewest rotations."""
    unit = reduce(gcd, (d for _, _, d in keys), slots)
    best, width = len(keys) * 2, slots
    candidate = 1
    while candidate * unit <= slots:
        w = candidate * unit
        babies = {(src, d % w) for _, src, d in keys if d % w}
        giants = {(out, d - d % w) for out, _, d in keys if d - d % w}
        if len(babies) + len(giants) < best:
            best, width = len(babies) + len(giants), w
        candidate += 1 if candidate < 32 else candidate // 4
    return width


def one(graph: Graph) -> int:
    """The plain node holding the number 1."""
    return graph.plain_node(PlainNode("constant", (1,), 1.0, values=(1.0,)))


def convert(graph: Graph, value: Secret, rows: Map, text: str, ignore: Bools | None = None) -> Secret:
    """`value` in another layout: nothing when it already fits, otherwise one level.

    `rows` are the slots wanted, ZERO meaning that exactly 0 is needed, except where `ignore` is true.
    """
    have = value.layout.maps
    free = np.zeros(rows.shape, bool) if ignore is None else ignore
    wanted = np.where(free, ZERO, rows)
    match = [
        next((t for t in range(have.shape[0]) if bool((((have[t] == wanted[r]) | free[r])).all())), None)
        for r in range(rows.shape[0])
    ]
    if all(m is not None for m in match):
        return Secret(
            Layout(value.shape, rows, text), [value.cts[m] for m in match if m is not None], value.bound
        )
    dst = np.flatnonzero(wanted.reshape(-1) >= 0)
    terms = Terms(dst, wanted.reshape(-1)[dst], np.zeros_like(dst), one(graph))
    return apply(graph, value, terms, wanted, value.shape, value.bound, text)


def mask(graph: Graph, value: Secret) -> Secret:
    """`value` with every garbage slot set to 0: one plaintext product a ciphertext, one level."""
    rows = np.where(value.layout.maps == GARBAGE, ZERO, value.layout.maps)
    cts = []
    for ct, row in zip(value.cts, rows, strict=True):
        kept = graph.rescale(graph.multiply_plain(ct, graph.constant(1.0, row >= 0)))
        cts.append(graph.limit(kept, value.bound))
    return Secret(Layout(value.shape, rows, value.layout.text + ", masked"), cts, value.bound)
