"""A run of segments: its folder, its segments one by one, and the run as a whole.

    run.json                            the manifest; public; see `api.manifest`
    segments/000/statement.json         what segment 0 proves; public
    segments/000/proof.zkp              its proof, once there is one; public
    segments/000/initial.safetensors    the state it starts from, exact integers                          secret
    segments/001/...
    settings.json, data.safetensors, openings.safetensors, slots.json, weights.safetensors, weights_int.safetensors
                                        as in the folder of a single proof, once for all segments         secret

Between `zkgrad commit` and `zkgrad train --committed` there is draft.json for segment 0, segments/NNN/draft.json for
the others, and no run.json. No trace is stored: a segment is trained again, exactly, from the state it starts from.

A run that one proof covers has no run.json and lies flat in its folder (`api.runs`); here it is one segment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prover.commitment import Blinding
from prover.errors import RunFolderError
from prover.exact import on_host
from prover.files import write_atomic
from prover.trainer import Load, Progress, State, train
from verifier.chain import check_links
from verifier.errors import MalformedStatement, StatementMismatch
from verifier.proof import MAGIC
from verifier.statement import MAX_BYTES, Parameters, Statement, parse_statement

from . import manifest, runs
from .manifest import MANIFEST, Entry
from .reading import MAX_PROOF, read_limited
from .runs import Run

SEGMENTS = "segments"


@dataclass(frozen=True)
class Segment:
    """A segment of a trained run and the folder of its files; `entry` is its line in run.json, if there is one."""

    number: int
    folder: Path
    statement: Statement
    entry: Entry | None = None

    @property
    def statement_path(self) -> Path:
        """The statement's file."""
        return self.folder / runs.STATEMENT

    @property
    def proof_path(self) -> Path:
        """The proof's file, whether it exists or not."""
        return self.folder / runs.PROOF


def is_chain(folder: Path) -> bool:
    """Whether a trained run has more than one segment."""
    return (folder / MANIFEST).exists()


def place(folder: Path, number: int, count: int) -> Path:
    """The folder of a segment's own files, of `count` segments."""
    return folder / SEGMENTS / f"{number:03}" if count > 1 else folder


def state_group(number: int) -> str:
    """The name, in openings.safetensors, of the commitment to the state that segment `number` starts from."""
    return f"state-{number:03}" if number else "initial"


# --- reading ---


def read_segments(folder: Path) -> tuple[Segment, ...]:
    """All segments of a trained run, in order. Of a chain the public files are enough, as an auditor has them.

    StatementMismatch names the segment that is missing, not the one in the manifest, or no continuation of the one
    before. RunFolderError, MalformedStatement: what cannot be read.
    """
    if not is_chain(folder):
        return (Segment(0, folder, runs.read_statement(folder)),)
    entries = manifest.parse(read_limited(folder / MANIFEST, manifest.MAX_BYTES))
    segments = tuple(_segment(place(folder, k, len(entries)), k, entry) for k, entry in enumerate(entries))
    check_links([segment.statement for segment in segments])
    return segments


def _segment(folder: Path, number: int, entry: Entry) -> Segment:
    path = folder / runs.STATEMENT
    if not path.exists():
        raise StatementMismatch(f"segment {number} is missing: {MANIFEST} lists it, and there is no {path}")
    try:
        statement = parse_statement(read_limited(path, MAX_BYTES))
    except MalformedStatement as error:
        raise MalformedStatement(f"segment {number}: {error}") from None
    if statement.digest() != entry.statement:
        raise StatementMismatch(
            f"segment {number}: {path} is statement {statement.digest().hex()}, {MANIFEST} lists "
            f"{entry.statement.hex()}"
        )
    return Segment(number, folder, statement, entry)


def read_proof(segment: Segment) -> bytes:
    """A proof that the manifest lists; StatementMismatch when there is none, or another one."""
    listed = segment.entry.proof if segment.entry else None
    if listed is None or not segment.proof_path.exists():
        raise StatementMismatch(f"segment {segment.number} has no proof yet: zkgrad prove finishes the run")
    proof = read_limited(segment.proof_path, MAX_PROOF, MAGIC)
    if manifest.proof_digest(proof) != listed:
        raise StatementMismatch(
            f"segment {segment.number}: {segment.proof_path} has digest {manifest.proof_digest(proof).hex()}, "
            f"{MANIFEST} lists {listed.hex()}"
        )
    return proof


def whole(statements: Sequence[Statement]) -> Statement:
    """The claim of all segments together, as one statement that is never proven: from the first state to the last.

    Its security is what is left when the segments' errors are added up.
    """
    first, last = statements[0], statements[-1]
    rates = tuple(s.parameters.rate(t) for s in statements for t in range(s.parameters.steps))
    parameters = dataclasses.replace(
        first.parameters,
        steps=len(rates),
        rates=rates[:1] if len(set(rates)) == 1 else rates,
        security_bits=first.parameters.security_bits - (len(statements) - 1).bit_length(),
    )
    return dataclasses.replace(first, parameters=parameters, final_root=last.final_root)


