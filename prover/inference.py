"""Proofs of what the final model of a trained run gives for samples: statement and job."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from verifier.statement import MAX_BYTES, Inference, Statement
from verifier.training import training_relation

from .backends.interface import Backend
from .commitment import Blinding
from .errors import InputInvalid
from .evaluation import choice_integers, draft_use, forward_witness, needed_widths, use_parameters
from .exact import Integers
from .proving import Job, commit_group, prepare
from .randomness import Randomness
from .trainer import State, forward_pass
from .witness import data_integers, state_integers, to_field

REVEAL = ("outputs", "classes")


@dataclass(frozen=True)
class StandingData:
    """The data set that the trained run committed: its targets, which stay hidden, and what opens its root."""

    targets: Integers
    blinding: Blinding


def inference_job(
    backend: Backend,
    trained: Statement,
    state: State,
    blinding: Blinding,
    inputs: Integers,
    *,
    reveal: str = "outputs",
    public: bool = False,
    data: StandingData | None = None,
    minimum_security: int = 1,
    randomness: Randomness | None = None,
) -> Job:
    """The job of proving what the final state of `trained` gives for inputs [n, d_0] at scale 2^a.

    `reveal` says what becomes public: all outputs, or the class with the largest one (the lowest of tied ones). The
    inputs become public too, or are the run's own committed `data`, or are committed afresh. `state` and `blinding`
    open the run's final root, of which the proof uses up one opening; so it does of `data`.
    Errors: InputInvalid, also for a statement that would be too long; OutOfRange; ParametersUnsafe.
    """
    p = trained.parameters
    if len(inputs) == 0 or inputs.shape[1] != p.widths[0]:
        raise InputInvalid(f"inputs of shape {inputs.shape}: the model takes [n, {p.widths[0]}], n > 0")
    run = forward_pass(state, p, inputs)
    answers = _answers(run.Y[-1], reveal, inputs if public else None)
    parameters = use_parameters(p, "inference", len(inputs), needed_widths(p, inputs, run.Y))
    statement = dataclasses.replace(draft_use(parameters, len(inputs), trained.final_root), inference=answers)
    _check_length(statement)
    relation, shape = prepare(statement, minimum_security)
    integers: dict[str, Integers] = {}
    blindings = {"initial": blinding}
    if data is not None:
        integers = data_integers(inputs, data.targets, relation)
        blindings["data"], root = data.blinding, trained.data_root
        statement = dataclasses.replace(statement, data_root=root)
    elif not public:
        integers = data_integers(inputs, np.zeros((len(inputs), p.widths[-1]), dtype=np.int64), relation)
        tensors = {name: to_field(values) for name, values in integers.items()}
        committed = commit_group(backend, relation, shape.code, "data", tensors, randomness=randomness)
        blindings["data"] = committed.blinding
        statement = dataclasses.replace(statement, data_root=committed.root)
    if reveal == "classes":
        integers |= choice_integers(relation, run.Y[-1])
    witness = forward_witness(backend, relation, state_integers(state, "initial", relation), run, integers)
    return Job(statement, training_relation(statement), shape, witness, blindings)


def _answers(outputs: Integers, reveal: str, inputs: Integers | None) -> Inference:
    given = None if inputs is None else _rows(inputs)
    if reveal == "outputs":
        return Inference(inputs=given, outputs=_rows(outputs))
    return Inference(inputs=given, classes=tuple(int(k) for k in outputs.argmax(axis=1)))


def _rows(values: Integers) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(v) for v in row) for row in values)


def _check_length(statement: Statement) -> None:
    length = len(statement.to_bytes())
    if length > MAX_BYTES:
        raise InputInvalid(
            f"a statement about {statement.samples} samples would have {length} bytes, at most {MAX_BYTES} are read: "
            "prove fewer samples at a time, or reveal classes alone"
        )
