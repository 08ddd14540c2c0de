"""Where the entries of a tensor lie: one integer per slot and ciphertext, and its description by strides."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fhe.errors import LayoutError

ZERO = -1
GARBAGE = -2
Map = npt.NDArray[np.int64]
Where = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Layout:
    """`maps[t, s]`: which entry (flat, C order) of a tensor of `shape` slot s of ciphertext t holds.

    ZERO marks a slot that holds exactly 0 and GARBAGE one that holds something bounded but meaningless. An
    entry at several slots is replicated. `text` says the same by axes and strides, for people.
    """

    shape: tuple[int, ...]
    maps: Map
    text: str = ""

    @property
    def tiles(self) -> int:
        return int(self.maps.shape[0])

    @property
    def slots(self) -> int:
        return int(self.maps.shape[1])

    @property
    def clean(self) -> bool:
        """No garbage anywhere."""
        return not bool((self.maps == GARBAGE).any())

    def digest(self) -> str:
        """SHA-256 over shape and map."""
        data = np.ascontiguousarray(self.maps, dtype="<i8").tobytes()
        return hashlib.sha256(repr((self.shape, self.maps.shape)).encode() + data).hexdigest()

    def pack(self, tensor: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The slot values of every ciphertext, shape (tiles, slots)."""
        if tensor.shape != self.shape:
            raise LayoutError(
                f"a tensor of shape {tensor.shape} does not suit a layout of shape {self.shape}"
            )
        flat = np.append(tensor.reshape(-1), 0.0)
        return flat[np.where(self.maps < 0, flat.size - 1, self.maps)]

    def unpack(self, slots: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The tensor, each entry read from its first slot."""
        size = math.prod(self.shape)
        flat_map = self.maps.reshape(-1)
        entries, first = np.unique(flat_map, return_index=True)
        first = first[entries >= 0]
        if first.size != size:
            raise LayoutError(f"layout of shape {self.shape} holds {first.size} of {size} entries")
        return np.asarray(slots.reshape(-1)[first].reshape(self.shape))

    def draw(self, width: int = 64) -> str:
        """The slots as text: a run of equal states per character, '#' entries, '.' zero, '~' garbage."""
        lines = [self.text] if self.text else []
        step = max(1, self.slots // width)
        for t in range(min(self.tiles, 8)):
            cells = self.maps[t, : step * width].reshape(-1, step)
            marks = ["~" if (c == GARBAGE).any() else "." if (c == ZERO).all() else "#" for c in cells]
            first = [int(x) for x in self.maps[t, :6]]
            lines.append(f"  ct {t}: |{''.join(marks)}| {step} slots a mark; first slots {first}")
        if self.tiles > 8:
            lines.append(f"  … {self.tiles - 8} more ciphertexts")
        return "\n".join(lines)

    def svg(self, width: int = 640, row: int = 14) -> str:
        """The same picture as an SVG document."""
        colours = {"#": "#3465a4", ".": "#eeeeec", "~": "#cc0000"}
        cells, rects = 128, []
        step = max(1, self.slots // cells)
        for t in range(min(self.tiles, 32)):
            for k, part in enumerate(self.maps[t, : step * cells].reshape(-1, step)):
                mark = "~" if (part == GARBAGE).any() else "." if (part == ZERO).all() else "#"
                rects.append(
                    f'<rect x="{k * width / cells:.2f}" y="{t * row}" width="{width / cells:.2f}" '
                    f'height="{row - 2}" fill="{colours[mark]}"/>'
                )
        height = min(self.tiles, 32) * row
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
            f"{''.join(rects)}</svg>"
        )


def power_of_two(n: int) -> int:
    """The smallest power of two ≥ n."""
    return 1 << max(0, n - 1).bit_length()


@dataclass(frozen=True)
class Axis:
    """One axis of an index space: `extent` values in blocks of `block`, at `stride` slots, over `tiles`
    tiles.
    """

    label: str
    extent: int
    block: int
    stride: int
    tiles: int

    def describe(self) -> str:
        parts = [f"{self.label}:{self.extent}"]
        if self.block > 1:
            parts.append(
                f"stride {self.stride}"
                + (f" padded to {self.block}" if self.tiles == 1 and self.block != self.extent else "")
            )
        if self.tiles > 1:
            parts.append(f"{self.tiles} ciphertexts across")
        return " ".join(parts)


@dataclass(frozen=True)
class Space:
    """The product index space of a contraction, laid over slots (inner to outer) and over tiles."""

    axes: tuple[Axis, ...]
    slots: int
    _cache: dict[str, Map] = field(default_factory=dict, repr=False, compare=False)

    @property
    def used(self) -> int:
        return math.prod(axis.block for axis in self.axes)

    @property
    def tile_shape(self) -> tuple[int, ...]:
        return tuple(axis.tiles for axis in self.axes)

    @property
    def tiles(self) -> int:
        return math.prod(self.tile_shape)

    def coordinates(self) -> dict[str, Map]:
        """For each label its value at (tile, slot), or −1 in padding: arrays of shape (tiles, slots)."""
        if not self._cache:
            slot = np.arange(self.slots)
            tile = np.unravel_index(np.arange(self.tiles), self.tile_shape) if self.axes else ()
            valid = np.broadcast_to(slot < self.used, (self.tiles, self.slots)).copy()
            found: dict[str, Map] = {}
            for axis, t in zip(self.axes, tile, strict=True):
                value = (slot // axis.stride % axis.block)[None, :] + (t * axis.block)[:, None]
                valid &= value < axis.extent
                found[axis.label] = value
            self._cache.update({label: np.where(valid, value, -1) for label, value in found.items()})
            self._cache[""] = np.where(valid, 0, -1)
        return self._cache

    def describe(self) -> str:
        return ", ".join(axis.describe() for axis in self.axes) or "scalar at slot 0"


def flat_index(labels: Sequence[str], shape: Sequence[int], coordinates: Mapping[str, Map]) -> Map:
    """The flat entry of an operand at every coordinate; size-1 axes broadcast; −1 where padded."""
    valid = coordinates[""] >= 0
    index = np.zeros_like(coordinates[""])
    for label, size in zip(labels, shape, strict=True):
        index = index * size + (coordinates[label] if size > 1 else 0)
    return np.where(valid, index, ZERO)


def make_space(
    order: Sequence[str],
    extents: Mapping[str, int],
    slots: int,
    exact: bool,
    tiled: Sequence[str],
    across: Sequence[str] = (),
) -> Space | None:
    """Lay `order` (inner to outer) over slots; labels of `tiled` give way first, outer blocks becoming tiles.

    Labels of `across` lie wholly across ciphertexts.
    `exact` keeps axis sizes as strides instead of padding them to powers of two. None when it cannot fit.
    """
    block = {x: extents[x] if exact else power_of_two(extents[x]) for x in order}
    block.update(dict.fromkeys(across, 1))
    for label in tiled:
        while math.prod(block.values()) > slots and block[label] > 1:
            block[label] = power_of_two(block[label]) // 2
    if math.prod(block.values()) > slots:
        return None
    axes, stride = [], 1
    for label in order:
        tiles = -(-extents[label] // block[label])
        axes.append(Axis(label, extents[label], block[label], stride, tiles))
        stride *= block[label]
    return Space(tuple(axes), slots)
