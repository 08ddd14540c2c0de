"""Proofs of accuracy: the honest count is accepted, and no other; each claim that only an accuracy has is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prover.backends import cpu
from prover.evaluation import accuracy_job
from prover.proving import Job, prove
from prover.randomness import SeededRandomness
from tests.attacks.uses import SAMPLES, altered, judge, tiny_run
from verifier import MalformedStatement, RejectedProof, verify
from verifier.relation import Relation
from verifier.statement import Statement
from verifier.training import training_relation


@pytest.fixture(scope="module")
def honest() -> tuple[Statement, Job]:
    """A tiny trained run's statement, and the job of its accuracy on seven samples."""
    run, randomness = tiny_run(), SeededRandomness(b"samples")
    samples = run.inputs[:SAMPLES], run.targets[:SAMPLES]
    job = accuracy_job(cpu.BACKEND, run.statement, run.final, run.blinding, *samples, randomness=randomness)
    return run.statement, job


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
