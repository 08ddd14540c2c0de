"""Straight-line helpers: what they write into a kernel computes what Python does with integers mod 2^64."""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import random
from typing import Any

import numba
import numpy as np
import pytest

from prover.backends.cpu_lanes import U
from prover.backends.cpu_simd import evens, exceeds, half_product, highs, load, lows, odds, single, splat, store
from prover.backends.cpu_straight import straight

njit: Any = numba.njit
WORD = 2**64


def words(seed: int, n: int) -> Any:
    edges = [0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
    source = random.Random(seed)
    return np.array([source.choice([*edges, source.randrange(WORD)]) for _ in range(n)], dtype=np.uint64)


@straight
def mixed(x, y):
    return (x + y, x - y, (x & y, x | y, x ^ y)), U(3) - x, (x << 5) + (y >> 7)


@straight
def nested(x, y, k):
    (a, b, (c, d, e)), f, g = mixed(x, y)
    return a * b + (c ^ (d - e)) + f + g * k


@njit
def on_words(x, y, out):
    for i in range(x.shape[0]):
        out[i] = nested(x[i], y[i], 11)


@njit
def on_lanes(x, y, out):
    for i in range(U(0), U(x.shape[0]), U(4)):
        store(out, i, nested(load(x, i), load(y, i), splat(U(11))))


def expected(x: int, y: int) -> int:
    return ((x + y) * (x - y) + ((x & y) ^ ((x | y) - (x ^ y))) + 3 - x + ((x << 5) + (y >> 7)) * 11) % WORD


@pytest.mark.parametrize("kernel", [on_words, on_lanes])
def test_operations_are_those_of_integers(kernel: Any) -> None:
    x, y, out = words(1, 64), words(2, 64), np.zeros(64, dtype=np.uint64)
    kernel(x, y, out)
    assert out.tolist() == [expected(int(a), int(b)) for a, b in zip(x, y, strict=True)]


@straight
def shape_and_place(table, out):
    n = U(table.shape[1])
    for k in range(2):
        store(out, U(4 * k), load(table, n) + splat(single(table, k)))
    store(out, 8, splat(n))


def test_shapes_places_and_fixed_loops() -> None:
    table, out = words(3, 24).reshape(2, 12), np.zeros(12, dtype=np.uint64)
    njit(lambda table, out: shape_and_place(table, out))(table, out)
    first, second = (table[1, :4] + table[0, k] for k in range(2))
    assert out.tolist() == [*first.tolist(), *second.tolist(), 12, 12, 12, 12]


@njit
def primitives(x, y, out):
    a, b = load(x, U(0)), load(y, U(0))
    found = half_product(a, b), exceeds(a, b), evens(a, b), odds(a, b), lows(a, b), highs(a, b)
    for k in range(6):
        store(out, U(4 * k), found[k])


def test_what_lanes_are_made_of() -> None:
    x, y, out = words(4, 4), words(5, 4), np.zeros(24, dtype=np.uint64)
    primitives(x, y, out)
    a, b = x.tolist(), y.tolist()
    products = [(u % 2**32) * (v % 2**32) for u, v in zip(a, b, strict=True)]
    larger = [WORD - 1 if u > v else 0 for u, v in zip(x.view(np.int64), y.view(np.int64), strict=True)]
    shuffled = [a[0], a[2], b[0], b[2], a[1], a[3], b[1], b[3], a[0], a[1], b[0], b[1], a[2], a[3], b[2], b[3]]
    assert out.tolist() == [*products, *larger, *shuffled]
