"""A run from memory as a run folder, and back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from prover.errors import BudgetExhausted, InputInvalid
from prover.files import write_atomic
from prover.openings import Openings
from prover.run import Proof, Run, Segment
from verifier.statement import Statement

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


def load_run(path: str | os.PathLike[str]) -> Run:
    """The run of a trained folder, for predictions and proofs from memory.

    The folder goes on counting the openings: `prove` takes its lock and spends there, and the run is not saved again.
    Errors: RunFolderError, what is no run folder, is not trained yet, or lacks a file; InputInvalid,
    MalformedStatement, StatementMismatch: files that are damaged or of another run.
    """
    folder = Path(path)
    settings, stored = runs.read_settings(folder), chains.read_segments(folder)
    trained = chains.Trainer(folder, stored)
    segments = tuple(
        Segment(segment.statement, *trained.ends(segment), trained.blindings(segment)) for segment in stored
    )
    return Run(
        segments,
        trained.inputs,
        trained.targets,
        settings.scaling,
        settings.source,
        settings.label,
        settings.header,
        openings=_FolderOpenings(folder),
    )


class _FolderOpenings(Openings):
    """The counts of a run that is kept in a folder, which alone has them."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def left(self, statements: Sequence[Statement]) -> dict[str, int]:
        return slots.slots_left(self._folder, statements)

    @contextlib.contextmanager
    def proving(self, statements: Sequence[Statement]) -> Iterator[Callable[[Statement], None]]:
        with slots.proving(self._folder) as ledger:
            ledger.require(statements)
            yield ledger.spend

    @contextlib.contextmanager
    def moving(self, place: str) -> Iterator[dict[str, int]]:
        raise BudgetExhausted(
            f"this run is kept in {self._folder}, which counts its openings: move that folder, do not save another"
        )
        yield {}


def _write_proofs(folder: Path, proof: Proof) -> None:
    for segment, (_, data) in zip(chains.read_segments(folder), proof.segments, strict=True):
        write_atomic(segment.proof_path, data)
        if segment.entry is not None:
            chains.record_proof(folder, segment, data)
