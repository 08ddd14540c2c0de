"""The CPU backend at sizes where blocks, chunks and threads come into play, against Python's integers."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from prover.backends import cpu, cpu_sha, memory

P = 2**64 - 2**32 + 1
# The largest element, and the two with the most ones in every limb and half that the kernels cut words into.
HEAVY = [P - 1, 2**64 - 2**33 - 1, 2**64 - 2**32 - 1]
Element = tuple[int, int, int]


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    yield
    cpu.set_threads(2)


def uniform(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, P, size=shape, dtype=np.uint64)


def heavy(*shape: int) -> Any:
    return np.resize(np.array(HEAVY[::-1], dtype=np.uint64), shape)


def times(a: Element, b: Element) -> Element:
    c = [0] * 5
    for i, j in itertools.product(range(3), range(3)):
        c[i + j] += a[i] * b[j]
    return (c[0] + 2 * c[3]) % P, (c[1] + 2 * c[4]) % P, c[2] % P


def plus(*terms: Element) -> Element:
    c0, c1, c2 = (sum(column) % P for column in zip(*terms, strict=True))
    return c0, c1, c2


def line(lo: Element, hi: Element, x: int) -> Element:
    c0, c1, c2 = (((1 - x) * u + x * v) % P for u, v in zip(lo, hi, strict=True))
    return c0, c1, c2


def elements(table: Any) -> list[Element]:
    """An F or K table as triples."""
    if table.ndim == 1:
        return [(v, 0, 0) for v in table.tolist()]
    return list(zip(*table.tolist(), strict=True))


def test_round_sums_of_every_chunk() -> None:
    # 2 x 516 pairs: more than a flush of the sums (256 pairs), and not a whole number of them.
    n = 1032
    for tables in (
        [heavy(3, n), heavy(3, n)],
        [heavy(3, n), heavy(3, n), heavy(3, n)],
        [heavy(n), heavy(3, n), heavy(3, n)],
        [heavy(n), heavy(n), heavy(3, n)],
        [uniform(1, n), uniform(2, 3, n)],
    ):
        values = [elements(t) for t in tables]
        expected = []
        for x in [0, *range(2, len(tables) + 1)]:
            total = (0, 0, 0)
            for i in range(n // 2):
                product = (1, 0, 0)
                for v in values:
                    product = times(product, line(v[i], v[i + n // 2], x))
                total = plus(total, product)
            expected.append(total)
        assert cpu.round_sums(tables) == expected


@pytest.mark.parametrize("make", [heavy, lambda *shape: uniform(3, *shape)])
def test_fraction_round(make: Any) -> None:
    # 516 indices of x: eight chunks of weights and a part of one, from an index that begins no chunk.
    m, start, lam = 516, 7, (P - 1, 2**64 - 2**32 - 1, 5)
    p, q = make(3, 4 * m), make(3, 4 * m)
    point = [tuple(c) for c in make(10, 3).tolist()]
    eq = elements(cpu.eq_table(point))[start : start + m]
    expected = []
    for x in (0, 2):
        total = (0, 0, 0)
        for i, e in enumerate(eq):
            (a, b), (c, d) = ([line(t[4 * i + k], t[4 * i + 2 + k], x) for k in (0, 1)] for t in map(elements, (p, q)))
            total = plus(total, times(e, plus(times(a, d), times(b, c), times(lam, times(c, d)))))
        expected.append(total)
    assert cpu.fraction_round(p, q, cpu.fraction_weights(point), start, lam) == tuple(expected)


@pytest.mark.parametrize("column", [np.full(4 * 516, 2**18 - 1, dtype=np.uint64), heavy(3, 4 * 516)])
def test_leaf_round(column: Any) -> None:
    start, shift, point = 7, (P - 1, 2**64 - 2**32 - 1, 5), [tuple(c) for c in heavy(10, 3).tolist()]
    eq, a = elements(cpu.eq_table(point))[start : start + 516], elements(column)
    expected = []
    for x in (0, 2):
        pairs = [[line(a[4 * i + k], a[4 * i + 2 + k], x) for k in (0, 1)] for i in range(516)]
        less = [[plus(v, tuple(-s for s in shift)) for v in pair] for pair in pairs]
        expected.append(plus(*(times(e, times(*pair)) for e, pair in zip(eq, less, strict=True))))
    assert cpu.leaf_round(column, shift, cpu.fraction_weights(point), start) == tuple(expected)


def test_layers_and_folds() -> None:
    n, r = 2056, (2**64 - 2**32 - 1, P - 1, 3)
    p, q = heavy(3, n), uniform(4, 3, n)
    (ps, qs), h = (elements(p), elements(q)), n // 2
    p_out, q_out = cpu.fraction_layer(p, q)
    assert elements(p_out) == [plus(times(ps[2 * i], qs[2 * i + 1]), times(ps[2 * i + 1], qs[2 * i])) for i in range(h)]
    assert elements(q_out) == [times(qs[2 * i], qs[2 * i + 1]) for i in range(h)]
    pairs = [(4 * y + child, 4 * y + 2 + child) for y in range(n // 4) for child in (0, 1)]
    folded = [plus(times(line((1, 0, 0), (1 - r[0], -r[1], -r[2]), 1), ps[i]), times(r, ps[j])) for i, j in pairs]
    assert elements(cpu.fraction_fold(p, r)) == folded
    small = np.arange(n, dtype=np.uint64) << np.uint64(6)
    lifted, one = cpu.lift(small), cpu.lift(np.ones(n, dtype=np.uint64))
    leaves = cpu.sub(cpu.mul(one, np.repeat(np.array(r, dtype=np.uint64)[:, None], n, axis=1)), cpu.scale(lifted, r))
    for column in (small, lifted):
        for made, expected in zip(cpu.leaf_layer(column, r, r), cpu.fraction_layer(one, leaves), strict=True):
            assert (made == expected).all()
    one_minus_r = line((1, 0, 0), (1 - r[0], -r[1], -r[2]), 1)
    assert elements(cpu.fold(p, r)) == [plus(times(one_minus_r, ps[i]), times(r, ps[i + h])) for i in range(h)]
    assert elements(cpu.mul(p, q)) == [times(a, b) for a, b in zip(ps, qs, strict=True)]
    assert cpu.inner(p, q) == plus(*(times(a, b) for a, b in zip(ps, qs, strict=True)))


def test_contractions_beyond_the_terms_of_a_column() -> None:
    # Columns are reduced after 128 terms and would overflow within 1100; blocks have 128 columns.
    rows, weights = heavy(1100, 132), heavy(3, 1100)
    ws = elements(weights)
    combined = [plus(*(times(w, (v, 0, 0)) for w, v in zip(ws, c, strict=True))) for c in rows.T.tolist()]
    assert elements(cpu.combine_rows(weights, rows)) == combined
    long, weights = heavy(2, 4400), heavy(3, 4400)
    ws = elements(weights)
    contracted = [plus(*(times(w, (v, 0, 0)) for w, v in zip(ws, r, strict=True))) for r in long.tolist()]
    assert elements(cpu.contract_last(long, weights)) == contracted


def test_eq_table_sums_to_one() -> None:
    point = [tuple(c) for c in uniform(5, 12, 3).tolist()]
    assert cpu.total(cpu.eq_table(point)) == (1, 0, 0)


def horner(coefficients: list[int], x: int) -> int:
    value = 0
    for c in reversed(coefficients):
        value = (value * x + c) % P
    return value


@pytest.mark.parametrize("log_size", [6, 7, 8, 9, 10, 11])
def test_codes_of_every_depth_of_blocks(log_size: int) -> None:
    size, rows, blowup, extra = 2**log_size, 5, 4, 9
    values, blinds = uniform(log_size, rows, size), uniform(7, rows, extra)
    values[0] = heavy(size)
    coefficients = cpu.interpolate(values)
    natural = cpu.coefficients_natural(coefficients, blinds)
    codeword = cpu.encode(coefficients, blinds, blowup)
    w, zeta = pow(7, (P - 1) // size, P), pow(7, (P - 1) // (size * blowup), P)
    pick = random.Random(log_size)
    for _ in range(12):
        row, c, i = pick.randrange(rows), pick.randrange(blowup), pick.randrange(size)
        polynomial = natural[row].tolist()
        assert horner(polynomial, pow(w, i, P)) == values[row, i]
        assert horner(polynomial, 7 * pow(zeta, c, P) * pow(w, i, P) % P) == codeword[c * size + i, row]
    assert (cpu.encode_polynomials(natural, size, blowup) == codeword).all()


def test_same_bytes_on_one_thread_and_two() -> None:
    n = 2**15
    flat_p, flat_q, f, r = uniform(1, 3, 2 * n), uniform(2, 3, 2 * n), uniform(4, 2 * n), (1, 2, P - 3)
    small, point = f >> np.uint64(46), [tuple(c) for c in uniform(3, 14, 3).tolist()]
    rows = uniform(5, 19, 1024)

    def run(threads: int) -> list[bytes]:
        cpu.set_threads(threads)
        codeword = cpu.encode(cpu.interpolate(rows), rows[:, :3], 2)
        salts = np.zeros((2048, 32), dtype=np.uint8)
        results = [
            *cpu.fraction_layer(flat_p, flat_q),
            cpu.fraction_fold(flat_p, r),
            *cpu.fraction_round(flat_p, flat_q, cpu.fraction_weights(point), 0, r),
            *cpu.leaf_round(flat_p, r, cpu.fraction_weights(point), 0),
            *cpu.leaf_round(small, r, cpu.fraction_weights(point), 0),
            *cpu.leaf_layer(small, r, r),
            *cpu.round_sums([flat_p, f, flat_q]),
            cpu.inner(f, flat_q),
            cpu.total(flat_p),
            cpu.scale(f, r),
            cpu.fold(f, r),
            cpu.mul(flat_p, flat_q),
            cpu.add(f, flat_q),
            cpu.combine_rows(uniform(6, 3, 19), rows),
            cpu.contract_last(rows, uniform(7, 3, 1024)),
            codeword,
            cpu.hash_columns(codeword, b"x", salts),
        ]
        return [r.tobytes() if isinstance(r, np.ndarray) else repr(r).encode() for r in results]

    assert run(1) == run(2)


@pytest.mark.parametrize("instructions", [cpu_sha.available(), False])
@pytest.mark.parametrize(("count", "words"), [(1, 1), (4, 257), (131, 3), (131, 8)])
def test_hash_columns_of_a_prefix_salt_and_column(
    monkeypatch: pytest.MonkeyPatch, instructions: bool, count: int, words: int
) -> None:
    monkeypatch.setattr(cpu_sha, "available", lambda: instructions)
    codeword, salts = uniform(8, count, words), uniform(9, count, 4).view(np.uint8)
    for prefix in (b"", b"\x00label", bytes(64)):
        leaves = cpu.hash_columns(codeword, prefix, salts)
        for leaf, salt, column in zip(leaves, salts, codeword, strict=True):
            assert leaf.tobytes() == hashlib.sha256(prefix + salt.tobytes() + column.tobytes()).digest()


@pytest.mark.parametrize("instructions", [cpu_sha.available(), False])
def test_merkle_levels_by_instructions_and_by_hashlib(monkeypatch: pytest.MonkeyPatch, instructions: bool) -> None:
    monkeypatch.setattr(cpu_sha, "available", lambda: instructions)
    levels = cpu.merkle_levels(uniform(10, 512, 4).view(np.uint8))
    for level, above in itertools.pairwise(levels):
        for k, node in enumerate(above):
            assert node.tobytes() == hashlib.sha256(b"\x01" + level[2 * k : 2 * k + 2].tobytes()).digest()


def test_a_dropped_array_is_used_again_and_a_viewed_one_is_not() -> None:
    array = memory.empty(3, 50_000)
    address, view = array.ctypes.data, array[1, 10:]
    del array
    assert memory.empty(3, 50_000).ctypes.data != address
    del view
    assert memory.empty(3, 50_000).ctypes.data == address


def test_slices_and_read_only_tables_are_taken() -> None:
    wide, r = uniform(1, 3, 4, 16), (1, 2, 3)
    frozen = wide[:, 1].copy()
    frozen.setflags(write=False)
    for part in (wide[:, 1], frozen):
        assert (cpu.fold(part, r) == cpu.fold(wide[:, 1].copy(), r)).all()
        assert cpu.inner(part, part) == cpu.inner(wide[:, 1].copy(), wide[:, 1].copy())
    rows = wide[:, 2]
    codeword = cpu.encode(cpu.interpolate(rows), rows[:, :3], 2)
    assert (codeword == cpu.encode(cpu.interpolate(rows.copy()), rows[:, :3].copy(), 2)).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: cpu.fold(uniform(1, 7), (1, 2, 3)),
        lambda: cpu.add(uniform(1, 4), uniform(1, 8)),
        lambda: cpu.round_sums([uniform(1, 4)] * 4),
        lambda: cpu.combine_rows(uniform(1, 3, 2), uniform(1, 3, 4)),
        lambda: cpu.contract_last(uniform(1, 3, 4), uniform(1, 3, 5)),
        lambda: cpu.contract_middle(uniform(1, 2, 3, 4), uniform(1, 3, 2, 4)),
        lambda: cpu.interpolate(uniform(1, 2, 6)),
        lambda: cpu.encode(cpu.interpolate(uniform(1, 2, 4)), uniform(1, 2, 5), 2),
        lambda: cpu.merkle_levels(np.zeros((3, 32), dtype=np.uint8)),
        lambda: cpu.set_threads(0),
        lambda: cpu.fold(np.arange(8), (1, 2, 3)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call: Any) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        call()
