"""The trace of a run as the named tensors of its relation, padded and in the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from verifier.relation import Lookup, Relation
from verifier.relation import Table as LookupTable
from verifier.statement import Parameters
from verifier.tables import SLOPE_BITS, second_column
from verifier.tensors import Axis, Form, History, limb_widths
from verifier.tensors import State as CommittedState

from .activations import activate, chain
from .backends import host
from .backends.interface import Backend, Made, Table
from .backends.threads import each
from .errors import WitnessUnsatisfied
from .exact import beside, digits, empty_beside, extremes, on_host, square_sums, take, zeros_beside
from .loss import cross_entropy
from .trainer import State, Trace, public_state

Integers = NDArray[np.int64]
to_field = host.field


class Forward(Protocol):
    """What a forward pass leaves, by layer."""

    @property
    def A(self) -> list[Integers]:
        """Inputs and activations."""

    @property
    def Y(self) -> list[Integers]:
        """Rounded outputs."""

    @property
    def R(self) -> list[Integers]:
        """Remainders of the rounding."""

    @property
    def D(self) -> list[Integers]:
        """ReLU bits, of hidden layers."""


@dataclass
class Witness:
    """Flat F tables by name: committed tensors, derived ones over (t, b, feature), first states and velocities
    (rows, columns).

    All are row-major with every axis padded to a power of two.
    """

    tensors: dict[str, Table]
    derived: dict[str, Table]
    states: dict[str, Table]
    velocities: dict[str, Table]


def pad(values: Integers, axes: Sequence[Axis]) -> Integers:
    """Zero-pads each axis to its power of two and flattens row-major; a view of the values where nothing is padded."""
    shape = [1 << axis.bits for axis in axes]
    if list(values.shape) == shape:
        return values.reshape(-1)
    out: Integers = zeros_beside(values, shape)
    out[tuple(slice(0, axis.size) for axis in axes)] = values
    return out.reshape(-1)


def _each(make: Callable[[Any], Made], items: Sequence[Any], like: Any) -> list[Made]:
    """make(item) of each, by threads if integers are those of the host: a device is launched on by one."""
    return each(make, items) if isinstance(like, np.ndarray) else [make(item) for item in items]


def limbs(values: Integers, width: int, p: Parameters) -> list[Integers]:
    """Base-2^table_bits digits of non-negative integers below 2^width, lowest first."""
    out, low = [], 0
    for bits in limb_widths(width, p.table_bits):
        out.append(digits(values, low, bits))
        low += bits
    return out


def state_integers(state: State, prefix: str, relation: Relation) -> dict[str, Integers]:
    """The offset-binary limbs of a state, by tensor name ("initial" or "final" as prefix), padded and flat.

    Nothing for a first state from a public seed, which is not committed. A first velocity of zero is not either.
    """
    p = relation.parameters
    out: dict[str, Integers] = {}
    if not relation.group(prefix):
        return {}
    for name, values in state.named(p).items():
        width = p.velocity_width if name.startswith("velocity.") else p.weight_width
        if f"{prefix}.{name}.0" in relation.tensors:
            out |= _limb_tensors(f"{prefix}.{name}", values + (1 << (width - 1)), width, relation)
    return out


def rounding_integers(rounding: Mapping[str, Integers], relation: Relation) -> dict[str, Integers]:
    """The limbs of the remainders of a rounded last state, [d_in, d_out] or [d_out] each, padded and flat."""
    out: dict[str, Integers] = {}
    for name, values in rounding.items():
        out |= _limb_tensors(f"rounding.{name}", values, relation.parameters.kernel_bits, relation)
    return out


def _limb_tensors(name: str, values: Integers, width: int, relation: Relation) -> dict[str, Integers]:
    parts = enumerate(limbs(values, width, relation.parameters))
    return {f"{name}.{k}": pad(limb, relation.tensors[f"{name}.{k}"].axes) for k, limb in parts}


def data_integers(inputs: Integers, targets: Integers, relation: Relation) -> dict[str, Integers]:
    """The data set's two tables, padded and flat."""
    names = {"data.input": inputs, "data.target": targets}
    return {name: pad(values, relation.tensors[name].axes) for name, values in names.items()}


def forward_integers(run: Forward, relation: Relation) -> dict[str, Integers]:
    """The tensors of a forward pass, [T, B, width] each: values, remainders' limbs, ReLU bits or activations."""
    p, whole = relation.parameters, {}
    for l, parts in enumerate(_each(lambda values: limbs(values, p.weight_bits, p), run.R, run.A[0])):
        whole[f"Y{l}"] = run.Y[l]
        whole |= {f"R{l}.{k}": limb for k, limb in enumerate(parts)}
        if l < p.layers - 1:
            whole |= {f"D{l}": run.D[l]} if p.activation == "relu" else {f"act{l}": run.A[l + 1]}
    return whole


