"""`prove-accuracy`: how many committed samples the committed model of a run classifies correctly, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import verifier
from prover.errors import InputInvalid, ProverError
from prover.evaluation import accuracy_job
from prover.files import write_atomic
from prover.model_io import load_data
from prover.prove import prove as make_proof
from verifier.check import LEAST_SECURITY

from .. import chains, runs, slots, training
from ..backend import Choice, choose_backend
from ..console import Json, answer, seconds, size, stages
from .prove import Folder


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("prove-accuracy")(prove_accuracy)


def prove_accuracy(
    run: Folder,
    data: Annotated[Path, typer.Option("--data", help="Labelled samples, read and scaled as the training data were.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to make, for statement.json and proof.zkp.")],
    label: Annotated[str | None, typer.Option(help="Label column. Default: as in training.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an earlier folder.")] = False,
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
    with stages() as shown, slots.proving(run) as ledger, runs.new_folder(out, replace) as folder:
        shown.stage("read data")
        loaded = load_data(data, p.target, column, p.widths[-1], settings.header, None)
        inputs, targets = training.to_integers(settings, p, loaded)
        blinding = chains.final_blinding(run, segments)
        shown.stage("commit the samples")
        chosen, state = choose_backend(backend), runs.read_final(run, p)
        job = accuracy_job(chosen.backend, trained, state, blinding, inputs, targets, LEAST_SECURITY)
        ledger.require([job.statement])
        chosen.check(job.statement)
        proof = make_proof(job, chosen.backend, progress=shown.stage)
        shown.stage("check the proof")
        try:
            hiding = p.zero_knowledge
            text = job.statement.to_bytes()
            verdict = verifier.verify(text, proof, minimum_security=LEAST_SECURITY, allow_transparent=not hiding)
        except verifier.VerifierError as error:
            raise ProverError(f"the proof does not pass its own verification: {error}") from error
        shown.stage("write")
        ledger.spend(job.statement)
        write_atomic(folder / runs.STATEMENT, text)
        write_atomic(folder / runs.PROOF, proof)
    correct, samples = job.statement.correct or 0, job.statement.samples
    result = {
        "correct": correct,
        "samples": samples,
        "statement": str(out / runs.STATEMENT),
        "proof": str(out / runs.PROOF),
        "bytes": len(proof),
        "statement_digest": f"sha256:{verdict.statement_digest.hex()}",
        "security_bits": verdict.security_bits,
        "openings_left": slots.slots_left(run, [trained]),
        "seconds": shown.seconds,
    }
    lines = [
        f"proved that {correct} of {samples} samples are classified correctly, in {seconds(shown.total())}: "
        f"{size(len(proof))}, {verdict.security_bits:.1f} bits",
        f"wrote {out}; next: zkgrad verify {out / runs.STATEMENT} {out / runs.PROOF}",
    ]
    answer(result, lines, as_json)
