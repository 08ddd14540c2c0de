"""A training run on padded arrays, mod p, in which every value may be tampered with and the rest follows from it.

It computes what the relation says, padding included, so that a cheat is consistent everywhere but where it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from verifier.field import P
from verifier.optimizer import coefficients
from verifier.relation import Relation
from verifier.statement import Parameters
from verifier.tables import exponential
from verifier.tensors import Axis, limb_widths
from verifier.training import exponential_top

Arrays = dict[str, Any]
Tamper = Callable[[str, int, Arrays], None]


def centred(values: Any) -> Any:
    """Residues mod p of least magnitude, as Python integers."""
    return (np.asarray(values, dtype=object) + P // 2) % P - P // 2


def shape(axes: Sequence[Axis]) -> list[int]:
    """The padded shape of a tensor."""
    return [1 << axis.bits for axis in axes]


def padded(values: Any, axes: Sequence[Axis]) -> Any:
    """An array in the middle of nothing: zero outside the public sizes, Python integers."""
    out = np.zeros(shape(axes), dtype=object)
    out[tuple(slice(0, axis.size) for axis in axes)] = np.asarray(values).astype(object)
    return out


def inside(axes: Sequence[Axis]) -> Any:
    """1 inside the public sizes, 0 in the padding."""
    return padded(np.ones([axis.size for axis in axes], dtype=np.int64), axes)


def split(values: Any, width: int, table_bits: int) -> list[Any]:
    """Limbs, lowest first; the last takes whatever is left, so that their weighted sum is always the value."""
    out = []
    for bits in limb_widths(width, table_bits)[:-1]:
        out.append(values & ((1 << bits) - 1))
        values = values >> bits
    return [*out, values]


def joined(arrays: Mapping[str, Any], name: str, table_bits: int) -> Any:
    """The weighted sum of the limbs name.0, name.1, ..."""
    total, k = 0, 0
    while f"{name}.{k}" in arrays:
        total = total + arrays[f"{name}.{k}"] * (1 << (k * table_bits))
        k += 1
    return total


def simulate(relation: Relation, start: Arrays, batches: Sequence[Sequence[int]], tamper: Tamper,
             unmasked: Collection[str] = ()) -> tuple[Arrays, Arrays]:
    """Committed and derived tensors of a run from `start` (data and initial limbs), in padded shape.

    `tamper(stage, t, arrays)` may change the arrays of a step in place, after the stage of that name: input, forward:l,
    relu:l, A:l, loss:..., G:l, backward:l, update, end; of the last state: exact, rounded. Derived tensors in
    `unmasked` keep their padding.
    """
    p, last = relation.parameters, relation.parameters.layers - 1
    a, w = p.activation_bits, p.weight_bits
    t_axis, b_axis = Axis("t", p.steps), Axis("b", p.batch)
    f = [Axis("f", width) for width in p.widths]
    weights: Arrays = {}
    paths: dict[str, Path] = {}
    for name, history in relation.histories.items():
        axes = [history.columns] if history.rows is None else [history.rows, history.columns]
        weights[name] = _state(start, f"initial.{name}", 1 << (p.weight_width - 1), axes, p.table_bits) << p.state_shift
        paths[name] = Path(p, weights[name] >> p.state_shift)
        if history.velocity is not None:
            name_of = f"initial.velocity.{name}"
            paths[name].velocity = _state(start, name_of, history.velocity.offset, axes, p.table_bits)
    in_batch = inside([b_axis])[:, None]
    steps: list[Arrays] = []
    for t in range(1 << t_axis.bits):
        x: Arrays = {} if t >= p.steps else dict(weights)
        real = t < p.steps
        for name, data in (("input", "data.input"), ("target", "data.target")):
            x[name] = np.zeros((1 << b_axis.bits, start[data].shape[1]), dtype=object)
            if real:
                x[name][:p.batch] = start[data][list(batches[t])]
        tamper("input", t, x)

        def mask(name: str, value: Any, axis: Axis, real: bool = real) -> Any:
            return value if name in unmasked else value * (inside([b_axis, axis]) if real else 0)

        def rounded(value: Any, axis: Axis, real: bool = real) -> tuple[Any, Any]:
            total = centred(value + (inside([b_axis, axis]) << (w - 1) if real else 0))
            return total >> w, total - ((total >> w) << w)

        def weight(name: str, x: Arrays = x, known: Arrays = weights) -> Any:
            return x.get(name, known[name] * 0)

        x["A0"] = mask("A0", x["input"], f[0])
        tamper("A:0", t, x)
        for l in range(p.layers):
            z = x[f"A{l}"] @ weight(f"W{l}") + in_batch * weight(f"b{l}")[None, :] * (1 << a)
            x[f"Y{l}"], x[f"R{l}"] = rounded(z, f[l + 1])
            tamper(f"forward:{l}", t, x)
            if l < last:
                x[f"D{l}"] = (x[f"Y{l}"] > 0).astype(object) * 1
                tamper(f"relu:{l}", t, x)
                x[f"A{l + 1}"] = mask(f"A{l + 1}", centred(x[f"Y{l}"] * x[f"D{l}"]), f[l + 1])
                tamper(f"A:{l + 1}", t, x)
        x[f"G{last}"] = mask(f"G{last}", centred(_loss_gradient(relation, x, t, tamper)), f[-1])
        tamper(f"G:{last}", t, x)
        for l in range(last, 0, -1):
            x[f"GA{l}"], x[f"RG{l}"] = rounded(x[f"G{l}"] @ weight(f"W{l}").T, f[l])
            tamper(f"backward:{l}", t, x)
            x[f"G{l - 1}"] = mask(f"G{l - 1}", centred(x[f"GA{l}"] * x[f"D{l - 1}"]), f[l])
            tamper(f"G:{l - 1}", t, x)
        if real:
            for l in range(p.layers):
                x[f"W{l}"] = paths[f"W{l}"].step(x[f"W{l}"], x[f"A{l}"].T @ x[f"G{l}"])
                x[f"b{l}"] = paths[f"b{l}"].step(x[f"b{l}"], x[f"G{l}"].sum(axis=0) << a)
            tamper("update", t, x)
            weights = {name: x[name] for name in weights}
        for name in [key for key in x if key[0] == "R"]:
            for k, limb in enumerate(split(x[name], w, p.table_bits)):
                x[f"{name}.{k}"] = limb
        for norm in relation.norms:
            squares, size = x[norm.tensor] ** 2, relation.tensors[norm.tensor].axes[2].size
            values = squares[:, :size].sum(axis=1) if norm.rows else squares[:p.batch].sum(axis=0)
            for (_, (name,)), limb in zip(norm.norm.terms, split(values, norm.width, p.table_bits), strict=True):
                x[name] = limb
        tamper("end", t, x)
        steps.append(x)
    committed = {name: np.stack([x[name] for x in steps]) for name in relation.tensors if name in steps[0]}
    derived = {name: np.stack([x[name] for x in steps]) for name in relation.masked}
    return committed | dict(start) | last_state(relation, weights, paths, tamper), derived


def _loss_gradient(relation: Relation, x: Arrays, t: int, tamper: Tamper) -> Any:
    """The gradient of the last output, padding included; the stages of cross entropy are loss:top, exp, sum, share."""
    p = relation.parameters
    y = x[f"Y{p.layers - 1}"]
    if p.loss == "mse":
        return (y - (1 << (p.activation_bits - p.target_bits)) * x["target"]) << (p.gradient_bits - p.activation_bits)
    classes = p.widths[-1]
    table = (*exponential(p.output_width, p.activation_bits, exponential_top(p)), 0)
    x["choice"] = y * 0
    for row, values in zip(x["choice"], y, strict=True):
        row[int(np.argmax(values[:classes]))] = 1
    x["top"] = y * 0 + y[:, :classes].max(axis=1)[:, None]
    tamper("loss:top", t, x)
    x["exp"] = y * 0
    for place, below in np.ndenumerate((x["top"] - y)[:, :classes]):
        x["exp"][place] = table[min(below, len(table) - 1)]
    tamper("loss:exp", t, x)
    x["sum"] = y * 0 + x["exp"][:, :classes].sum(axis=1)[:, None]
    tamper("loss:sum", t, x)
    whole = x["exp"] << p.gradient_bits
    x["share"], x["rest"] = whole // x["sum"], whole % x["sum"]
    tamper("loss:share", t, x)
    return x["share"] - (x["target"] << p.gradient_bits)


class Path:
    """The gradients of one weight tensor so far, and the states that they lead to by the recurrence of the optimiser's
    coefficients."""

    def __init__(self, p: Parameters, first: Any) -> None:
        self.p, self.first, self.velocity, self.gradients = p, first, first * 0, list[Any]()

    def step(self, value: Any, gradient: Any) -> Any:
        """W after this step, from its value before and the gradient."""
        self.gradients.append(gradient)
        if self.p.plain:
            return centred(value - self.p.rate(len(self.gradients) - 1) * gradient)
        found, t = coefficients(self.p), len(self.gradients)
        moved = sum(found.gradients[tau][t - tau - 1] * g for tau, g in enumerate(self.gradients))
        return centred(found.states[t] * self.first - found.velocities[t] * self.velocity - moved)

    def last_velocity(self) -> Any:
        """2^q V_T."""
        found = coefficients(self.p)
        moved = sum(k * g for k, g in zip(found.last_gradients, self.gradients, strict=True))
        return centred(found.last[0] * self.first + found.last[1] * self.velocity + moved)


def _state(arrays: Arrays, name: str, offset: int, axes: Sequence[Axis], table_bits: int) -> Any:
    return centred(joined(arrays, name, table_bits) - offset * inside(axes))


def last_state(relation: Relation, weights: Arrays, paths: Mapping[str, Path], tamper: Tamper) -> Arrays:
    """The limbs of a final state, offset binary, and those of its remainders. The stages exact and rounded have arrays
    W0, velocity.W0, ...; and rest.W0, ..."""
    p = relation.parameters
    x: Arrays = {final.name.removeprefix("final:"): paths[final.history].last_velocity() if final.velocity
                 else weights[final.history] for final in relation.finals}
    tamper("exact", p.steps, x)
    axes = {final.name.removeprefix("final:"): relation.tensors[f"final.{final.name.removeprefix('final:')}.0"].axes
            for final in relation.finals}
    for name in axes:
        if name.startswith("velocity.") or p.state_shift:
            raised = x[name] + inside(axes[name]) * (1 << (p.kernel_bits - 1))
            x[name] = raised >> p.kernel_bits
            x[f"rest.{name}"] = raised - (x[name] << p.kernel_bits)
    tamper("rounded", p.steps, x)
    out: Arrays = {}
    for name in axes:
        width = p.velocity_width if name.startswith("velocity.") else p.weight_width
        parts = [("final", width, centred(x[name] + (1 << (width - 1)) * inside(axes[name])))]
        parts += [("rounding", p.kernel_bits, x[key]) for key in [f"rest.{name}"] if key in x]
        for kind, bits, values in parts:
            out |= {f"{kind}.{name}.{k}": limb for k, limb in enumerate(split(values, bits, p.table_bits))}
    return out
