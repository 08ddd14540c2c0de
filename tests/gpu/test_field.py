"""field.cuh, compiled for the host, against the extension field of galois and Python's integers."""

from __future__ import annotations

import ctypes
import random

import numpy as np
import pytest

from prover.backends import reference

from .emulation import library

P = 2**64 - 2**32 + 1
EDGES = [0, 1, 2, 7, 2**31, 2**32 - 2, 2**32 - 1, 2**32, 2**32 + 1, 2**33 - 1, 2**63 - 1, 2**63, 2**63 + 2**31,
         P - 2**33, P - 2**32 - 1, P - 2**32, P - 2**32 + 1, P - 2**31, P - 2, P - 1]
ADD, SUB, MUL, SCALE, BASE_MUL, POWER, REDUCE = range(7)


def on_host(operation: int, a, b):
    """field.cuh on elements of K, uint64[n, 3] each."""
    a, b = (np.ascontiguousarray(x, dtype=np.uint64) for x in (a, b))
    out = np.empty_like(a)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (a, b, out)]
    library().field_operation(operation, *pointers, ctypes.c_ulonglong(len(a)))
    return out


def sum_on_host(base: bool, a, b) -> tuple[int, ...]:
    a, b = (np.ascontiguousarray(x, dtype=np.uint64) for x in (a, b))
    out = np.empty(3, dtype=np.uint64)
    library().field_sum(base, *(ctypes.c_void_p(x.ctypes.data) for x in (a, b, out)), ctypes.c_ulonglong(len(a)))
    return tuple(out.tolist())


def pairs_of_edges():
    """Every pair of edge values, as elements of K whose three words are rotated against each other."""
    x, y = (grid.reshape(-1) for grid in np.meshgrid(np.array(EDGES, np.uint64), np.array(EDGES, np.uint64)))
    return np.stack([x, np.roll(x, 1), np.roll(y, 2)], 1), np.stack([y, np.roll(y, 7), np.roll(x, 5)], 1)


def random_elements(seed: int, n: int = 500):
    pick = random.Random(seed)
    word = lambda: pick.choice(EDGES) if pick.random() < 0.25 else pick.randrange(P)  # noqa: E731
    return np.array([[word(), word(), word()] for _ in range(n)], dtype=np.uint64).reshape(n, 3)


@pytest.fixture(params=["edges", "random"])
def operands(request):
    return pairs_of_edges() if request.param == "edges" else (random_elements(1), random_elements(2))


@pytest.mark.parametrize(("operation", "name"), [(ADD, "add"), (SUB, "sub"), (MUL, "mul")])
def test_the_extension_field(operands, operation, name):
    a, b = operands
    expected = getattr(reference, name)(np.ascontiguousarray(a.T), np.ascontiguousarray(b.T))
    assert (on_host(operation, a, b) == expected.T).all()


def test_products_with_the_base_field(operands):
    a, b = operands
    lifted = b * np.array([1, 0, 0], dtype=np.uint64)
    assert (on_host(SCALE, a, b) == on_host(MUL, a, lifted)).all()
    expected = [[x * y % P for x, y in zip(*rows, strict=True)] for rows in zip(a.tolist(), b.tolist(), strict=True)]
    assert on_host(BASE_MUL, a, b).tolist() == expected


def test_powers(operands):
    a, b = operands
    expected = [[pow(x, y, P) for x, y in zip(*rows, strict=True)] for rows in zip(a.tolist(), b.tolist(), strict=True)]
    assert on_host(POWER, a, b).tolist() == expected


def test_reduction_of_any_two_words():
    """The low word may be anything; the high one too."""
    words = np.array([*EDGES, 2**64 - 1, 2**64 - 2**32, P, P + 1], dtype=np.uint64)
    low, high = (grid.reshape(-1, 1).repeat(3, axis=1) for grid in np.meshgrid(words, words))
    expected = [[(x + (y << 64)) % P for x, y in zip(*rows, strict=True)]
                for rows in zip(low.tolist(), high.tolist(), strict=True)]
    assert on_host(REDUCE, low, high).tolist() == expected


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_unreduced_sums(n):
    """The largest words fill the upper words of the sums."""
    for a, b in ((random_elements(3, n), random_elements(4, n)), (np.full((n, 3), P - 1), np.full((n, 3), P - 1))):
        x, y = (np.ascontiguousarray(np.array(t, dtype=np.uint64).T) for t in (a, b))
        assert sum_on_host(False, a, b) == reference.inner(x, y)
        assert sum_on_host(True, a, b) == reference.inner(x, np.ascontiguousarray(y[0]))
