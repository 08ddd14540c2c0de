"""How a relation of a network is put together: tensors, lookups, the forward pass, states and data."""

from __future__ import annotations

from .relation import (
    Axis,
    Einsum,
    Form,
    History,
    Identity,
    Lookup,
    Masked,
    Part,
    Relation,
    Selection,
    Table,
    Tensor,
    Total,
    limb_widths,
    linear,
)
from .statement import Statement


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

    def tensor(self, name: str, group: str, *axes: Axis) -> str:
        self.tensors[name] = Tensor(name, group, axes)
        return name

    def define(self, name: str, feature: Axis, form: Form) -> None:
        self.masked[name] = Masked(name, (self.t, self.b, feature), form)

    def batch_tensor(self, name: str, feature: Axis) -> str:
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
        self.lookups.append(Lookup(f"range:{name}", Table("range", bits), form, shift))

    def relation(self, einsums: list[Einsum], histories: dict[str, History], finals: tuple[str, ...]) -> Relation:
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
        )
        for table in collected.tables():
            self.tensor(f"count:{table.name}", "witness", Axis("table", 1 << table.bits))
        return collected

    def signed(self, name: str, form: Form, width: int) -> None:
        self.range(name, form, width, 1 << (width - 1))


def _inputs(build: Builder) -> None:
    x = build.batch_tensor("input", build.f[0])
    build.signed(x, linear((1, x)), build.p.input_width)
    build.define("A0", build.f[0], linear((1, x)))


def forward(build: Builder) -> list[Einsum]:
    """Inputs, and per layer Y, D and the forward remainder with their lookups; returns the layers' einsums."""
    p, t, b, f = build.p, build.t, build.b, build.f
    last, w = p.layers - 1, p.weight_bits
    einsums: list[Einsum] = []
    rounding = -(1 << (w - 1))
    _inputs(build)
    for l in range(p.layers):
        y = build.batch_tensor(f"Y{l}", f[l + 1])
        remainder = build.limbs(f"R{l}", "witness", w, (t, b, f[l + 1]), checked=True)
        if l < last:
            d = build.batch_tensor(f"D{l}", f[l + 1])
            build.lookups.append(
                Lookup(
                    f"relu:{y}",
                    Table("relu", p.activation_width),
                    linear((1, y)),
                    1 << (p.activation_width - 1),
                    linear((1, d)),
                )
            )
            build.define(f"A{l + 1}", f[l + 1], Form(((1, (y, d)),)))
        else:
            build.signed(y, linear((1, y)), p.output_width)
        einsums.append(
            Einsum(
                f"forward:{l}",
                Form(((1 << w, (y,)), *remainder.terms)),
                (t, b, f[l + 1]),
                rounding,
                f"A{l}",
                f"W{l}",
                False,
                f"b{l}",
            )
        )
    return einsums


def targets(build: Builder) -> str:
    """The targets with their ranges; one-hot ones are 0 or 1 and sum to one."""
    p, axes = build.p, (build.t, build.b, build.f[-1])
    target = build.batch_tensor("target", build.f[-1])
    if p.target == "one-hot":
        build.range(target, linear((1, target)), 1, 0)
        build.identities.append(Identity("one-hot", axes, (Part(1, (target,), True),), 1, masked=True))
    else:
        build.signed(target, linear((1, target)), p.target_width)
    return target


def states(build: Builder, moving: bool = True) -> dict[str, History]:
    """Every weight matrix and bias: first state, last state, and the gradients between, unless nothing moves."""
    p, histories = build.p, {}
    for l in range(p.layers):
        rows, columns = build.f[l], build.f[l + 1]
        for name, axes in ((f"W{l}", (rows, columns)), (f"b{l}", (columns,))):
            initial = None
            if p.initial == "committed":
                initial = build.limbs(f"initial.{name}", "initial", p.weight_width, axes, checked=True)
            final = None
            if moving:
                final = build.limbs(f"final.{name}", "final", p.weight_width, axes, checked=False)
            is_bias = len(axes) == 1
            histories[name] = History(
                name,
                None if is_bias else rows,
                columns,
                initial,
                final,
                1 << (p.weight_width - 1),
                None if is_bias else f"A{l}",
                f"G{l}" if moving else None,
                1 << p.activation_bits if is_bias else 1,
                l,
            )
    return histories


def data(build: Builder) -> tuple[Selection, ...]:
    """The committed data set, and the batches picked from it."""
    n = Axis("n", build.statement.samples)
    build.tensor("data.input", "data", n, build.f[0])
    build.tensor("data.target", "data", n, build.f[-1])
    return (Selection("select:input", "input", "data.input"), Selection("select:target", "target", "data.target"))
