"""The relation of examples/convolution.py: it is a convolution, and only a network with one convolves passes."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prover import proving
from prover.backends import cpu
from prover.proving import Job
from prover.randomness import SeededRandomness
from prover.trainer import State, forward_pass
from prover.witness import count_lookups, pad, to_field
from verifier import MalformedProof, MalformedStatement, ParametersUnsafe, RejectedProof, StatementMismatch, verify
from verifier.evaluation import accuracy_relation
from verifier.field import P
from verifier.relation import Relation
from verifier.statement import Parameters, Statement
from verifier.tensors import Sharing


def load(name: str) -> Any:
    """A script of examples/ as a module."""
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


example = load("convolution")
LINE = example.Convolution((1, 6), (1, 3), 2)
PLANE = example.Convolution((3, 3), (2, 2), 2)
TINY = Parameters(
    widths=(6, 8, 3), activation="relu", loss="mse", optimizer="sgd", target="one-hot", batch=3, steps=1, first_step=0,
    rate_bits=4, activation_bits=3, gradient_bits=4, target_bits=0, input_width=6, target_width=1, activation_width=6,
    output_width=6, backward_width=6, error_width=6, weight_width=14, table_bits=6, row_bits=4, blowup_bits=4,
    data_openings=1, state_openings=1, security_bits=6, zero_knowledge=True,
)  # fmt: skip
SAMPLES = 7


def parameters(layer: Any) -> Parameters:
    """Tiny parameters for a layer."""
    return dataclasses.replace(TINY, widths=(layer.image[0] * layer.image[1], layer.outputs, 3))


def ingredients(layer: Any) -> tuple[Any, Parameters, Any, Any]:
    """A model, its parameters, and seven images with classes."""
    numbers, p = np.random.default_rng(5), parameters(layer)
    one = 1 << p.weight_bits
    kernels = numbers.integers(-one, one, layer.size[0] * layer.size[1] * 2)
    rest = State((numbers.integers(-one // 2, one // 2, (8, 3)),), (np.zeros(3, dtype=np.int64),))
    model = example.Model(kernels, np.array([one // 8, -one // 8]), rest)
    images = numbers.integers(0, 8, (SAMPLES, p.widths[0]))
    return model, p, images, np.eye(3, dtype=np.int64)[numbers.integers(0, 3, SAMPLES)]


def proof_of(job: Job) -> bytes:
    """Whatever the job holds, proven."""
    return proving.prove(job, cpu.BACKEND, SeededRandomness(b"convolution"), strict=False)


def judge(layer: Any, job: Job) -> None:
    """Proves and verifies."""
    example.verify_convolution(layer, job.statement.to_bytes(), proof_of(job), minimum_security=1)


@pytest.fixture(scope="module")
def line() -> Job:
    """The honest job in one dimension."""
    return example.convolution_job(LINE, *ingredients(LINE))


@pytest.mark.parametrize("layer", [LINE, PLANE], ids=["1-D", "2-D"])
def test_the_layer_is_a_convolution(layer: Any) -> None:
    model, p, images, _ = ingredients(layer)
    windows = np.lib.stride_tricks.sliding_window_view(images.reshape(-1, *layer.image), layer.size, axis=(1, 2))
    sums = np.einsum("nyxij,ijc->nyxc", windows, model.kernels.reshape(*layer.size, 2))
    sums = sums + (model.shifts << p.activation_bits)
    found = forward_pass(model.dense(layer), p, images).Y[0]
    assert (found == ((sums >> (p.weight_bits - 1)) + 1 >> 1).reshape(SAMPLES, -1)).all()
    assert (sums != 0).all(axis=0).any()


@pytest.mark.parametrize("layer", [LINE, PLANE], ids=["1-D", "2-D"])
def test_an_honest_count_is_accepted_and_no_other(layer: Any) -> None:
    job = example.convolution_job(layer, *ingredients(layer))
    judge(layer, job)
    assert 0 < (job.statement.correct or 0) < SAMPLES
    other = dataclasses.replace(job.statement, correct=(job.statement.correct or 0) + 1)
    with pytest.raises(RejectedProof):
        judge(layer, dataclasses.replace(job, statement=other, relation=layer.relation(other)))


# --- one place with weights of its own ---


class UntiedWeight(example.Model):
    """At the last place the first channel has another weight than everywhere else."""

    def dense(self, layer: Any) -> State:
        state = super().dense(layer)
        state.weights[0][3, layer.outputs - 2] += 1 << 9
        return state


class StrayWeight(example.Model):
    """An output sees a pixel outside its window."""

    def dense(self, layer: Any) -> State:
        state = super().dense(layer)
        state.weights[0][5, 0] = 1 << 9
        return state


class UntiedBias(example.Model):
    """One place has a bias of its own."""

    def dense(self, layer: Any) -> State:
        state = super().dense(layer)
        state.biases[0][0] += 1 << 9
        return state


def untied(kind: Any) -> Job:
    """The job of a network that is no convolution, every integer of it consistent but the committed list."""
    model, p, images, targets = ingredients(LINE)
    lie = kind(model.kernels, model.shifts, model.rest)
    assert (forward_pass(lie.dense(LINE), p, images).Y[0] != forward_pass(model.dense(LINE), p, images).Y[0]).any()
    job = example.convolution_job(LINE, lie, p, images, targets)
    dense, axes = lie.dense(LINE), job.relation.histories["W0"]
    matrix, shifts = pad(dense.weights[0], (axes.rows, axes.columns)), pad(dense.biases[0], (axes.columns,))
    states = job.witness.states | {"W0": to_field(matrix), "b0": to_field(shifts)}
    return dataclasses.replace(job, witness=dataclasses.replace(job.witness, states=states))


@pytest.mark.parametrize("kind", [UntiedWeight, StrayWeight, UntiedBias])
def test_a_network_that_is_no_convolution(kind: Any) -> None:
    """Outputs, count and all agree with untied weights; only the committed list does not."""
    with pytest.raises(RejectedProof):
        judge(LINE, untied(kind))


@pytest.mark.parametrize(
    ("kind", "kept"), [(UntiedWeight, "b0"), (StrayWeight, "b0"), (UntiedBias, "W0")], ids=["weight", "stray", "bias"]
)
def test_the_same_network_passes_where_nothing_is_shared(kind: Any, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one sharing left out, that matrix or bias is committed as it is: what refuses above is the sharing alone."""
    sharing = {"W0": LINE.kernels(), "b0": LINE.biases()}

    def loose(_: Any, statement: Statement) -> Relation:
        return accuracy_relation(statement, {kept: sharing[kept]})

    model, *rest = ingredients(LINE)
    lie = kind(model.kernels, model.shifts, model.rest)
    dense = lie.dense(LINE)
    written = {"kernels": dense.weights[0]} if kept == "b0" else {"shifts": dense.biases[0]}
    monkeypatch.setattr(kind, "dense", lambda self, layer: dense)
    monkeypatch.setattr(example.Convolution, "relation", loose)
    job = example.convolution_job(LINE, dataclasses.replace(lie, **written), *rest)
    judge(LINE, job)


