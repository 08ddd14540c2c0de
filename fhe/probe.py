"""What each slot of a reduced product holds, found by running the additions on random numbers."""

from __future__ import annotations

import math

import numpy as np

from fhe.expression import Expression
from fhe.layout import GARBAGE, ZERO, Map, Space, flat_index


class Probe:
    """Finds what each slot holds by running the same additions on random numbers modulo 2^64.

    Every index of the product space gets a number; a slot that ends with exactly an entry's sum holds that
    entry (wrong with probability below 2^-30 for any plan), whichever order and padding led there.
    """

    def __init__(self, expression: Expression, space: Space) -> None:
        self.space, coordinates = space, space.coordinates()
        labels = [a.label for a in space.axes]
        full = flat_index(labels, [expression.extents[x] for x in labels], coordinates)
        generator = np.random.default_rng(20)
        size = math.prod(expression.extents[x] for x in labels)
        numbers = generator.integers(1, 1 << 63, size, dtype=np.uint64)
        self.values = np.where(full >= 0, numbers[np.maximum(full, 0)], np.uint64(0))
        shape = [expression.extents[x] if x in labels else 1 for x in expression.output]
        self.size = math.prod(shape)
        entry = flat_index(
            expression.output, shape, {**{x: np.zeros_like(full) for x in expression.output}, **coordinates}
        )
        self.sums = np.zeros(self.size, np.uint64)
        valid = full >= 0
        np.add.at(self.sums, entry[valid], self.values[valid])
        loose = {a.label: np.arange(space.slots) // a.stride % a.block for a in space.axes}
        self.loose, self.output, self.shape = loose, expression.output, shape

    def start(self, members: list[int]) -> None:
        part = self.values[members]
        self.current = part.sum(axis=0, dtype=np.uint64)
        self.alive = (part != 0).any(axis=0)

    def reduce(self, stride: int, count: int) -> None:
        value, alive = self.current.copy(), self.alive.copy()
        for j in range(1, count):
            value += np.roll(self.current, -j * stride)
            alive |= np.roll(self.alive, -j * stride)
        self.current, self.alive = value, alive

    def row(self, tile: int) -> Map:
        tiles = np.unravel_index(tile, self.space.tile_shape) if self.space.axes else ()
        coordinate = {
            a.label: self.loose[a.label] + int(t) * a.block
            for a, t in zip(self.space.axes, tiles, strict=True)
        }
        index, inside = np.zeros(self.space.slots, np.int64), np.ones(self.space.slots, bool)
        for label, size in zip(self.output, self.shape, strict=True):
            value = coordinate.get(label, np.zeros(self.space.slots, np.int64))
            inside &= value < size
            index = index * size + np.minimum(value, size - 1)
        hit = inside & (self.current == self.sums[index])
        return np.where(hit, index, np.where(self.alive, GARBAGE, ZERO))
