"""Whether what a forged statement says is true, found by training again from what was really committed."""

from __future__ import annotations

from typing import Any

import numpy as np

from prover.errors import InputInvalid, OutOfRange
from prover.trainer import State, train
from tests.simulate import centred, inside, joined, shape
from tests.support import Forged
from verifier.relation import Relation


def committed(forged: Forged) -> dict[str, Any]:
    """Every committed tensor in padded shape, as integers of least magnitude."""
    return {name: centred(forged.job.witness.tensors[name]).reshape(shape(tensor.axes))
            for name, tensor in forged.relation.tensors.items()}


def state_of(relation: Relation, tensors: dict[str, Any], prefix: str) -> State:
    """A committed state in its public size, from its limbs, mod p."""
    p, values = relation.parameters, {}
    for name, history in relation.histories.items():
        axes = [history.columns] if history.rows is None else [history.rows, history.columns]
        for part, width in ((name, p.weight_width), (f"velocity.{name}", p.velocity_width)):
            if f"{prefix}.{part}.0" in tensors:
                value = centred(joined(tensors, f"{prefix}.{part}", p.table_bits) - (1 << (width - 1)) * inside(axes))
                values[part] = value[tuple(slice(0, axis.size) for axis in axes)].astype(np.int64)

    def every(kind: str) -> tuple[Any, ...]:
        return tuple(values[f"{kind}{l}"] for l in range(p.layers) if f"{kind}{l}" in values)

    return State(every("W"), every("b"), every("velocity.W"), every("velocity.b"))


def is_true(forged: Forged) -> bool:
    """The committed final state is that of the stated run, all of whose values are in their declared ranges."""
    relation, tensors, p = forged.relation, committed(forged), forged.statement.parameters
    data = [tensors[name][:forged.statement.samples, :width].astype(np.int64)
            for name, width in (("data.input", p.widths[0]), ("data.target", p.widths[-1]))]
    try:
        trace = train(p, state_of(relation, tensors, "initial"), *data, forged.statement.batches())
    except (InputInvalid, OutOfRange):
        return False
    final = state_of(relation, tensors, "final")
    return all(np.array_equal(values, final.named(p)[name]) for name, values in trace.final.named(p).items())
