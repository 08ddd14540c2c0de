"""Where every secret number of a proof comes from: the operating system, or a seed in tests."""

from __future__ import annotations

import hashlib
import secrets

import numpy as np
from numpy.typing import NDArray

from verifier.field import Ext, P

from .backends.interface import Digests, Table


class Randomness:
    """Uniform bytes and field elements from the operating system's generator."""

    def read(self, count: int) -> bytes:
        """`count` uniform bytes."""
        return secrets.token_bytes(count)

    def elements(self, *shape: int) -> Table:
        """A table of uniform elements of F, by rejection of words that are not below p."""
        count = int(np.prod(shape, dtype=np.int64))
        kept: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        while kept.size < count:
            words = np.frombuffer(self.read(8 * (count - kept.size)), dtype="<u8").astype(np.uint64)
            kept = np.concatenate([kept, words[words < P]])
        return kept.reshape(shape)

    def scalars(self, count: int) -> list[Ext]:
        """Uniform elements of K."""
        return [Ext((int(a), int(b), int(c))) for a, b, c in self.elements(count, 3)]

    def salts(self, count: int) -> Digests:
        """One 32-byte salt a leaf."""
        return np.frombuffer(self.read(32 * count), dtype=np.uint8).reshape(count, 32).copy()


class SeededRandomness(Randomness):
    """A reproducible stream, SHAKE-256(seed || counter). For tests only: a proof made with it hides nothing."""

    def __init__(self, seed: bytes) -> None:
        self._seed, self._counter = seed, 0

    def read(self, count: int) -> bytes:
        self._counter += 1
        return hashlib.shake_256(self._seed + self._counter.to_bytes(8, "little")).digest(count)