def batch_integers(trace: Trace, relation: Relation) -> dict[str, Integers]:
    """The tensors of all steps that a proof commits, padded and flat."""
    p, axes = relation.parameters, relation.tensors
    whole: dict[str, Integers] = {"input": trace.inputs, "target": trace.targets}
    whole |= forward_integers(trace, relation)
    for l, parts in enumerate(_each(lambda values: limbs(values, p.weight_bits, p), trace.RG, trace.inputs), start=1):
        whole[f"GA{l}"] = trace.GA[l - 1]
        whole |= {f"RG{l}.{k}": limb for k, limb in enumerate(parts)}
    padded = _each(lambda name: pad(whole[name], axes[name].axes), list(whole), trace.inputs)
    out = dict(zip(whole, padded, strict=True))
    out |= rounding_integers(trace.rounding, relation)
    for norm in relation.norms:
        values = square_sums(_norm_of(trace, norm.tensor), norm.rows)
        named = zip(norm.norm.terms, limbs(values, norm.width, p), strict=True)
        out |= {name: pad(limb, axes[name].axes) for (_, (name,)), limb in named}
    return out | slope_integers(out, relation) | loss_integers(out[f"Y{p.layers - 1}"], relation)


def _norm_of(trace: Trace, tensor: str) -> Integers:
    """The tensor [T, B, d] whose norms are committed."""
    kind = tensor.rstrip("0123456789")
    found = {"Y": trace.Y, "act": trace.A[1:], "GA": [trace.GA[0], *trace.GA], "grad": trace.G}
    return found[kind][int(tensor[len(kind) :])]


def slope_integers(flat: Mapping[str, Integers], relation: Relation) -> dict[str, Integers]:
    """The backward tensors that only activations from tables have, from the padded flat Y and GA: padding follows the
    same formulas, so that the slope is there what it is at zero, grad is zero and rest one half."""
    p, out = relation.parameters, {}
    for l in range(p.layers - 1 if p.activation != "relu" else 0):
        _, out[f"slope{l}"] = activate(flat[f"Y{l}"], p)
        out[f"grad{l}"], rest = chain(flat[f"GA{l + 1}"], out[f"slope{l}"], p)
        out |= {f"rest{l}.{k}": limb for k, limb in enumerate(limbs(rest, SLOPE_BITS, p))}
    return out


def loss_integers(output: Integers, relation: Relation) -> dict[str, Integers]:
    """The tensors that only cross entropy has, from the padded flat output: padded places follow the same formulas.

    Computed on the host, as the output has few entries.
    """
    p = relation.parameters
    if p.loss != "ce":
        return {}
    axes = relation.tensors["top"].axes
    parts = cross_entropy(on_host(output).reshape([1 << axis.bits for axis in axes])[..., : p.widths[-1]], p)
    extra = (1 << axes[-1].bits) - p.widths[-1]
    out: dict[str, Integers] = {}
    for name, values in parts.items():
        edges = ((0, 0), (0, 0), (0, extra))
        out[name] = np.pad(values, edges, mode="edge" if name in ("top", "sum") else "constant").reshape(-1)
    return out


def derived_integers(trace: Trace, relation: Relation) -> dict[str, Integers]:
    """Activations A and gradients G of all steps, padded and flat; zero in the padding."""
    whole = {f"A{l}": values for l, values in enumerate(trace.A)} | {f"G{l}": v for l, v in enumerate(trace.G)}
    return {name: pad(values, relation.masked[name].axes) for name, values in whole.items()}


def evaluate_form(form: Form, tensors: Mapping[str, Integers]) -> Integers:
    """A linear form over integer tensors."""
    first, (name,) = form.terms[0]
    out: Integers = tensors[name] if first == 1 else first * tensors[name]
    for coefficient, (name,) in form.terms[1:]:
        out = out + coefficient * tensors[name]
    return out


def counted(relation: Relation, lookup: Lookup) -> Integers:
    """1 at the entries that a lookup counts: all, or those inside the public sizes if it is masked."""
    tensor = relation.tensors[lookup.x.terms[0][1][0]]
    if not lookup.masked:
        return np.ones(1 << tensor.bits, dtype=np.int64)
    return pad(np.ones([axis.size for axis in tensor.axes], dtype=np.int64), tensor.axes)


