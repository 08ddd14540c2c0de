"""The prover's side of sumcheck: terms that are products of tables, bound together one variable a round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce

from verifier.field import ONE, ZERO, Ext, total
from verifier.sumcheck import lagrange

from .backends.interface import Backend, Table
from .dialogue import Draw, Say, Script
from .tail import near


class ProductTerm:
    """sum_x prod_k table_k(x) over the variables it has; `absent` are rounds (first, end) of variables it lacks.

    In an absent variable X the term is zero-extended: it contributes value * (1 - X). Tables are F[n] or K[3, n], all
    of one size, and are replaced by their folds. With `leading` = m the first table depends on the variables of the
    first m rounds alone, so that the term has one degree less in the others.
    """

    def __init__(
        self, backend: Backend, tables: Sequence[Table], absent: tuple[int, int] = (0, 0), leading: int | None = None
    ) -> None:
        self._backend, self.tables = near(backend, tables)
        self._absent, self._leading = absent, leading
        self.scale = ONE  # the leading table, and prod (1 - r) over the absent variables bound so far
        self.value = self._total()
        self._line: list[Ext] = []
        self._drop_leading(0)

    def _drop_leading(self, bound: int) -> None:
        """When its variables are bound, the leading table is one number: a factor of the term."""
        if bound == self._leading:
            self.scale = self.scale * _first(self._backend, self.tables.pop(0))

    def _total(self) -> Ext:
        tables = self.tables
        head = tables[0] if len(tables) < 3 else self._backend.mul(tables[0], tables[1])
        if len(tables) == 1:
            return Ext(self._backend.total(head))
        return Ext(self._backend.inner(head, tables[-1]))

    def round(self, number: int, degree: int) -> list[Ext]:
        """The term's round polynomial at 0, 1, ..., degree."""
        if self._absent[0] <= number < self._absent[1]:
            return [self.value * (1 - x) for x in range(degree + 1)]
        sums = [Ext(value) * self.scale for value in self._backend.round_sums(self.tables)]
        self._line = [sums[0], self.value - sums[0], *sums[1:]]
        own = len(self._line) - 1
        return self._line + [_at(self._line, Ext.of(x)) for x in range(own + 1, degree + 1)]

    def bind(self, number: int, challenge: Ext) -> None:
        """Binds the round's variable."""
        if self._absent[0] <= number < self._absent[1]:
            self.value = self.value * (ONE - challenge)
            self.scale = self.scale * (ONE - challenge)
            return
        self.value = _at(self._line, challenge)
        folded = [self._backend.fold(table, challenge) for table in self.tables]
        self._backend, self.tables = near(self._backend, folded)
        self._drop_leading(number + 1)

    def ends(self) -> list[Ext]:
        """The values of the tables (without the leading one) at the end point, when all variables are bound."""
        return [_first(self._backend, table) for table in self.tables]


class LinearTerm:
    """sum_x high(x_high) low(x_low) sum_k c_k table_k(x): tables over F, whose weight is an outer product.

    Nothing of their size is made: while high-order variables are bound, the tables matter only through their sums
    under `low`, K[3, high], and from then on only through their rows combined at the bound point, K[3, low].
    """

    def __init__(
        self, backend: Backend, tables: Sequence[tuple[Ext, Table]], high: Table, low: Table, absent: int
    ) -> None:
        self._backend, self._low = backend, low
        self._tables = [(coefficient, table.reshape(-1, low.shape[1])) for coefficient, table in tables]
        self._first, self._last = absent, absent + (high.shape[1] - 1).bit_length()
        self._bound: list[Ext] = []
        sums = self._added(lambda c, table: backend.scale(backend.contract_last(table, low), c))
        self._term = ProductTerm(backend, [high, sums], (0, absent))

    def _added(self, make: Callable[[Ext, Table], Table]) -> Table:
        return reduce(self._backend.add, self._backend.each(lambda entry: make(*entry), self._tables))

    @property
    def value(self) -> Ext:
        """What the term adds up to now."""
        return self._term.value

    def round(self, number: int, degree: int) -> list[Ext]:
        """As of ProductTerm."""
        return self._term.round(number, degree)

    def bind(self, number: int, challenge: Ext) -> None:
        """As of ProductTerm."""
        self._term.bind(number, challenge)
        if number >= self._first:
            self._bound.append(challenge)
        if number + 1 == self._last:
            eq = self._backend.eq_table(self._bound)
            rows = self._added(lambda c, table: self._backend.combine_rows(self._backend.scale(eq, c), table))
            scale = self._term.scale * self._term.ends()[0]
            self._term = ProductTerm(self._backend, [self._backend.scale(self._low, scale), rows])


def _first(backend: Backend, table: Table) -> Ext:
    words = [int(word) for word in backend.host(table[..., :1]).reshape(-1)]
    return Ext.of(words if len(words) == 3 else words[0])


def _at(values: Sequence[Ext], x: Ext) -> Ext:
    """A polynomial known at 0, 1, ..., d, evaluated at x."""
    out = ZERO
    for weight, value in zip(lagrange(len(values) - 1, x), values, strict=True):
        out = out + weight * value
    return out


def _round(number: int, degree: int, term: ProductTerm | LinearTerm) -> list[Ext]:
    return term.round(number, degree)


def _bind(number: int, challenge: Ext, term: ProductTerm | LinearTerm) -> None:
    term.bind(number, challenge)


def prove(
    backend: Backend, label: str, terms: Sequence[ProductTerm | LinearTerm], degrees: Iterable[int]
) -> Script[list[Ext]]:
    """Twin of `verifier.sumcheck.check`; returns the random point."""
    point = []
    for number, degree in enumerate(degrees):
        lines = backend.each(partial(_round, number, degree), terms)
        sums = [total(values) for values in zip(*lines, strict=True)]
        yield Say(f"{label} round", [sums[0], *sums[2:]])
        (challenge,) = yield Draw(f"{label} round", 1)
        backend.each(partial(_bind, number, challenge), terms)
        point.append(challenge)
    return point
