"""Accuracy of a committed model on committed samples: from a trained statement's opening to a statement and its job."""

from __future__ import annotations

import dataclasses

import numpy as np

from verifier.relation import Relation
from verifier.statement import Parameters, Statement
from verifier.training import training_relation

from .backends.interface import Backend
from .commitment import Blinding
from .errors import InputInvalid, OutOfRange
from .exact import Integers, bits_needed
from .prove import Job, commit_group, prepare
from .randomness import Randomness
from .trainer import State, forward_pass
from .witness import build_witness, data_integers, forward_integers, pad, state_integers, to_field

_ZERO = bytes(32)


def accuracy_parameters(trained: Parameters, samples: int, widths: dict[str, int]) -> Parameters:
    """The parameters of an accuracy on `samples` samples: the trained run's, but for what belongs to training.

    `widths` are bits of inputs, activations and outputs. The code and the budgets stay: the model's commitment is used.
    """
    return dataclasses.replace(
        trained,
        task="accuracy",
        steps=1,
        first_step=0,
        rates=(1,),
        batch=samples,
        loss="mse",
        target="one-hot",
        target_bits=0,
        target_width=1,
        error_width=2,
        initial="committed",
        activation_norm_width=0,
        gradient_norm_width=0,
        input_width=widths["input"],
        activation_width=widths["activation"],
        output_width=widths["output"],
    )


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
    parameters = accuracy_parameters(trained.parameters, len(inputs), _widths(trained.parameters, inputs, run.Y))
    output = run.Y[-1]
    choice = (np.arange(output.shape[1]) == output.argmax(axis=1)[:, None]).astype(np.int64)
    draft = Statement(parameters, len(inputs), _ZERO, trained.final_root, _ZERO, trained.final_root, _ZERO)
    draft = dataclasses.replace(draft, correct=int((choice * targets).sum()))
    relation = training_relation(draft)
    shape = prepare(draft, minimum_security)[1]
    data = data_integers(inputs, targets, relation)
    tensors = {name: to_field(values) for name, values in data.items()}
    committed = commit_group(backend, relation, shape.code, "data", tensors, randomness=randomness)
    statement = dataclasses.replace(draft, data_root=committed.root)
    integers = data | state_integers(state, "initial", relation)
    top = np.broadcast_to(output.max(axis=1, keepdims=True), output.shape)
    parts = {"input": inputs, "target": targets, "choice": choice} | forward_integers(run, relation)
    integers |= {name: _padded(relation, name, values) for name, values in parts.items()}
    integers |= _padded_choice(relation, choice, top)
    derived = {f"A{l}": pad(values[None], relation.masked[f"A{l}"].axes) for l, values in enumerate(run.A)}
    witness = build_witness(backend, relation, integers, derived)
    return Job(statement, relation, shape, witness, {"data": committed.blinding, "initial": blinding})


def _padded(relation: Relation, name: str, values: Integers) -> Integers:
    return pad(values[None], relation.tensors[name].axes)


def _padded_choice(relation: Relation, choice: Integers, top: Integers) -> dict[str, Integers]:
    """`choice` with the first class chosen at padded places, and `top` constant along the padded classes."""
    axes = relation.tensors["top"].axes
    shape = [1 << axis.bits for axis in axes]
    chosen = pad(choice[None], axes).reshape(shape)
    chosen[:, len(choice) :, 0] = 1
    wide = np.zeros(shape, dtype=np.int64)
    wide[0, : len(top)] = top[:, :1]
    return {"choice": chosen.reshape(-1), "top": wide.reshape(-1)}


def _widths(p: Parameters, inputs: Integers, outputs: list[Integers]) -> dict[str, int]:
    def bits(values: list[Integers]) -> int:
        return max([2, *(bits_needed(int(v.min()), int(v.max())) for v in values)])

    widths = {"input": bits([inputs]), "activation": bits(outputs[:-1]), "output": bits(outputs[-1:])}
    for name, needed in widths.items():
        if needed > p.table_bits:
            raise OutOfRange(f"{name} values of these samples need {needed} bits, at most {p.table_bits} can be proven")
    return widths
