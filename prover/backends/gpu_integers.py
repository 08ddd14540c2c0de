"""The part of the GPU backend that computes with plain integers: counts of table rows, products of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends.gpu_code import Codes, blocks_for
from prover.exact import checked_magnitudes

# Rows and columns of a product that a block computes, and steps of the contracted axis at a time: as the kernel has it.
_BLOCK, _DEPTH = 64, 16
_MANTISSA = 53


def cut_in_limbs(left: int, right: int, inner: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(limbs, bits of a limb) for either factor of a product over `inner` terms, by magnitude: as few products as can
    be, with sums of at most 2^53."""
    room = _MANTISSA - (max(inner, 1) - 1).bit_length()
    best: tuple[tuple[int, int], tuple[int, int]] | None = None
    for a in range(1, 64):
        for b in range(1, 64):
            bits = -(-left.bit_length() // a), -(-right.bit_length() // b)
            if sum(bits) <= room and (best is None or a * b < best[0][0] * best[1][0]):
                best = (a, bits[0]), (b, bits[1])
    if best is None:
        raise ValueError(f"products over {inner} terms do not fit {_MANTISSA} bits")
    return best


class Integers(Codes):
    """Plain integers on one device."""

    def count_table(self, values: Sequence[NDArray[Any]], size: int) -> Any:
        counts, outside = self.device.zeros((size,)), self.device.zeros((1,))
        for array in values:
            flat = array.reshape(-1)
            if flat.size:
                x = self.device.upload(flat.astype(np.int64, copy=False))
                self.device.launch("count_values", blocks_for(flat.size), [x, flat.size, counts, size, outside])
        if self.device.download(outside)[0]:
            low, high = min(int(a.min()) for a in values if a.size), max(int(a.max()) for a in values if a.size)
            raise ValueError(f"count_table: {low} .. {high} leaves 0 .. {size - 1}")
        return self._table(counts)

    def matmul(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        highs = checked_magnitudes(a, b)
        (rows, inner), columns = a.shape, b.shape[1]
        out = self.device.empty((rows, columns), np.int64)
        if out.size:
            left, right = cut_in_limbs(*highs, inner)
            factors = [*self._factor(a), *left, *self._factor(b), *right]
            blocks = -(-rows // _BLOCK) * -(-columns // _BLOCK)
            arguments = [*factors, rows, columns, inner, out]
            self.device.launch("exact_product", blocks, arguments, shared_words=2 * _BLOCK * _DEPTH)
        return self.device.download(out)

    def _factor(self, matrix: NDArray[np.int64]) -> tuple[Any, int, int]:
        """A matrix on the device, and how far apart its rows and its columns are; a transposed one is not copied."""
        if matrix.T.flags.c_contiguous and not matrix.flags.c_contiguous:
            return self.device.upload(matrix.T), 1, matrix.shape[0]
        return self.device.upload(matrix), matrix.shape[1], 1