def lookup_rows(relation: Relation, lookup: Lookup, tensors: Mapping[str, Integers], strict: bool) -> Integers:
    """Table rows that a column's counted entries stand in. Entries outside their table are an error, or left out."""
    size = 1 << lookup.table.bits
    rows = _counted_entries(relation, lookup, evaluate_form(lookup.x, tensors))
    rows = rows + lookup.shift if lookup.shift else rows
    low, high = extremes(rows)
    inside = low >= 0 and high < size
    if lookup.y is None:
        if inside:
            return rows
        bad = (on_host(rows) < 0) | (on_host(rows) >= size)
    else:
        wanted = np.array(second_column(lookup.table), dtype=np.int64)
        second = _counted_entries(relation, lookup, evaluate_form(lookup.y, tensors))
        if inside and extremes(take(beside(rows, wanted), rows) - second) == (0, 0):
            return rows
        bad = (on_host(rows) < 0) | (on_host(rows) >= size)
        bad |= on_host(second) != wanted[np.where(bad, 0, on_host(rows))]
    found = on_host(rows)
    if strict:
        place = int(np.flatnonzero(bad)[0])
        raise WitnessUnsatisfied(
            f"{lookup.name}: row {int(found[place])} at entry {place} is not in {lookup.table.name}"
        )
    kept: Integers = found[~bad]
    return kept


def _counted_entries(relation: Relation, lookup: Lookup, values: Integers) -> Integers:
    """Of a padded flat column, the entries that a lookup counts."""
    if not lookup.masked:
        return values
    axes = relation.tensors[lookup.x.terms[0][1][0]].axes
    whole = values.reshape([1 << axis.bits for axis in axes])
    inside: Integers = whole[tuple(slice(0, axis.size) for axis in axes)].reshape(-1)
    return inside


def count_lookups(
    backend: Backend, relation: Relation, tensors: Mapping[str, Integers], strict: bool = True
) -> dict[str, Table]:
    """How often each row of each table is looked up."""

    def counts(table: LookupTable) -> Table:
        lookups = [lookup for lookup in relation.lookups if lookup.table == table]
        columns = backend.each(lambda lookup: lookup_rows(relation, lookup, tensors, strict), lookups)
        return backend.count_table(columns, 1 << table.bits)

    return {f"count:{table.name}": counts(table) for table in relation.tables()}


def _state_values(state: CommittedState, integers: Mapping[str, Integers], axes: Sequence[Axis]) -> Integers:
    """A committed state without its offset, padded and flat; a shared one is spread from its list."""
    values = evaluate_form(state.form, integers)
    if state.sharing is None:
        shape = [1 << axis.bits for axis in axes]
        whole: Integers = empty_beside(values, shape)
        whole[...] = values.reshape(shape)
        whole[tuple(slice(0, axis.size) for axis in axes)] -= state.offset
        return whole.reshape(-1)
    values = on_host(values)
    out = np.zeros((1 << sum(axis.bits for axis in axes[:-1]), 1 << axes[-1].bits), dtype=np.int64)
    rows, columns, places = np.array(state.sharing.entries, dtype=np.int64).reshape(-1, 3).T
    out[rows, columns] = values[places] - state.offset
    return out.reshape(-1)


def build_witness(
    backend: Backend,
    relation: Relation,
    integers: Mapping[str, Integers],
    derived: Mapping[str, Integers],
    strict: bool = True,
    seed: bytes = bytes(32),
    tables: Mapping[str, Table] | None = None,
) -> Witness:
    """All tables of a proof from the padded integers of every committed and derived tensor; `seed` is the first
    state's, where that is public. `tables` are tensors that are in the field already, of non-negative integers."""
    tables, integers = tables or {}, {name: backend.integers(values) for name, values in integers.items()}
    tensors = dict(tables) | _to_fields(backend, integers)
    integers |= {name: backend.integers(table) for name, table in tables.items()}
    tensors |= count_lookups(backend, relation, integers, strict)
    first = public_state(relation.parameters, seed) if _starts_public(relation) else None
    starts = backend.each(lambda history: _starts(history, integers, first), [*relation.histories.values()])
    states = {name: state for name, (state, _) in zip(relation.histories, starts, strict=True)}
    moving = zip(relation.histories, starts, strict=True)
    velocities = {name: velocity for name, (_, velocity) in moving if velocity is not None}
    ordered = {name: tensors[name] for name in relation.tensors}
    return Witness(ordered, *(_to_fields(backend, values) for values in (derived, states, velocities)))


def _starts_public(relation: Relation) -> bool:
    return any(history.initial is None for history in relation.histories.values())


def _starts(
    history: History, integers: Mapping[str, Integers], public: State | None
) -> tuple[Integers, Integers | None]:
    """A tensor's first state and first velocity, padded and flat; no velocity where there is none yet."""
    axes = [history.columns] if history.rows is None else [history.rows, history.columns]
    velocity = None if history.velocity is None else _state_values(history.velocity, integers, axes)
    if history.initial is not None:
        return _state_values(history.initial, integers, axes), velocity
    assert public is not None
    return pad((public.biases if history.rows is None else public.weights)[history.layer], axes), velocity


def _to_fields(backend: Backend, integers: Mapping[str, Integers]) -> dict[str, Table]:
    return dict(zip(integers, backend.fields(list(integers.values())), strict=True))
