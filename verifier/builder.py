"""How a relation is put together: tensors, definitions, lookups and identities by name, and the data set."""

from __future__ import annotations

from .relation import Einsum, Final, Identity, Lookup, Norm, Public, Relation, Selection, Table, Total
from .statement import Statement
from .tensors import Axis, Form, History, Masked, Tensor, limb_widths, linear


class Builder:
    """Collects tensors, definitions, lookups and identities under the names that claims use."""

    def __init__(self, statement: Statement) -> None:
        self.p = statement.parameters
        self.statement = statement
        self.t, self.b = Axis("t", self.p.steps), Axis("b", self.p.batch)
        self.f = [Axis("f", width) for width in self.p.widths]
        self.tensors: dict[str, Tensor] = {}
        self.masked: dict[str, Masked] = {}
        self.lookups: list[Lookup] = []
        self.identities: list[Identity] = []
        self.totals: list[Total] = []
        self.publics: list[Public] = []
        self.selected: tuple[str, ...] = ("input", "target")  # which batch tensors are rows of the committed data set
        self.norms: list[Norm] = []

    def tensor(self, name: str, group: str, *axes: Axis) -> str:
        """A committed tensor of a group."""
        self.tensors[name] = Tensor(name, group, axes)
        return name

    def define(self, name: str, feature: Axis, form: Form) -> None:
        """A derived tensor over (t, b, feature): `form` inside the public sizes, zero in the padding."""
        self.masked[name] = Masked(name, (self.t, self.b, feature), form)

    def batch_tensor(self, name: str, feature: Axis) -> str:
        """A committed tensor of the witness over (t, b, feature)."""
        return self.tensor(name, "witness", self.t, self.b, feature)

    def limbs(self, name: str, group: str, width: int, axes: tuple[Axis, ...], checked: bool) -> Form:
        """Commits a number as limbs, each looked up when `checked`; returns their weighted sum."""
        terms: list[tuple[int, str]] = []
        for k, bits in enumerate(limb_widths(width, self.p.table_bits)):
            limb = self.tensor(f"{name}.{k}", group, *axes)
            terms.append((1 << (k * self.p.table_bits), limb))
            if checked:
                self.range(limb, linear((1, limb)), bits, 0)
        return linear(*terms)

    def range(self, name: str, form: Form, bits: int, shift: int) -> None:
        """form + shift in [0, 2^bits) at every entry."""
        self.lookups.append(Lookup(f"range:{name}", Table("range", bits), form, shift))

    def relation(self, einsums: list[Einsum], histories: dict[str, History], finals: tuple[Final, ...]) -> Relation:
        """The collected relation, with a tensor of counts for each table in use."""
        collected = Relation(
            self.p,
            self.tensors,
            self.masked,
            histories,
            tuple(self.lookups),
            tuple(einsums),
            data(self),
            tuple(self.identities),
            finals,
            tuple(self.totals),
            tuple(self.publics),
            tuple(self.norms),
        )
        for table in collected.tables():
            self.tensor(f"count:{table.name}", "witness", Axis("table", 1 << table.bits))
        return collected

    def signed(self, name: str, form: Form, width: int) -> None:
        """form in [-2^(width-1), 2^(width-1)) at every entry."""
        self.range(name, form, width, 1 << (width - 1))


def data(build: Builder) -> tuple[Selection, ...]:
    """The committed data set of inputs and targets, and the batches picked from it; nothing if none are."""
    if not build.selected:
        return ()
    n = Axis("n", build.statement.samples)
    build.tensor("data.input", "data", n, build.f[0])
    build.tensor("data.target", "data", n, build.f[-1])
    return tuple(Selection(f"select:{name}", name, f"data.{name}") for name in build.selected)
