"""The trainer against plain Python integers, its overflow errors, and its accuracy against float64."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest

from prover.choose import (
    check_schedule,
    choose_parameters,
    choose_rows,
    draft_parameters,
    initial_state,
    one_hot,
    quantize,
)
from prover.errors import InputInvalid, OutOfRange
from prover.exact import bits_needed, matmul_exact, round_half_up
from prover.model_io import load_data
from prover.rates import coarse_note, multipliers, scheduled
from prover.trainer import State, Trace, outputs, predict, run, train
from verifier import schedule as public
from verifier.errors import ParametersUnsafe
from verifier.security import shape_of
from verifier.statement import Parameters, Statement
from verifier.training import training_relation

DIGITS = Path(__file__).parents[2] / "examples" / "data" / "digits.csv.gz"
SEED = bytes(32)


def batches(*arguments) -> list[list[int]]:
    return [list(rows) for rows in public.batches(*arguments)]


def draft(widths=(5, 7, 3), batch=3, steps=4, rate=0.375, **more) -> Parameters:
    options = {
        "target": "one-hot",
        "table_bits": 16,
        "row_bits": 6,
        "blowup_bits": 2,
        "data_openings": 1,
        "state_openings": 1,
        "security_bits": 128,
        "zero_knowledge": True,
    } | more
    return draft_parameters(widths=widths, batch=batch, steps=steps, rate=rate, **options)


def problem(p: Parameters, samples=11, seed=5, low=-300, high=300):
    rng = np.random.default_rng(seed)
    inputs = rng.integers(low, high, (samples, p.widths[0]))
    if p.target == "one-hot":
        targets = one_hot(rng.integers(0, p.widths[-1], samples), p.widths[-1])
    else:
        targets = rng.integers(-500, 500, (samples, p.widths[-1]))
    return inputs, targets, batches(SEED, samples, p.batch, p.first_step, p.steps)


# --- a second implementation, in Python integers and loops, from the definitions alone ---


def plain_round(z: int, w: int) -> tuple[int, int]:
    y = (2 * z + 2**w) // 2 ** (w + 1)
    return y, z - 2**w * y + 2 ** (w - 1)


def plain_loss(p, y, target):
    """The gradient of one sample's loss from its definition."""
    if p.loss == "mse":
        scale, shift = 2 ** (p.gradient_bits - p.activation_bits), 2 ** (p.activation_bits - p.target_bits)
        return [scale * (v - shift * t) for v, t in zip(y, target, strict=True)]
    top = (2**p.table_bits - 1) // len(y)
    e = [math.floor(top * math.exp(-(max(y) - v) / 2**p.activation_bits) + 0.5) for v in y]
    return [2**p.gradient_bits * v // sum(e) - 2**p.gradient_bits * t for v, t in zip(e, target, strict=True)]


def plain_step(p, weights, biases, x, target, k=1):
    """One step on nested lists; returns the tensors of the step, and changes the weights in place."""
    w, layers, rows = p.weight_bits, p.layers, range(p.batch)
    a, ys, rs, ds = [x], [], [], []
    for l in range(layers):
        z = [
            [
                sum(a[l][b][i] * weights[l][i][j] for i in range(p.widths[l])) + 2**p.activation_bits * biases[l][j]
                for j in range(p.widths[l + 1])
            ]
            for b in rows
        ]
        ys.append([[plain_round(v, w)[0] for v in row] for row in z])
        rs.append([[plain_round(v, w)[1] for v in row] for row in z])
        if l < layers - 1:
            ds.append([[int(v > 0) for v in row] for row in ys[l]])
            a.append([[v if v > 0 else 0 for v in row] for row in ys[l]])
    g = {layers - 1: [plain_loss(p, ys[-1][b], target[b]) for b in rows]}
    ga, rg = {}, {}
    for l in range(layers - 1, 0, -1):
        pairs = [
            [
                plain_round(sum(g[l][b][j] * weights[l][i][j] for j in range(p.widths[l + 1])), w)
                for i in range(p.widths[l])
            ]
            for b in rows
        ]
        ga[l], rg[l] = ([[pair[k] for pair in row] for row in pairs] for k in (0, 1))
        g[l - 1] = [[v * d for v, d in zip(ga[l][b], ds[l - 1][b], strict=True)] for b in rows]
    for l in range(layers):
        for j in range(p.widths[l + 1]):
            for i in range(p.widths[l]):
                weights[l][i][j] -= k * sum(a[l][b][i] * g[l][b][j] for b in rows)
            biases[l][j] -= k * 2**p.activation_bits * sum(g[l][b][j] for b in rows)
    hidden = range(1, layers)
    return {
        "A": a,
        "Y": ys,
        "R": rs,
        "D": ds,
        "G": [g[l] for l in range(layers)],
        "GA": [ga[l] for l in hidden],
        "RG": [rg[l] for l in hidden],
    }


def assert_equals_plain(p: Parameters, trace: Trace, inputs, targets, schedule) -> None:
    weights = [w.tolist() for w in trace.initial.weights]
    biases = [b.tolist() for b in trace.initial.biases]
    for t, rows in enumerate(schedule):
        step = plain_step(p, weights, biases, inputs[rows].tolist(), targets[rows].tolist(), p.rate(t))
        for name, tensors in step.items():
            assert [array[t].tolist() for array in getattr(trace, name)] == tensors, (t, name)
    assert [w.tolist() for w in trace.final.weights] == weights
    assert [b.tolist() for b in trace.final.biases] == biases


@pytest.mark.parametrize(
    "shape",
    [
        {"widths": (5, 7, 3), "batch": 3, "rate": 0.375},
        {"widths": (4, 2), "batch": 1, "rate": 0.125, "steps": 1},
        {"widths": (5, 7, 3), "batch": 3, "rate": 0.375, "loss": "ce"},
        {"widths": (4, 6, 6, 5), "batch": 2, "rate": [0.75, 0.25, 0.5, 0.25], "loss": "ce"},
        {"widths": (5, 7, 3), "batch": 3, "rate": [0.375, 0.1875, 0.09375, 1.125]},
        {"widths": (3, 6, 5, 4), "batch": 2, "rate": 0.5, "target": "values"},
        {"widths": (5, 7, 3), "batch": 4, "rate": 1.0, "activation_bits": 1, "gradient_bits": 1},
    ],
)
def test_training_equals_plain_integers(shape):
    p = draft(**shape)
    inputs, targets, schedule = problem(p, low=-(2 ** (p.activation_bits)), high=2**p.activation_bits)
    initial = initial_state(p.widths, p.weight_bits, np.random.default_rng(3).bytes)
    trace = train(p, initial, inputs, targets, schedule)
    assert_equals_plain(p, trace, inputs, targets, schedule)
    assert trace.indices.tolist() == schedule and (trace.inputs == inputs[trace.indices]).all()
    final, _ = run(p, initial, inputs, targets, schedule)
    assert all((x == y).all() for x, y in zip(final.weights, trace.final.weights, strict=True))


def test_rounding_ties_go_up_on_both_sides_of_zero():
    values = np.array([-25, -24, -23, -9, -8, -7, -1, 0, 7, 8, 9, 23, 24, 25])
    q, r = round_half_up(values, 4)
    assert q.tolist() == [-2, -1, -1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert (values == 16 * q + r - 8).all() and r.min() >= 0 and r.max() < 16
    assert [plain_round(int(v), 4) for v in values] == list(zip(q.tolist(), r.tolist(), strict=True))


def test_a_tie_inside_a_negative_product_is_rounded_up_in_the_run():
    p = draft(widths=(1, 1), batch=1, steps=1, rate=0.0625, activation_bits=1, gradient_bits=1)
    half = 1 << (p.weight_bits - 1)
    initial = State((np.array([[-half]]),), (np.array([0]),))
    trace = train(p, initial, np.array([[3]]), np.array([[1]]), [[0]])
    # Z = -3 * 2^(w-1) = -1.5 at scale 2^w, which rounds half up to -1 with remainder 0.
    assert trace.Y[0].item() == -1 and trace.R[0].item() == 0


def test_relu_of_zero_has_derivative_zero():
    p = draft(widths=(1, 1, 1), batch=1, steps=1, rate=0.0625)
    initial = State((np.array([[0]]), np.array([[1 << p.weight_bits]])), (np.array([0]), np.array([0])))
    trace = train(p, initial, np.array([[7]]), np.array([[1]]), [[0]])
    assert trace.Y[0].item() == 0 and trace.D[0].item() == 0 and trace.GA[0].item() < 0
    assert trace.G[0].item() == 0 and trace.final.weights[0].item() == 0


def test_final_weights_are_the_initial_ones_minus_all_products():
    p = draft(steps=40, first_step=7)
    inputs, targets, schedule = problem(p)
    trace = train(p, initial_state(p.widths, p.weight_bits, np.random.default_rng(8).bytes), inputs, targets, schedule)
    for l in range(p.layers):
        total = np.einsum("tbi,tbj->ij", trace.A[l].astype(object), trace.G[l].astype(object))
        assert (trace.final.weights[l] == trace.initial.weights[l] - total).all()
        bias = 2**p.activation_bits * trace.G[l].sum(axis=(0, 1))
        assert (trace.final.biases[l] == trace.initial.biases[l] - bias).all()


@pytest.mark.parametrize("bits", [(10, 10), (12, 47), (50, 5), (30, 28), (1, 58), (58, 1)])
def test_matmul_is_exact(bits):
    rng = np.random.default_rng(sum(bits))
    for m, k, n in ((1, 1, 1), (3, 7, 5), (2, 13, 1)):
        a = rng.integers(-(1 << (bits[0] - 1)), 1 << (bits[0] - 1), (m, k), endpoint=True)
        b = rng.integers(-(1 << (bits[1] - 1)), 1 << (bits[1] - 1), (k, n), endpoint=True)
        assert (matmul_exact(a, b).astype(object) == a.astype(object) @ b.astype(object)).all()


def test_matmul_at_the_extremes_of_every_limb():
    for high in [1 << k for k in range(1, 50)]:
        for value in (high, -high, high - 1, -high - 1):
            a = np.full((2, 9), value)
            b = np.full((9, 2), -511)
            assert (matmul_exact(a, b) == 9 * value * -511).all()


def test_matmul_takes_the_tight_bound_and_refuses_beyond_it():
    a = np.zeros((4, 64), dtype=np.int64)
    a[:, 0] = 1 << 30
    b = np.full((64, 2), 1 << 29)
    assert (matmul_exact(a, b) == 1 << 59).all()
    with pytest.raises(OutOfRange, match="67 bits"):
        matmul_exact(np.full((4, 64), 1 << 30), b)


def test_bits_needed_at_every_edge():
    for k in range(1, 60):
        half = 1 << (k - 1)
        assert bits_needed(-half, half - 1) == k
        assert bits_needed(-half - 1, 0) == bits_needed(0, half) == k + 1


# --- ranges ---


@pytest.mark.parametrize("name", ["input", "activation", "output", "backward", "error", "weight"])
def test_each_declared_width_is_held_to_the_bit(name):
    p = draft(steps=6, first_step=100)
    inputs, targets, schedule = problem(p)
    initial = initial_state(p.widths, p.weight_bits, np.random.default_rng(4).bytes)
    _, seen = run(p, initial, inputs, targets, schedule)
    exact = dataclasses.replace(p, **{f"{name}_width": seen.width(name)})
    train(exact, initial, inputs, targets, schedule)
    narrow = dataclasses.replace(p, **{f"{name}_width": seen.width(name) - 1})
    with pytest.raises(
        OutOfRange,
        match=rf"step 10\d, layer \d: {name} -?\d+ does not fit {name}_width = "
        rf"{seen.width(name) - 1} bits; it needs \d+",
    ):
        train(narrow, initial, inputs, targets, schedule)


def test_value_targets_are_held_to_their_width():
    p = draft(target="values")
    inputs, targets, schedule = problem(p)
    with pytest.raises(OutOfRange, match=r"target -?[0-9]+ does not fit target_width = 5"):
        train(
            dataclasses.replace(p, target_width=5),
            initial_state(p.widths, p.weight_bits),
            inputs,
            targets,
            schedule,
        )


def test_a_diverging_run_says_where():
    p = draft(widths=(5, 7, 3), batch=1, steps=60, rate=1.0, gradient_bits=24)
    inputs, targets, _ = problem(p, low=20_000, high=30_000)
    initial = initial_state(p.widths, p.weight_bits, np.random.default_rng(4).bytes)
    with pytest.raises(OutOfRange, match=r"step \d+, layer \d"):
        choose_parameters(p, initial, inputs, targets, seed=SEED)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x, y, s: (x[:, :4], y, s), r"inputs have shape \(11, 4\), expected \[n, 5\]"),
        (lambda x, y, s: (x[:0], y[:0], s), "with n > 0"),
        (lambda x, y, s: (x, y[:, :2], s), r"targets have shape \(11, 2\)"),
        (lambda x, y, s: (x, y * 2, s), "exactly one 1"),
        (lambda x, y, s: (x, y * 0, s), "exactly one 1"),
        (lambda x, y, s: (x, y, s[1:]), r"schedule has shape \(3, 3\)"),
        (lambda x, y, s: (x, y, [[11, 0, 1], *s[1:]]), "sample 11 of 11"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(change, message):
    p = draft()
    arguments = change(*problem(p))
    with pytest.raises(InputInvalid, match=message):
        train(p, initial_state(p.widths, p.weight_bits), *arguments)


def test_an_initial_state_of_other_layers_is_refused():
    p = draft()
    with pytest.raises(InputInvalid, match="initial state has weights of shapes"):
        train(p, initial_state((5, 6, 3), p.weight_bits), *problem(p))


def test_micro_batches_add_up_to_one_batch():
    """A step of a batch moves the weights by exactly what its halves do together, each from the same weights."""
    whole = draft(batch=6, steps=1, rate=0.75)
    half = dataclasses.replace(whole, batch=3)
    inputs, targets, _ = problem(whole)
    first = initial_state(whole.widths, whole.weight_bits)
    moved, _ = run(whole, first, inputs, targets, [range(6)])
    parts = [run(half, first, inputs, targets, [rows])[0] for rows in (range(3), range(3, 6))]
    for k, start in enumerate(first.weights):
        changes = [state.weights[k] - start for state in parts]
        assert changes[0].any() and (moved.weights[k] - start == changes[0] + changes[1]).all()


# --- choosing parameters ---


@pytest.mark.parametrize("batch, rate, e", [(64, 0.0625, 10), (3, 0.375, 3), (1, 1.0, 0), (48, 0.75, 6)])
def test_rates_that_make_the_update_exact(batch, rate, e):
    assert multipliers(batch, [rate]) == (e, (1,))


@pytest.mark.parametrize("batch, rate", [(64, 0.1), (3, 0.1), (17, 3.3), (64, 1e-4), (1, 0.0625 + 2**-20)])
def test_other_rates_are_rounded_to_within_half_a_percent_with_as_few_bits_as_can_be(batch, rate):
    e, (k,) = multipliers(batch, [rate])
    assert k <= 256 and abs(k * batch / 2**e - rate) < rate / 256
    for fewer in range(e):
        assert abs(round(rate / batch * 2**fewer) * batch / 2**fewer - rate) >= rate / 256


def test_rates_of_up_to_eight_bits_are_exact():
    for k in (1, 3, 127, 129, 253, 255):
        assert multipliers(4, [k / 2**9]) == (11, (k,))


def test_every_rate_of_a_schedule_is_within_half_a_percent_of_the_largest():
    rates = scheduled(0.02, 100, "cosine", warmup=7)
    e, found = multipliers(64, rates)
    assert all(abs(k * 64 / 2**e - rate) < 0.02 / 256 for k, rate in zip(found, rates, strict=True))


@pytest.mark.parametrize("batch, rate", [(64, 1e9), (64, 1e-12)])
def test_rates_beyond_all_multipliers(batch, rate):
    with pytest.raises(InputInvalid, match="cannot be had"):
        multipliers(batch, [rate])


def test_a_rate_that_rounding_would_make_zero():
    with pytest.raises(InputInvalid, match=r"is rounded to zero beside the largest, 0\.1"):
        multipliers(64, [0.1, 1e-5])


@pytest.mark.parametrize("rates, moved", [
    (0.02, None),
    ([0.25] * 4, None),
    ([0.25, 0.25, 0.003, 0.002], None),  # multiples of 2^-9 here
    ([0.25, 0.25, 0.0013, 0.001], "2 of 4 .*0.001 to 0.00195.*multiples of 0.00195.*the largest, 0.25"),
    (scheduled(0.1, 256, "cosine"), None),
])  # fmt: skip
def test_a_word_about_rates_that_rounding_moves_by_much(rates, moved):
    p = draft(batch=4, rate=rates, steps=4 if isinstance(rates, float) else len(rates))
    note = coarse_note(p, rates)
    assert note is None if moved is None else re.search(moved, note), note


def test_fine_multipliers_for_optimisers_that_weigh_them():
    assert multipliers(64, [0.0625], 8) == (13, (8,))
    assert multipliers(64, [0.125, 0.0625], 64) == (15, (64, 32))


@pytest.mark.parametrize("schedule, warmup, expected", [
    ("constant", 0, 0.4),
    ("constant", 2, [0.4 / 3, 0.8 / 3, 0.4, 0.4, 0.4]),
    ("step:2:0.5", 0, [0.4, 0.4, 0.2, 0.2, 0.1]),
    ("cosine:0.2", 0, [0.4, 0.3707, 0.3, 0.2293, 0.2]),
    ("cosine", 3, [0.1, 0.2, 0.3, 0.4, 0.004]),
])  # fmt: skip
def test_schedules(schedule, warmup, expected):
    assert scheduled(0.4, 5, schedule, warmup) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("schedule", ["linear", "step", "step:0:0.5", "step:a:b", "cosine:x", "constant:1"])
def test_schedules_that_are_none(schedule):
    with pytest.raises(InputInvalid, match="constant, cosine, cosine:END or step:EVERY:FACTOR"):
        scheduled(0.4, 5, schedule)


def test_a_warm_up_leaves_steps():
    with pytest.raises(InputInvalid, match="from 0 to 4"):
        scheduled(0.4, 5, "constant", 5)


@pytest.mark.parametrize(
    "batch, rates, expected",
    [
        (64, [0.1875], (10, (3,))),
        (64, [0.125, 0.125, 0.0625], (10, (2, 2, 1))),
        (3, [0.375, 1.125], (3, (1, 3))),
        (2, [4.0, 8.0], (0, (2, 4))),
    ],
)
def test_schedules_of_rates_become_multipliers(batch, rates, expected):
    assert multipliers(batch, rates) == expected


def test_rates_must_be_one_or_one_a_step():
    with pytest.raises(InputInvalid, match="2 learning rates for 4 steps"):
        draft(rate=[0.375, 0.375])


def test_cross_entropy_needs_classes():
    with pytest.raises(InputInvalid, match="one-hot"):
        draft(loss="ce", target="values")


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_must_be_a_positive_number(rate):
    with pytest.raises(InputInvalid, match="positive number"):
        multipliers(64, [rate])


def test_chosen_widths_hold_the_run_with_one_spare_bit():
    p = draft(steps=20)
    inputs, targets, _ = problem(p)
    initial = initial_state(p.widths, p.weight_bits, np.random.default_rng(4).bytes)
    chosen, seen = choose_parameters(p, initial, inputs, targets, seed=SEED)
    for name in ("activation", "output", "backward", "error", "weight"):
        assert getattr(chosen, f"{name}_width") == seen.width(name) + 1
    assert chosen.input_width == bits_needed(int(inputs.min()), int(inputs.max()))
    train(chosen, initial, inputs, targets, batches(bytes([7]) * 32, len(inputs), p.batch, 0, p.steps))


def test_a_short_run_is_tried_on_enough_samples_for_any_batch():
    p = draft(batch=1, steps=1)
    inputs, targets, _ = problem(p, samples=40, low=-3, high=3)
    inputs[17] *= 100  # one sample in forty; a single trial of one step would most likely miss it
    initial = initial_state(p.widths, p.weight_bits, np.random.default_rng(4).bytes)
    chosen, seen = choose_parameters(p, initial, inputs, targets, seed=SEED)
    for sample in range(len(inputs)):
        train(chosen, initial, inputs, targets, [[sample]])
    assert chosen.activation_width == seen.width("activation") + 1


def test_a_run_that_needs_wider_tables_is_refused():
    p = draft(table_bits=8)
    inputs, targets, _ = problem(p)
    with pytest.raises(OutOfRange, match=r"input from -\d+ to \d+.*at most 8 can be proven"):
        choose_parameters(p, initial_state(p.widths, p.weight_bits), inputs, targets, seed=SEED)


def test_the_spare_bit_is_left_out_where_the_tables_end():
    p = draft(steps=20)
    inputs, targets, _ = problem(p)
    initial = initial_state(p.widths, p.weight_bits, np.random.default_rng(4).bytes)
    _, seen = choose_parameters(p, initial, inputs, targets, seed=SEED)
    tight = max(seen.width(name) for name in ("input", "activation", "output", "backward", "error"))
    chosen, _ = choose_parameters(dataclasses.replace(p, table_bits=tight), initial, inputs, targets, seed=SEED)
    assert max(chosen.activation_width, chosen.backward_width, chosen.error_width) == tight


def test_the_row_length_is_the_one_with_the_shortest_proof():
    p = dataclasses.replace(
        draft(widths=(64, 128, 64, 10), batch=64, steps=32, rate=0.0625, data_openings=4, state_openings=4),
        weight_width=32,
        activation_width=12,
        output_width=12,
        backward_width=12,
        error_width=12,
    )
    lengths = {}
    for bits in (12, 13, 14, 15):
        s = Statement(dataclasses.replace(p, row_bits=bits), 1797, *[bytes(32)] * 5)
        lengths[bits] = shape_of(s, training_relation(s)).max_bytes
    assert choose_rows(p, 1797).row_bits == min(lengths, key=lambda bits: lengths[bits])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"steps": 60_000, "weight_width": 48}, "wraps around the field"),
        ({"state_openings": 1024, "weight_width": 24}, "fewer openings"),
    ],
)
def test_rows_cannot_be_chosen_for_an_unsafe_run(change, message):
    p = dataclasses.replace(draft(), **change)
    with pytest.raises(ParametersUnsafe, match=message):
        choose_rows(p, 20)


