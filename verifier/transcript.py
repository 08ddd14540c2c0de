"""The Fiat-Shamir transcript: a SHA-256 chain over labelled, typed, sized items, and challenges drawn from it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from itertools import chain

from .field import Ext, P

PROTOCOL = b"zkgrad proof v1"


class Transcript:
    """Absorbs items and draws challenges. Both sides run one; the proof supplies no challenge."""

    def __init__(self) -> None:
        self._state = hashlib.sha256(PROTOCOL).digest()

    def _absorb(self, kind: bytes, label: str, data: bytes) -> None:
        name = label.encode("ascii")
        header = kind + len(name).to_bytes(4, "little") + name + len(data).to_bytes(8, "little")
        self._state = hashlib.sha256(self._state + header + data).digest()

    def observe_bytes(self, label: str, data: bytes) -> None:
        """Absorbs raw bytes (digests and roots)."""
        self._absorb(b"B", label, data)

    def observe(self, label: str, values: Sequence[Ext]) -> None:
        """Absorbs field elements of K, 24 bytes each, coefficients little-endian."""
        self._absorb(b"K", label, encode_elements(values))

    def _blocks(self, kind: bytes, label: str) -> _Stream:
        self._absorb(kind, label, b"")
        return _Stream(self._state)

    def sample(self, label: str, count: int) -> list[Ext]:
        """`count` uniform elements of K, by rejection of words that are not below p."""
        stream = self._blocks(b"C", label)
        return [Ext((stream.element(), stream.element(), stream.element())) for _ in range(count)]

    def positions(self, label: str, count: int, size: int) -> list[int]:
        """`count` distinct positions below `size` (a power of two), sorted, without bias."""
        if count > size:
            raise ValueError(f"{count} distinct positions among {size}")
        stream, chosen = self._blocks(b"P", label), set[int]()
        while len(chosen) < count:
            chosen.add(stream.word() & (size - 1))
        return sorted(chosen)


class _Stream:
    """64-bit words of SHA-256(state || counter)."""

    def __init__(self, state: bytes) -> None:
        self._state, self._counter, self._words = state, 0, list[int]()

    def word(self) -> int:
        if not self._words:
            block = hashlib.sha256(self._state + b"X" + self._counter.to_bytes(8, "little")).digest()
            self._words = [int.from_bytes(block[k : k + 8], "little") for k in (24, 16, 8, 0)]
            self._counter += 1
        return self._words.pop()

    def element(self) -> int:
        word = self.word()
        while word >= P:
            word = self.word()
        return word


def encode_elements(values: Sequence[Ext]) -> bytes:
    """24 bytes an element: three coefficients, each eight bytes little-endian."""
    return struct.pack(f"<{3 * len(values)}Q", *chain.from_iterable(values))
