"""Proofs of accuracy: the honest count is accepted, and no other; each claim that only an accuracy has is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prover import session
from prover.backends import cpu
from prover.choose import initial_state
from prover.evaluation import accuracy_job
from prover.proving import Job, commit_group, prove
from prover.randomness import SeededRandomness
from prover.trainer import train
from prover.witness import count_lookups, to_field
from verifier import MalformedStatement, RejectedProof, verify
from verifier.field import P
from verifier.relation import Relation
from verifier.security import shape_of
from verifier.statement import Parameters, Statement
from verifier.training import training_relation

TINY = Parameters(
    widths=(5, 7, 3), activation="relu", loss="mse", optimizer="sgd", target="one-hot", batch=3, steps=2, first_step=0,
    rate_bits=4, activation_bits=3, gradient_bits=4, target_bits=0, input_width=6, target_width=1, activation_width=6,
    output_width=6, backward_width=6, error_width=6, weight_width=17, table_bits=6, row_bits=4, blowup_bits=4,
    data_openings=1, state_openings=1, security_bits=6, zero_knowledge=True,
)  # fmt: skip
SAMPLES = 7


@pytest.fixture(scope="module")
def honest() -> tuple[Statement, Job]:
    """A tiny trained run's statement, and the job of its accuracy on seven samples."""
    randomness, numbers = SeededRandomness(b"accuracy"), np.random.default_rng(0)
    inputs = numbers.integers(0, 8, (10, 5)).astype(np.int64)
    targets = np.eye(3, dtype=np.int64)[numbers.integers(0, 3, 10)]
    first = initial_state(TINY.widths, TINY.weight_bits, SeededRandomness(b"\0").read)
    draft, _ = session.commit_start(cpu.BACKEND, TINY, inputs, targets, first, randomness)
    trace = train(TINY, first, inputs, targets, draft.batches())
    trained, blinding = session.commit_final(cpu.BACKEND, draft, trace.final, randomness)
    samples = inputs[:SAMPLES], targets[:SAMPLES]
    return trained, accuracy_job(cpu.BACKEND, trained, trace.final, blinding, *samples, randomness=randomness)


