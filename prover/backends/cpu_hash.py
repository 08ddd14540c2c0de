"""SHA-256 over columns and tree nodes, through hashlib in threads."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from prover.backends.interface import Digests, Table
from prover.backends.threads import spread

_NODE = b"\x01"


def _bytes(array: Any) -> memoryview:
    """The bytes of an array; a copy only if it is not contiguous."""
    flat: Any = np.ascontiguousarray(array).reshape(-1)
    return memoryview(flat).cast("B")


def hash_columns(codeword: Table, prefix: bytes, salts: Digests) -> Digests:
    leaves = np.empty((codeword.shape[0], 32), dtype=np.uint8)
    stride = 8 * codeword.shape[1]
    # The prefix is absorbed once; every column continues from a copy of that state. Columns over 2 KB
    # release the GIL.
    start_state = hashlib.sha256(prefix)
    columns, salt_bytes, out = _bytes(codeword), _bytes(salts), _bytes(leaves)

    def work(part: int, start: int, stop: int) -> None:
        del part
        for i in range(start, stop):
            state = start_state.copy()
            state.update(salt_bytes[32 * i : 32 * i + 32])
            state.update(columns[stride * i : stride * i + stride])
            out[32 * i : 32 * i + 32] = state.digest()

    spread(codeword.shape[0], 64, work)
    return leaves


def merkle_levels(leaves: Digests) -> list[Digests]:
    if leaves.shape[0] < 1 or leaves.shape[0] & (leaves.shape[0] - 1):
        raise ValueError(f"a tree over {leaves.shape[0]} leaves: a power of two is needed")
    levels = [leaves]
    while len(levels[-1]) > 1:
        children = np.ascontiguousarray(levels[-1]).tobytes()
        # One bytes object a level: a node's input is too short for a second thread to help (hashlib
        # keeps the GIL).
        nodes = b"".join([hashlib.sha256(_NODE + children[i : i + 64]).digest() for i in range(0, len(children), 64)])
        levels.append(np.frombuffer(nodes, dtype=np.uint8).reshape(-1, 32).copy())
    return levels
