"""The parts of a relation that all tasks of a network share: its forward pass, its targets and its states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .activations import activate
from .builder import Builder
from .relation import Einsum, Final, Identity, Lookup, Part, Table
from .tensors import Axis, Form, History, Sharing, State, linear


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


def states(
    build: Builder, moving: bool = True, checked: bool = True, shared: Mapping[str, Sharing] | None = None
) -> dict[str, History]:
    """Every weight matrix and bias: first state and velocity, and the gradients that move it, if training does.

    `checked` is whether the limbs of both are looked up in their ranges. `shared` gives, by name, those whose weights
    are a shorter list's; they must not move.
    """
    p, histories = build.p, {}
    for name, l, axes in _shapes(build):
        initial = velocity = None
        if p.initial == "committed":
            sharing = (shared or {}).get(name)
            listed = axes if sharing is None else (Axis("k", sharing.size),)
            initial = replace(
                _state(build, f"initial.{name}", p.weight_width, listed, checked=checked), sharing=sharing
            )
        if p.starts_moving:
            velocity = _state(build, f"initial.velocity.{name}", p.velocity_width, axes, checked=checked)
        is_bias = len(axes) == 1
        histories[name] = History(
            name,
            None if is_bias else axes[0],
            axes[-1],
            initial,
            velocity,
            None if is_bias else f"A{l}",
            f"G{l}" if moving else None,
            1 << p.activation_bits if is_bias else 1,
            l,
        )
    return histories


def finals(build: Builder) -> tuple[Final, ...]:
    """The last state of every weight matrix and bias, and its velocity if it has one.

    An unrounded state needs no range: it equals a bounded integer. A rounded one and its remainder have theirs,
    2^q X + remainder - 2^(q-1) = the exact value, or any state could be claimed.
    """
    p, out = build.p, []
    for name, _, axes in _shapes(build):
        if p.state_shift:
            exact = _rounded(build, name, p.weight_width, axes)
        else:
            exact = _state(build, f"final.{name}", p.weight_width, axes, group="final", checked=False)
        out.append(Final(name, False, exact))
        if p.momentum:
            out.append(Final(name, True, _rounded(build, f"velocity.{name}", p.velocity_width, axes)))
    return tuple(out)


def _shapes(build: Builder) -> list[tuple[str, int, tuple[Axis, ...]]]:
    """Name, layer and axes of every weight matrix and bias."""
    out: list[tuple[str, int, tuple[Axis, ...]]] = []
    for l in range(build.p.layers):
        out.append((f"W{l}", l, (build.f[l], build.f[l + 1])))
        if build.p.bias:
            out.append((f"b{l}", l, (build.f[l + 1],)))
    return out


def _state(
    build: Builder, name: str, width: int, axes: tuple[Axis, ...], group: str = "initial", checked: bool = True
) -> State:
    return State(build.limbs(name, group, width, axes, checked), 1 << (width - 1))


def _rounded(build: Builder, name: str, width: int, axes: tuple[Axis, ...]) -> State:
    q = build.p.kernel_bits
    state = _state(build, f"final.{name}", width, axes, group="final")
    rest = build.limbs(f"rounding.{name}", "witness", q, axes, checked=True)
    raised = tuple((coefficient << q, names) for coefficient, names in state.form.terms)
    return State(Form((*raised, *rest.terms)), (state.offset << q) + (1 << (q - 1)))
