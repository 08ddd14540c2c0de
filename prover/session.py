"""From a data set and a training request to a proof: the steps that the command line and the service share.

    commitments = commit_inputs(...)          data and first state, before anything depends on them
    trace = train_committed(...)              batches come from the commitments' roots and a nonce
    run = finish(...)                         commits the last state; the statement is now complete
    proof = prove_run(run, ...)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from verifier.commitment import Code, group_rows
from verifier.merge import committed_bits
from verifier.relation import GROUPS, Relation, check_bounds, integer_bounds, training_relation
from verifier.schedule import batches, schedule_seed
from verifier.security import Shape, shape_of
from verifier.statement import Parameters, Statement

from . import prove as proving
from .backends.interface import Backend
from .commitment import Blinding, Committed
from .prove import Job, Progress, commit_group, prepare
from .randomness import Randomness
from .trainer import State, Trace, train
from .witness import (
    Integers,
    batch_integers,
    build_witness,
    data_integers,
    derived_integers,
    state_integers,
    to_field,
)

NO_ROOT = bytes(32)


@dataclass(frozen=True)
class Opening:
    """What opens a standing commitment: its root and its secret randomness. The values are kept elsewhere."""

    root: bytes
    blinding: Blinding


@dataclass(frozen=True)
class Run:
    """A trained run, ready to be proven: statement, trace, data set and the openings of data, initial and final."""

    statement: Statement
    trace: Trace
    inputs: Integers
    targets: Integers
    openings: Mapping[str, Opening]


@dataclass(frozen=True)
class Plan:
    """What a proof will cost and give, known before any work."""

    shape: Shape
    bounds: dict[str, int]
    committed: int
    lookups: int
    rows: dict[str, int]
    memory_bytes: int

    @property
    def code(self) -> Code:
        """The code of the commitments."""
        return self.shape.code


def draft_statement(parameters: Parameters, samples: int) -> Statement:
    """A statement without commitments: enough for the relation, the shape of the proof and a plan."""
    return Statement(parameters, samples, NO_ROOT, NO_ROOT, NO_ROOT, NO_ROOT, NO_ROOT)


def plan(parameters: Parameters, samples: int) -> Plan:
    """Sizes, security and integer bounds of a run. Errors: ParametersUnsafe if the bounds or the code do not hold.

    Memory is an estimate: codewords, the lookup tree over K with its fold, and the integer trace.
    """
    check_bounds(parameters)
    statement = draft_statement(parameters, samples)
    relation = training_relation(statement)
    shape = shape_of(statement, relation)
    committed = sum(1 << committed_bits(relation, name) for name in relation.tensors)
    lookups = sum(1 << relation.tensors[lookup.x.terms[0][1][0]].bits for lookup in relation.lookups)
    rows = {group: sum(count for _, count in group_rows(relation, group)) for group in GROUPS}
    tree = 1 << max(1, (lookups + sum(1 << table.bits for table in relation.tables()) - 1).bit_length())
    memory = committed * 8 * (3 + (1 << parameters.blowup_bits)) + tree * 48 * 2 + (200 << 20)
    return Plan(shape, integer_bounds(parameters), committed, lookups, rows, memory)


def commit_inputs(parameters: Parameters, inputs: Integers, targets: Integers, initial: State, backend: Backend,
                  randomness: Randomness | None = None) -> dict[str, Opening]:
    """Commits the data set and the first state.

    inputs [n, d_0] at scale 2^a, targets [n, C] at scale 2^target_bits, all within the parameters' ranges.
    Errors: ParametersUnsafe.
    """
    relation, shape = prepare(draft_statement(parameters, len(inputs)), 1)
    groups = {"data": data_integers(inputs, targets, relation), "initial": state_integers(initial, "initial", relation)}
    return {group: _opening(_commit(backend, relation, shape, group, integers, randomness))
            for group, integers in groups.items()}


def _commit(backend: Backend, relation: Relation, shape: Shape, group: str, integers: Mapping[str, Integers],
            randomness: Randomness | None) -> Committed:
    tensors = {name: to_field(values) for name, values in integers.items()}
    return commit_group(backend, relation, shape.code, group, tensors, randomness=randomness)


def _opening(committed: Committed) -> Opening:
    return Opening(committed.root, committed.blinding)


def train_committed(parameters: Parameters, inputs: Integers, targets: Integers, initial: State,
                    openings: Mapping[str, Opening], nonce: bytes = NO_ROOT,
                    on_step: Callable[[int], None] | None = None) -> Trace:
    """Trains on the batches that the roots and the nonce (32 bytes, drawn by the auditor after the roots) fix.

    Errors: OutOfRange when an integer leaves its declared range.
    """
    seed = schedule_seed(openings["data"].root, openings["initial"].root, nonce)
    schedule = batches(seed, len(inputs), parameters.batch, parameters.first_step, parameters.steps)
    return train(parameters, initial, inputs, targets, schedule, on_step)


def finish(parameters: Parameters, inputs: Integers, targets: Integers, trace: Trace,
           openings: Mapping[str, Opening], backend: Backend, nonce: bytes = NO_ROOT,
           randomness: Randomness | None = None) -> Run:
    """Commits the last state and writes the statement."""
    relation, shape = prepare(draft_statement(parameters, len(inputs)), 1)
    final = _opening(_commit(backend, relation, shape, "final", state_integers(trace.final, "final", relation),
                             randomness))
    data, initial = openings["data"].root, openings["initial"].root
    statement = Statement(parameters, len(inputs), data, initial, final.root, initial, nonce)
    return Run(statement, trace, inputs, targets, {**openings, "final": final})


def integers_of(run: Run, relation: Relation) -> tuple[dict[str, Integers], dict[str, Integers]]:
    """All committed and all derived integers of a run, padded and flat, by tensor name."""
    committed = data_integers(run.inputs, run.targets, relation)
    committed |= state_integers(run.trace.initial, "initial", relation)
    committed |= state_integers(run.trace.final, "final", relation)
    committed |= batch_integers(run.trace, relation)
    return committed, derived_integers(run.trace, relation)


def build_job(run: Run, backend: Backend, minimum_security: int = 1, strict: bool = True) -> Job:
    """The witness of a run in the field. Errors: ParametersUnsafe, WitnessUnsatisfied."""
    relation, shape = prepare(run.statement, minimum_security)
    witness = build_witness(backend, relation, *integers_of(run, relation), strict)
    blindings = {group: opening.blinding for group, opening in run.openings.items()}
    return Job(run.statement, relation, shape, witness, blindings)


def prove_run(run: Run, backend: Backend, progress: Progress | None = None,
              randomness: Randomness | None = None) -> bytes:
    """The proof file of a run. It spends one opening of data, initial and final: count it durably before sending."""
    if progress:
        progress("witness")
    return proving.prove(build_job(run, backend), backend, randomness, progress)

