"""A training run on padded arrays, mod p, in which every value may be tampered with and the rest follows from it.

It computes what the relation says, padding included, so that a cheat is consistent everywhere but where it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from verifier.field import P
from verifier.relation import Axis, Relation, limb_widths
from verifier.tables import exponential
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
    relu:l, A:l, loss:..., G:l, backward:l, update, end. Derived tensors in `unmasked` keep their padding.
    """
    p, last = relation.parameters, relation.parameters.layers - 1
    a, w = p.activation_bits, p.weight_bits
    t_axis, b_axis = Axis("t", p.steps), Axis("b", p.batch)
    f = [Axis("f", width) for width in p.widths]
    weights: Arrays = {}
    for name, history in relation.histories.items():
        axes = [history.columns] if history.rows is None else [history.rows, history.columns]
        weights[name] = centred(joined(start, f"initial.{name}", p.table_bits) - history.offset * inside(axes))
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
                x[f"W{l}"] = centred(x[f"W{l}"] - p.rate(t) * (x[f"A{l}"].T @ x[f"G{l}"]))
                x[f"b{l}"] = centred(x[f"b{l}"] - x[f"G{l}"].sum(axis=0) * (p.rate(t) << a))
            tamper("update", t, x)
            weights = {name: x[name] for name in weights}
        for name in [key for key in x if key[0] == "R"]:
            for k, limb in enumerate(split(x[name], w, p.table_bits)):
                x[f"{name}.{k}"] = limb
        tamper("end", t, x)
        steps.append(x)
    committed = {name: np.stack([x[name] for x in steps]) for name in relation.tensors if name in steps[0]}
    derived = {name: np.stack([x[name] for x in steps]) for name in relation.masked}
    return committed | dict(start) | final_limbs(relation, weights), derived


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


def final_limbs(relation: Relation, weights: Arrays) -> Arrays:
    """The limbs of a final state, offset binary."""
    p, out = relation.parameters, {}
    for name, history in relation.histories.items():
        axes = [history.columns] if history.rows is None else [history.rows, history.columns]
        value = centred(weights[name] + history.offset * inside(axes))
        for k, limb in enumerate(split(value, p.weight_width, p.table_bits)):
            out[f"final.{name}.{k}"] = limb
    return out
