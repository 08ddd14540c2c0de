"""The field F = GF(p), p = 2^64 - 2^32 + 1, as plain integers, and its cubic extension K = F[X]/(X^3 - 2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

P = 2**64 - 2**32 + 1
GENERATOR = 7
TWO_ADICITY = 32


def root_of_unity(log_order: int) -> int:
    """The element of order exactly 2^log_order used everywhere, 0 <= log_order <= 32.

    Roots are nested: root_of_unity(k)^2 == root_of_unity(k - 1).
    """
    if not 0 <= log_order <= TWO_ADICITY:
        raise ValueError(f"no root of order 2^{log_order} in a field of two-adicity {TWO_ADICITY}")
    return pow(GENERATOR, (P - 1) >> log_order, P)


class Ext(tuple[int, int, int]):
    """An element c0 + c1 X + c2 X^2 of K, canonical (0 <= c < p). Arithmetic accepts Ext or int operands."""

    __slots__ = ()

    @staticmethod
    def of(value: int | Sequence[int]) -> Ext:
        """Embeds an integer (any sign, reduced mod p) or three coefficients."""
        if isinstance(value, int):
            return Ext((value % P, 0, 0))
        a, b, c = value
        return Ext((a % P, b % P, c % P))

    def __add__(self, other: Ext | int) -> Ext:  # type: ignore[override]
        if isinstance(other, Ext):
            return Ext(((self[0] + other[0]) % P, (self[1] + other[1]) % P, (self[2] + other[2]) % P))
        if isinstance(other, int):
            return Ext(((self[0] + other) % P, self[1], self[2]))
        return NotImplemented

    __radd__ = __add__

    def __neg__(self) -> Ext:
        return Ext((-self[0] % P, -self[1] % P, -self[2] % P))

    def __sub__(self, other: Ext | int) -> Ext:
        if isinstance(other, Ext):
            return Ext(((self[0] - other[0]) % P, (self[1] - other[1]) % P, (self[2] - other[2]) % P))
        if isinstance(other, int):
            return Ext(((self[0] - other) % P, self[1], self[2]))
        return NotImplemented

    def __rsub__(self, other: int) -> Ext:
        return Ext(((other - self[0]) % P, -self[1] % P, -self[2] % P))

    def __mul__(self, other: Ext | int) -> Ext:  # type: ignore[override]
        if isinstance(other, Ext):
            a, b, c = self
            x, y, z = other
            return Ext(
                ((a * x + 2 * (b * z + c * y)) % P, (a * y + b * x + 2 * c * z) % P, (a * z + b * y + c * x) % P)
            )
        if isinstance(other, int):
            return Ext((self[0] * other % P, self[1] * other % P, self[2] * other % P))
        return NotImplemented

    __rmul__ = __mul__  # type: ignore[assignment]

    def inverse(self) -> Ext:
        """1/self by the adjugate of multiplication by self; ZeroDivisionError for zero."""
        a, b, c = self
        u, v, w = (a * a - 2 * b * c) % P, (2 * c * c - a * b) % P, (b * b - a * c) % P
        norm = (a * u + 2 * (b * w + c * v)) % P
        if norm == 0:
            raise ZeroDivisionError("zero of K has no inverse")
        n = pow(norm, P - 2, P)
        return Ext((u * n % P, v * n % P, w * n % P))


ZERO = Ext((0, 0, 0))
ONE = Ext((1, 0, 0))


def total(values: Iterable[Ext]) -> Ext:
    """The sum in K, reduced once."""
    a = b = c = 0
    for x in values:
        a, b, c = a + x[0], b + x[1], c + x[2]
    return Ext((a % P, b % P, c % P))


def equality(x: Sequence[Ext], y: Sequence[Ext]) -> Ext:
    """eq(x, y) = prod_k (x_k y_k + (1 - x_k)(1 - y_k)), the multilinear extension of [x = y]."""
    if len(x) != len(y):
        raise ValueError(f"points of {len(x)} and {len(y)} coordinates")
    out = ONE
    for a, b in zip(x, y, strict=True):
        ab = a * b
        out = out * (ONE - a - b + ab + ab)
    return out


def equality_table(point: Sequence[Ext], size: int | None = None) -> list[Ext]:
    """[eq(point, i) for i < size], point[0] belonging to the highest bit of i; size defaults to all 2^n."""
    length = 1 << len(point)
    size = length if size is None else size
    table = [ONE]
    for k, x in enumerate(point):
        bound = -(-size >> (len(point) - 1 - k))  # only the prefixes that some i < size has
        grown: list[Ext] = []
        for value in table:
            high = value * x
            grown += (value - high, high)
        table = grown[:bound]
    return table[:size]


def indicator(point: Sequence[Ext], size: int) -> Ext:
    """The multilinear extension of [i < size] at a point: sum over i < size of eq(point, i); 0 <= size <= 2^n."""
    n = len(point)
    if size >= 1 << n:
        return ONE
    out, prefix = ZERO, ONE
    for k, x in enumerate(point):
        if size >> (n - 1 - k) & 1:
            out = out + prefix * (ONE - x)
            prefix = prefix * x
        else:
            prefix = prefix * (ONE - x)
    return out


def bounded_equality(x: Sequence[Ext], y: Sequence[Ext], size: int) -> Ext:
    """sum over i < size of eq(x, i) eq(y, i), in O(n): the matrix of eq restricted to the first `size` indices."""
    n = len(x)
    if size >= 1 << n:
        return equality(x, y)
    out, prefix = ZERO, ONE
    for k in range(n):
        ones = x[k] * y[k]
        zeros = (ONE - x[k]) * (ONE - y[k])
        if size >> (n - 1 - k) & 1:
            out = out + prefix * zeros * equality(x[k + 1 :], y[k + 1 :])
            prefix = prefix * ones
        else:
            prefix = prefix * zeros
    return out
