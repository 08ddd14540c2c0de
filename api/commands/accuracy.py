"""`prove-accuracy`: how many committed samples the committed model of a run classifies correctly, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prover.errors import InputInvalid
from prover.evaluation import accuracy_job
from prover.model_io import load_data
from verifier.check import LEAST_SECURITY

from .. import chains, publish, runs, slots
from ..backend import Choice, choose_backend
from ..console import Json, answer, stages
from .prove import Folder

Out = Annotated[Path, typer.Option("--out", help="The folder to make, for statement.json and proof.zkp.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace an earlier folder of a statement and a proof.")]


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("prove-accuracy")(prove_accuracy)


def prove_accuracy(
    run: Folder,
    data: Annotated[Path, typer.Option("--data", help="Labelled samples, read and scaled as the training data were.")],
    out: Out,
    label: Annotated[str | None, typer.Option(help="Label column. Default: as in training.")] = None,
    replace: Replace = False,
    backend: Choice = "auto",
    as_json: Json = False,
) -> None:
    """Prove how many of the samples the run's final model classifies correctly; only the count is shown.

    It spends one opening of the final state. The samples are committed afresh, with randomness that is not kept.
    """
    settings, segments = runs.read_settings(run), chains.read_segments(run)
    trained, p = segments[-1].statement, segments[-1].statement.parameters
    if p.target != "one-hot":
        raise InputInvalid("an accuracy counts classes: this run was trained on real-valued targets")
    column = settings.label if label is None else label
    with stages() as shown, slots.proving(run) as ledger, runs.new_folder(out, replace, proof_only=True) as folder:
        shown.stage("read data")
        loaded = load_data(data, p.target, column, p.widths[-1], settings.header, None)
        inputs, targets = settings.scaling.integers(loaded, p)
        blinding = chains.final_blinding(run, segments)
        shown.stage("commit the samples")
        chosen, state = choose_backend(backend), runs.read_final(run, p)
        job = accuracy_job(chosen.backend, trained, state, blinding, inputs, targets, LEAST_SECURITY)
        chosen.check(job.statement)
        result = publish.publish(job, chosen.backend, ledger, folder, shown)
    counts = {"correct": job.statement.correct or 0, "samples": job.statement.samples}
    result = counts | result | publish.places(out, run, [trained], shown)
    what = f"that {counts['correct']} of {counts['samples']} samples are classified correctly"
    answer(result, publish.written(what, result, out, shown), as_json)
