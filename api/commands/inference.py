"""`prove-inference`: what the committed model of a run gives for samples, committed or public."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from prover.errors import InputInvalid
from prover.exact import Integers
from prover.inference import REVEAL, StandingData, inference_job
from prover.model_io import load_features
from verifier.check import LEAST_SECURITY
from verifier.statement import Parameters, Statement

from .. import chains, publish, runs, slots
from ..backend import Choice, choose_backend
from ..chains import Segment
from ..console import Json, UsageError, answer, stages
from .accuracy import Out, Replace
from .prove import Folder


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("prove-inference")(prove_inference)


def prove_inference(
    run: Folder,
    out: Out,
    data: Annotated[
        Path | None, typer.Option("--data", help="Samples without labels, scaled as the training data were.")
    ] = None,
    training_data: Annotated[
        bool,
        typer.Option("--training-data", help="The samples that the run committed; spends one of their openings."),
    ] = False,
    public_inputs: Annotated[
        bool, typer.Option("--public-inputs", help="List the inputs in the statement instead of committing to them.")
    ] = False,
    reveal: Annotated[str, typer.Option(help="outputs: all of them. classes: the largest one's number.")] = "outputs",
    replace: Replace = False,
    backend: Choice = "auto",
    as_json: Json = False,
) -> None:
    """Prove what the run's final model gives for samples: all outputs, or the classes and nothing else.

    The statement lists what is revealed, and the inputs if they are public. It spends one opening of the final state.
    Samples from --data that are not public are committed afresh, with randomness that is not kept.
    """
    if (data is None) != training_data or (training_data and public_inputs):
        raise UsageError("give either --data FILE, with or without --public-inputs, or --training-data")
    if reveal not in REVEAL:
        raise UsageError(f"--reveal {reveal!r}: {' or '.join(REVEAL)}")
    segments = chains.read_segments(run)
    trained, p = segments[-1].statement, segments[-1].statement.parameters
    if reveal == "classes" and p.target != "one-hot":
        raise InputInvalid("this run was trained on real-valued targets: there are no classes, --reveal outputs")
    with stages() as shown, slots.proving(run) as ledger, runs.new_folder(out, replace, proof_only=True) as folder:
        shown.stage("read data")
        inputs, standing = _samples(run, segments, p, data)
        blinding = chains.final_blinding(run, segments)
        shown.stage("commit the samples")
        chosen, state = choose_backend(backend), runs.read_final(run, p)
        job = inference_job(
            chosen.backend,
            trained,
            state,
            blinding,
            inputs,
            reveal=reveal,
            public=public_inputs,
            data=standing,
            minimum_security=LEAST_SECURITY,
        )
        chosen.check(job.statement)
        result = publish.publish(job, chosen.backend, ledger, folder, shown)
    result = _told(job.statement) | result | publish.places(out, run, [trained], shown)
    what = f"the {reveal} that the model gives for {job.statement.samples} samples"
    answer(result, publish.written(what, result, out, shown), as_json)


def _samples(
    run: Path, segments: tuple[Segment, ...], p: Parameters, data: Path | None
) -> tuple[Integers, StandingData | None]:
    """Inputs at scale 2^a; with the secrets of their commitment if they are the run's own."""
    if data is None:
        inputs, targets = runs.read_data(run)
        openings = runs.read_openings(run)
        if "data" not in openings or len(inputs) != segments[-1].statement.samples:
            raise InputInvalid(f"{run} does not hold the data that its statement speaks of")
        return inputs, StandingData(targets, openings["data"])
    features = load_features(data, p.widths[0])
    return runs.read_settings(run).scaling.inputs(features, p, str(data)), None


def _told(s: Statement) -> dict[str, Any]:
    """What the statement reveals."""
    assert s.inference is not None
    values = {name: value for name, value in vars(s.inference).items() if value is not None}
    return values | {"samples": s.samples, "scale_bits": s.parameters.activation_bits}
