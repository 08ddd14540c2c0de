"""Training on the emulated device: every integer of the CPU's run, on the device from the first step to the witness."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from prover.backends import cpu
from prover.backends.gpu import GpuBackend
from prover.backends.gpu_integers import DeviceIntegers
from prover.choose import choose_parameters, choose_rows, draft_parameters, initial_state, one_hot
from prover.errors import OutOfRange
from prover.exact import matmul_exact, on_host
from prover.proving import prove
from prover.randomness import SeededRandomness
from prover.session import assemble, commit_final, commit_start
from prover.trainer import State, Trace, run, train
from verifier.statement import Parameters

from .emulation import EmulatedDevice

SAMPLES = 8
RUNS: dict[str, dict[str, Any]] = {
    "three layers": {"widths": (4, 6, 5, 3)},
    "one layer, batch 1": {"widths": (4, 3), "batch": 1},
    "no biases": {"bias": False},
    "cross entropy": {"loss": "ce"},
    "leaky": {"activation": "leaky-relu"},
    "SiLU": {"activation": "silu"},
    "momentum and decay": {"momentum": 0.5, "weight_decay": 2.0**-6},
    "rates": {"rate": [2.0**-8, 3 * 2.0**-9, 2.0**-9]},
    "values": {"target": "values"},
}


def draft(name: str) -> Parameters:
    options: dict[str, Any] = {
        "widths": (4, 6, 3), "batch": 4, "steps": 3, "rate": 2.0**-8, "target": "one-hot", "table_bits": 10,
        "row_bits": 8, "blowup_bits": 2, "data_openings": 1, "state_openings": 1, "security_bits": 30,
        "zero_knowledge": True, "activation_bits": 3, "gradient_bits": 5}
    return draft_parameters(**options | RUNS[name])


def problem(name: str) -> tuple[Parameters, State, Any, Any]:
    """Chosen parameters, the first state, inputs and targets."""
    first = draft(name)
    inputs = np.arange(SAMPLES * first.widths[0], dtype=np.int64).reshape(SAMPLES, -1) * 37 % 16
    targets = one_hot(np.arange(SAMPLES) % first.widths[-1], first.widths[-1])
    state = initial_state(first.widths, first.state_bits, SeededRandomness(b"weights").read)
    chosen, _ = choose_parameters(first, state, inputs, targets, seed=bytes(32))
    return choose_rows(chosen, SAMPLES), state, inputs, targets


def order(p: Parameters) -> Any:
    return np.random.default_rng(5).integers(0, SAMPLES, (p.steps, p.batch))


def assert_same(found: Trace, expected: Trace) -> None:
    for name in ("A", "Y", "R", "D", "G", "GA", "RG"):
        assert all(isinstance(values, DeviceIntegers) for values in getattr(found, name))
    found = found.moved(on_host)
    np.testing.assert_equal(vars(found) | states(found), vars(expected) | states(expected))


def states(trace: Trace) -> dict[str, Any]:
    return {"initial": vars(trace.initial), "final": vars(trace.final)}


@pytest.mark.parametrize("name", RUNS)
def test_every_integer_of_a_run(name: str) -> None:
    """Of two segments with momentum, so that the second starts with velocities."""
    p, state, inputs, targets = problem(name)
    p = dataclasses.replace(p, weight_width=48, **{"velocity_width": 40} if p.momentum else {})
    for part in (p, dataclasses.replace(p, first_step=p.steps)):
        expected = train(part, state, inputs, targets, order(p))
        device = GpuBackend(EmulatedDevice(2))
        assert_same(train(part, state, inputs, targets, order(p), load=device.integers), expected)
        ends = [run(part, state, inputs, targets, order(p), load=load) for load in (on_host, device.integers)]
        np.testing.assert_equal(*([vars(end), vars(seen)] for end, seen in ends))
        state = expected.final


@pytest.mark.parametrize("name", ["cross entropy", "SiLU", "momentum and decay"])
def test_from_training_to_the_proofs_bytes(name: str) -> None:
    """Commitments, training, witness and proof all on one backend."""
    assert prove_all(name, GpuBackend(EmulatedDevice(2))) == prove_all(name, cpu)


def prove_all(name: str, backend: Any) -> bytes:
    p, state, inputs, targets = problem(name)
    randomness = SeededRandomness(b"training")
    statement, blindings = commit_start(backend, p, inputs, targets, state, randomness)
    trace = train(p, state, inputs, targets, statement.batches(), load=backend.integers)
    statement, final = commit_final(backend, statement, trace.final, randomness)
    job = assemble(backend, statement, inputs, targets, trace, {**blindings, "final": final}, 1)
    return prove(job, backend, randomness)


def test_integers_stay_on_the_device() -> None:
    """What goes there is the data, the first state and the order; what comes back are extremes."""
    p, state, inputs, targets = problem("three layers")
    p = dataclasses.replace(p, steps=4 * p.steps, batch=32)
    device = EmulatedDevice()
    backend = GpuBackend(device)
    trace = train(p, state, inputs, targets, order(p), load=backend.integers)
    sent = sum(a.nbytes for a in (*state.weights, *state.biases, inputs, targets, order(p)))
    assert device.uploaded == sent
    extremes = 16 * device.launched["integer_extremes"]
    assert device.downloaded == extremes < sum(values.nbytes for values in trace.Y) / 2


@pytest.mark.parametrize("change", [{"weight_width": 9}, {"activation_width": 2}, {"backward_width": 2},
                                    {"activation_norm_width": 3}, {"gradient_norm_width": 3}])
def test_what_leaves_its_range_is_named_alike(change: dict[str, int]) -> None:
    p, state, inputs, targets = problem("three layers")
    messages = []
    for load in (on_host, GpuBackend(EmulatedDevice()).integers):
        with pytest.raises(OutOfRange, match=next(iter(change))) as caught:
            train(dataclasses.replace(p, **change), state, inputs, targets, order(p), load=load)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_product_beyond_64_bits_is_refused_alike() -> None:
    """A looser bound decides first, a tighter one then, on either side."""
    wide = np.array([[1 << 40, 0], [0, 3]]), np.array([[1 << 20, 7], [0, 1 << 30]])
    for a, b in (wide, (wide[0] << 3, wide[1])):
        found = []
        for load in (on_host, GpuBackend(EmulatedDevice()).integers):
            try:
                found.append(on_host(matmul_exact(load(a), load(b))).tolist())
            except OutOfRange as error:
                found.append(str(error))
        assert found[0] == found[1]
