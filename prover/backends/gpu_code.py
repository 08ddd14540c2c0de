"""The part of the GPU backend that moves tables, encodes and hashes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends.gpu_device import THREADS, Device, DeviceTable
from prover.backends.interface import GENERATOR, MODULUS, Digests, Item, Made

# As the kernels have them.
_WIDTH, _TILE = 16, 32
# Stages of a transform in one pass: 2^8 positions of 16 rows fill 32 KiB of shared memory.
_STAGES = 8
# Up to this many children one block makes all levels of a tree above them.
_TOP = 1024
# Enough blocks to fill a device; kernels step through longer tables.
MOST_BLOCKS = 1 << 14


def blocks_for(count: int) -> int:
    """Blocks for a kernel that steps through `count` entries."""
    return max(1, min(-(-count // THREADS), MOST_BLOCKS))


def _root(order: int) -> int:
    return pow(GENERATOR, (MODULUS - 1) // order, MODULUS)


def _log(size: int, what: str) -> int:
    if size < 1 or size & (size - 1):
        raise ValueError(f"{what} of {size}: a power of two is needed")
    return size.bit_length() - 1


def _some(rows: Any) -> None:
    """Refuses no rows at all, for which there is no grid."""
    if rows.shape[0] < 1:
        raise ValueError(f"a code of rows of shape {tuple(rows.shape)}: at least 1 is needed")


def _fitting(size: int, count: int, blinds: Any) -> None:
    """Refuses blinds [rows, t'] that do not belong to `count` rows of `size` values."""
    if blinds.shape[0] != count or blinds.shape[1] > size:
        raise ValueError(f"{tuple(blinds.shape)} blinds for {count} rows of {size} values")


def passes(bits: int) -> list[tuple[int, int]]:
    """A transform of 2^bits positions as (lowest bit, stages) of its passes, lowest first, as even as can be."""
    count = max(1, -(-bits // _STAGES))
    cuts = [bits * k // count for k in range(count + 1)]
    return [(low, high - low) for low, high in pairwise(cuts)]


class Codes:
    """Tables, codes and trees on one device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._twiddles: dict[tuple[int, int, int], Any] = {}

    # -- tables ------------------------------------------------------------------------------------

    def _table(self, array: Any) -> Any:
        return DeviceTable(self.device, array)

    def _ready(self, table: Any, dtype: Any = np.uint64) -> Any:
        """The contiguous array of a table of this device, or a copy of a host array."""
        array = table.data if isinstance(table, DeviceTable) else table
        if array.dtype != dtype:
            raise ValueError(f"a table of {array.dtype}, shape {tuple(array.shape)}: {np.dtype(dtype).name} is needed")
        return self.device.contiguous(array) if isinstance(table, DeviceTable) else self.device.upload(table)

    def host(self, table: Any) -> NDArray[Any]:
        return self.device.download(table.data) if isinstance(table, DeviceTable) else table

    def each(self, make: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
        return [make(item) for item in items]

    def empty(self, *shape: int) -> Any:
        return self._table(self.device.empty(shape))

    def zeros(self, *shape: int) -> Any:
        return self._table(self.device.zeros(shape))

    def join(self, tables: Sequence[Any]) -> Any:
        out = self.device.empty((sum(table.size for table in tables),))
        first = 0
        for table in tables:
            self.device.assign(out[first : first + table.size], self._ready(table).reshape(-1))
            first += table.size
        return self._table(out)

    def repeat(self, table: Any, count: int) -> Any:
        x = self._ready(table)
        out = self.device.empty((*x.shape, count))
        self.device.assign(out, x[..., None])
        return self._table(out.reshape(*x.shape[:-1], -1))

    def tile(self, table: Any, count: int) -> Any:
        x = self._ready(table)
        out = self.device.empty((*x.shape[:-1], count, x.shape[-1]))
        self.device.assign(out, x[..., None, :])
        return self._table(out.reshape(*x.shape[:-1], -1))

    def release(self) -> None:
        self._twiddles.clear()
        self.device.release()

    # -- codes -------------------------------------------------------------------------------------

    def _twiddle_table(self, size: int, root: int, shift: int) -> Any:
        """shift^(N / 2h) w_2h^j at h + j, for h = 1, 2, ..., N/2 and j < h."""
        key = size, root, shift
        if key not in self._twiddles:
            spans = [size >> (k + 1) for k in range(max(size.bit_length() - 1, 1))]
            shifts, roots = (
                self.device.upload(np.array([pow(x, span, MODULUS) for span in spans], dtype=np.uint64))
                for x in (shift, root)
            )
            out = self.device.empty((size,))
            self.device.launch("twiddle_table", blocks_for(size), [shifts, roots, size, out])
            self._twiddles[key] = out
        return self._twiddles[key]

    def interpolate(self, rows: Any) -> Any:
        """Coefficients [N, R] in bit-reversed order of positions."""
        x = self._ready(rows)
        _some(x)
        count, size = x.shape
        bits = _log(size, "a row")
        out = self.device.empty((size, count))
        tiles = -(-size // _TILE) * -(-count // _TILE)
        self.device.launch("transpose", tiles, [x, count, size, out], shared_words=_TILE * (_TILE + 1))
        twiddles = self._twiddle_table(size, pow(_root(size), -1, MODULUS), 1)
        for low, stages in reversed(passes(bits)):
            factor = pow(size, -1, MODULUS) if low == 0 else 1
            arguments = [out, count, twiddles, low, stages, factor]
            self._pass("interpolate_pass", size, count, stages, arguments)
        return self._table(out)

    def _pass(self, kernel: str, size: int, count: int, stages: int, arguments: Sequence[Any]) -> None:
        blocks = (size >> stages) * -(-count // _WIDTH)
        self.device.launch(kernel, blocks, arguments, shared_words=_WIDTH << stages)

    def _evaluate(self, source: Any, out: Any, shift: int, blinds: Any, factor: int) -> None:
        """The polynomials of source [N, R] on the coset shift · H; blinds [R, t'] are added, times the factor."""
        size, count = source.shape
        bits = size.bit_length() - 1
        twiddles = self._twiddle_table(size, _root(size), shift)
        for low, stages in passes(bits):
            extra = blinds.shape[1] if low == 0 else 0
            arguments = [source, out, count, twiddles, low, stages, blinds, extra, factor, bits]
            self._pass("evaluate_pass", size, count, stages, arguments)
            source = out

    def encode(self, coefficients: Any, blinds: Any, blowup: int) -> Any:
        source, extra = coefficients.data, self._ready(blinds)
        size, count = source.shape
        _fitting(size, count, extra)
        out, zeta = self.device.empty((size * blowup, count)), _root(size * blowup)
        for c in range(blowup):
            shift = GENERATOR * pow(zeta, c, MODULUS) % MODULUS
            factor = (pow(shift, size, MODULUS) - 1) % MODULUS
            self._evaluate(source, out[c * size : (c + 1) * size], shift, extra, factor)
        return self._table(out)

    def encode_rows(self, rows: Any, blinds: Any, blowup: int) -> Any:
        return self.encode(self.interpolate(rows), blinds, blowup)

    def encode_polynomials(self, coeffs: Any, size: int, blowup: int) -> Any:
        x = self._ready(coeffs)
        _some(x)
        count, length = x.shape
        bits = _log(size, "a coset")
        out, zeta = self.device.empty((size * blowup, count)), _root(size * blowup)
        nothing = self.device.zeros((count, 0))
        for c in range(blowup):
            shift = GENERATOR * pow(zeta, c, MODULUS) % MODULUS
            part = out[c * size : (c + 1) * size]
            wrap = [x, count, length, bits, pow(shift, size, MODULUS), part]
            self.device.launch("wrap_coefficients", blocks_for(size * count), wrap)
            self._evaluate(part, part, shift, nothing, 0)
        return self._table(out)

    def coefficients_natural(self, coefficients: Any, blinds: Any) -> Any:
        matrix, extra = coefficients.data, self._ready(blinds)
        size, count = matrix.shape
        _fitting(size, count, extra)
        out = self.device.empty((count, size + extra.shape[1]))
        arguments = [matrix, count, size.bit_length() - 1, extra, extra.shape[1], out]
        self.device.launch("natural_coefficients", blocks_for(out.size), arguments)
        return self._table(out)

    def columns(self, codeword: Any, positions: Sequence[int]) -> NDArray[np.uint64]:
        x = self._ready(codeword)
        if any(not 0 <= q < x.shape[0] for q in positions):
            raise ValueError(f"positions {min(positions)} .. {max(positions)} of a codeword of {x.shape[0]}")
        places = self.device.upload(np.array(positions, dtype=np.uint64))
        out = self.device.empty((len(positions), x.shape[1]))
        if out.size:
            arguments = [x, x.shape[1], places, len(positions), out]
            self.device.launch("gather_columns", blocks_for(out.size), arguments)
        return self.device.download(out)

    # -- trees -------------------------------------------------------------------------------------

    def hash_columns(self, codeword: Any, prefix: bytes, salts: Any) -> Any:
        x, salted = self._ready(codeword), self._ready(salts, np.uint8)
        if tuple(salted.shape) != (x.shape[0], 32):
            raise ValueError(f"salts of shape {tuple(salted.shape)} for {x.shape[0]} columns")
        start = self.device.upload(np.frombuffer(prefix, dtype=np.uint8))
        out = self.device.empty((x.shape[0], 32), np.uint8)
        arguments = [x, x.shape[1], x.shape[0], start, len(prefix), salted, out]
        self.device.launch("hash_columns", blocks_for(x.shape[0]), arguments)
        return self._table(out)

    def merkle_levels(self, leaves: Any) -> list[Digests]:
        """The levels as host arrays: of a tree only digests are ever read."""
        x = self._ready(leaves, np.uint8)
        count = x.shape[0]
        _log(count, "a tree over leaves: their number")
        nodes = self.device.empty((max(count - 1, 0), 32), np.uint8)
        below, first = x, 0
        while len(below) > 1:
            out = nodes[first:]
            if len(below) <= _TOP:
                self.device.launch("merkle_top", 1, [below, out, len(below)])
                break
            half = len(below) // 2
            self.device.launch("merkle_level", blocks_for(half), [below, out[:half], half])
            below, first = out[:half], first + half
        levels, rest = [self.device.download(x)], self.device.download(nodes)
        while len(levels[-1]) > 1:
            half = len(levels[-1]) // 2
            levels.append(rest[:half])
            rest = rest[half:]
        return levels
