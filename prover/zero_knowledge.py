"""The prover's side of the small Ligero: commits the pads, then shows that all equations hold for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verifier.channel import Channel
from verifier.commitment import PADS_PREFIX, Code
from verifier.field import GENERATOR, ZERO, Ext, P
from verifier.zero_knowledge import BLOWUP_BITS, MASK_ROWS, PadCode, PadLayout, linear_rows

from . import commitment
from .backends.interface import Backend, Table
from .commitment import Committed
from .dialogue import Draw, Pads, Say, Script
from .randomness import Randomness

# Polynomials over K are K tables, K[3, length]; a matrix of R rows over K is F[3 R, length], three rows a row.


def commit_pads(backend: Backend, layout: PadLayout, pads: Pads, randomness: Randomness) -> Committed:
    """The pads' rows, in the order of `PadLayout`, filled up and masked with random numbers."""
    code = layout.code
    rows = randomness.elements(layout.rows, code.row, 3)
    variables = [index << 2 | kind for index in range(layout.pairs) for kind in (1, 2, 3)]
    for variable in variables + [index << 2 for index in range(layout.singles)]:
        row, slot = layout.place(variable)
        rows[row, slot] = np.array(pads.value(variable), dtype=np.uint64)
    _fill_products(layout, rows)
    _balance(rows, layout)
    flat = np.ascontiguousarray(rows.transpose(0, 2, 1)).reshape(3 * layout.rows, code.row)
    blinding = commitment.draw_blinding(3 * layout.rows, code.queries, code.positions, randomness)
    return commitment.commit_rows(backend, as_code(code), PADS_PREFIX, flat, blinding)


def as_code(code: PadCode) -> Code:
    """The pads' code in the terms of the main commitment."""
    return Code(code.row_bits, BLOWUP_BITS, code.queries, {"pads": code.queries})


def _fill_products(layout: PadLayout, rows: Table) -> None:
    """Unused slots of pair rows hold products too: the product test covers whole rows."""
    for index in range(layout.pairs, layout.pair_rows * layout.code.row):
        (left, slot), (right, _), (product, _) = (layout.place(index << 2 | kind) for kind in (1, 2, 3))
        value = _scalar(rows[left, slot]) * _scalar(rows[right, slot])
        rows[product, slot] = np.array(value, dtype=np.uint64)


def _balance(rows: Table, layout: PadLayout) -> None:
    """Makes the linear test's mask m_0 + X^k m_1 sum to zero over H, where X^k = 1."""
    first = layout.pad_rows + 1
    total = ZERO
    for row in (first, first + 1):
        for value in rows[row]:
            total = total + _scalar(value)
    rows[first, -1] = np.array(_scalar(rows[first, -1]) - total, dtype=np.uint64)


def _scalar(words: Table) -> Ext:
    return Ext((int(words[0]), int(words[1]), int(words[2])))


def prove(backend: Backend, layout: PadLayout, committed: Committed, channel: Sequence[Channel]) -> Script[None]:
    """Twin of `verifier.zero_knowledge.check_equations`. `channel` holds the channel, which knows the equations."""
    code = layout.code
    lambdas = yield Draw("pads low degree", layout.rows - 1)
    (gamma,) = yield Draw("pads linear", 1)
    mus = yield Draw("pads product", layout.pair_rows)
    natural = backend.coefficients_natural(backend.interpolate(committed.rows), committed.blinding.blinds)
    rows = [natural[3 * k : 3 * k + 3] for k in range(layout.rows)]
    masks = rows[layout.pad_rows :]
    low = masks[0]
    for weight, row in zip(lambdas, [*rows[: layout.pad_rows], *masks[1:]], strict=True):
        low = backend.add(low, backend.scale(row, weight))
    yield Say("pads low degree", _elements(backend, low))

    product = Products(backend, 1 << (2 * code.length - 1).bit_length())
    weights, _ = linear_rows(channel[0], layout, gamma)
    linear = product.zero()
    for coefficients, row in zip(weights, rows, strict=False):
        linear = backend.add(linear, product.multiply(_interpolant(backend, coefficients), row))
    linear_sum = product.coefficients(linear)[:, : code.row + code.length]
    masked = backend.add(linear_sum, _joined(backend, masks[1], masks[2], code.row))
    yield Say("pads linear", _elements(backend, masked))

    quotient = _quotient(backend, layout, rows, mus, product)
    mask = _joined(backend, masks[3], masks[4], code.queries)
    yield Say("pads product", _elements(backend, backend.add(quotient, mask)))


def _elements(backend: Backend, table: Table) -> list[Ext]:
    return [Ext((int(a), int(b), int(c))) for a, b, c in backend.host(table).T]


def _joined(backend: Backend, low: Table, high: Table, shift: int) -> Table:
    """low + X^shift * high."""
    size = shift + high.shape[1]
    out = backend.zeros(3, size)
    out[:, : low.shape[1]] = low
    moved = backend.zeros(3, size)
    moved[:, shift:] = high
    return backend.add(out, moved)


def _interpolant(backend: Backend, values: Sequence[Ext]) -> Table:
    rows = np.ascontiguousarray(np.array(values, dtype=np.uint64).T)
    return backend.coefficients_natural(backend.interpolate(rows), np.zeros((3, 0), dtype=np.uint64))


def _quotient(
    backend: Backend, layout: PadLayout, rows: Sequence[Table], mus: Sequence[Ext], product: Products
) -> Table:
    """(sum mu_j (L_j R_j - P_j)) / (X^k - 1), of k' + t coefficients."""
    code, pairs = layout.code, layout.pair_rows
    total = product.zero()
    for j, weight in enumerate(mus):
        values = backend.sub(product.multiply(rows[j], rows[pairs + j]), product.evaluate(rows[2 * pairs + j]))
        total = backend.add(total, backend.scale(values, weight))
    remainder: list[list[int]] = backend.host(product.coefficients(total)).tolist()
    size = code.length + code.queries
    for plane in remainder:
        for k in range(len(plane) - 1, code.row - 1, -1):
            plane[k - code.row] = (plane[k - code.row] + plane[k]) % P
    return np.array([plane[code.row : code.row + size] for plane in remainder], dtype=np.uint64)


class Products:
    """Products of polynomials over K of total degree below `size`, by values on the coset 7 H of order `size`."""

    def __init__(self, backend: Backend, size: int) -> None:
        self._backend, self._size = backend, size

    def zero(self) -> Table:
        """The values of the zero polynomial."""
        return self._backend.zeros(3, self._size)

    def evaluate(self, polynomial: Table) -> Table:
        """K[3, size]: values on the coset."""
        return self._backend.encode_polynomials(polynomial, self._size, 1).T

    def multiply(self, a: Table, b: Table) -> Table:
        """The values of a product."""
        return self._backend.mul(self.evaluate(a), self.evaluate(b))

    def coefficients(self, values: Table) -> Table:
        """Back from values f(7 w^i) to the coefficients of f: those of f(7 X) divided by powers of 7."""
        scaled = self._backend.coefficients_natural(
            self._backend.interpolate(values), np.zeros((3, 0), dtype=np.uint64)
        )
        inverse, power, powers = pow(GENERATOR, P - 2, P), 1, []
        for _ in range(self._size):
            powers.append(power)
            power = power * inverse % P
        lifted = self._backend.lift(np.array(powers, dtype=np.uint64))
        return self._backend.mul(scaled, lifted)


assert MASK_ROWS == 5  # m_u, m_0, m_1, m_2, m_3, unpacked above
