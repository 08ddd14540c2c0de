"""Plain integers on a device: the arithmetic of training and of the witness, and counts of table rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends.gpu_code import Codes, blocks_for
from prover.backends.gpu_device import THREADS, DeviceTable
from prover.exact import LIMIT_BITS, checked_magnitudes

# Rows and columns of a product that a block computes, and steps of the contracted axis at a time: as the kernel has it.
_BLOCK, _DEPTH = 64, 16
_MANTISSA = 53
# Of the kernel that finds extremes: the host compares what they leave.
_MOST_EXTREMES = 1 << 8
# As the kernels number them.
_PLUS, _MINUS, _TIMES, _AND, _LEFT, _RIGHT = range(6)


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


class DeviceIntegers(DeviceTable):
    """int64 of any shape on a device, with the operations of `prover.exact`: what each computes is said there.

    A number or integers of the last axes' shape may stand on the right. Results are new arrays; that they fit 64 bits
    is the caller's to keep, as on the host.
    """

    __slots__ = ()

    def _ready(self) -> Any:
        return self.device.contiguous(self.data)

    def _with(self, what: int, other: Any) -> DeviceIntegers:
        out = self.empty_beside(self.shape)
        if isinstance(other, DeviceIntegers):
            if other.ndim > self.ndim or other.shape != self.shape[self.ndim - other.ndim :]:
                raise ValueError(f"integers of shapes {self.shape} and {other.shape} do not fit each other")
            arguments = [what, self._ready(), other._ready(), max(other.size, 1), self.size, out.data]
            self.device.launch("integer_operation", blocks_for(self.size), arguments)
            return out
        if what in (_LEFT, _RIGHT) and not 0 <= other < 64:
            raise ValueError(f"a shift by {other} of integers of 64 bits")
        arguments = [what, self._ready(), int(other) % (1 << 64), self.size, out.data]
        self.device.launch("integer_scalar", blocks_for(self.size), arguments)
        return out

    def __add__(self, other: Any) -> DeviceIntegers:
        return self._with(_PLUS, other)

    def __sub__(self, other: Any) -> DeviceIntegers:
        return self._with(_MINUS, other)

    def __mul__(self, other: Any) -> DeviceIntegers:
        return self._with(_TIMES, other)

    def __and__(self, other: Any) -> DeviceIntegers:
        return self._with(_AND, other)

    def __lshift__(self, other: int) -> DeviceIntegers:
        return self._with(_LEFT, other)

    def __rshift__(self, other: int) -> DeviceIntegers:
        return self._with(_RIGHT, other)

    __radd__, __rmul__ = __add__, __mul__

    # -- as of prover.exact ------------------------------------------------------------------------

    def on_host(self) -> NDArray[np.int64]:
        return self.device.download(self._ready())

    def beside(self, values: NDArray[np.int64]) -> DeviceIntegers:
        return DeviceIntegers(self.device, self.device.upload(values.astype(np.int64, copy=False)))

    def empty_beside(self, shape: Sequence[int]) -> DeviceIntegers:
        return DeviceIntegers(self.device, self.device.empty(shape, np.int64))

    def zeros_beside(self, shape: Sequence[int]) -> DeviceIntegers:
        return DeviceIntegers(self.device, self.device.zeros(shape, np.int64))

    def extremes(self) -> tuple[int, int]:
        if not self.size:
            return 0, 0
        blocks = min(blocks_for(self.size), _MOST_EXTREMES)
        out = self.device.empty((blocks, 2), np.int64)
        arguments = [self._ready(), self.size, out]
        self.device.launch("integer_extremes", blocks, arguments, shared_words=2 * THREADS)
        found = self.device.download(out)
        return int(found[:, 0].min()), int(found[:, 1].max())

    def positive(self) -> DeviceIntegers:
        out = self.empty_beside(self.shape)
        self.device.launch("positive_integers", blocks_for(self.size), [self._ready(), self.size, out.data])
        return out

    def take(self, places: DeviceIntegers) -> DeviceIntegers:
        width = self.size // max(len(self), 1)
        out = self.empty_beside((*places.shape, *self.shape[1:]))
        arguments = [self._ready(), len(self), width, places._ready(), places.size, out.data]
        self.device.launch("take_rows", blocks_for(out.size), arguments)
        return out

    def round_half_up(self, bits: int) -> tuple[DeviceIntegers, DeviceIntegers]:
        if not 1 <= bits < LIMIT_BITS:
            raise ValueError(f"integers of 64 bits rounded to multiples of 2^{bits}")
        q, r = self.empty_beside(self.shape), self.empty_beside(self.shape)
        self.device.launch("round_integers", blocks_for(self.size), [self._ready(), bits, self.size, q.data, r.data])
        return q, r

    def square_sums(self) -> DeviceIntegers:
        *outer, middle, n = self.shape
        out = self.empty_beside((*outer, n))
        arguments = [self._ready(), out.size // max(n, 1), middle, n, out.data]
        self.device.launch("square_sums", blocks_for(out.size), arguments)
        return out

    def combined(self, shares: Sequence[int]) -> DeviceIntegers:
        if len(shares) != len(self):
            raise ValueError(f"{len(shares)} shares of {len(self)} arrays of integers")
        out = self.empty_beside(self.shape[1:])
        factors = self.device.upload(np.array(shares, dtype=np.int64))
        arguments = [factors, len(shares), self._ready(), out.size, out.data]
        self.device.launch("combine_integers", blocks_for(out.size), arguments)
        return out

    def product(self, other: DeviceIntegers) -> DeviceIntegers:
        if self.ndim != 2 or other.ndim != 2 or self.shape[1] != other.shape[0]:
            raise ValueError(f"matrices of shapes {self.shape} and {other.shape} have no product")
        highs = checked_magnitudes(self, other)
        (rows, inner), columns = self.shape, other.shape[1]
        out = self.empty_beside((rows, columns))
        if out.size:
            left, right = cut_in_limbs(*highs, inner)
            factors = [*self._factor(), *left, *other._factor(), *right]
            blocks = -(-rows // _BLOCK) * -(-columns // _BLOCK)
            arguments = [*factors, rows, columns, inner, out.data]
            self.device.launch("exact_product", blocks, arguments, shared_words=2 * _BLOCK * _DEPTH)
        return out

    def _factor(self) -> tuple[Any, int, int]:
        """A matrix, and how far apart its rows and its columns are; a transposed one is not copied."""
        if self.data.T.flags.c_contiguous and not self.data.flags.c_contiguous:
            return self.data.T, 1, self.shape[0]
        return self._ready(), self.shape[1], 1


class Integers(Codes):
    """Plain integers in tables of one device, and tables of them."""

    def integers(self, values: Any) -> Any:
        if isinstance(values, DeviceIntegers):
            return values
        if isinstance(values, DeviceTable):
            return DeviceIntegers(self.device, values.data.view(np.int64))
        return self._on_device(values)

    def _on_device(self, values: NDArray[Any]) -> DeviceIntegers:
        kept = values.view(np.int64) if values.dtype == np.uint64 else values.astype(np.int64, copy=False)
        return DeviceIntegers(self.device, self.device.upload(kept))

    def field(self, values: Any) -> Any:
        x = self.device.contiguous(self.integers(values).data)
        out = self.device.empty(x.shape)
        self.device.launch("to_field", blocks_for(x.size), [x, out, x.size])
        return self._table(out)

    def fields(self, values: Sequence[Any]) -> list[Any]:
        return [self.field(array) for array in values]

    def count_table(self, values: Sequence[Any], size: int) -> Any:
        counts, outside = self.device.zeros((size,)), self.device.zeros((1,))
        arrays = [self.integers(array) for array in values if array.size]
        for array in arrays:
            x = self.device.contiguous(array.data)
            self.device.launch("count_values", blocks_for(x.size), [x, x.size, counts, size, outside])
        if self.device.download(outside)[0]:
            found = [array.extremes() for array in arrays]
            low, high = min(low for low, _ in found), max(high for _, high in found)
            raise ValueError(f"count_table: {low} .. {high} leaves 0 .. {size - 1}")
        return self._table(counts)
