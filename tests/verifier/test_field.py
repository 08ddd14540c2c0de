"""The field and its extension against vectors from galois, and the multilinear helpers against their definitions."""

from __future__ import annotations

import json
import random
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import pytest

from verifier.field import (
    GENERATOR,
    ONE,
    TWO_ADICITY,
    ZERO,
    Ext,
    P,
    bounded_equality,
    equality,
    equality_table,
    indicator,
    root_of_unity,
    total,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "field.json").read_text())
RNG = random.Random(1)


def ext(coefficients: list[str]) -> Ext:
    a, b, c = map(int, coefficients)
    return Ext((a, b, c))


def random_point(n: int) -> list[Ext]:
    return [Ext((RNG.randrange(P), RNG.randrange(P), RNG.randrange(P))) for _ in range(n)]


def test_the_modulus() -> None:
    assert int(VECTORS["p"]) == P
    assert pow(2, (P - 1) // 3, P) != 1  # 2 is no cube, so that X^3 - 2 is irreducible
    primes = (2, 3, 5, 17, 257, 65537)
    assert prod((2**32, 3, 5, 17, 257, 65537)) == P - 1
    assert all(pow(GENERATOR, (P - 1) // q, P) != 1 for q in primes)


@pytest.mark.parametrize("vector", VECTORS["base"])
def test_base(vector: dict[str, Any]) -> None:
    a, b = int(vector["a"]), int(vector["b"])
    assert (Ext.of(a) + b)[0] == int(vector["sum"])
    assert (Ext.of(a) - b)[0] == int(vector["difference"])
    assert (Ext.of(a) * b)[0] == int(vector["product"])
    if vector["inverse"] is not None:
        assert Ext.of(a).inverse() == Ext.of(int(vector["inverse"]))


@pytest.mark.parametrize("vector", VECTORS["extension"])
def test_extension(vector: dict[str, Any]) -> None:
    a, b = ext(vector["a"]), ext(vector["b"])
    assert a + b == b + a == ext(vector["sum"])
    assert a - b == -(b - a) == ext(vector["difference"])
    assert a * b == b * a == ext(vector["product"])
    if vector["inverse"] is not None:
        assert a.inverse() == ext(vector["inverse"])
        assert a.inverse() * a == ONE


def test_mixed_with_integers() -> None:
    a = random_point(1)[0]
    for k in (0, 1, -1, 5, P - 1, P, P + 3, -P - 2, 2**70):
        assert a + k == k + a == a + Ext.of(k)
        assert a - k == -(k - a) == a - Ext.of(k)
        assert a * k == k * a == a * Ext.of(k)
    assert Ext.of((-1, P, 2**65)) == Ext((P - 1, 0, 2**65 % P))


def test_zero_has_no_inverse() -> None:
    with pytest.raises(ZeroDivisionError):
        ZERO.inverse()


def test_roots_of_unity() -> None:
    assert [root_of_unity(k) for k in range(TWO_ADICITY + 1)] == [int(v) for v in VECTORS["roots_of_unity"]]
    for k in range(1, TWO_ADICITY + 1):
        assert root_of_unity(k) ** 2 % P == root_of_unity(k - 1)
        assert pow(root_of_unity(k), 1 << (k - 1), P) == P - 1
    for k in (-1, TWO_ADICITY + 1):
        with pytest.raises(ValueError, match="two-adicity"):
            root_of_unity(k)


@pytest.mark.parametrize("n", range(5))
def test_equality(n: int) -> None:
    x, y = random_point(n), random_point(n)
    corners = [[Ext.of(bit) for bit in bits] for bits in product((0, 1), repeat=n)]
    by_definition = [prod((a if b == ONE else ONE - a for a, b in zip(x, corner, strict=True)), start=ONE)
                     for corner in corners]
    assert equality_table(x) == by_definition == [equality(x, corner) for corner in corners]
    assert total(by_definition) == ONE
    other = equality_table(y)
    for size in range(2**n + 1):
        assert equality_table(x, size) == by_definition[:size] or size == 0
        assert indicator(x, size) == total(by_definition[:size])
        assert bounded_equality(x, y, size) == total(
            a * b for a, b in zip(by_definition[:size], other[:size], strict=True))


def test_points_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="2 and 3"):
        equality(random_point(2), random_point(3))
