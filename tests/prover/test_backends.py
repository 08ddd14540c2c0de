"""The CPU backend against the reference, byte for byte, at tiny and awkward sizes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from prover.backends import cpu, cpu_shapes, reference

P = 2**64 - 2**32 + 1
EDGES = [0, 1, P - 1, 2**32 - 1, 2**32, P - 2**32]
SIZES = [2, 4, 8, 64]


class Maker:
    """Random canonical tables in which every third value is an edge value."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def word(self) -> int:
        return self.random.choice(EDGES) if self.random.random() < 0.33 else self.random.randrange(P)

    def array(self, *shape: int) -> Any:
        count = int(np.prod(shape))
        return np.array([self.word() for _ in range(count)], dtype=np.uint64).reshape(shape)

    def f(self, n: int) -> Any:
        return self.array(n)

    def k(self, n: int) -> Any:
        return self.array(3, n)

    def small(self, n: int) -> Any:
        """Numbers below 2^18, every third at the edge."""
        return np.array([self.random.choice([0, 2**18 - 1, self.random.randrange(2**18)]) for _ in range(n)], np.uint64)

    def table(self, kind: str, n: int) -> Any:
        return self.f(n) if kind == "F" else self.k(n)

    def scalar(self) -> tuple[int, int, int]:
        return self.word(), self.word(), self.word()


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Maker:
    return Maker(sum(map(ord, request.node.name)))


