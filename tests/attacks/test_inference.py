"""Proofs of inference: what the model gives is accepted, and nothing else; each claim of its own is needed."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prover.backends import cpu
from prover.errors import CommitmentMismatch, InputInvalid
from prover.exact import round_half_up
from prover.inference import StandingData, inference_job
from prover.proving import Job, commit_group, prepare, prove
from prover.randomness import SeededRandomness
from prover.trainer import State, forward_pass, outputs
from prover.witness import build_witness, pad
from tests.attacks.mutations import alter_leaf
from tests.attacks.test_mutations import OTHER_PARAMETERS, OTHER_STATEMENT, PROOF_ERRORS
from tests.attacks.uses import SAMPLES, Trained, altered, converse_again, judge, leaves_of, tiny_run
from tests.support import PRESET
from verifier import MalformedStatement, RejectedProof, VerifierError, verify
from verifier.field import P
from verifier.proof import HEADER_BYTES, encode_proof
from verifier.statement import Inference, Statement, replace
from verifier.training import training_relation

KINDS = [(reveal, source) for reveal in ("outputs", "classes") for source in ("fresh", "public", "standing")]


@pytest.fixture(scope="module")
def run() -> Trained:
    return tiny_run()


def job_of(run: Trained, reveal: str = "outputs", source: str = "fresh", **changes: Any) -> Job:
    """The honest job: seven samples, or the ten that the run committed."""
    data = StandingData(run.targets, run.data) if source == "standing" else None
    inputs = changes.pop("inputs", run.inputs if data else run.inputs[:SAMPLES])
    trained = changes.pop("trained", run.statement)
    return inference_job(
        cpu.BACKEND, trained, changes.pop("state", run.final), run.blinding, inputs, reveal=reveal,
        public=source == "public", data=data, randomness=SeededRandomness(b"samples"),
    )  # fmt: skip


def restated(job: Job, **changes: Any) -> Job:
    """The same witness under another statement, with that one's relation."""
    statement = replace(job.statement, **changes)
    return dataclasses.replace(job, statement=statement, relation=training_relation(statement))


def shifted(rows: Any, by: int = 1) -> Any:
    """Rows with `by` added to the first entry."""
    return ((rows[0][0] + by, *rows[0][1:]), *rows[1:])


@pytest.mark.parametrize(("reveal", "source"), KINDS)
def test_what_the_model_gives_is_accepted(run: Trained, reveal: str, source: str) -> None:
    job = job_of(run, reveal, source)
    proof = prove(job, cpu.BACKEND, SeededRandomness(b"honest"))
    told = verify(job.statement.to_bytes(), proof, minimum_security=1).statement
    inputs = run.inputs if source == "standing" else run.inputs[:SAMPLES]
    expected = outputs(run.final, run.statement.parameters, inputs)
    assert told.initial_root == run.statement.final_root and told.inference is not None
    assert (told.inference.inputs is not None) == (source == "public")
    assert (told.data_root == run.statement.data_root) == (source == "standing")
    if reveal == "outputs":
        assert np.array_equal(told.inference.outputs, expected) and told.inference.classes is None
    else:
        assert np.array_equal(told.inference.classes, expected.argmax(axis=1)) and told.inference.outputs is None


def test_a_model_whose_state_is_rounded() -> None:
    """With momentum and weight decay: what is committed is 2^q times coarser than the weights, and has a velocity."""
    moving = {"momentum": 500_000_000, "weight_decay": 200_000_000, "kernel_bits": 6, "velocity_width": 18}
    moved = tiny_run(**moving, rate_bits=6)
    job = job_of(moved)
    verify(job.statement.to_bytes(), prove(job, cpu.BACKEND), minimum_security=1)
    expected = outputs(moved.final, moved.statement.parameters, moved.inputs[:SAMPLES])
    assert np.array_equal(job.statement.inference.outputs, expected)


# --- a statement that is false, with the witness of the true one ---