def test_a_schedule_longer_than_verifiers_draw_is_refused_before_any_work():
    check_schedule(dataclasses.replace(draft(), steps=30_000, batch=64), 1797)
    with pytest.raises(ParametersUnsafe, match="at most 4194304 are verified"):
        check_schedule(dataclasses.replace(draft(), steps=60_000, batch=64), 5_000_000)


def test_initial_weights_are_he_uniform_and_fresh():
    state = initial_state((100, 50, 10), 30)
    bound = (6 / 100) ** 0.5 * 2**30
    assert np.abs(state.weights[1]).max() <= (3 / 50) ** 0.5 * 2**30 + 1
    assert np.abs(state.weights[0]).max() <= bound + 1 and np.abs(state.weights[0]).max() > 0.9 * bound
    assert abs(state.weights[0].mean()) < 0.05 * bound and not state.biases[0].any()
    assert (state.weights[0] != initial_state((100, 50, 10), 30).weights[0]).any()


@pytest.mark.parametrize("value", [128.0, -128.1, float("nan"), float("inf")])
def test_quantisation_refuses_what_does_not_fit(value):
    values = np.zeros((3, 2))
    values[2, 1] = value
    with pytest.raises(InputInvalid, match=r"index \[2, 1\] is outside the fixed-point range"):
        quantize(values, 8, 16, "inputs")
    assert quantize(np.array([[-128.0, 127.99, 0.5 / 256, -0.5 / 256]]), 8, 16, "x").tolist() == [[-32768, 32765, 1, 0]]