# --- one number changed ---


def altered(job: Job, change: Callable[[dict[str, Any]], None]) -> Job:
    """The job with committed integers of the witness changed, and counts made anew."""
    tensors = {name: table for name, table in job.witness.tensors.items() if not name.startswith("count:")}
    integers = {name: np.where(t > P // 2, t - np.uint64(P), t).astype(np.int64) for name, t in tensors.items()}
    change(integers)
    fields = {name: to_field(values) for name, values in integers.items()}
    fields |= count_lookups(cpu.BACKEND, job.relation, integers, strict=False)
    witness = dataclasses.replace(job.witness, tensors={name: fields[name] for name in job.relation.tensors})
    return dataclasses.replace(job, witness=witness)


@pytest.mark.parametrize("name", ["Y0", "D0", "R0.0", "R0.1", "input"])
@pytest.mark.parametrize("place", [0, 8 * 6 + 7], ids=["first", "last"])
def test_one_changed_output_bit_remainder_or_pixel(line: Job, name: str, place: int) -> None:
    def change(integers: dict[str, Any]) -> None:
        integers[name][place] ^= 1

    with pytest.raises(RejectedProof):
        judge(LINE, altered(line, change))


def test_a_changed_kernel_does_not_open_the_commitment(line: Job) -> None:
    def change(integers: dict[str, Any]) -> None:
        integers["initial.W0.0"][2] ^= 1

    with pytest.raises(RejectedProof):
        judge(LINE, altered(line, change))


# --- another convolution ---


class Flipped(example.Convolution):
    """Kernels mirrored: a list of the same length at the same places, in another order."""

    def kernels(self) -> Sharing:
        plain = super().kernels()
        return Sharing(plain.size, tuple((row, column, plain.size - 1 - k) for row, column, k in plain.entries))


def test_a_proof_about_one_convolution_is_none_about_another(line: Job) -> None:
    statement, proof = line.statement.to_bytes(), proof_of(line)
    example.verify_convolution(LINE, statement, proof, minimum_security=1)
    with pytest.raises(RejectedProof):
        example.verify_convolution(Flipped((1, 6), (1, 3), 2), statement, proof, minimum_security=1)
    with pytest.raises(StatementMismatch, match="not this convolution's"):
        example.verify_convolution(PLANE, statement, proof, minimum_security=1)
    with pytest.raises((RejectedProof, MalformedProof)):
        verify(statement, proof, minimum_security=1)  # nor about a full layer


def test_other_statements_and_weak_ones_are_refused(line: Job) -> None:
    s, proof = line.statement, proof_of(line)
    with pytest.raises(ParametersUnsafe, match="promises 6 bits"):
        example.verify_convolution(LINE, s.to_bytes(), proof)
    open_parameters = dataclasses.replace(s.parameters, zero_knowledge=False)
    with pytest.raises(ParametersUnsafe, match="transparent"):
        example.verify_convolution(LINE, dataclasses.replace(s, parameters=open_parameters).to_bytes(), proof, 1)
    with pytest.raises(MalformedStatement):
        example.verify_convolution(LINE, s.to_bytes() + b" ", proof, 1)


@pytest.mark.parametrize("entries", [((0, 0, 0), (0, 0, 1)), ((0, 0, 2),), ((0, 0, -1),)], ids=str)
def test_a_place_has_one_entry_of_the_list(entries: Any) -> None:
    """Two would add up to a weight beyond the range that the bounds are made from."""
    with pytest.raises(ParametersUnsafe, match="each weight given once"):
        Sharing(2, entries)


def test_the_example_itself(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    example.main()
    shown = capsys.readouterr().out
    assert "VALID proof" in shown and "of 100 samples classified correctly" in shown and "64-144-10" in shown
    assert int(shown.partition("claim")[2].split()[0]) > 50
