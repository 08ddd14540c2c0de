"""Exact integer arithmetic at the speed of float units, and the fixed-point roundings.

Integers are arrays of the host, or stand on a device (`Backend.integers`), where the same functions compute the same
numbers. Integers of a device take + - * << >> & with a number or with integers of the same or of the last axes' shape,
are sliced, reshaped, transposed and assigned to, and handed to the functions here; nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .backends import memory
from .errors import OutOfRange

Integers = NDArray[np.int64]
# Signed bits of a product sum: one below int64, so that a bias and a rounding half may still be added.
LIMIT_BITS = 63
_MANTISSA = 53
_WORTH_SHARING = 1 << 25


@contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """Keeps the BLAS to one thread while products have no more than so many multiplications worth sharing.

    Its threads wait for each other by spinning: on a busy machine small products then take a hundred times longer.
    """
    if multiplications >= _WORTH_SHARING:
        yield
        return
    with threadpool_limits(1, user_api="blas"):
        yield


def bits_needed(low: int, high: int) -> int:
    """The least k with -2^(k-1) <= low and high < 2^(k-1)."""
    return 1 + max(high.bit_length() if high > 0 else 0, (-1 - low).bit_length() if low < 0 else 0)


def on_host(values: Any) -> Integers:
    """The integers as an array of the host; the array itself where it is one."""
    found: Integers = values if isinstance(values, np.ndarray) else values.on_host()
    return found


def beside(values: Any, other: Integers) -> Any:
    """An array of the host as integers where `values` are."""
    return other if isinstance(values, np.ndarray) else values.beside(other)


def empty_beside(values: Any, shape: Sequence[int]) -> Any:
    """Integers that are not set, where `values` are."""
    return memory.integers(*shape) if isinstance(values, np.ndarray) else values.empty_beside(shape)


def zeros_beside(values: Any, shape: Sequence[int]) -> Any:
    """Zeros where `values` are."""
    if not isinstance(values, np.ndarray):
        return values.zeros_beside(shape)
    out = memory.integers(*shape)
    out.fill(0)
    return out


def extremes(values: Any) -> tuple[int, int]:
    """The smallest and the largest; (0, 0) for an empty array."""
    if not isinstance(values, np.ndarray):
        found: tuple[int, int] = values.extremes()
        return found
    return (int(values.min()), int(values.max())) if values.size else (0, 0)


def magnitude(values: Any) -> int:
    """max |x| as a Python integer, 0 for an empty array; by min and max, as -2^63 has no int64 absolute
    value."""
    low, high = extremes(values)
    return max(-low, high)


def positive(values: Any) -> Any:
    """1 where an entry is positive, else 0."""
    return (values > 0).astype(np.int64) if isinstance(values, np.ndarray) else values.positive()


def digits(values: Any, low: int, bits: int) -> Any:
    """The bits [low, low + bits) of each."""
    if not isinstance(values, np.ndarray):
        return values >> low & (1 << bits) - 1
    found = np.right_shift(values, low, out=memory.integers(*values.shape))
    return np.bitwise_and(found, (1 << bits) - 1, out=found)


def take(values: Any, places: Any) -> Any:
    """values[places], places of any shape along the first axis of values, all within it."""
    return values[places] if isinstance(values, np.ndarray) else values.take(places)


def square_sums(values: Any) -> Any:
    """Sums of squares over the last axis but one, each to fit 64 bits: [..., b, d] -> [..., d]."""
    return np.square(values).sum(axis=-2) if isinstance(values, np.ndarray) else values.square_sums()


def combined(shares: Sequence[int], values: Any) -> Any:
    """sum_k shares[k] values[k], of as many shares as values has along its first axis; it must fit 64 bits."""
    if not isinstance(values, np.ndarray):
        return values.combined(shares)
    return np.einsum("t,t...->...", np.array(shares, dtype=np.int64), values)


def matmul_exact(a: Integers, b: Integers) -> Integers:
    """a @ b over the integers, [m,k] x [k,n] -> [m,n], computed by float64 matrix products.

    The wider operand is split in limbs small enough that no partial product sum reaches 2^53, below which
    float64 is exact; the limbs' products are shifted and added in int64. OutOfRange unless sum_k |a_ik| *
    max|b| (or the same from b's side) is provably below 2^62.
    """
    if not isinstance(a, np.ndarray):
        found: Integers = a.product(b)
        return found
    high_a, high_b = checked_magnitudes(a, b)
    return _product(a, b, high_a, high_b, a.shape[1])


def checked_magnitudes(a: Any, b: Any) -> tuple[int, int]:
    """max |a| and max |b|; OutOfRange where a @ b may not fit, as of `matmul_exact`."""
    high_a, high_b = magnitude(a), magnitude(b)
    if a.shape[1] * high_a * high_b >= 1 << (LIMIT_BITS - 1):
        _refuse_overflow(on_host(a), on_host(b), high_a, high_b)
    return high_a, high_b


def _product(a: Integers, b: Integers, high_a: int, high_b: int, inner: int) -> Integers:
    """The product of integers with these magnitudes, the bound already checked."""
    if inner * high_a * high_b < 1 << _MANTISSA:
        out = _like((a.shape[0], b.shape[1]), np.float64)
        np.matmul(_floats(a), _floats(b), out=out)
        whole: Integers = _like(out.shape, np.int64)
        np.copyto(whole, out, casting="unsafe")
        return whole
    if high_a < high_b:
        return _product(b.T, a.T, high_b, high_a, inner).T
    bits = _MANTISSA - (inner * high_b).bit_length()
    if bits < 1:
        # Both are wide: halve this one; the recursion then splits the other.
        bits = (high_a.bit_length() + 1) // 2
    low, top = _ordered_like(a), _ordered_like(a)
    np.bitwise_and(a, (1 << bits) - 1, out=low)
    np.right_shift(a, bits, out=top)
    high_top = (high_a >> bits) + 1
    result = _product(top, b, high_top, high_b, inner)
    result <<= bits
    result += _product(low, b, (1 << bits) - 1, high_b, inner)
    return result


def _like(shape: tuple[int, ...], kind: type) -> Any:
    """An uninitialised array of 64-bit numbers. Used memory, since products are made and dropped all the time."""
    return memory.empty(*shape).view(kind)


def _ordered_like(a: Integers, kind: type = np.int64) -> Any:
    """The same in the shape and the order in memory of another array: a transposed one stays transposed."""
    if a.ndim == 2 and a.flags.f_contiguous and not a.flags.c_contiguous:
        return _like(a.shape[::-1], kind).T
    return _like(a.shape, kind)


def _floats(a: Integers) -> Any:
    out = _ordered_like(a, np.float64)
    np.copyto(out, a)
    return out


def _refuse_overflow(a: Integers, b: Integers, high_a: int, high_b: int) -> None:
    """A second, tighter bound for sparse or small rows; computed in float64 with room for its rounding."""
    rows = float(np.abs(a.astype(np.float64)).sum(axis=1).max()) * high_b
    columns = float(np.abs(b.astype(np.float64)).sum(axis=0).max()) * high_a
    bound = int(min(rows, columns) * (1 + 2.0**-30))
    if bound >= 1 << (LIMIT_BITS - 1):
        raise OutOfRange(
            f"a product sum may need {bound.bit_length() + 1} bits, the trainer computes with "
            f"{LIMIT_BITS}. Lower the rate, the scales or the size of the data."
        )


def round_half_up(values: Integers, bits: int) -> tuple[Integers, Integers]:
    """(q, r) with values = 2^bits * q + r - 2^(bits-1) and 0 <= r < 2^bits: q = floor(values / 2^bits + 1/2).

    bits >= 1; |values| + 2^(bits-1) < 2^63 is the caller's to keep (LIMIT_BITS is chosen for it).
    """
    if not isinstance(values, np.ndarray):
        found: tuple[Integers, Integers] = values.round_half_up(bits)
        return found
    raised = values + (1 << (bits - 1))
    return raised >> bits, raised & ((1 << bits) - 1)
