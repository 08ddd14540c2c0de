"""Random einsum problems, and the expressions of the count table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fhe import Encrypted, Plain

Spec = tuple[str, bool, tuple[int, ...]]

# expression, operands (encrypted?, shape), server-replicated (rotations, products, levels), client rotations
TABLE: list[tuple[str, list[tuple[bool, tuple[int, ...]]], tuple[int, int, int], int]] = [
    ("ij->ji", [(True, (128, 128))], (0, 0, 0), 0),
    ("ik,k->i", [(True, (128, 128)), (True, (128,))], (14, 1, 1), 7),
    ("ik,kj->ij", [(True, (16, 32)), (True, (32, 32))], (14, 1, 1), 5),
    ("ijk,ikl->ijl", [(True, (16, 8, 8)), (True, (16, 8, 8))], (9, 1, 1), 3),
    ("ik,jkl,il->ij", [(True, (8, 16)), (True, (8, 16, 16)), (True, (8, 16))], (25, 2, 2), 8),
    ("bthd,bThd->bhtT", [(True, (2, 8, 4, 16)), (True, (2, 8, 4, 16))], (10, 1, 1), 4),
    ("bhqd,bhkd->bhqk", [(True, (1, 2, 16, 32)), (True, (1, 2, 16, 32))], (13, 1, 1), 5),
    ("i,ij->j", [(True, (64,)), (False, (64, 64))], (12, 0, 1), 6),
]


def operands(parts: list[tuple[bool, tuple[int, ...]]], bound: float = 1.0) -> dict[str, Any]:
    return {
        f"x{k}": (Encrypted if secret else Plain)(shape, bound) for k, (secret, shape) in enumerate(parts)
    }


def values(specs: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n: rng.uniform(-s.bound, s.bound, s.shape) for n, s in specs.items()}


@st.composite
def problems(draw: st.DrawFn, largest: int = 4096) -> tuple[str, list[tuple[bool, tuple[int, ...]]]]:
    """An expression with shapes and encrypted set: repeated axes, size-1 axes, ellipsis, scalars, outer
    products.
    """
    sizes = {x: draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8])) for x in "abcde"}
    dots = tuple(draw(st.lists(st.sampled_from([1, 2, 3]), max_size=2)))
    terms, parts = [], []
    for _ in range(draw(st.integers(1, 3))):
        labels = draw(st.lists(st.sampled_from("abcde"), max_size=3))
        shape = []
        for x in labels:
            thin = draw(st.booleans()) and draw(st.booleans())
            known = [s for y, s in zip(labels, shape, strict=False) if y == x]
            shape.append(known[0] if known else 1 if thin else sizes[x])
        use_dots = bool(dots) and draw(st.booleans())
        term = "".join(labels)
        if use_dots:
            at = draw(st.integers(0, len(labels)))
            keep = draw(st.integers(0, len(dots)))
            middle = tuple(1 if draw(st.integers(0, 3)) == 0 else d for d in dots[len(dots) - keep :])
            term = term[:at] + "..." + term[at:]
            shape = [*shape[:at], *middle, *shape[at:]]
        terms.append(term)
        parts.append((draw(st.booleans()), tuple(shape)))
    if not any(secret for secret, _ in parts):
        parts[0] = (True, parts[0][1])
    letters = sorted({x for t in terms for x in t if x != "."})
    chosen = draw(st.permutations(letters))
    out = "".join(chosen[: draw(st.integers(0, len(letters)))])
    if any("..." in t for t in terms):
        at = draw(st.integers(0, len(out)))
        out = out[:at] + "..." + out[at:]
    text = ",".join(terms)
    if not draw(st.booleans()) or any("..." in t for t in terms):
        text += "->" + out
    total = math.prod(sizes[x] for x in letters) * math.prod(dots)
    if total > largest:
        return draw(problems(largest))
    return text, parts
