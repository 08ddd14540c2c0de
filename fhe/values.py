"""Tensors while a plan is being made: encrypted ones with a layout, inputs still without one, plain ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fhe.graph import Graph
from fhe.layout import Layout, Map, power_of_two


@dataclass
class Secret:
    """An encrypted tensor: ciphertext numbers in a graph, one per row of the layout.

    `bound` holds for its entries, the graph's bounds for all slots (garbage included).
    """

    layout: Layout
    cts: list[int]
    bound: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    def garbage(self, graph: Graph) -> float:
        """The largest magnitude any slot may have."""
        return max(graph.bound[c] for c in self.cts)


@dataclass
class Unplaced:
    """An encrypted input whose layout its first use decides, then kept in `placed`."""

    name: str
    shape: tuple[int, ...]
    bound: float
    placed: Secret | None = None


@dataclass
class Public:
    """A plain tensor: a node of the graph."""

    node: int
    shape: tuple[int, ...]
    bound: float


Tensor = Secret | Unplaced | Public


def place(graph: Graph, item: Unplaced, rows: Map, text: str) -> Secret:
    """Decide the layout of an input: one ciphertext per row."""
    layout = Layout(item.shape, rows, text)
    cts = [graph.input(item.name, t, item.bound) for t in range(layout.tiles)]
    item.placed = Secret(layout, cts, item.bound)
    return item.placed


def current(item: Tensor) -> Tensor:
    """An input's placed form when it has one."""
    return item.placed if isinstance(item, Unplaced) and item.placed is not None else item


def periodic_rows(shape: tuple[int, ...], order: tuple[int, ...], slots: int) -> tuple[Map, str]:
    """Rows holding a tensor with its axes in `order`, inner to outer, padded to powers of two.

    A tensor smaller than the slots is repeated until they are full, so every rotation is a cyclic one of the
    tensor; a larger one goes over several ciphertexts, outer axes first.
    """
    blocks = [power_of_two(shape[axis]) for axis in order]
    total = int(np.prod(blocks, dtype=np.int64)) if blocks else 1
    tiles = max(1, total // slots)
    position = np.arange(tiles * slots).reshape(tiles, slots) % total
    coordinate = dict[int, Map]()
    valid = np.ones_like(position, dtype=bool)
    for axis, block in zip(order, blocks, strict=True):
        coordinate[axis] = position % block
        position = position // block
        valid &= coordinate[axis] < shape[axis]
    index = np.zeros((tiles, slots), np.int64)
    for axis, size in enumerate(shape):
        index = index * size + coordinate[axis]
    text = f"axes {order} inner to outer padded to {tuple(blocks)}, period {min(total, slots)} of {slots}"
    return np.where(valid, index, -1), text


def default_rows(shape: tuple[int, ...], slots: int) -> tuple[Map, str]:
    """The layout of an input whose first use does not care: first axis innermost."""
    return periodic_rows(shape, tuple(range(len(shape))), slots)
