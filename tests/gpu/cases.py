"""What is asked of a backend, as data: every method at tiny, odd and larger sizes, with seeded inputs.

A case takes a backend and returns its results as host arrays and triples, so that the same list compares the emulated
device, a real one and the CPU.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prover import exact

P = 2**64 - 2**32 + 1
EDGES = [0, 1, P - 1, 2**32 - 1, 2**32, P - 2**32, 2**63]


@dataclass(frozen=True)
class Case:
    """A name, and what to do with a backend."""

    name: str
    run: Callable[[Any], list[Any]]


class Maker:
    """Random canonical tables in which every third value is an edge value, the same for the same name."""

    def __init__(self, name: str) -> None:
        self.numpy = np.random.default_rng(list(name.encode()))
        self.random = random.Random(name)

    def array(self, *shape: int) -> Any:
        words = self.numpy.integers(0, P, size=shape, dtype=np.uint64)
        edges = np.array(EDGES, dtype=np.uint64)[self.numpy.integers(0, len(EDGES), size=shape)]
        return np.where(self.numpy.random(shape) < 0.33, edges, words)

    def table(self, kind: str, n: int) -> Any:
        return {"F": lambda: self.array(n), "K": lambda: self.array(3, n), "S": lambda: self.small(n)}[kind]()

    def small(self, n: int) -> Any:
        return self.numpy.integers(0, 2**18, size=n, dtype=np.uint64)

    def scalar(self) -> tuple[int, int, int]:
        a, b, c = (self.random.choice([self.random.randrange(P), *EDGES]) for _ in range(3))
        return a, b, c

    def point(self, m: int) -> list[tuple[int, int, int]]:
        return [self.scalar() for _ in range(m)]

    def digests(self, n: int) -> Any:
        return self.numpy.integers(0, 256, size=(n, 32), dtype=np.uint8)


def results(backend: Any, *values: Any) -> list[Any]:
    """Tables as host arrays; triples, lists and host arrays as they are."""
    out: list[Any] = []
    for value in values:
        if isinstance(value, tuple | list) and value and not isinstance(value[0], int):
            out += results(backend, *value)
        else:
            out.append(value if isinstance(value, int | tuple | list) else np.asarray(backend.host(value)))
    return out


def _case(name: str, body: Callable[[Any, Maker], Any]) -> Case:
    return Case(name, lambda backend: results(backend, body(backend, Maker(name))))


def memory(n: int) -> Case:
    def body(g: Any, make: Maker) -> Any:
        a, b = make.array(n), make.array(3, n)
        signed = make.numpy.integers(-(2**62), 2**62, size=n)
        view = g.zeros(3, 2 * n)
        view[:, :n] = b
        view[1, n:] = a
        view[2, n:] = P - 1
        return [g.zeros(3, n), g.field(signed), g.join([a, g.field(signed), view]), g.repeat(b, 3), g.tile(b, 3), view,
                g.add(view[:, n:], view[:, :n]), (g.largest(a),), g.lift(a), g.scale(view.reshape(3, 2 * n), (1, 2, 3))]
    return _case(f"memory {n}", body)


def elementwise(n: int) -> Case:
    def body(g: Any, make: Maker) -> Any:
        out = []
        for kinds in ("FF", "FK", "KF", "KK"):
            a, b = (make.table(kind, n) for kind in kinds)
            out += [g.add(a, b), g.sub(a, b), g.mul(a, b), g.scale(a, make.scalar())]
        return out
    return _case(f"elementwise {n}", body)


def sums(n: int) -> Case:
    def body(g: Any, make: Maker) -> Any:
        pairs = [[make.table(kind, n) for kind in kinds] for kinds in ("FK", "KF", "KK")]
        return [*(g.inner(*pair) for pair in pairs), g.total(make.array(3, n))]
    return _case(f"sums {n}", body)


ROUNDS = ("F", "K", "FF", "FK", "KF", "KK", "FFF", "FKF", "KFK", "KKF", "KKK")


def multilinear(n: int, kinds: tuple[str, ...] = ROUNDS) -> Case:
    def body(g: Any, make: Maker) -> Any:
        out = [g.fold(make.table(kind, n), make.scalar()) for kind in "FK"]
        return out + [g.round_sums([make.table(kind, n) for kind in chosen]) for chosen in kinds]
    return _case(f"multilinear {n}", body)


def eq(m: int) -> Case:
    return _case(f"eq {m}", lambda g, make: [g.eq_table(make.point(m))])


def batching(m: int, n: int) -> Case:
    def body(g: Any, make: Maker) -> Any:
        out = g.zeros(3, m * n)
        out[:] = make.array(3, m * n)
        g.outer_accumulate(out, make.array(3, m), make.array(3, n))
        g.accumulate(out, make.scalar(), make.array(m * n))
        last = g.contract_last(make.array(m, n), make.array(3, n))
        middle = g.contract_middle(make.array(2, m, n), make.array(3, 2, m))
        return [out, g.combine_rows(make.array(3, m), make.array(m, n)), last, middle]
    return _case(f"batching {m} x {n}", body)


def row_sums(m: int, n: int) -> Case:
    """So many rows that parts of them are summed first."""
    return _case(f"row sums {m} x {n}", lambda g, make: [g.combine_rows(make.array(3, m), make.array(m, n))])


def layers(m: int) -> Case:
    def body(g: Any, make: Maker) -> Any:
        return [g.fraction_layer(make.array(3, m), make.array(3, m)),
                *(g.leaf_layer(make.table(kind, m), make.scalar(), make.scalar()) for kind in "SK")]
    return _case(f"layers {m}", body)


def rounds(groups: int, start: int, bits: int) -> Case:
    def body(g: Any, make: Maker) -> Any:
        weights, n = g.fraction_weights(make.point(bits)), 4 * groups
        p, q, small, r = make.array(3, n), make.array(3, n), make.small(n), make.scalar()
        return [g.fraction_round(p, q, weights, start, r), g.leaf_round(small, r, weights, start),
                g.leaf_round(p, r, weights, start), g.fraction_fold(p, r), g.fraction_fold(small, r)]
    return _case(f"rounds {groups} from {start} of 2^{bits}", body)


def pairs(groups: int, start: int, bits: int) -> Case:
    def body(g: Any, make: Maker) -> Any:
        weights, column, (c, beta, r) = g.fraction_weights(make.point(bits)), make.small(8 * groups), make.point(3)
        return [g.pairs_layer(column, c, beta), g.pairs_round(column, c, beta, weights, start, r),
                g.pairs_fold(column, c, beta, r)]
    return _case(f"layer above {groups} groups of leaves from {start} of 2^{bits}", body)


def codes(bits: int, rows: int, extra: int, blowup: int) -> Case:
    def body(g: Any, make: Maker) -> Any:
        blinds = make.array(rows, extra)
        coefficients = g.interpolate(make.array(rows, 1 << bits))
        codeword = g.encode(coefficients, blinds, blowup)
        longer = make.array(rows, (2 << bits) + 1)
        places = [0, (blowup << bits) - 1, (blowup << bits) // 2]
        again = g.encode_rows(make.array(rows, 1 << bits), blinds, blowup)
        return [codeword, again, g.coefficients_natural(coefficients, blinds), g.columns(codeword, places),
                g.encode_polynomials(longer, 1 << bits, blowup), g.encode_polynomials(longer[:, :1], 1 << bits, 1),
                g.encode_polynomials(longer[:, :0], 1 << bits, 1)]
    return _case(f"codes 2^{bits} x {rows}, {extra} blinds, {blowup} cosets", body)


def hashes(rows: int, prefix: int) -> Case:
    def body(g: Any, make: Maker) -> Any:
        return [g.hash_columns(make.array(5, rows), bytes(range(prefix)), make.digests(5))]
    return _case(f"hashes of {rows} words after {prefix} bytes", body)


def tree(n: int) -> Case:
    return _case(f"tree of {n}", lambda g, make: [g.merkle_levels(make.digests(n))])


def counts(size: int) -> Case:
    def body(g: Any, make: Maker) -> Any:
        values = [make.numpy.integers(0, size, size=(7, 90)), np.array([], np.int32), np.array([size - 1], np.uint16)]
        return [g.count_table(values, size)]
    return _case(f"counts below {size}", body)


def products(m: int, k: int, n: int, left: int, right: int) -> Case:
    """Integers of up to `left` and `right` bits, the largest magnitudes among them; also of transposed matrices."""
    def body(g: Any, make: Maker) -> Any:
        def integers(bits: int, *shape: int) -> Any:
            values = make.numpy.integers(-(1 << bits), 1 << bits, size=shape)
            values[0, -1], values[-1, 0] = -(1 << bits), (1 << bits) - 1
            return values
        a, b = g.integers(integers(left, m, k)), g.integers(integers(right, k, n))
        turned = [g.integers(np.ascontiguousarray(exact.on_host(x).T)) for x in (a, b)]
        pairs = ((a, b), (turned[0].T, b), (a, turned[1].T), (b.T, a.T))
        return [exact.on_host(exact.matmul_exact(*pair)) for pair in pairs]
    return _case(f"products {m} x {k} x {n} of {left} and {right} bits", body)


def integers(m: int, n: int) -> Case:
    """The arithmetic of training but for products, on values of up to 40 bits, and on parts of larger arrays."""
    def body(g: Any, make: Maker) -> Any:
        values = make.numpy.integers(-(1 << 40), 1 << 40, size=(m, 2 * n))
        whole, factor = g.integers(values), make.numpy.integers(-9, 9, size=n)
        row, part = exact.beside(whole, factor), whole[:, n:]
        table = g.integers(make.array(3, m * n) >> np.uint64(1))
        places = exact.beside(whole, make.numpy.integers(0, m, size=(2, 5)))
        cube = (part >> 15).reshape(1, m, n)
        blank = exact.zeros_beside(whole, (2, m, n))
        blank[1] = part
        found = [part + row, part - part, row * 3 + 7, part * row, part << 9, part >> 9, part & 1023, -5 * part,
                 part * -(1 << 10), *exact.round_half_up(part, 1), *exact.round_half_up(part, 37),
                 exact.positive(part), exact.take(part, places), exact.square_sums(cube), exact.square_sums(part >> 20),
                 exact.square_sums(cube, rows=True),
                 exact.combined([3, -(1 << 20)], blank), blank, part.T + 0, g.integers(whole), table]
        ends = [exact.extremes(x) for x in (whole, part, row, part.T, whole[:0])]
        return [g.field(part), g.count_table([part & 63, row + 9], 64), ends, [exact.on_host(x) for x in found]]
    return _case(f"integers {m} x {n}", body)


def smallest() -> list[Case]:
    """A few sizes that use every kernel, with more than one block and blocks that are not full."""
    return [memory(3), elementwise(300), sums(300), multilinear(2), multilinear(600, ("K", "FK", "KFK")), eq(0),
            eq(3), eq(11), row_sums(130, 300), batching(3, 100), layers(2), layers(600), rounds(1, 0, 0),
            rounds(300, 5, 9), pairs(1, 1, 1), pairs(70, 9, 7), codes(0, 1, 1, 2), codes(3, 17, 3, 2), hashes(0, 0),
            hashes(33, 3), tree(1), tree(2), tree(2048), counts(50), products(3, 17, 65, 30, 12), integers(3, 130)]


def all_cases() -> list[Case]:
    """Sizes around one thread, one block and one tile, and depths of transforms with one pass, two and three."""
    lengths = [1, 2, 37, 255, 256, 257, 1000]
    out = [*(make(n) for make in (memory, elementwise, sums) for n in lengths),
           *(multilinear(n) for n in (2, 4, 64, 510, 512, 514)), *(eq(m) for m in (0, 1, 2, 5, 8, 9, 10, 11, 12)),
           *(batching(m, n) for m, n in ((1, 1), (1, 8), (3, 5), (8, 2), (7, 300), (300, 7), (130, 1))),
           *(row_sums(*sizes) for sizes in ((0, 3), (128, 1), (6401, 2), (130, 300))),
           *(layers(m) for m in (2, 6, 64, 1030)),
           *(rounds(*sizes) for sizes in ((1, 0, 0), (1, 1, 1), (2, 0, 1), (3, 5, 3), (70, 9, 7), (400, 100, 9))),
           *(pairs(*sizes) for sizes in ((1, 0, 0), (3, 5, 3), (130, 9, 8))),
           *(codes(bits, rows, min(5, 1 << bits), 4) for bits in (0, 1, 2, 5, 8) for rows in (1, 15, 16, 33)),
           *(codes(bits, 3, 9, 2) for bits in (9, 11)), codes(3, 2, 0, 2), codes(3, 2, 8, 2),
           *(hashes(rows, prefix) for rows in (0, 1, 3, 7, 8, 40) for prefix in (0, 1, 2, 3, 22, 31, 32, 63, 64)),
           *(tree(n) for n in (1, 2, 4, 1024, 2048, 4096)), *(counts(size) for size in (1, 50, 1 << 16)),
           *(integers(*sizes) for sizes in ((1, 1), (1, 257), (2, 128), (300, 1), (5, 100), (130, 300))),
           *(products(*sizes) for sizes in ((1, 1, 1, 30, 30), (64, 16, 64, 12, 12), (65, 40, 66, 13, 40),
                                            (3, 1000, 5, 25, 25), (7, 9, 8, 28, 28), (5, 64, 130, 45, 9)))]
    return out


def on_device() -> list[Case]:
    """Sizes that fill a device, too long for the emulation."""
    n = 1 << 20
    return [elementwise(n + 1), sums(n + 1), multilinear(n + 2), eq(20), batching(1 << 10, 1 << 10), layers(n + 2),
            rounds(1 << 18, 77, 19), codes(16, 40, 200, 4), codes(18, 3, 200, 2), hashes(10_000, 9), tree(1 << 16),
            counts(1 << 18), integers(1000, 2000), products(64, 1024, 1024, 13, 30), products(1024, 64, 1024, 12, 13)]
