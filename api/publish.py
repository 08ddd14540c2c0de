"""Proofs about the model of a run that is there already: proven, checked, counted in the run's slots, and written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import verifier
from prover.backends.interface import Backend
from prover.errors import ProverError
from prover.files import write_atomic
from prover.proving import Job
from prover.proving import prove as make_proof
from verifier.check import LEAST_SECURITY
from verifier.statement import Statement

from . import runs, slots
from .console import Stages, seconds, size
from .slots import Ledger


def publish(
    job: Job, backend: Backend, ledger: Ledger, folder: Path, shown: Stages, model: bytes | None = None
) -> dict[str, Any]:
    """Proves a job and writes statement.json and proof.zkp into `folder`; returns what every such verb answers.

    The proof is verified as anybody would, with the weights file `model` if its statement is about one, and one opening
    of every commitment is counted before anything is written. BudgetExhausted: before any work.
    """
    ledger.require([job.statement])
    proof = make_proof(job, backend, progress=shown.stage)
    shown.stage("check the proof")
    hiding, text = job.statement.parameters.zero_knowledge, job.statement.to_bytes()
    try:
        verdict = verifier.verify(
            text, proof, minimum_security=LEAST_SECURITY, allow_transparent=not hiding, model=model
        )
    except verifier.VerifierError as error:
        raise ProverError(f"the proof does not pass its own verification: {error}") from error
    shown.stage("write")
    ledger.spend(job.statement)
    write_atomic(folder / runs.STATEMENT, text)
    write_atomic(folder / runs.PROOF, proof)
    return {
        "bytes": len(proof),
        "statement_digest": f"sha256:{verdict.statement_digest.hex()}",
        "security_bits": verdict.security_bits,
    }


def places(out: Path, run: Path, trained: Sequence[Statement], shown: Stages) -> dict[str, Any]:
    """Where the files are, and what is left of the run's budget."""
    return {
        "statement": str(out / runs.STATEMENT),
        "proof": str(out / runs.PROOF),
        "openings_left": slots.slots_left(run, trained),
        "seconds": shown.seconds,
    }


def written(what: str, result: dict[str, Any], out: Path, shown: Stages, more: str = "") -> list[str]:
    """Two lines for people; `more` are options that verifying takes besides the two files."""
    bits = f"{result['security_bits']:.1f} bits"
    return [
        f"proved {what}, in {seconds(shown.total())}: {size(result['bytes'])}, {bits}",
        f"wrote {out}; next: zkgrad verify {out / runs.STATEMENT} {out / runs.PROOF}{more}",
    ]