# --- accuracy ---


def float_training(p, initial, inputs, targets, schedule, rate):
    """The same run in float64: same initial weights, same batches, no rounding anywhere."""
    weights = [w / 2.0**p.weight_bits for w in initial.weights]
    biases = [b / 2.0**p.weight_bits for b in initial.biases]
    for rows in schedule:
        acts = [inputs[rows]]
        for l in range(p.layers):
            z = acts[l] @ weights[l] + biases[l]
            acts.append(z if l == p.layers - 1 else np.maximum(z, 0))
        g = (acts[-1] - targets[rows]) / p.batch
        for l in range(p.layers - 1, -1, -1):
            back = (g @ weights[l].T) * (acts[l] > 0)
            weights[l] -= rate * acts[l].T @ g
            biases[l] -= rate * g.sum(axis=0)
            g = back

    def classes(x):
        for l in range(p.layers):
            x = x @ weights[l] + biases[l]
            x = x if l == p.layers - 1 else np.maximum(x, 0)
        return x.argmax(axis=1)

    return classes


def test_integer_training_is_as_accurate_as_float64_on_digits():
    data = load_data(DIGITS)
    held_out = np.arange(len(data.features)) % 3 == 0
    p = draft(widths=(64, 128, 64, 10), batch=64, steps=1000, rate=0.0625)
    features = data.features / 16
    inputs = quantize(features, p.activation_bits, 16, "digits")
    targets = one_hot(data.labels, 10)
    initial = initial_state(p.widths, p.weight_bits, np.random.default_rng(1).bytes)
    schedule = batches(SEED, int((~held_out).sum()), p.batch, 0, p.steps)
    chosen, _ = choose_parameters(p, initial, inputs[~held_out], targets[~held_out], seed=SEED)
    final, _ = run(chosen, initial, inputs[~held_out], targets[~held_out], schedule)
    ours = (predict(final, chosen, inputs[held_out]) == data.labels[held_out]).mean()
    floats = float_training(p, initial, features[~held_out], targets[~held_out], schedule, 0.0625)
    theirs = (floats(features[held_out]) == data.labels[held_out]).mean()
    assert theirs > 0.94 and abs(ours - theirs) <= 0.005, (ours, theirs)
    assert outputs(final, chosen, inputs[:3]).shape == (3, 10)
