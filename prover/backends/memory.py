"""Large arrays out of memory that has been used before.

A prover makes and drops tables of the same few sizes again and again. Fresh memory has to be mapped and
zeroed by the system, page by page, which can take longer than the arithmetic on it; so dropped arrays are
kept for the next one of their size, up to a limit, from one proof of a run to the next.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends.interface import Table

# Smaller arrays are left to the allocator, which keeps their memory by itself.
_SMALLEST = 1 << 16
# Three eighths of the machine's memory.
_KEPT_AT_MOST = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 8
# A block serves requests of more than this part of its size, so that small tables do not take the place of large ones.
_SMALLEST_SHARE = 2


class _Pool:
    """Blocks by size, none in use. A list's append and pop are atomic, so that no lock is needed in a finaliser."""

    def __init__(self) -> None:
        self.blocks: dict[int, list[NDArray[np.uint64]]] = {}
        self.kept = 0

    def take(self, words: int) -> NDArray[np.uint64]:
        for size in sorted(size for size in list(self.blocks) if words <= size < _SMALLEST_SHARE * words):
            try:
                block = self.blocks[size].pop()
            except (KeyError, IndexError):
                continue
            self.kept -= block.nbytes
            return block
        try:
            return np.empty(words, dtype=np.uint64)
        except MemoryError:  # a process may be held to less than the machine has
            self.release()
            return np.empty(words, dtype=np.uint64)

    def give(self, block: NDArray[np.uint64]) -> None:
        if self.kept + block.nbytes <= _KEPT_AT_MOST:
            self.kept += block.nbytes
            self.blocks.setdefault(block.size, []).append(block)

    def release(self) -> None:
        self.blocks, self.kept = {}, 0


_POOL = _Pool()


class _Lease:
    """Holds a block for an array and all its views; the last of them to go returns the block."""

    def __init__(self, block: NDArray[np.uint64]) -> None:
        # Held here, since at the interpreter's end module names go before objects do.
        self.pool, self.block = _POOL, block
        self.__array_interface__: dict[str, Any] = block.__array_interface__

    def __del__(self) -> None:
        self.pool.give(self.block)


def empty(*shape: int) -> Table:
    """An uninitialised C-contiguous uint64 array."""
    words = 1
    for length in shape:
        words *= length
    if 8 * words < _SMALLEST:
        return np.empty(shape, dtype=np.uint64)
    return np.asarray(_Lease(_POOL.take(words)))[:words].reshape(shape)


def integers(*shape: int) -> NDArray[np.int64]:
    """The same of int64."""
    return empty(*shape).view(np.int64)


def release() -> None:
    """Gives idle blocks back to the system."""
    _POOL.release()


def zeros(*shape: int) -> Table:
    out = empty(*shape)
    out.fill(0)
    return out
