"""Initial states that nobody chose: expanded from a public seed, the same integers for everybody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from math import isqrt

from .field import Ext, equality_table, total
from .statement import Parameters

LABEL = b"zkgrad public initial state v1"
Matrix = tuple[tuple[int, ...], ...]


def bound(p: Parameters, layer: int) -> int:
    """Weights of a layer are uniform in [-bound, bound]: floor(2^s sqrt(gain / d_in)), gain 6 before a ReLU, else 3;
    s = `state_bits`.

    He, Zhang, Ren, Sun, "Delving deep into rectifiers" (2015), for a uniform distribution.
    """
    gain = 3 if layer == p.layers - 1 else 6
    return isqrt((gain << (2 * p.state_bits)) // p.widths[layer])


def _words(seed: bytes, layer: int) -> Iterator[int]:
    """64-bit words of SHA-256(label || seed || layer || counter), counter = 0, 1, 2, ..."""
    counter = 0
    while True:
        tail = layer.to_bytes(4, "little") + counter.to_bytes(8, "little")
        block = hashlib.sha256(LABEL + seed + tail).digest()
        for k in range(0, 32, 8):
            yield int.from_bytes(block[k : k + 8], "little")
        counter += 1


@lru_cache(maxsize=2)
def public_weights(p: Parameters, seed: bytes) -> tuple[Matrix, ...]:
    """Weight matrices [d_in][d_out] at scale 2^`state_bits`, row by row, by rejection; biases are zero."""
    matrices = []
    for layer, (d_in, d_out) in enumerate(pairwise(p.widths)):
        largest, words = bound(p, layer), _words(seed, layer)
        span = 2 * largest + 1
        limit = 2**64 - 2**64 % span
        accepted = (word % span - largest for word in words if word < limit)
        matrices.append(tuple(tuple(next(accepted) for _ in range(d_out)) for _ in range(d_in)))
    return tuple(matrices)


def evaluate(p: Parameters, seed: bytes, layer: int, rows: Sequence[Ext], columns: Sequence[Ext]) -> Ext:
    """The multilinear extension of a public weight matrix at (rows, columns): one multiplication a weight."""
    right = equality_table(columns, p.widths[layer + 1])
    left = equality_table(rows, p.widths[layer])
    lines = (
        total(share * weight for share, weight in zip(right, line, strict=True))
        for line in public_weights(p, seed)[layer]
    )
    return total(share * line for share, line in zip(left, lines, strict=True))