def altered(job: Job, change: Callable[[dict[str, Any]], None], relation: Relation) -> Job:
    """The job with committed integers changed (signed, padded and flat), counts and the data's root made anew."""
    tensors = {name: table.copy() for name, table in job.witness.tensors.items() if not name.startswith("count:")}
    integers = {name: np.where(t > P // 2, t - np.uint64(P), t).astype(np.int64) for name, t in tensors.items()}
    change(integers)
    fields = {name: to_field(values) for name, values in integers.items()}
    fields |= count_lookups(cpu.BACKEND, relation, integers, strict=False)
    data = commit_group(
        cpu.BACKEND, relation, job.shape.code, "data", fields, randomness=SeededRandomness(b"altered data")
    )
    witness = dataclasses.replace(job.witness, tensors={name: fields[name] for name in relation.tensors})
    blindings = {**job.blindings, "data": data.blinding}
    statement = dataclasses.replace(job.statement, data_root=data.root)
    return dataclasses.replace(job, statement=statement, relation=relation, witness=witness, blindings=blindings)


def judge(job: Job, monkeypatch: pytest.MonkeyPatch, removed: str | None = None) -> None:
    """Proves with whatever the job holds and verifies, both sides without one claim if it is named."""
    if removed:
        relation = job.relation.without(removed)
        job = dataclasses.replace(job, relation=relation, shape=shape_of(job.statement, relation))
        monkeypatch.setattr("verifier.check.training_relation", lambda statement: relation)
    proof = prove(job, cpu.BACKEND, SeededRandomness(b"proof"), strict=False)
    verify(job.statement.to_bytes(), proof, minimum_security=1)


def test_the_honest_count_is_accepted(honest: tuple[Statement, Job]) -> None:
    trained, job = honest
    proof = prove(job, cpu.BACKEND, SeededRandomness(b"honest"))
    verdict = verify(job.statement.to_bytes(), proof, minimum_security=1)
    assert verdict.statement.initial_root == trained.final_root
    assert 0 < (verdict.statement.correct or 0) < SAMPLES


@pytest.mark.parametrize("shift", [-1, 1])
def test_another_count_is_refused(honest: tuple[Statement, Job], shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    job = honest[1]
    statement = dataclasses.replace(job.statement, correct=(job.statement.correct or 0) + shift)
    lie = dataclasses.replace(job, statement=statement, relation=prepared(statement))
    with pytest.raises(RejectedProof):
        judge(lie, monkeypatch)
    judge(lie, monkeypatch, removed="correct")


def prepared(statement: Statement) -> Relation:
    """The relation of a statement."""
    return training_relation(statement)


def wrong_sample(integers: dict[str, Any]) -> tuple[int, int]:
    """(sample, its label) of the first sample that the model gets wrong."""
    choice, target = integers["choice"].reshape(8, 4)[:SAMPLES], integers["target"].reshape(8, 4)[:SAMPLES]
    sample = int(np.flatnonzero((choice * target).sum(axis=1) == 0)[0])
    return sample, int(target[sample].argmax())


def choose_label(integers: dict[str, Any]) -> None:
    """Chooses the label though another output is larger; `top` follows the choice."""
    sample, label = wrong_sample(integers)
    choice, top, y = (integers[name].reshape(8, 4) for name in ("choice", "top", "Y1"))
    choice[sample] = 0
    choice[sample, label] = 1
    top[sample] = y[sample, label]


def choose_twice(integers: dict[str, Any]) -> None:
    """The label chosen beside others, of a sample where their outputs' sum exceeds every output within the range."""
    choice, target, top, y = (integers[name].reshape(8, 4) for name in ("choice", "target", "top", "Y1"))
    for sample in np.flatnonzero((choice * target)[:SAMPLES].sum(axis=1) == 0):
        label = int(target[sample].argmax())
        for others in ([k] for k in range(3) if k != label):
            total = int(y[sample, [label, *others]].sum())
            if total - y[sample, :3].max() >= 0 and total - y[sample, :3].min() < 64:
                choice[sample] = 0
                choice[sample, [label, *others]] = 1
                top[sample] = total
                return
    raise AssertionError("no sample suits: take another seed")


def choose_freely(integers: dict[str, Any]) -> None:
    """The label chosen, but `top` left where it was."""
    sample, label = wrong_sample(integers)
    choice = integers["choice"].reshape(8, 4)
    choice[sample] = 0
    choice[sample, label] = 1


CHEATS = [
    ("margin", choose_label),
    ("choice", choose_twice),
    ("top", choose_freely),
]


@pytest.mark.parametrize(("claim", "cheat"), CHEATS, ids=[name for name, _ in CHEATS])
def test_a_cheat_that_one_claim_alone_stands_against(
    honest: tuple[Statement, Job], claim: str, cheat: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = honest[1]
    statement = dataclasses.replace(job.statement, correct=(job.statement.correct or 0) + 1)
    relation = prepared(statement)
    lie = altered(dataclasses.replace(job, statement=statement), cheat, relation)
    with pytest.raises(RejectedProof):
        judge(lie, monkeypatch)
    if claim == "margin" or claim == "choice":
        weaker = altered(dataclasses.replace(job, statement=statement), cheat, relation.without(claim))
        weaker = dataclasses.replace(weaker, relation=relation)
        judge(weaker, monkeypatch, removed=claim)
    else:
        judge(lie, monkeypatch, removed=claim)


def test_samples_cannot_be_dropped_or_relabelled(
    honest: tuple[Statement, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch differs from the committed data: refused, whatever the count."""
    job = honest[1]

    def relabel(integers: dict[str, Any]) -> None:
        target = integers["target"].reshape(8, 4)
        target[[0, 1]] = target[[1, 0]]

    with pytest.raises(RejectedProof):
        judge(altered(job, relabel, job.relation), monkeypatch)


@pytest.mark.parametrize(
    "change",
    [{"steps": 2}, {"batch": 3}, {"loss": "ce"}, {"nonce": b"\1" * 32}, {"final_root": b"\1" * 32}, {"correct": 8}],
    ids=str,
)
def test_statements_that_are_no_accuracy(honest: tuple[Statement, Job], change: dict[str, Any]) -> None:
    s = honest[1].statement
    inner = {k: v for k, v in change.items() if hasattr(s.parameters, k)}
    outer = {k: v for k, v in change.items() if k not in inner}
    wrong = dataclasses.replace(s, parameters=dataclasses.replace(s.parameters, **inner), **outer)
    with pytest.raises(MalformedStatement):
        verify(wrong.to_bytes(), b"", minimum_security=1)