@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.parametrize("source", ["fresh", "public"])
def test_an_output_off_by_one_unit(
    run: Trained, source: str, shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(run, "outputs", source)
    told = job.statement.inference
    lie = restated(job, inference=dataclasses.replace(told, outputs=shifted(told.outputs, shift)))
    with pytest.raises(RejectedProof):
        judge(lie, monkeypatch)
    judge(lie, monkeypatch, removed="outputs")


def test_the_last_output_of_the_last_sample_counts(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(run)
    rows = [list(row) for row in job.statement.inference.outputs]
    rows[-1][-1] += 1
    with pytest.raises(RejectedProof):
        judge(restated(job, inference=Inference(outputs=tuple(tuple(row) for row in rows))), monkeypatch)


def test_outputs_of_two_samples_exchanged(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(run)
    rows = job.statement.inference.outputs
    assert rows[0] != rows[1]
    with pytest.raises(RejectedProof):
        judge(restated(job, inference=Inference(outputs=(rows[1], rows[0], *rows[2:]))), monkeypatch)


@pytest.mark.parametrize("reveal", ["outputs", "classes"])
def test_another_public_input(run: Trained, reveal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(run, reveal, "public")
    told = job.statement.inference
    lie = restated(job, inference=dataclasses.replace(told, inputs=shifted(told.inputs)))
    with pytest.raises(RejectedProof):
        judge(lie, monkeypatch)
    judge(lie, monkeypatch, removed="inputs")


@pytest.mark.parametrize("reveal", ["outputs", "classes"])
def test_other_committed_inputs(run: Trained, reveal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model ran on other inputs than the committed ones."""
    job = job_of(run, reveal)

    def exchange(integers: dict[str, Any]) -> None:
        rows = integers["data.input"].reshape(8, 8)
        rows[[0, 1]] = rows[[1, 0]]

    lie = altered(job, exchange, job.relation)
    with pytest.raises(RejectedProof):
        judge(lie, monkeypatch)
    judge(lie, monkeypatch, removed="select:input")


def test_standing_data_of_another_run(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(run, source="standing", inputs=np.roll(run.inputs, 1, axis=0))
    with pytest.raises(CommitmentMismatch):
        prove(job, cpu.BACKEND)
    with pytest.raises(RejectedProof):
        judge(job, monkeypatch)


@pytest.mark.parametrize("source", ["fresh", "public"])
def test_another_model(run: Trained, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight differs from the committed model's: it does not open that root."""
    weights = [w.copy() for w in run.final.weights]
    weights[1][0, 0] += 1
    job = job_of(run, source=source, state=State(tuple(weights), run.final.biases))
    with pytest.raises(CommitmentMismatch):
        prove(job, cpu.BACKEND)
    with pytest.raises(RejectedProof):
        judge(job, monkeypatch)


@pytest.mark.parametrize(
    "change",
    [{"activation": "leaky-relu"}, {"rate_bits": 5}, {"activation_bits": 4}, {"gradient_bits": 3, "rate_bits": 5}],
    ids=str,
)
def test_the_committed_weights_as_another_network(
    run: Trained, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root stands for weights, their scale and the activation: the same integers read otherwise do not open it."""
    other = replace(run.statement, **change)
    job = job_of(run, trained=other)
    assert job.statement.initial_root == run.statement.final_root
    with pytest.raises(RejectedProof):
        judge(job, monkeypatch)


# --- classes ---


def false_class(job: Job) -> tuple[Job, int, int]:
    """The job restated with another class for the first sample whose outputs do not tie, that sample and the class."""
    told = job.statement.inference.classes
    y = signed(job, "Y1").reshape(8, 4)[:SAMPLES, :3]
    sample = next(k for k in range(SAMPLES) if sorted(y[k])[-1] > sorted(y[k])[-2])
    label = (told[sample] + 1) % 3
    lie = (*told[:sample], label, *told[sample + 1 :])
    return restated(job, inference=dataclasses.replace(job.statement.inference, classes=lie)), sample, label


def signed(job: Job, name: str) -> Any:
    """A committed tensor as signed integers, padded and flat."""
    table = job.witness.tensors[name]
    return np.where(table > P // 2, table - np.uint64(P), table).astype(np.int64)


@pytest.mark.parametrize("source", ["fresh", "public"])
def test_another_class(run: Trained, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lie = false_class(job_of(run, "classes", source))[0]
    with pytest.raises(RejectedProof):
        judge(lie, monkeypatch)
    judge(lie, monkeypatch, removed="classes")


@pytest.mark.parametrize(("claim", "follow"), [("margin", True), ("top", False)])
def test_another_class_chosen(run: Trained, claim: str, follow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice made to fit the statement, with `top` following it or not: one claim stands against each."""
    lie, sample, label = false_class(job_of(run, "classes"))

    def choose(integers: dict[str, Any]) -> None:
        choice, top, y = (integers[name].reshape(8, 4) for name in ("choice", "top", "Y1"))
        choice[sample] = 0
        choice[sample, label] = 1
        if follow:
            top[sample] = y[sample, label]

    with pytest.raises(RejectedProof):
        judge(altered(lie, choose, lie.relation), monkeypatch)
    weaker = altered(lie, choose, lie.relation.without(claim) if claim == "margin" else lie.relation)
    judge(dataclasses.replace(weaker, relation=lie.relation), monkeypatch, removed=claim)


def test_a_class_in_the_padding(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fourth class, which three outputs are padded to, beside the stated one: it adds nothing to `top`."""
    job = job_of(run, "classes")

    def choose(integers: dict[str, Any]) -> None:
        integers["choice"].reshape(8, 4)[:, 3] = 5
        integers["Y1"].reshape(8, 4)[:, 3] = 0

    judge(altered(job, choose, job.relation), monkeypatch)
    lie, sample, label = false_class(job)

    def lift(integers: dict[str, Any]) -> None:
        choice, top, y = (integers[name].reshape(8, 4) for name in ("choice", "top", "Y1"))
        choice[sample] = 0
        choice[sample, [label, 3]] = 1
        top[sample] = y[sample].max()
        integers["Y1"].reshape(8, 4)[sample, 3] = y[sample].max() - y[sample, label]

    with pytest.raises(RejectedProof):
        judge(altered(lie, lift, lie.relation), monkeypatch)


# --- garbage in the padding ---


def with_hidden_neuron(run: Trained) -> Job:
    """A model that has an eighth hidden neuron in the padding of its seven, and a statement of what *it* gives."""
    numbers = np.random.default_rng(1)
    p, inputs = run.statement.parameters, run.inputs[:SAMPLES]
    more = numbers.integers(1 << 8, 1 << 9, 5), numbers.integers(1 << 9, 1 << 10, 3)
    # Padded columns have neither an offset nor a rounding half: there W is its limbs, and Z = 2^w Y + R.
    z = np.append(inputs @ more[0], 0)
    hidden, real = z >> p.weight_bits, slice(0, SAMPLES)
    ran = forward_pass(run.final, p, inputs)
    activations = np.zeros((8, 8), dtype=np.int64)
    activations[real] = np.column_stack([ran.A[1], hidden[real]])
    last = activations[real] @ np.vstack([run.final.weights[1], more[1]]) + (run.final.biases[1] << p.activation_bits)
    y, r = round_half_up(last, p.weight_bits)
    job = job_of(run)
    told = Inference(outputs=tuple(tuple(int(v) for v in row) for row in y))
    assert told.outputs != job.statement.inference.outputs
    statement = replace(job.statement, inference=told, activation_width=6, output_width=6)
    relation, shape = prepare(statement, 1)
    tensors = {name: signed(job, name) for name in relation.tensors if not name.startswith("count:")}

    def place(name: str, rows: slice | int, columns: slice | int, values: Any) -> None:
        """Sets part of the last two axes of a tensor, or all limbs of a number."""
        for k in range(3):
            part, value = (name, values) if name in tensors else (f"{name}.{k}", values >> (6 * k) & 63)
            if part in tensors:
                shape_of_part = [1 << axis.bits for axis in relation.tensors[part].axes][-2:]
                tensors[part].reshape(shape_of_part)[rows, columns] = value

    place("initial.W0", slice(0, 5), 7, more[0])
    place("initial.W1", 7, slice(0, 3), more[1])
    place("Y0", slice(None), 7, hidden)
    place("D0", slice(None), 7, hidden > 0)
    place("R0", slice(None), 7, z & ((1 << p.weight_bits) - 1))
    place("Y1", real, slice(0, 3), y)
    place("R1", real, slice(0, 3), r)
    counts = {name: np.zeros(1 << t.bits, dtype=np.int64) for name, t in relation.tensors.items() if "count" in name}
    derived = {"A0": pad(inputs[None], relation.masked["A0"].axes), "A1": activations.reshape(-1)}
    witness = build_witness(cpu, relation, tensors | counts, derived, strict=False)
    model = commit_group(
        cpu.BACKEND, relation, shape.code, "initial", witness.tensors, randomness=SeededRandomness(b"model")
    )
    statement = replace(statement, initial_root=model.root, origin_root=model.root)
    blindings = {**job.blindings, "initial": model.blinding}
    return Job(statement, training_relation(statement), shape, witness, blindings)


def test_a_neuron_hidden_in_the_padding(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    lie = with_hidden_neuron(run)
    with pytest.raises(RejectedProof):
        judge(lie, monkeypatch)
    judge(lie, monkeypatch, removed="mask:A1")


def test_garbage_beyond_the_samples_changes_nothing(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the padding of public inputs is no sample and no feature: the true outputs are still accepted."""
    job = job_of(run, "outputs", "public")

    def spoil(integers: dict[str, Any]) -> None:
        rows = integers["input"].reshape(8, 8)
        rows[7], rows[:, 5:] = 3, -2

    judge(altered(job, spoil, job.relation), monkeypatch)


# --- the bytes ---


@pytest.fixture(scope="module", params=[("outputs", "public"), ("classes", "fresh")], ids=str)
def proven(request: pytest.FixtureRequest, run: Trained) -> tuple[Job, bytes]:
    job = job_of(run, *request.param)
    return job, prove(job, cpu.BACKEND, SeededRandomness(b"bytes"))


def test_every_item_altered(proven: tuple[Job, bytes]) -> None:
    job, proof = proven
    rng, seen = random.Random(1), set()
    for leaf in leaves_of(job, proof):
        seen.add(leaf.label)
        with pytest.raises(PROOF_ERRORS):
            converse_again(job, alter_leaf(proof, leaf, rng))
    assert seen == {leaf.label for leaf in job.shape.recorder.leaves}


@pytest.mark.parametrize("field", [*OTHER_PARAMETERS, *OTHER_STATEMENT])
def test_every_field_of_the_statement(proven: tuple[Job, bytes], field: str) -> None:
    job, proof = proven
    other = (OTHER_PARAMETERS | OTHER_STATEMENT | {"optimizer": "adam", "data_root": b"\2" * 32})[field]
    changed = replace(job.statement, **{field: other})
    if changed == job.statement:
        changed = replace(job.statement, **{field: b"\3" * 32 if "root" in field else getattr(PRESET, field) + 1})
    for claimed in (proof, encode_proof(changed.digest(), proof[HEADER_BYTES:])):
        with pytest.raises(VerifierError):
            verify(changed.to_bytes(), claimed, minimum_security=1, allow_transparent=True)


def edited(statement: Statement, change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(statement.to_bytes())
    change(document)
    return (json.dumps(document, indent=1) + "\n").encode()


BAD_TEXTS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "neither outputs nor classes": (lambda d: d["inference"].pop("outputs"), "either"),
    "both": (lambda d: d["inference"].update(classes=[0] * 7), "either"),
    "no section": (lambda d: d.pop("inference"), "'inference' is missing"),
    "outputs that are no list": (lambda d: d["inference"].update(outputs={}), "inference.outputs"),
    "a row that is no list": (lambda d: d["inference"]["outputs"].__setitem__(2, 1), "inference.outputs[2]"),
    "a sample less": (lambda d: d["inference"]["outputs"].pop(), "length 7"),
    "an output less": (lambda d: d["inference"]["outputs"][3].pop(), "inference.outputs[3]"),
    "a float": (lambda d: d["inference"]["outputs"][0].__setitem__(0, 1.0), "inference.outputs[0][0]"),
    "a boolean": (lambda d: d["inference"]["outputs"][0].__setitem__(0, True), "inference.outputs[0][0]"),
    "an output beyond its range": (lambda d: d["inference"]["outputs"][0].__setitem__(1, 1 << 20), "outside"),
    "an output plus p": (lambda d: d["inference"]["outputs"][0].__setitem__(1, 2**64 - 2**32 + 2), "outside"),
    "an input beyond its range": (lambda d: d["inference"]["inputs"][0].__setitem__(1, 1 << 20), "outside"),
    "inputs of another width": (lambda d: d["inference"]["inputs"][6].append(0), "inference.inputs[6]"),
    "an unknown key": (lambda d: d["inference"].update(logits=[]), "canonical"),
    "a data root besides": (lambda d: d["data"].update(root="01" * 32), "zeros as data root"),
    "two steps": (lambda d: d["training"].update(steps=2), "steps = 1"),
    "another batch": (lambda d: d["training"].update(batch=3), "batch = samples"),
    "a nonce": (lambda d: d["schedule"].update(nonce="01" * 32), "zeros as final root and nonce"),
    "a final root": (lambda d: d["final"].update(root="01" * 32), "zeros as final root and nonce"),
    "a loss": (lambda d: d["training"].update(loss="ce"), "loss = mse"),
    "a range of gradients": (lambda d: d["ranges"].update(backward=3), "ranges.backward"),
    "a public seed": (lambda d: d["training"].update(initial="public-seed"), "committed initial state"),
}


@pytest.mark.parametrize("what", BAD_TEXTS)
def test_statements_that_are_no_inference(run: Trained, what: str) -> None:
    change, place = BAD_TEXTS[what]
    statement = job_of(run, "outputs", "public").statement
    with pytest.raises(MalformedStatement) as caught:
        verify(edited(statement, change), b"", minimum_security=1)
    assert place in str(caught.value)


@pytest.mark.parametrize("label", [-1, 3])
def test_no_class_beyond_the_last(run: Trained, label: int) -> None:
    """Three classes are padded to four: the fourth is none."""
    statement = job_of(run, "classes").statement
    text = edited(statement, lambda d: d["inference"]["classes"].__setitem__(0, label))
    with pytest.raises(MalformedStatement, match=r"inference.classes\[0\]"):
        verify(text, b"", minimum_security=1)


def test_more_samples_than_a_statement_can_list(run: Trained) -> None:
    with pytest.raises(InputInvalid, match="fewer samples"):
        job_of(run, inputs=np.zeros((60_000, 5), dtype=np.int64))
