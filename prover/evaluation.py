"""Accuracy of a committed model on committed samples: from a trained statement's opening to a statement and its job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from verifier.parameters import NORMS
from verifier.relation import Relation
from verifier.security import Shape
from verifier.statement import Parameters, Statement

from .backends.interface import Backend
from .commitment import Blinding
from .errors import InputInvalid, OutOfRange
from .exact import Integers, bits_needed
from .proving import Job, commit_group, prepare
from .randomness import Randomness
from .trainer import State, forward_pass
from .witness import Forward, Witness, build_witness, data_integers, forward_integers, pad, state_integers, to_field

_ZERO = bytes(32)


def use_parameters(trained: Parameters, task: str, samples: int, widths: dict[str, int]) -> Parameters:
    """The parameters of another task on the model of a trained run: that run's, but for what belongs to training.

    `widths` are bits of inputs, activations and outputs. The code and the budgets stay: the model's commitment is used.
    """
    norms: dict[str, Any] = dict.fromkeys(NORMS, 0)
    return dataclasses.replace(
        trained,
        task=task,
        steps=1,
        first_step=0,
        rates=(1,),
        batch=samples,
        loss="mse",
        target="one-hot",
        target_bits=0,
        target_width=1,
        error_width=2,
        backward_width=2,
        initial="committed",
        **norms,
        input_width=widths["input"],
        activation_width=widths["activation"],
        output_width=widths["output"],
    )


def draft_use(parameters: Parameters, samples: int, model_root: bytes) -> Statement:
    """A statement about the model with this root, its data root and what its task has besides still missing."""
    return Statement(parameters, samples, _ZERO, model_root, _ZERO, model_root, _ZERO)


def accuracy_job(
    backend: Backend,
    trained: Statement,
    state: State,
    blinding: Blinding,
    inputs: Integers,
    targets: Integers,
    minimum_security: int = 1,
    randomness: Randomness | None = None,
) -> Job:
    """The job of proving how many samples the final state of `trained` classifies correctly.

    inputs [n, d_0] at scale 2^a, targets [n, C] one-hot; `state` and `blinding` open the trained run's final root, of
    which this proof uses up one opening. The samples are committed afresh. Ties take the lowest class.
    Errors: InputInvalid, OutOfRange for outputs wider than the tables, ParametersUnsafe.
    """
    first, last = trained.parameters.widths[0], trained.parameters.widths[-1]
    if len(inputs) == 0 or inputs.shape[1] != first or targets.shape != (len(inputs), last):
        raise InputInvalid(
            f"samples of shape {inputs.shape} with targets of shape {targets.shape}: the model takes [n, {first}] and "
            f"[n, {last}], n > 0"
        )
    run = forward_pass(state, trained.parameters, inputs)
    widths = needed_widths(trained.parameters, inputs, run.Y)
    draft = accuracy_draft(use_parameters(trained.parameters, "accuracy", len(inputs), widths), trained.final_root, run,
                           targets)
    relation, shape = prepare(draft, minimum_security)
    model = state_integers(state, "initial", relation)
    return evaluation_job(backend, draft, relation, shape, model, blinding, run, targets, randomness)


def accuracy_draft(parameters: Parameters, model_root: bytes, run: Forward, targets: Integers) -> Statement:
    """The statement of an accuracy but for the root of its samples, with the number that the model gets right."""
    correct = int((choice(run.Y[-1]) * targets).sum())
    return dataclasses.replace(draft_use(parameters, len(targets), model_root), correct=correct)


def evaluation_job(
    backend: Backend,
    draft: Statement,
    relation: Relation,
    shape: Shape,
    model: Mapping[str, Integers],
    blinding: Blinding,
    run: Forward,
    targets: Integers,
    randomness: Randomness | None = None,
) -> Job:
    """The job of an accuracy whose model is committed: `model` are its padded tensors, which `blinding` opens.

    `run` is the forward pass of the samples, targets [n, C] their classes. Commits the samples, whose root completes
    the draft.
    """
    data = data_integers(run.A[0], targets, relation)
    tensors = {name: to_field(values) for name, values in data.items()}
    committed = commit_group(backend, relation, shape.code, "data", tensors, randomness=randomness)
    integers = data | {"target": pad(targets[None], relation.tensors["target"].axes)}
    witness = forward_witness(backend, relation, model, run, integers | choice_integers(relation, run.Y[-1]))
    statement = dataclasses.replace(draft, data_root=committed.root)
    return Job(statement, relation, shape, witness, {"data": committed.blinding, "initial": blinding})


def forward_witness(
    backend: Backend, relation: Relation, model: Mapping[str, Integers], run: Forward, integers: dict[str, Integers]
) -> Witness:
    """The witness of one forward pass from a committed state, `model`; `integers` are the other tensors; all padded and
    flat."""
    parts = {"input": run.A[0]} | forward_integers(run, relation)
    whole = integers | dict(model)
    whole |= {name: pad(values[None], relation.tensors[name].axes) for name, values in parts.items()}
    derived = {f"A{l}": pad(values[None], relation.masked[f"A{l}"].axes) for l, values in enumerate(run.A)}
    return build_witness(backend, relation, whole, derived)


def choice(outputs: Integers) -> Integers:
    """One-hot rows of the largest output of each sample, [n, C]; the lowest class on a tie."""
    return np.asarray(np.arange(outputs.shape[1]) == outputs.argmax(axis=1)[:, None], dtype=np.int64)


def choice_integers(relation: Relation, outputs: Integers) -> dict[str, Integers]:
    """`choice` with the first class chosen at padded places, and `top` constant along the padded classes."""
    axes = relation.tensors["top"].axes
    shape = [1 << axis.bits for axis in axes]
    chosen = pad(choice(outputs)[None], axes).reshape(shape)
    chosen[:, len(outputs) :, 0] = 1
    wide = np.zeros(shape, dtype=np.int64)
    wide[0, : len(outputs)] = outputs.max(axis=1, keepdims=True)
    return {"choice": chosen.reshape(-1), "top": wide.reshape(-1)}


def needed_widths(p: Parameters, inputs: Integers, outputs: list[Integers]) -> dict[str, int]:
    """Bits of inputs, activations and outputs; OutOfRange for more than the tables have."""

    def bits(values: list[Integers]) -> int:
        return max([2, *(bits_needed(int(v.min()), int(v.max())) for v in values)])

    widths = {"input": bits([inputs]), "activation": bits(outputs[:-1]), "output": bits(outputs[-1:])}
    for name, needed in widths.items():
        if needed > p.table_bits:
            raise OutOfRange(f"{name} values of these samples need {needed} bits, at most {p.table_bits} can be proven")
    return widths
