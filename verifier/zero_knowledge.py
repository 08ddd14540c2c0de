"""The small Ligero over K that closes the hidden scalars: all equations hold for the committed pads.

Pads stand k a row; a row is a polynomial of degree < k' = k + t with its pads on the subgroup H of order k and t random
coefficients besides. Three test polynomials, each under masks committed with the pads:
  low degree   u = m_u + sum lambda_i f_i                                      length k'
  linear       q = sum A_i f_i + m_0 + X^k m_1, sum over H = -constants       length k + k'
  product      (sum mu_j (L_j R_j - P_j)) / Z_H + m_2 + X^t m_3 = h           length k' + t
Masks longer than a row are cut in two overlapping rows of ordinary degree, so that the low-degree test covers them too;
the overlap (t, and k >= t, coefficients) keeps the two halves' opened values independent of the tests.
Source: Ames, Hazay, Ishai, Venkitasubramaniam, "Ligero" (CCS 2017); "encrypted sumcheck" as in draft-google-cfrg-libzk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

from .channel import LEFT, PRODUCT, RIGHT, SINGLE, Channel
from .commitment import MARGIN_BITS, PADS_PREFIX, codeword_point, evaluate_polynomial, open_tree, pack, unpack
from .errors import ParametersUnsafe
from .field import ZERO, Ext, P, root_of_unity
from .statement import Parameters

MASK_ROWS = 5  # m_u, m_0, m_1, m_2, m_3
BLOWUP_BITS = 5


@dataclass(frozen=True)
class PadCode:
    """The code of the pads: k = 2^row_bits pads a row, t queries and as many random coefficients."""

    row_bits: int
    queries: int

    @property
    def row(self) -> int:
        """k, pads a row."""
        return 1 << self.row_bits

    @property
    def length(self) -> int:
        """k', coefficients a row."""
        return self.row + self.queries

    @property
    def positions(self) -> int:
        """n, positions of the codeword."""
        return 1 << (self.row_bits + BLOWUP_BITS)


