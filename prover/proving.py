"""Runs the verifier's protocol with an answering channel: the only place that sees both kernels and transcript."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from verifier.channel import Channel, Opened
from verifier.claims import Claim
from verifier.commitment import Code, leaf_prefix
from verifier.proof import encode_proof
from verifier.protocol import converse
from verifier.relation import Relation
from verifier.security import Shape, check_promise, check_security, shape_of
from verifier.statement import Statement
from verifier.training import check_bounds, training_relation
from verifier.zero_knowledge import PadLayout

from . import lookup, merge, products, zero_knowledge
from .backends.interface import Backend, Table
from .commitment import (
    MASK_ROWS,
    Blinding,
    Committed,
    adopt_rows,
    commit_rows,
    draw_blinding,
    open_columns,
    prove_value,
    stack_rows,
    with_mask,
)
from .dialogue import AnsweringChannel, Pads, Say, Script
from .errors import CommitmentMismatch
from .fast_verify import FastArithmetic
from .randomness import Randomness
from .witness import Witness

Progress = Callable[[str], None]
STANDING = ("data", "initial", "final")


@dataclass(frozen=True)
class Job:
    """All that a proof is made of: the statement, its relation and shape, the witness, and standing blindings.

    `committed`, if given, holds standing commitments that are still in memory; others are made again from their
    blindings and put there, for the proof of the segment that follows.
    """

    statement: Statement
    relation: Relation
    shape: Shape
    witness: Witness
    blindings: Mapping[str, Blinding]
    committed: dict[str, Committed] | None = None


def commit_group(
    backend: Backend,
    relation: Relation,
    code: Code,
    group: str,
    tensors: Mapping[str, Table],
    blinding: Blinding | None = None,
    randomness: Randomness | None = None,
) -> Committed:
    """Commits one standing group (data, initial, final); draws fresh blinding unless it is given."""
    rows = stack_rows(backend, relation, group, tensors)
    if blinding is None:
        blinding = draw_blinding(rows.shape[0], code.blinds[group], code.positions, randomness or Randomness())
    return commit_rows(backend, code, leaf_prefix(relation, group), rows, blinding)


def prepare(
    statement: Statement, minimum_security: int, relation_of: Callable[[Statement], Relation] | None = None
) -> tuple[Relation, Shape]:
    """The relation (by default that of its task) and shape of a statement that is safe to prove; ParametersUnsafe
    otherwise."""
    check_promise(statement.parameters, minimum_security)
    check_bounds(statement.parameters)
    relation = (relation_of or training_relation)(statement)
    shape = shape_of(statement, relation)
    check_security(shape, statement.parameters)
    return relation, shape


def prove(
    job: Job,
    backend: Backend,
    randomness: Randomness | None = None,
    progress: Progress | None = None,
    strict: bool = True,
    transform: Callable[[Script[None]], Script[None]] | None = None,
) -> bytes:
    """The proof file of a job.

    `progress` is told the name of each stage as it begins. `strict` makes a failing constraint a WitnessUnsatisfied
    that names it. `transform` wraps the script, for tests that alter single messages.
    Errors: CommitmentMismatch if a standing blinding does not open its root in the statement.
    """
    randomness, progress = randomness or Randomness(), progress or (lambda stage: None)
    code = job.shape.code
    groups = _standing(job, backend, progress, strict)
    progress("commit")
    rows = stack_rows(backend, job.relation, "witness", job.witness.tensors, spare=MASK_ROWS)
    adopt_rows(job.relation, "witness", job.witness.tensors, rows)
    blinding = with_mask(code, rows, randomness)
    groups["witness"] = commit_rows(backend, code, leaf_prefix(job.relation, "witness"), rows, blinding)
    pads, layout = None, PadLayout(job.shape.pads, job.shape.recorder.pairs, job.shape.recorder.singles)
    if job.statement.parameters.zero_knowledge:
        pads = Pads(layout.singles, layout.pairs, randomness)
        groups["pads"] = zero_knowledge.commit_pads(backend, layout, pads, randomness)
    settled: list[Claim] = []
    channels: list[Channel] = []
    script = _script(job, backend, groups, layout, settled, channels, progress)
    opener = _opener(groups, progress)
    channel = AnsweringChannel(transform(script) if transform else script, settled, pads, opener, strict)
    channel.arithmetic = FastArithmetic()  # on the CPU, whatever the backend: it checks its results
    channels.append(channel)
    converse(channel, job.statement, job.relation, code, job.shape.pads)
    return encode_proof(job.statement.digest(), channel.finish())


def _standing(job: Job, backend: Backend, progress: Progress, strict: bool) -> dict[str, Committed]:
    """Encodes the standing commitments again from their secrets and checks that these open the statement's roots."""
    progress("standing commitments")
    s = job.statement
    groups: dict[str, Committed] = {}
    known = {} if job.committed is None else job.committed
    for group, root in zip(STANDING, (s.data_root, s.initial_root, s.final_root), strict=True):
        if not job.relation.group(group):
            continue  # a public first state is not committed
        if group not in known:
            known[group] = commit_group(
                backend, job.relation, job.shape.code, group, job.witness.tensors, job.blindings[group]
            )
        groups[group] = known[group]
        adopt_rows(job.relation, group, job.witness.tensors, groups[group].rows)
        if strict and groups[group].root != root:
            raise CommitmentMismatch(
                f"the secrets of group {group!r} open {groups[group].root.hex()}, the statement says {root.hex()}"
            )
    return groups


def _script(
    job: Job,
    backend: Backend,
    groups: Mapping[str, Committed],
    layout: PadLayout,
    settled: Sequence[Claim],
    channels: Sequence[Channel],
    progress: Progress,
) -> Script[None]:
    """Every answer of the prover, in the order of `verifier.protocol.converse`."""
    relation, witness = job.relation, job.witness
    yield Say("witness", groups["witness"].root)
    if "pads" in groups:
        yield Say("pads", groups["pads"].root)
    progress("lookup")
    yield from lookup.prove(backend, relation, witness)
    progress("einsum and history")
    yield from products.prove(backend, relation, witness)
    progress("final merge")
    point = yield from merge.prove(backend, relation, witness, settled)
    progress("opening")
    names = merge.product_names(settled)
    yield from prove_value(backend, relation, job.shape.code, groups, point, names)
    if "pads" in groups:
        progress("zero knowledge")
        yield from zero_knowledge.prove(backend, layout, groups["pads"], channels)


def _opener(groups: Mapping[str, Committed], progress: Progress) -> Callable[[str, Sequence[int]], Opened]:
    def opener(label: str, positions: Sequence[int]) -> Opened:
        if label == "witness":
            progress("self-check")  # the verifier's function now checks every opened column
        return open_columns(groups[label], positions)

    return opener
