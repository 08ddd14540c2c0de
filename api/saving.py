"""A run from memory as a run folder."""

from __future__ import annotations

import os
from pathlib import Path

from prover.errors import InputInvalid
from prover.files import write_atomic
from prover.run import Proof, Run

from . import chains, runs, slots, training


def save_run(run: Run, path: str | os.PathLike[str], proof: Proof | None = None, replace: bool = False) -> Path:
    """Writes `run`, and its proof if given, as the folder that `zkgrad train` and `prove` would have made.

    The folder takes over the openings: from then on the run proves nothing from memory, else two ledgers would spend
    the same randomness. Errors: InputInvalid, a proof of another run; RunFolderError; BudgetExhausted, a run that was
    saved before.
    """
    folder, first = Path(path), run.segments[0]
    if proof is not None and [text for text, _ in proof.segments] != [s.to_bytes() for s in run.statements]:
        raise InputInvalid("the proof is of another run: its statements differ")
    with run.openings.moving(str(folder.absolute())) as used, runs.new_folder(folder, replace) as staging:
        runs.write_settings(staging, runs.Settings(run.source, run.label, run.header, run.scaling))
        runs.write_data(staging, run.inputs, run.targets)
        slots.write_slots(staging, used)
        if len(run.segments) == 1:
            runs.write_initial(staging, first.initial, first.statement.parameters.bias)
            runs.write_openings(staging, first.blindings)
            runs.write_trained(staging, first.statement, run.trace(first))
        else:
            chains.make_places(staging, len(run.segments))
            standing = {name: blinding for name, blinding in first.blindings.items() if name != "final"}
            training.write_chain(staging, run.segments, len(run.segments), standing)
        if proof is not None:
            _write_proofs(staging, proof)
    return folder


def _write_proofs(folder: Path, proof: Proof) -> None:
    for segment, (_, data) in zip(chains.read_segments(folder), proof.segments, strict=True):
        write_atomic(segment.proof_path, data)
        if segment.entry is not None:
            chains.record_proof(folder, segment, data)
