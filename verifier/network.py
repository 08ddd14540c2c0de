"""The parts of a relation that all tasks of a network share: its forward pass, its targets and its states."""

from __future__ import annotations

from .activations import activate
from .builder import Builder
from .relation import Einsum, Form, History, Identity, Lookup, Part, Table, linear


def _inputs(build: Builder) -> None:
    x = build.batch_tensor("input", build.f[0])
    build.signed(x, linear((1, x)), build.p.input_width)
    build.define("A0", build.f[0], linear((1, x)))


def forward(build: Builder) -> list[Einsum]:
    """Inputs, and per layer Y, remainder and activation with their lookups; returns the layers' einsums."""
    p, t, b, f = build.p, build.t, build.b, build.f
    last, w = p.layers - 1, p.weight_bits
    einsums: list[Einsum] = []
    rounding = -(1 << (w - 1))
    _inputs(build)
    for l in range(p.layers):
        y = build.batch_tensor(f"Y{l}", f[l + 1])
        remainder = build.limbs(f"R{l}", "witness", w, (t, b, f[l + 1]), checked=True)
        if l < last:
            activate(build, l)
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
                f"b{l}" if p.bias else None,
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


def chosen(build: Builder) -> str:
    """A tensor `choice` that chooses an output per sample, which no other exceeds; the caller says what choices are.

    top = sum_j choice_j Y_j, and top - Y_j is in a range for every real class j. If choice is one-hot, the chosen
    output is the largest or ties with it.
    """
    p, axes, y = build.p, (build.t, build.b, build.f[-1]), f"Y{build.p.layers - 1}"
    top, choice = build.batch_tensor("top", build.f[-1]), build.batch_tensor("choice", build.f[-1])
    build.lookups.append(Lookup("margin", Table("range", p.output_width), linear((1, top), (-1, y)), 0, masked=True))
    build.identities.append(Identity("top", axes, (Part(1, (choice, y), True), Part(-1, (top,), False))))
    return choice


def states(build: Builder, moving: bool = True, checked: bool = True) -> dict[str, History]:
    """Every weight matrix and bias: first state, last state, and the gradients between, unless nothing moves.

    `checked` is whether the first state's limbs are looked up in their ranges.
    """
    p, histories = build.p, {}
    for l in range(p.layers):
        rows, columns = build.f[l], build.f[l + 1]
        for name, axes in ((f"W{l}", (rows, columns)), *([(f"b{l}", (columns,))] if p.bias else [])):
            initial = None
            if p.initial == "committed":
                initial = build.limbs(f"initial.{name}", "initial", p.weight_width, axes, checked)
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
