"""From integers to a statement and back to a proof's job: what a run does between training and proving."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from verifier.commitment import code_of
from verifier.relation import Relation
from verifier.statement import Parameters, Statement
from verifier.training import training_relation

from .backends.interface import Backend, Table
from .commitment import Blinding, Committed, adopt_rows
from .exact import Integers
from .proving import Job, commit_group, prepare
from .randomness import Randomness
from .trainer import State, Trace
from .witness import (
    batch_integers,
    build_witness,
    data_integers,
    derived_integers,
    state_integers,
)

ZERO_ROOT = bytes(32)


def run_integers(
    relation: Relation, inputs: Integers, targets: Integers, trace: Trace, without: Collection[str] = ()
) -> dict[str, Integers]:
    """Every committed tensor of a run but the multiplicities, padded and flat, by name; without the states named."""
    out = batch_integers(trace, relation) | data_integers(inputs, targets, relation)
    for group, state in (("initial", trace.initial), ("final", trace.final)):
        if group not in without:
            out |= state_integers(state, group, relation)
    return out


def _commit(
    backend: Backend,
    statement: Statement,
    group: str,
    integers: Mapping[str, Integers],
    randomness: Randomness,
    keep: dict[str, Committed] | None,
) -> tuple[bytes, Blinding]:
    """Root and secrets of one standing group. The codeword is kept only in `keep`; a prover without it encodes again
    from the secrets."""
    relation = training_relation(statement)
    code = code_of(statement.parameters)
    tensors: dict[str, Table] = dict(zip(integers, backend.fields(list(integers.values())), strict=True))
    committed = commit_group(backend, relation, code, group, tensors, randomness=randomness)
    if keep is not None:
        keep[group] = committed
    return committed.root, committed.blinding


def commit_start(
    backend: Backend,
    parameters: Parameters,
    inputs: Integers,
    targets: Integers,
    initial: State,
    randomness: Randomness | None = None,
    seed: bytes | None = None,
    keep: dict[str, Committed] | None = None,
) -> tuple[Statement, dict[str, Blinding]]:
    """Commits the data set and the initial state of a run that starts at step 0.

    With parameters.initial = "public-seed" the state is that of `seed`, which takes the place of its root.
    Commitments are put in `keep`, by group, for a prover in the same process.

    Returns a statement whose nonce and final root are still zero, and the secret blindings of "data" and
    "initial". The auditor draws the nonce after seeing these two roots; `batches` of the statement with it is
    the schedule.
    """
    randomness = randomness or Randomness()
    zero = ZERO_ROOT
    draft = Statement(parameters, len(inputs), zero, zero, zero, zero, zero)
    relation = training_relation(draft)
    data = _commit(backend, draft, "data", data_integers(inputs, targets, relation), randomness, keep)
    blindings = {"data": data[1]}
    if seed is None:
        root, blindings["initial"] = _commit(
            backend, draft, "initial", state_integers(initial, "initial", relation), randomness, keep
        )
    else:
        root = seed
    return dataclasses.replace(draft, data_root=data[0], initial_root=root, origin_root=root), blindings


def commit_final(
    backend: Backend,
    statement: Statement,
    final: State,
    randomness: Randomness | None = None,
    keep: dict[str, Committed] | None = None,
) -> tuple[Statement, Blinding]:
    """Commits the final state; returns the complete statement and the secret blinding."""
    integers = state_integers(final, "final", training_relation(statement))
    root, blinding = _commit(backend, statement, "final", integers, randomness or Randomness(), keep)
    return dataclasses.replace(statement, final_root=root), blinding


def assemble(
    backend: Backend,
    statement: Statement,
    inputs: Integers,
    targets: Integers,
    trace: Trace,
    blindings: Mapping[str, Blinding],
    minimum_security: int,
    keep: dict[str, Committed] | None = None,
) -> Job:
    """Everything `prover.proving.prove` needs. WitnessUnsatisfied when a value is outside its table.

    Inputs, targets and the trace stand on the host or where the backend computes, and what is made of them there.

    `keep` holds commitments of these very blindings that are in memory; those that the proof makes are put there.
    """
    relation, shape = prepare(statement, minimum_security)
    tables, states = dict[str, Table](), list[str]()
    for group in ("initial", "final"):
        # Inputs may be negative, the limbs of states are not: these are taken from the committed rows as they are.
        if keep is not None and group in keep:
            adopt_rows(relation, group, tables, keep[group].rows)
            states.append(group)
    trace = trace.moved(backend.integers)
    inputs, targets = backend.integers(inputs), backend.integers(targets)
    integers = run_integers(relation, inputs, targets, trace, without=states)
    derived = derived_integers(trace, relation)
    witness = build_witness(backend, relation, integers, derived, seed=statement.initial_root, tables=tables)
    return Job(statement, relation, shape, witness, blindings, keep)
