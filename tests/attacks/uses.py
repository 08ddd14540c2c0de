"""A tiny trained run, and proofs about its model that lie on request: for accuracies, inferences and opened models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from prover import session
from prover.backends import cpu
from prover.choose import initial_state
from prover.commitment import Blinding
from prover.proving import Job, commit_group, prove
from prover.randomness import SeededRandomness
from prover.trainer import State, train
from prover.witness import count_lookups, to_field
from tests.attacks.mutations import TracingChannel
from verifier import verify
from verifier.channel import ReadingChannel
from verifier.field import P
from verifier.proof import HEADER_BYTES, decode_proof
from verifier.protocol import converse
from verifier.recording import Leaf
from verifier.relation import Relation
from verifier.security import shape_of
from verifier.statement import Parameters, Statement

TINY = Parameters(
    widths=(5, 7, 3), activation="relu", loss="mse", optimizer="sgd", target="one-hot", batch=3, steps=2, first_step=0,
    rate_bits=4, activation_bits=3, gradient_bits=4, target_bits=0, input_width=6, target_width=1, activation_width=6,
    output_width=6, backward_width=6, error_width=6, weight_width=17, table_bits=6, row_bits=4, blowup_bits=4,
    data_openings=1, state_openings=1, security_bits=6, zero_knowledge=True,
)  # fmt: skip
SAMPLES = 7


@dataclass(frozen=True)
class Trained:
    """A trained run: its statement, its last state and what opens its commitments, and ten samples."""

    statement: Statement
    final: State
    blinding: Blinding
    data: Blinding
    inputs: Any
    targets: Any


def tiny_run(**changes: Any) -> Trained:
    """Two steps on ten samples, with parameters changed."""
    p = dataclasses.replace(TINY, **changes)
    randomness, numbers = SeededRandomness(b"accuracy"), np.random.default_rng(0)
    inputs = numbers.integers(0, 8, (10, 5)).astype(np.int64)
    targets = np.eye(3, dtype=np.int64)[numbers.integers(0, 3, 10)]
    first = initial_state(p.widths, p.state_bits, SeededRandomness(b"\0").read)
    draft, blindings = session.commit_start(cpu.BACKEND, p, inputs, targets, first, randomness)
    trace = train(p, first, inputs, targets, draft.batches())
    statement, blinding = session.commit_final(cpu.BACKEND, draft, trace.final, randomness)
    return Trained(statement, trace.final, blinding, blindings["data"], inputs, targets)


def altered(job: Job, change: Callable[[dict[str, Any]], None], relation: Relation) -> Job:
    """The job with committed integers changed (signed, padded and flat); counts and the data's root are made anew."""
    tensors = {name: table.copy() for name, table in job.witness.tensors.items() if not name.startswith("count:")}
    integers = {name: np.where(t > P // 2, t - np.uint64(P), t).astype(np.int64) for name, t in tensors.items()}
    change(integers)
    fields = {name: to_field(values) for name, values in integers.items()}
    fields |= count_lookups(cpu.BACKEND, relation, integers, strict=False)
    blindings, statement = dict(job.blindings), job.statement
    if relation.group("data"):
        randomness = SeededRandomness(b"altered data")
        data = commit_group(cpu.BACKEND, relation, job.shape.code, "data", fields, randomness=randomness)
        blindings["data"], statement = data.blinding, dataclasses.replace(statement, data_root=data.root)
    witness = dataclasses.replace(job.witness, tensors={name: fields[name] for name in relation.tensors})
    return dataclasses.replace(job, statement=statement, relation=relation, witness=witness, blindings=blindings)


def judge(
    job: Job, monkeypatch: pytest.MonkeyPatch, removed: str | None = None, file: bytes | None = None
) -> None:
    """Proves with whatever the job holds and verifies, both sides without one claim if it is named."""
    if removed:
        relation = job.relation.without(removed)
        job = dataclasses.replace(job, relation=relation, shape=shape_of(job.statement, relation))
        monkeypatch.setattr("verifier.check.training_relation", lambda statement: relation)
    proof = prove(job, cpu.BACKEND, SeededRandomness(b"proof"), strict=False)
    verify(job.statement.to_bytes(), proof, minimum_security=1, model=file)


def converse_again(job: Job, proof: bytes) -> None:
    """The verifier's conversation with the shape that the job knows already; raises as `verify` does."""
    statement = job.statement
    channel = ReadingChannel(statement.parameters.zero_knowledge, decode_proof(proof, statement.digest()))
    converse(channel, statement, job.relation, job.shape.code, job.shape.pads)
    channel.close()


def leaves_of(job: Job, proof: bytes) -> list[Leaf]:
    """Every item of a valid proof; `start` counts from the start of the file."""
    statement = job.statement
    channel = TracingChannel(statement.parameters.zero_knowledge, decode_proof(proof, statement.digest()))
    converse(channel, statement, job.relation, job.shape.code, job.shape.pads)
    channel.close()
    return [leaf._replace(start=leaf.start + HEADER_BYTES) for leaf in channel.leaves]
