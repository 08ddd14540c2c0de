"""Streams on their way in: counted and hashed as they pass, refused as soon as they are too long."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from .errors import TooLarge


class Meter:
    """Counts and hashes the chunks that pass through `watch`."""

    def __init__(self, limit: int) -> None:
        self.size, self._limit, self._hash = 0, limit, hashlib.sha256()

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks; TooLarge once they exceed the limit."""
        for chunk in chunks:
            self.size += len(chunk)
            if self.size > self._limit:
                raise TooLarge(f"more than {self._limit} bytes came")
            self._hash.update(chunk)
            yield chunk

    @property
    def digest(self) -> str:
        """SHA-256 of what has passed, in hexadecimal."""
        return self._hash.hexdigest()
