"""Proofs that the final state of a trained run consists of the integers in a weights file."""

from __future__ import annotations

import dataclasses
import hashlib

from verifier.opening import check_file, with_file
from verifier.statement import Statement

from .backends.interface import Backend
from .commitment import Blinding
from .evaluation import draft_use, use_parameters
from .proving import Job, prepare
from .trainer import State
from .witness import build_witness, state_integers


def model_job(
    backend: Backend,
    trained: Statement,
    state: State,
    blinding: Blinding,
    file: bytes,
    minimum_security: int = 1,
) -> Job:
    """The job of proving that the final state of `trained` is what the weights file says.

    `state` and `blinding` open the trained run's final root, of which the proof uses up one opening. The file may be
    another one than the run's own: proving fails (WitnessUnsatisfied) if one integer differs.
    Errors: MalformedWeights for a file without exact integers of these layers; ParametersUnsafe.
    """
    widths = {"input": 2, "activation": 2, "output": 2}
    parameters = use_parameters(trained.parameters, "model", 1, widths)
    statement = dataclasses.replace(draft_use(parameters, 1, trained.final_root), file=hashlib.sha256(file).digest())
    weights = check_file(statement, file)
    relation, shape = prepare(statement, minimum_security)
    witness = build_witness(backend, relation, state_integers(state, "initial", relation), {})
    return Job(statement, with_file(relation, weights), shape, witness, {"initial": blinding})
