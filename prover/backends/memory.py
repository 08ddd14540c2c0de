"""Large arrays out of memory that has been used before.

A prover makes and drops tables of the same few sizes again and again. Fresh memory has to be mapped and
zeroed by the system, page by page, which can take longer than the arithmetic on it; so dropped arrays are
kept for the next one of their size, from one proof of a run to the next, as far as memory allows.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends.interface import Table

# Smaller arrays are left to the allocator, which keeps their memory by itself.
_SMALLEST = 1 << 16
# Half of the machine's memory.
_HELD_AT_MOST = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
# A block serves requests of more than this part of its size, so that small tables do not take the place of large ones.
_SMALLEST_SHARE = 2


class _Pool:
    """Blocks out of use, by size. Together with those in use they stay below a limit, as far as these alone do."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0
        self.idle: dict[int, list[NDArray[np.uint64]]] = {}  # the size that was given last stands last
        # A finaliser can interrupt any line, of the thread that holds the lock too.
        self.lock = threading.RLock()

    def take(self, words: int) -> NDArray[np.uint64]:
        # Five leading binary digits: the next proof's table may be a little longer. Pages not touched take no memory.
        step = 1 << max(0, words.bit_length() - 5)
        words = -(-words // step) * step
        with self.lock:
            for size in sorted(size for size in list(self.idle) if words <= size < _SMALLEST_SHARE * words):
                blocks = self.idle.get(size)
                if blocks:
                    return blocks.pop()
            self.release(self.limit - 8 * words)
            self.held += 8 * words
        try:
            return np.empty(words, dtype=np.uint64)
        except MemoryError:  # a process may be held to less than the machine has
            self.release()
        try:
            return np.empty(words, dtype=np.uint64)
        except MemoryError:
            with self.lock:
                self.held -= 8 * words
            raise

    def give(self, block: NDArray[np.uint64]) -> None:
        with self.lock:
            if self.held > self.limit:
                self.held -= block.nbytes
                return
            blocks = self.idle.pop(block.size, [])
            blocks.append(block)
            self.idle[block.size] = blocks

    def release(self, limit: int = 0) -> None:
        """Gives idle blocks back to the system until no more than `limit` bytes are held, those of sizes not used for
        the longest time first."""
        with self.lock:
            for size in list(self.idle):
                blocks = self.idle[size]
                while blocks and self.held > limit:
                    self.held -= blocks.pop().nbytes


_POOL = _Pool(_HELD_AT_MOST)


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
