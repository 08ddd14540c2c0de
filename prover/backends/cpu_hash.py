"""SHA-256 over columns and tree nodes: by the processor's instructions where it has them, else by hashlib."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends import cpu_sha
from prover.backends.interface import Digests, Table
from prover.backends.threads import spread

_NODE = b"\x01"
_GRAIN = 64


def hash_columns(codeword: Table, prefix: bytes, salts: Digests) -> Digests:
    return _digests(prefix, np.ascontiguousarray(salts), np.ascontiguousarray(codeword).view(np.uint8))


def merkle_levels(leaves: Digests) -> list[Digests]:
    if leaves.shape[0] < 1 or leaves.shape[0] & (leaves.shape[0] - 1):
        raise ValueError(f"a tree over {leaves.shape[0]} leaves: a power of two is needed")
    levels = [leaves]
    while len(levels[-1]) > 1:
        children = np.ascontiguousarray(levels[-1]).reshape(-1, 64)
        levels.append(_digests(_NODE, children, children[:, 64:]))
    return levels


def _digests(head: bytes, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Digests:
    """uint8[n, 32]: SHA-256(head || first[i] || second[i])."""
    out = np.empty((len(first), 32), dtype=np.uint8)
    if cpu_sha.available():
        spread(len(out), _GRAIN, lambda _, start, stop: cpu_sha.digests(head, first, second, out, start, stop))
    else:
        _by_hashlib(head, first, second, out)
    return out


def _by_hashlib(head: bytes, first: Any, second: Any, out: Any) -> None:
    # In one thread: two would hand the interpreter's lock to each other for every message. The head is absorbed once;
    # every message continues from a copy of that state.
    begun = hashlib.sha256(head)
    for i in range(len(out)):
        state = begun.copy()
        state.update(first[i].data)
        state.update(second[i].data)
        out[i] = np.frombuffer(state.digest(), dtype=np.uint8)