@pytest.fixture(autouse=True)
def _short_ranges(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads share even the smallest tables."""
    monkeypatch.setattr(cpu_shapes, "GRAIN", 1)
    yield
    cpu.set_threads(2)


def each_thread_count() -> Iterator[int]:
    for threads in (1, 2):
        cpu.set_threads(threads)
        yield threads


def same(name: str, *args: Any) -> None:
    """Both backends return equal values of equal types, on one thread and on two."""
    expected = getattr(reference, name)(*args)
    for _ in each_thread_count():
        equal(getattr(cpu, name)(*args), expected)


def equal(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.flags.c_contiguous
        assert a.tobytes() == b.tobytes()
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            equal(x, y)
    else:
        assert a == b


@pytest.mark.parametrize("n", [1, *SIZES, 37])
@pytest.mark.parametrize("kinds", ["FF", "FK", "KF", "KK"])
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_elementwise(make: Maker, name: str, kinds: str, n: int) -> None:
    same(name, make.table(kinds[0], n), make.table(kinds[1], n))


@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_elementwise_on_all_pairs_of_edges(name: str) -> None:
    edges = [*EDGES, 2**63, 2**63 - 1, 2**63 + 2**31, 2**33 - 1, P - 2]
    a, b = (np.array(x, dtype=np.uint64).reshape(-1) for x in np.meshgrid(edges, edges))
    same(name, a, b)
    same(name, np.array([a, b, b]), np.array([b, b, a]))


@pytest.mark.parametrize("kind", ["F", "K"])
@pytest.mark.parametrize("n", SIZES)
def test_scalars_and_folds(make: Maker, kind: str, n: int) -> None:
    same("scale", make.table(kind, n), make.scalar())
    same("fold", make.table(kind, n), make.scalar())


@pytest.mark.parametrize("n", [1, *SIZES, 37])
def test_sums(make: Maker, n: int) -> None:
    for kinds in ("FK", "KF", "KK"):
        same("inner", make.table(kinds[0], n), make.table(kinds[1], n))
    same("total", make.k(n))
    same("lift", make.f(n))


@pytest.mark.parametrize("m", [0, 1, 2, 3, 6, 9])
def test_eq_table(make: Maker, m: int) -> None:
    same("eq_table", [make.scalar() for _ in range(m)])


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kinds", ["F", "K", "FF", "FK", "KF", "KK", "FFF", "FKF", "KFK", "KKF", "KKK"])
def test_round_sums(make: Maker, kinds: str, n: int) -> None:
    same("round_sums", [make.table(kind, n) for kind in kinds])


@pytest.mark.parametrize("n", [1, *SIZES, 37])
def test_accumulate(make: Maker, n: int) -> None:
    coefficient, tensor, old = make.scalar(), make.f(n), make.k(n)
    expected = old.copy()
    reference.accumulate(expected, coefficient, tensor)
    for _ in each_thread_count():
        out = old.copy()
        cpu.accumulate(out, coefficient, tensor)
        equal(out, expected)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 8), (3, 5), (8, 2), (7, 9)])
def test_outer_accumulate(make: Maker, m: int, n: int) -> None:
    a, b, old = make.k(m), make.k(n), make.k(m * n)
    expected = old.copy()
    reference.outer_accumulate(expected, a, b)
    for _ in each_thread_count():
        out = old.copy()
        cpu.outer_accumulate(out, a, b)
        equal(out, expected)


@pytest.mark.parametrize(("r", "n"), [(1, 1), (1, 8), (3, 5), (8, 2), (7, 19), (33, 4)])
def test_contractions(make: Maker, r: int, n: int) -> None:
    same("combine_rows", make.k(r), make.array(r, n))
    same("contract_last", make.array(r, n), make.k(n))
    same("contract_middle", make.array(2, r, n), make.array(3, 2, r))


@pytest.mark.parametrize("m", SIZES)
def test_layers_of_fractions(make: Maker, m: int) -> None:
    same("fraction_layer", make.k(m), make.k(m))
    same("leaf_layer", make.k(m), make.scalar(), make.scalar())
    same("leaf_layer", make.small(m), make.scalar(), make.scalar())


@pytest.mark.parametrize(
    ("groups", "start", "bits"), [(1, 0, 0), (1, 1, 1), (2, 0, 1), (3, 5, 3), (4, 4, 3), (70, 9, 7)]
)
def test_rounds_of_fractions(make: Maker, groups: int, start: int, bits: int) -> None:
    point, n = [make.scalar() for _ in range(bits)], 4 * groups
    tables = make.k(n), make.k(n), make.small(n)
    lam, shift = make.scalar(), make.scalar()

    def rounds(backend: Any) -> list[Any]:
        weights = backend.fraction_weights(point)
        return [
            backend.fraction_round(*tables[:2], weights, start, lam),
            backend.leaf_round(tables[1], shift, weights, start),
            backend.leaf_round(tables[2], shift, weights, start),
        ]

    expected = rounds(reference)
    for _ in each_thread_count():
        equal(rounds(cpu), expected)
    for table in tables:
        same("fraction_fold", table, lam)


@pytest.mark.parametrize(
    ("groups", "start", "bits"), [(1, 0, 0), (1, 1, 1), (2, 0, 1), (3, 5, 3), (4, 4, 3), (70, 9, 7)]
)
def test_the_layer_above_small_leaves(make: Maker, groups: int, start: int, bits: int) -> None:
    point, column = [make.scalar() for _ in range(bits)], make.small(8 * groups)
    constant, beta, lam = make.scalar(), make.scalar(), make.scalar()

    def sums(backend: Any) -> Any:
        return backend.pairs_round(column, constant, beta, backend.fraction_weights(point), start, lam)

    expected = sums(reference)
    for _ in each_thread_count():
        equal(sums(cpu), expected)
    same("pairs_layer", column[: 8 * groups - 4] if groups > 1 else column, constant, beta)
    same("pairs_fold", column, constant, beta, lam)


@pytest.mark.parametrize(("size", "blowup"), [(1, 4), (2, 4), (8, 2), (16, 2)])
@pytest.mark.parametrize("rows", [1, 3, 7, 9])
def test_codes(make: Maker, rows: int, size: int, blowup: int) -> None:
    values = make.array(rows, size)
    mine, plain = cpu.interpolate(values), reference.interpolate(values)
    for extra in (0, 1, size):
        blinds = make.array(rows, extra)
        equal(cpu.coefficients_natural(mine, blinds), reference.coefficients_natural(plain, blinds))
        expected = reference.encode(plain, blinds, blowup)
        for _ in each_thread_count():
            equal(cpu.encode(mine, blinds, blowup), expected)
            equal(cpu.encode_rows(values, blinds, blowup), expected)
    for length in (0, 1, size, 2 * size + 1):
        same("encode_polynomials", make.array(rows, length), size, blowup)


@pytest.mark.parametrize("rows", [1, 7, 300])
def test_hashes(make: Maker, rows: int) -> None:
    salts = np.arange(16 * 32, dtype=np.uint8).reshape(16, 32)
    same("hash_columns", make.array(16, rows), b"\x00label", salts)


@pytest.mark.parametrize("n", [1, 2, 4, 64])
def test_merkle_levels(n: int) -> None:
    same("merkle_levels", np.arange(n * 32, dtype=np.uint64).astype(np.uint8).reshape(n, 32))


def test_count_table() -> None:
    values: list[Any] = [np.array([[0, 5], [5, 7]]), np.array([], np.int32), np.array([7], np.uint16)]
    same("count_table", values, 8)
    for backend in (cpu, reference):
        for bad in (8, -1):
            with pytest.raises(ValueError, match=str(bad)):
                backend.count_table([np.array([1, bad])], 8)
