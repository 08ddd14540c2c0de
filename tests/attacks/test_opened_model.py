"""Proofs that a weights file is the committed model: that file is accepted, no other, and nothing else of the root."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from prover.backends import cpu
from prover.errors import CommitmentMismatch, WitnessUnsatisfied
from prover.model_io import save_weights, state_arrays
from prover.opening import model_job
from prover.proving import Job, prove
from prover.randomness import SeededRandomness
from prover.trainer import State
from tests.attacks.mutations import alter_leaf
from tests.attacks.test_mutations import OTHER_PARAMETERS, OTHER_STATEMENT, PROOF_ERRORS
from tests.attacks.uses import TINY, Trained, converse_again, judge, leaves_of, tiny_run
from tests.support import PRESET
from verifier import FileNeeded, MalformedStatement, RejectedProof, StatementMismatch, VerifierError, verify
from verifier.opening import check_file, model_relation, with_file
from verifier.proof import HEADER_BYTES, encode_proof
from verifier.statement import replace

NAMES = {"W0": "layers.0.weight", "b0": "layers.0.bias", "W1": "layers.1.weight", "b1": "layers.1.bias"}


@pytest.fixture(scope="module")
def run() -> Trained:
    return tiny_run()


@pytest.fixture(scope="module")
def file(run: Trained, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What `zkgrad train` leaves as weights_int.safetensors."""
    folder: Path = tmp_path_factory.mktemp("weights")
    save_weights(folder, run.final, TINY.weight_bits)
    return (folder / "weights_int.safetensors").read_bytes()


@pytest.fixture(scope="module")
def honest(run: Trained, file: bytes) -> tuple[Job, bytes]:
    job = model_job(cpu.BACKEND, run.statement, run.final, run.blinding, file)
    return job, prove(job, cpu.BACKEND, SeededRandomness(b"model"))


def restated(job: Job, file: bytes, **changes: Any) -> Job:
    """The same witness under the statement that another file is the model."""
    statement = replace(job.statement, file=hashlib.sha256(file).digest(), **changes)
    return dataclasses.replace(
        job, statement=statement, relation=with_file(model_relation(statement), check_file(statement, file))
    )


def other_file(run: Trained, name: str, place: tuple[int, ...], by: int = 1) -> bytes:
    """The file with one integer changed."""
    arrays = {key: values.copy(order="C") for key, values in state_arrays(run.final).items()}
    arrays[name][place] += by
    return safetensors.numpy.save(arrays)


def test_the_file_is_accepted(run: Trained, honest: tuple[Job, bytes], file: bytes) -> None:
    job, proof = honest
    told = verify(job.statement.to_bytes(), proof, minimum_security=1, model=file).statement
    assert told.initial_root == run.statement.final_root and told.file == hashlib.sha256(file).digest()