@dataclass(frozen=True)
class PadLayout:
    """Which row and slot a pad has: rows of left, right and product pads, then of single pads, then masks."""

    code: PadCode
    pairs: int
    singles: int

    @property
    def pair_rows(self) -> int:
        """Rows of each of the three kinds that a pair needs."""
        return -(-self.pairs // self.code.row)

    @property
    def pad_rows(self) -> int:
        """Rows over K that hold pads."""
        return 3 * self.pair_rows - (-self.singles // self.code.row)

    @property
    def rows(self) -> int:
        """All rows over K; a column of the tree has three words for each."""
        return self.pad_rows + MASK_ROWS

    def place(self, variable: int) -> tuple[int, int]:
        """(row, slot) of a pad variable."""
        row, slot = divmod(variable >> 2, self.code.row)
        first = {LEFT: 0, RIGHT: self.pair_rows, PRODUCT: 2 * self.pair_rows, SINGLE: 3 * self.pair_rows}
        return first[variable & 3] + row, slot


def pad_code(p: Parameters) -> PadCode:
    """Smallest t with (1/2 + k'/n)^t <= 2^-(security + margin): every test then fails with at most that chance.

    With e = (n - 2 k') / 2 wrong columns allowed, the low-degree test survives a query with chance 1 - e/n, the linear
    one with (e + k + k') / n and the product one with (e + 2 k') / n; all are at most 1/2 + k'/n.
    """
    row_bits = 8 if p.security_bits >= 12 else 4
    target = 1 << (p.security_bits + MARGIN_BITS)
    for queries in range(1, (1 << row_bits) + 1):
        code = PadCode(row_bits, queries)
        if (code.positions + 2 * code.length) ** queries * target <= (2 * code.positions) ** queries:
            return code
    raise ParametersUnsafe(f"hidden scalars cannot be closed at {p.security_bits} bits: at most 180 are supported")


@dataclass(frozen=True)
class _Tests:
    low: list[Ext]
    linear: list[Ext]
    product: list[Ext]
    lambdas: list[Ext]
    mus: list[Ext]
    rows: list[list[Ext]]


def linear_rows(channel: Channel, layout: PadLayout, gamma: Ext) -> tuple[list[list[Ext]], Ext]:
    """All equations combined by gamma, gamma^2, ...: the coefficient of every pad, as rows of k, and the constant.

    No equation has the weight 1: the masks' sum over H, which the prover fixes before gamma, has it.
    """
    rows = [[ZERO] * layout.code.row for _ in range(layout.pad_rows)]
    constant, power = ZERO, gamma
    for expression, _ in channel.equations:
        constant = constant + expression.constant * power
        for variable, coefficient in expression.terms.items():
            row, slot = layout.place(variable)
            rows[row][slot] = rows[row][slot] + coefficient * power
        power = power * gamma
    return rows, constant


def check_equations(channel: Channel, code: PadCode) -> _Tests:
    """Draws the tests' coefficients, receives the test rows, checks the linear sum. Columns are checked afterwards."""
    layout = PadLayout(code, channel.pairs, channel.singles)
    lambdas = channel.challenges("pads low degree", layout.rows - 1, code.positions)
    gamma = channel.challenge("pads linear", len(channel.equations))
    mus = channel.challenges("pads product", layout.pair_rows, 1)
    rows, constant = linear_rows(channel, layout, gamma)
    low = channel.clear("pads low degree", code.length)
    linear = channel.clear("pads linear", code.row + code.length)
    product = channel.clear("pads product", code.length + code.queries)
    share = ZERO
    for k in range(0, len(linear), code.row):
        share = share + linear[k]
    channel.check(share * code.row + constant == ZERO, "the equations on hidden scalars")
    return _Tests(low, linear, product, lambdas, mus, rows)


def check_columns(channel: Channel, code: PadCode, tests: _Tests, root: bytes) -> None:
    """Opens the pads' tree at random positions and checks the three tests there."""
    layout = PadLayout(code, channel.pairs, channel.singles)
    depth = code.row_bits + BLOWUP_BITS
    positions = channel.positions("pads positions", code.queries, code.positions)
    opened = open_tree(channel, "pads", PADS_PREFIX, root, 3 * layout.rows, positions, depth)
    if not opened.columns:
        return
    points = [codeword_point(q, code.row_bits, BLOWUP_BITS) for q in positions]
    packed = [[pack(value) for value in row] for row in tests.rows]
    low, linear, product = (evaluate_polynomial(row, points) for row in (tests.low, tests.linear, tests.product))
    for k, (x, words) in enumerate(zip(points, opened.columns, strict=True)):
        column = [Ext((words[j], words[j + 1], words[j + 2])) for j in range(0, len(words), 3)]
        _check_column(channel, layout, tests, packed, x, column, (low[k], linear[k], product[k]))


def _check_column(
    channel: Channel,
    layout: PadLayout,
    tests: _Tests,
    packed: Sequence[Sequence[int]],
    x: int,
    column: Sequence[Ext],
    wanted: tuple[Ext, Ext, Ext],
) -> None:
    code, pads, pairs = layout.code, layout.pad_rows, layout.pair_rows
    m_u, m_0, m_1, m_2, m_3 = column[pads:]
    low = m_u
    for weight, value in zip(tests.lambdas, [*column[:pads], m_0, m_1, m_2, m_3], strict=True):
        low = low + weight * value
    channel.check(low == wanted[0], "the low-degree test of the pads")
    basis = lagrange_on_subgroup(code.row_bits, x)
    linear = m_0 + m_1 * pow(x, code.row, P)
    for row, value in zip(packed, column[:pads], strict=True):
        linear = linear + unpack(sum(map(mul, row, basis))) * value
    channel.check(linear == wanted[1], "the linear test of the pads")
    product = ZERO
    for j, weight in enumerate(tests.mus):
        product = product + weight * (column[j] * column[pairs + j] - column[2 * pairs + j])
    vanishing = (pow(x, code.row, P) - 1) % P
    masks = m_2 + m_3 * pow(x, code.queries, P)
    channel.check(product + masks * vanishing == wanted[2] * vanishing, "the product test of the pads")


def lagrange_on_subgroup(row_bits: int, x: int) -> list[int]:
    """The Lagrange basis of the subgroup of order k = 2^row_bits at x outside it: (x^k - 1) w^i / (k (x - w^i))."""
    size, root = 1 << row_bits, root_of_unity(row_bits)
    scale = (pow(x, size, P) - 1) * pow(size, P - 2, P) % P
    points, products = [1], [1]
    for _ in range(size - 1):
        points.append(points[-1] * root % P)
    for point in points:
        products.append(products[-1] * (x - point) % P)
    inverse, out = pow(products[-1], P - 2, P), [0] * size
    for k in range(size - 1, -1, -1):
        out[k] = inverse * products[k] % P * points[k] % P * scale % P
        inverse = inverse * (x - points[k]) % P
    return out
