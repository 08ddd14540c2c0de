"""The plain backend: every function written out over galois's GF(p) and GF(p^3), for tiny sizes only.

It is the independent oracle that the fast backends are compared with, byte for byte, and so it shares no
arithmetic with them: K is galois's own extension field of F by X^3 - 2, and polynomials are evaluated, not
transformed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import galois
import numpy as np
from numpy.typing import NDArray

from prover.backends.host import (
    columns,
    each,
    field,
    fields,
    host,
    integers,
    join,
    largest,
    repeat,
    short_length,
    slice_length,
    tile,
)
from prover.backends.interface import GENERATOR, MODULUS, Backend, Digests, Scalar, Table, Triple
from prover.backends.memory import empty, release, zeros

__all__ = [
    "BACKEND",
    "accumulate",
    "add",
    "coefficients_natural",
    "columns",
    "combine_rows",
    "contract_last",
    "contract_middle",
    "count_table",
    "each",
    "empty",
    "encode",
    "encode_polynomials",
    "encode_rows",
    "eq_table",
    "field",
    "fields",
    "fold",
    "fraction_fold",
    "fraction_layer",
    "fraction_round",
    "fraction_weights",
    "hash_columns",
    "host",
    "inner",
    "integers",
    "interpolate",
    "join",
    "largest",
    "leaf_layer",
    "leaf_round",
    "lift",
    "merkle_levels",
    "mul",
    "outer_accumulate",
    "pairs_fold",
    "pairs_layer",
    "pairs_round",
    "release",
    "repeat",
    "round_sums",
    "scale",
    "short_length",
    "slice_length",
    "sub",
    "tile",
    "total",
    "zeros",
]

F = galois.GF(MODULUS, primitive_element=GENERATOR, verify=False)
# The primitive element is never used; galois only demands one. Without verification, making K takes
# milliseconds.
K = galois.GF(
    MODULUS,
    3,
    irreducible_poly=galois.Poly([1, 0, 0, MODULUS - 2], field=F),
    primitive_element=galois.Poly([1, 0], field=F),
    verify=False,
)

# -- conversions -----------------------------------------------------------------------------------


def _base(a: Table) -> Any:
    """uint64 of any shape -> GF(p) array of that shape."""
    return F(a.astype(object))


def _from_base(a: Any) -> Table:
    return np.array(a, dtype=object).astype(np.uint64)


def _ext(a: Table) -> Any:
    """K[3, ...] -> GF(p^3) array [...]; galois writes an element as the integer c0 + c1 p + c2 p^2."""
    c = a.astype(object)
    return K(c[0] + c[1] * MODULUS + c[2] * MODULUS**2)


def _from_ext(a: Any) -> Table:
    c = np.array(a, dtype=object)
    planes = [c % MODULUS, c // MODULUS % MODULUS, c // MODULUS**2]
    return np.array(planes, dtype=object).astype(np.uint64)


def _scalar(k: Scalar) -> Any:
    c0, c1, c2 = (int(c) for c in k)
    return K(c0 + c1 * MODULUS + c2 * MODULUS**2)


def _triple(a: Any) -> Triple:
    c0, c1, c2 = (int(c) for c in _from_ext(a))
    return c0, c1, c2


def _any(a: Table) -> Any:
    """A table over F or K as an array of GF(p^3)."""
    return _ext(lift(a) if a.ndim == 1 else a)


def _either(a: Table, b: Table, result: Any) -> Table:
    """The elementwise result as an F table if both operands are, else as a K table."""
    table = _from_ext(result)
    return table[0].copy() if a.ndim == b.ndim == 1 else table


def _sum(a: Any) -> Any:
    return np.add.reduce(a, initial=0) if a.size else K(0)


# -- elementwise -----------------------------------------------------------------------------------


def lift(a: Table) -> Table:
    return np.array([a, np.zeros_like(a), np.zeros_like(a)])


def add(a: Table, b: Table) -> Table:
    return _either(a, b, _any(a) + _any(b))


def sub(a: Table, b: Table) -> Table:
    return _either(a, b, _any(a) - _any(b))


def mul(a: Table, b: Table) -> Table:
    return _either(a, b, _any(a) * _any(b))


def scale(a: Table, k: Scalar) -> Table:
    return _from_ext(_any(a) * _scalar(k))


# -- sums ------------------------------------------------------------------------------------------


def inner(a: Table, b: Table) -> Triple:
    return _triple(_sum(_any(a) * _any(b)))


def total(a: Table) -> Triple:
    return _triple(_sum(_any(a)))


# -- multilinear tables ----------------------------------------------------------------------------


def eq_table(point: Sequence[Scalar]) -> Table:
    xs = [_scalar(x) for x in point]
    values = []
    for i in range(2 ** len(xs)):
        value = K(1)
        for k, x in enumerate(xs):
            bit = i >> (len(xs) - 1 - k) & 1
            value = value * (x if bit else K(1) - x)
        values.append(value)
    return _from_ext(K(values))


def _halves(a: Any) -> tuple[Any, Any]:
    half = a.shape[-1] // 2
    return a[..., :half], a[..., half:]


def _bind(a: Any, x: Any) -> Any:
    """(1 - x) lo + x hi along the last axis."""
    lo, hi = _halves(a)
    return (K(1) - x) * lo + x * hi


def fold(table: Table, r: Scalar) -> Table:
    return _from_ext(_bind(_any(table), _scalar(r)))


def round_sums(factors: Sequence[Table]) -> list[Triple]:
    tables = [_any(f) for f in factors]
    sums = []
    for x in [0, *range(2, len(tables) + 1)]:
        product = _bind(tables[0], K(x))
        for table in tables[1:]:
            product = product * _bind(table, K(x))
        sums.append(_triple(_sum(product)))
    return sums


# -- batching --------------------------------------------------------------------------------------


def accumulate(out: Table, coefficient: Scalar, tensor: Table) -> None:
    out[:] = _from_ext(_ext(out) + _scalar(coefficient) * _any(tensor))


def outer_accumulate(out: Table, a: Table, b: Table) -> None:
    out[:] = _from_ext(_ext(out) + np.outer(_ext(a), _ext(b)).reshape(-1))


def combine_rows(weights: Table, rows: Table) -> Table:
    w = _ext(weights)
    sums = K.Zeros(rows.shape[1])
    for r in range(rows.shape[0]):
        sums = sums + w[r] * _any(rows[r])
    return _from_ext(sums)


def contract_last(tensor: Table, weights: Table) -> Table:
    w = _ext(weights)
    return _from_ext(K([_sum(_any(row) * w) for row in tensor]))


def contract_middle(tensor: Table, weights: Table) -> Table:
    parts = [combine_rows(weights[:, a], tensor[a]) for a in range(tensor.shape[0])]
    return np.ascontiguousarray(np.array(parts).transpose(1, 0, 2))


# -- fractional sums -------------------------------------------------------------------------------


def fraction_layer(p: Table, q: Table) -> tuple[Table, Table]:
    p_all, q_all = _ext(p), _ext(q)
    p0, p1, q0, q1 = p_all[0::2], p_all[1::2], q_all[0::2], q_all[1::2]
    return _from_ext(p0 * q1 + p1 * q0), _from_ext(q0 * q1)


def fraction_weights(point: Sequence[Scalar]) -> Table:
    return eq_table(point)


def _children(table: Table, x: int) -> tuple[Any, Any]:
    """The two children at X = x, of neighbours 4y + 2b + child."""
    a = _any(table)
    one, other = (K(1) - K(x)) * a[0::4] + K(x) * a[2::4], (K(1) - K(x)) * a[1::4] + K(x) * a[3::4]
    return one, other


def fraction_round(p: Table, q: Table, weights: Table, start: int, lam: Scalar) -> tuple[Triple, Triple]:
    sums = []
    for x in (0, 2):
        (p0, p1), (q0, q1) = _children(p, x), _children(q, x)
        eq = _ext(weights[:, start : start + len(p0)])
        sums.append(_triple(_sum(eq * (p0 * q1 + p1 * q0 + _scalar(lam) * q0 * q1))))
    return sums[0], sums[1]


def fraction_fold(table: Table, r: Scalar) -> Table:
    a, x = _any(table), _scalar(r)
    out = K.Zeros(len(a) // 2)
    for child in range(2):
        out[child::2] = (K(1) - x) * a[child::4] + x * a[child + 2 :: 4]
    return _from_ext(out)


def leaf_layer(column: Table, constant: Scalar, beta: Scalar) -> tuple[Table, Table]:
    q = _scalar(constant) - _scalar(beta) * _any(column)
    return fraction_layer(lift(np.ones(len(q), dtype=np.uint64)), _from_ext(q))


def leaf_round(column: Table, shift: Scalar, weights: Table, start: int) -> tuple[Triple, Triple]:
    sums = []
    for x in (0, 2):
        one, other = _children(column, x)
        eq = _ext(weights[:, start : start + len(one)])
        sums.append(_triple(_sum(eq * (one - _scalar(shift)) * (other - _scalar(shift)))))
    return sums[0], sums[1]


def pairs_layer(column: Table, constant: Scalar, beta: Scalar) -> tuple[Table, Table]:
    return fraction_layer(*leaf_layer(column, constant, beta))


def pairs_round(
    column: Table, constant: Scalar, beta: Scalar, weights: Table, start: int, lam: Scalar
) -> tuple[Triple, Triple]:
    return fraction_round(*leaf_layer(column, constant, beta), weights, start, lam)


def pairs_fold(column: Table, constant: Scalar, beta: Scalar, r: Scalar) -> tuple[Table, Table]:
    p, q = leaf_layer(column, constant, beta)
    return fraction_fold(p, r), fraction_fold(q, r)


# -- codes -----------------------------------------------------------------------------------------


def _root(order: int) -> Any:
    return F(GENERATOR) ** ((MODULUS - 1) // order)


@lru_cache
def _points(size: int, blowup: int) -> Any:
    """7 zeta^c w^i in the order c N + i, a GF(p) array."""
    zeta, w = _root(size * blowup), _root(size)
    return F([F(GENERATOR) * zeta**c * w**i for c in range(blowup) for i in range(size)])


@lru_cache
def _inverse_transform(size: int) -> Any:
    """The GF(p) matrix of w^(-ik)."""
    inverse = F(1) / _root(size)
    return F([[inverse ** (i * k % size) for k in range(size)] for i in range(size)])


def interpolate(rows: Table) -> Table:
    """Natural order F[R, N]: c_k = (1/N) sum_i v_i w^(-ik)."""
    size = rows.shape[1]
    return _from_base(_base(rows) @ _inverse_transform(size) / F(size))


def coefficients_natural(coefficients: Table, blinds: Table) -> Table:
    rows, size = coefficients.shape
    extra = blinds.shape[1]
    out = F.Zeros((rows, size + extra))
    out[:, :size] = _base(coefficients)
    out[:, :extra] = out[:, :extra] - _base(blinds)
    out[:, size:] = out[:, size:] + _base(blinds)
    return _from_base(out)


def encode(coefficients: Table, blinds: Table, blowup: int) -> Table:
    return encode_polynomials(coefficients_natural(coefficients, blinds), coefficients.shape[1], blowup)


def encode_rows(rows: Table, blinds: Table, blowup: int) -> Table:
    return encode(interpolate(rows), blinds, blowup)


def encode_polynomials(coeffs: Table, size: int, blowup: int) -> Table:
    points, rows = _points(size, blowup), _base(coeffs)
    value = F.Zeros((size * blowup, coeffs.shape[0]))
    for k in reversed(range(coeffs.shape[1])):
        value = value * points[:, None] + rows[:, k]
    return _from_base(value)


# -- trees and counts ------------------------------------------------------------------------------


def hash_columns(codeword: Table, prefix: bytes, salts: Digests) -> Digests:
    leaves = np.zeros((codeword.shape[0], 32), dtype=np.uint8)
    for i, column in enumerate(codeword):
        data = b"".join(int(word).to_bytes(8, "little") for word in column)
        leaves[i] = list(hashlib.sha256(prefix + salts[i].tobytes() + data).digest())
    return leaves


def merkle_levels(leaves: Digests) -> list[Digests]:
    levels = [leaves]
    while len(levels[-1]) > 1:
        pairs = levels[-1].reshape(-1, 64)
        nodes = [list(hashlib.sha256(b"\x01" + pair.tobytes()).digest()) for pair in pairs]
        levels.append(np.array(nodes, dtype=np.uint8))
    return levels


def count_table(values: Sequence[NDArray[Any]], size: int) -> Table:
    counts = [0] * size
    for array in values:
        for value in array.reshape(-1).tolist():
            if not 0 <= value < size:
                raise ValueError(f"count_table: {value} is outside 0 .. {size - 1}")
            counts[value] += 1
    return np.array(counts, dtype=np.uint64)


import prover.backends.reference as _itself  # noqa: E402  (a module is a backend; complete only here)

BACKEND: Backend = _itself