class Trainer:
    """Trains segments of a stored run again, one at a time, for `check` and `prove`."""

    def __init__(self, folder: Path, segments: Sequence[Segment]) -> None:
        self._folder, self._segments = folder, segments
        runs.read_settings(folder)
        self._inputs, self._targets = runs.read_data(folder)
        samples = segments[0].statement.samples
        if len(self._inputs) != samples:
            raise RunFolderError(
                f"{folder / runs.DATA} has {len(self._inputs)} rows, the statement speaks of {samples}"
            )
        self._openings = runs.read_openings(folder)

    def run(self, segment: Segment, on_step: Progress | None = None, load: Load = on_host) -> Run:
        """Everything a proof of the segment needs, trained where `load` brings integers. Its end is the stored state,
        whatever training led to: `check` and `prove` compare the two. RunFolderError, InputInvalid: files that are
        missing, damaged or of another run."""
        statement, number = segment.statement, segment.number
        if len(self._segments) == 1:
            return runs.read_run(self._folder)
        initial = runs.read_initial(segment.folder, statement.parameters)
        trace = train(statement.parameters, initial, self._inputs, self._targets, statement.batches(), on_step, load)
        trace = dataclasses.replace(trace, final=self._state(number + 1, statement.parameters))
        blindings = blindings_of(self._openings, statement, number, len(self._segments))
        return Run(statement, self._inputs, self._targets, trace, blindings)

    def _state(self, number: int, p: Parameters) -> State:
        if number == len(self._segments):
            return runs.read_final(self._folder, p)
        return runs.read_initial(self._segments[number].folder, self._segments[number].statement.parameters)


def blindings_of(
    openings: Mapping[str, Blinding], statement: Statement, number: int, count: int
) -> dict[str, Blinding]:
    """The secrets of the commitments that segment `number` of `count` opens, by group, from those of the whole run.

    RunFolderError when some are not there.
    """
    last = state_group(number + 1) if count > 1 else "final"
    names = {"data": "data", "initial": state_group(number), "final": last}
    if statement.parameters.initial != "committed":
        del names["initial"]  # a public first state is not committed
    lacking = sorted(set(names.values()) - set(openings))
    if lacking:
        raise RunFolderError(f"{runs.OPENINGS} lacks {', '.join(lacking)}")
    return {group: openings[name] for group, name in names.items()}


def final_blinding(folder: Path, segments: Sequence[Segment]) -> Blinding:
    """What opens the commitment to the run's last state; RunFolderError when the folder does not have it."""
    name = "final" if len(segments) == 1 else state_group(len(segments))
    openings = runs.read_openings(folder)
    if name not in openings:
        raise RunFolderError(f"{folder / runs.OPENINGS} lacks {name}")
    return openings[name]


# --- writing ---


def write_drafts(folder: Path, drafts: Sequence[Statement]) -> None:
    """The statements of a run that is committed and not trained: draft.json, and one for each later segment."""
    for number, draft in enumerate(drafts[1:], 1):
        write_atomic(place(folder, number, len(drafts)) / runs.DRAFT, draft.to_bytes())
    write_atomic(folder / runs.DRAFT, drafts[0].to_bytes())


def read_drafts(folder: Path) -> tuple[Statement, ...]:
    """What `write_drafts` wrote; RunFolderError when a segment's draft is missing or not of this run."""
    drafts = [runs.read_draft(folder)]
    paths = sorted((folder / SEGMENTS).glob(f"*/{runs.DRAFT}"))
    for number, path in enumerate(paths, 1):
        if path.parent.name != f"{number:03}":
            raise RunFolderError(f"{folder / SEGMENTS} lacks the draft of segment {number}")
        drafts.append(parse_statement(runs.read_file(path)))
    return tuple(drafts)


def remove_drafts(folder: Path) -> None:
    """Ends the time between `commit` and `train --committed`."""
    for path in (*(folder / SEGMENTS).glob(f"*/{runs.DRAFT}"), folder / runs.DRAFT):
        path.unlink(missing_ok=True)


def make_places(folder: Path, count: int) -> None:
    """The folders of `count` segments."""
    for number in range(count):
        place(folder, number, count).mkdir(parents=True, exist_ok=True)


def write_manifest(folder: Path, entries: Sequence[Entry]) -> None:
    """run.json, whole or not at all."""
    write_atomic(folder / MANIFEST, manifest.to_bytes(entries))


def record_proof(folder: Path, segment: Segment, proof: bytes) -> None:
    """Lists a segment's published proof in run.json."""
    entries = list(manifest.parse(read_limited(folder / MANIFEST, manifest.MAX_BYTES)))
    entries[segment.number] = Entry(entries[segment.number].statement, manifest.proof_digest(proof))
    write_manifest(folder, entries)
