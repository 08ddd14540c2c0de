"""Four 64-bit lanes as a Numba value, so that kernels can say which arithmetic is done side by side.

LLVM's own vectoriser does not see through wide sums and gives up on long loop bodies; with lanes as a type
there is nothing to guess. On a machine without 256-bit vectors LLVM splits the lanes; the results are the
same.
"""

# Numba and llvmlite carry no types for what is used here.
# mypy: disable-error-code="import-untyped, no-untyped-call"

from __future__ import annotations

from typing import Any

from llvmlite import ir

from prover.backends.cpu_straight import LANES, VECTOR, WORD, LanesValue, WordValue, builder, straight

LOW = 2**32 - 1


def _shuffled(x: Any, y: Any, places: list[int]) -> LanesValue:
    """A choice among the eight lanes of two values."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), places)
    return LanesValue(builder().shuffle_vector(x.value, y.value, mask))


@straight
def half_product(x: Any, y: Any) -> Any:
    """The product of the low halves (32 bits each) of the lanes."""
    return (x & LOW) * (y & LOW)


@straight
def exceeds(x: Any, y: Any) -> Any:
    """All ones in the lanes where x > y as signed integers, else zero."""
    b = builder()
    return LanesValue(b.sext(b.icmp_signed(">", x.value, y.value), VECTOR))


@straight
def splat(word: Any) -> Any:
    """One word in every lane."""
    return LanesValue(LanesValue(None).operand(word))


@straight
def evens(x: Any, y: Any) -> Any:
    """Lanes 0, 2 of x, then of y."""
    return _shuffled(x, y, [0, 2, 4, 6])


@straight
def odds(x: Any, y: Any) -> Any:
    """Lanes 1, 3 of x, then of y."""
    return _shuffled(x, y, [1, 3, 5, 7])


@straight
def lows(x: Any, y: Any) -> Any:
    """Lanes 0, 1 of x, then of y."""
    return _shuffled(x, y, [0, 1, 4, 5])


@straight
def highs(x: Any, y: Any) -> Any:
    """Lanes 2, 3 of x, then of y."""
    return _shuffled(x, y, [2, 3, 6, 7])


@straight
def single(array: Any, index: Any) -> Any:
    """The word at a flat index of a C-contiguous uint64 array; nothing is checked."""
    return WordValue(builder().load(array.place(index, WORD), align=8))


@straight
def load(array: Any, index: Any) -> Any:
    """The lanes at a flat index of a C-contiguous uint64 array; nothing is checked."""
    return LanesValue(builder().load(array.place(index), align=8))


@straight
def store(array: Any, index: Any, lanes: Any) -> None:
    """Writes the lanes at a flat index of a C-contiguous uint64 array; nothing is checked."""
    builder().store(lanes.value, array.place(index), align=8)
