"""`open-model`: shows to someone who holds a weights file that it is the model that a run committed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from prover.opening import model_job
from verifier.check import LEAST_SECURITY
from verifier.weights import MAX_MODEL

from .. import chains, publish, runs, slots
from ..backend import Choice, choose_backend
from ..console import Json, answer, stages
from ..reading import read_limited
from .accuracy import Out, Replace
from .prove import Folder


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("open-model")(open_model)


def open_model(
    run: Folder,
    out: Out,
    model: Annotated[
        Path | None, typer.Option("--model", help="The weights file that the other side holds. Default: the run's own.")
    ] = None,
    replace: Replace = False,
    backend: Choice = "auto",
    as_json: Json = False,
) -> None:
    """Prove that a file of exact integers, weights_int.safetensors, is the run's committed final model.

    It spends one opening of the final state. The proof shows nothing to who does not have the file, and nothing more
    to who has it. Give the file itself by other means.
    """
    segments = chains.read_segments(run)
    trained = segments[-1].statement
    place = run / runs.WEIGHTS if model is None else model
    with stages() as shown, slots.proving(run) as ledger, runs.new_folder(out, replace, proof_only=True) as folder:
        shown.stage("read the weights")
        file = read_limited(place, MAX_MODEL)
        state, blinding = runs.read_final(run, trained.parameters), chains.final_blinding(run, segments)
        chosen = choose_backend(backend)
        job = model_job(chosen.backend, trained, state, blinding, file, LEAST_SECURITY)
        chosen.check(job.statement)
        result = publish.publish(job, chosen.backend, ledger, folder, shown, file)
    result = {"model": str(place), "file": f"sha256:{hashlib.sha256(file).hexdigest()}"} | result
    result |= publish.places(out, run, [trained], shown)
    what = f"that {place} is the committed model"
    answer(result, publish.written(what, result, out, shown, " --model FILE"), as_json)