def test_the_same_integers_in_another_file(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors in another order, no metadata: another digest, the same model."""
    arrays = dict(reversed(state_arrays(run.final).items()))
    file = safetensors.numpy.save({name: np.ascontiguousarray(values) for name, values in arrays.items()})
    judge(model_job(cpu.BACKEND, run.statement, run.final, run.blinding, file), monkeypatch, file=file)


CHANGES = [("W0", (0, 0), 1), ("W0", (6, 4), -1), ("b0", (6,), 1), ("W1", (2, 6), 1), ("b1", (0,), -1)]


@pytest.mark.parametrize(("tensor", "place", "by"), CHANGES)
def test_one_integer_off_by_one(
    run: Trained, honest: tuple[Job, bytes], tensor: str, place: tuple[int, ...], by: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file = other_file(run, NAMES[tensor], place, by)
    lie = restated(honest[0], file)
    with pytest.raises(WitnessUnsatisfied):
        prove(lie, cpu.BACKEND)
    with pytest.raises(RejectedProof):
        judge(lie, monkeypatch, file=file)
    judge(lie, monkeypatch, removed=f"file:{tensor}", file=file)


MOVING = {"momentum": 500_000_000, "weight_decay": 200_000_000, "kernel_bits": 6, "velocity_width": 18, "rate_bits": 6}


def test_a_rounded_state_and_its_velocity(monkeypatch: pytest.MonkeyPatch) -> None:
    """With momentum and decay the file holds velocities too, and each integer of them counts."""
    moved = tiny_run(**MOVING)
    arrays = {name: values.copy(order="C") for name, values in state_arrays(moved.final).items()}
    file = safetensors.numpy.save(arrays, metadata={"scale_bits": str(moved.statement.parameters.state_bits)})
    job = model_job(cpu.BACKEND, moved.statement, moved.final, moved.blinding, file)
    judge(job, monkeypatch, file=file)
    arrays["layers.0.bias.velocity"][0] += 1
    other = safetensors.numpy.save(arrays)
    with pytest.raises(RejectedProof):
        judge(restated(job, other), monkeypatch, file=other)
    judge(restated(job, other), monkeypatch, removed="file:velocity.b0", file=other)


def test_the_own_file_opened_under_a_foreign_root(run: Trained, file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is in the file and not under the root."""
    other = [weights.copy() for weights in run.final.weights]
    other[0][0, 0] += 1
    foreign = other_file(run, "layers.0.weight", (0, 0))
    job = model_job(cpu.BACKEND, run.statement, State(tuple(other), run.final.biases), run.blinding, foreign)
    with pytest.raises(CommitmentMismatch):
        prove(job, cpu.BACKEND)
    with pytest.raises(RejectedProof):
        judge(job, monkeypatch, file=foreign)


@pytest.mark.parametrize(
    "change", [{"rate_bits": 5}, {"table_bits": 7, "weight_width": 19}, {"activation": "silu"}], ids=str
)
def test_the_root_read_otherwise(
    run: Trained, honest: tuple[Job, bytes], change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other scales, limbs or activations make another model of the same numbers: it does not open the root."""
    lies = replace(run.statement, **change)
    base = lies.parameters.table_bits
    state = run.final
    if base != TINY.table_bits:  # the file that says what the limbs would mean
        state = State(*(tuple(reread(values, base, 19) for values in part) for part in (state.weights, state.biases)))
    arrays = {name: np.ascontiguousarray(values) for name, values in state_arrays(state).items()}
    file = safetensors.numpy.save(arrays)
    own = model_job(cpu.BACKEND, lies, state, run.blinding, file)
    tensors = honest[0].witness.tensors if base != TINY.table_bits else own.witness.tensors
    job = dataclasses.replace(own, witness=dataclasses.replace(own.witness, tensors=tensors))
    assert job.statement.initial_root == run.statement.final_root
    with pytest.raises(RejectedProof):
        judge(job, monkeypatch, file=file)


def reread(values: Any, base: int, width: int) -> Any:
    """What limbs of 6 bits of an offset-binary number of 17 are worth as limbs of `base` bits, of one of `width`."""
    lifted = values + (1 << 16)
    return sum((lifted >> (6 * k) & 63) << (base * k) for k in range(3)) - (1 << (width - 1))


def test_a_file_is_needed_and_the_right_one(run: Trained, honest: tuple[Job, bytes], file: bytes) -> None:
    text, proof = honest[0].statement.to_bytes(), honest[1]
    with pytest.raises(FileNeeded, match=hashlib.sha256(file).hexdigest()):
        verify(text, proof, minimum_security=1)
    with pytest.raises(StatementMismatch, match="weights file has SHA-256"):
        verify(text, proof, minimum_security=1, model=other_file(run, "layers.1.bias", (0,)))
    with pytest.raises(StatementMismatch, match="no weights file"):
        verify(run.statement.to_bytes(), b"", minimum_security=1, model=file)


def test_every_item_altered(honest: tuple[Job, bytes]) -> None:
    job, proof = honest
    rng, seen = random.Random(1), set()
    for leaf in leaves_of(job, proof):
        seen.add(leaf.label)
        with pytest.raises(PROOF_ERRORS):
            converse_again(job, alter_leaf(proof, leaf, rng))
    assert seen == {leaf.label for leaf in job.shape.recorder.leaves}
    assert not [label for label in seen if label.startswith(("lookup", "einsum", "history"))]


@pytest.mark.parametrize("field", [*OTHER_PARAMETERS, *OTHER_STATEMENT])
def test_every_field_of_the_statement(honest: tuple[Job, bytes], file: bytes, field: str) -> None:
    job, proof = honest
    changed = replace(job.statement, **{field: (OTHER_PARAMETERS | OTHER_STATEMENT)[field]})
    if changed == job.statement:
        changed = replace(job.statement, **{field: b"\3" * 32 if "root" in field else getattr(PRESET, field) + 1})
    for claimed in (proof, encode_proof(changed.digest(), proof[HEADER_BYTES:])):
        with pytest.raises(VerifierError):
            verify(changed.to_bytes(), claimed, minimum_security=1, allow_transparent=True, model=file)


BAD_TEXTS: dict[str, tuple[tuple[str, str, Any], str]] = {
    "a short digest": (("weights", "file", "00"), "weights.file"),
    "no digest": (("weights", "file", None), "weights.file"),
    "samples": (("data", "samples", 2), "samples = 1"),
    "a data root": (("data", "root", "01" * 32), "zeros as data root"),
    "a batch": (("training", "batch", 2), "batch = 1"),
    "a range of inputs": (("ranges", "input", 3), "ranges of inputs"),
    "a range of outputs": (("ranges", "output", 3), "ranges of inputs"),
    "two steps": (("training", "steps", 2), "steps = 1"),
    "an unknown key": (("weights", "name", "x"), "canonical"),
}


@pytest.mark.parametrize("what", BAD_TEXTS)
def test_statements_that_are_no_opening(honest: tuple[Job, bytes], file: bytes, what: str) -> None:
    (section, key, value), place = BAD_TEXTS[what]
    document = json.loads(honest[0].statement.to_bytes())
    document[section][key] = value
    with pytest.raises(MalformedStatement) as caught:
        verify((json.dumps(document, indent=1) + "\n").encode(), b"", minimum_security=1, model=file)
    assert place in str(caught.value)
