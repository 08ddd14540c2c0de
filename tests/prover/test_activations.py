"""Activations from tables: their entries, their extensions, the integers of a run, and its accuracy against float64."""

from __future__ import annotations

import dataclasses
import math
import random
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from prover.activations import activate, chain, columns
from prover.choose import choose_parameters, draft_parameters, initial_state, one_hot, quantize
from prover.errors import InputInvalid, OutOfRange
from prover.model_io import load_arrays, load_data, load_state, save_weights
from prover.trainer import State, outputs, predict, run, train
from verifier.field import ZERO, Ext, P, equality_table
from verifier.relation import KINDS, Table
from verifier.schedule import batches
from verifier.statement import Parameters
from verifier.tables import SLOPE_BITS, evaluate, leaky_relu, second_column, silu

DIGITS = Path(__file__).parents[2] / "examples" / "data" / "digits.csv.gz"
SEED = bytes(32)


def draft(widths=(5, 7, 6, 3), batch=3, steps=4, rate=0.375, **more) -> Parameters:
    code = {"table_bits": 16, "row_bits": 6, "blowup_bits": 2, "data_openings": 1, "state_openings": 1}
    options = code | {"target": "one-hot", "security_bits": 128, "zero_knowledge": True} | more
    return draft_parameters(widths=widths, batch=batch, steps=steps, rate=rate, **options)


# --- tables ---


@pytest.mark.parametrize("bits, scale", [(2, 1), (9, 4), (12, 8), (12, 1)])
def test_silu_is_its_formula_in_float64(bits, scale):
    """Float64 has 53 digits, the entries at most 12: no entry here is nearer to a half than float64 can tell."""
    values, slopes = silu(bits, scale)
    for y, value, slope in zip(range(-(1 << (bits - 1)), 1 << (bits - 1)), values, slopes, strict=True):
        x = y / 2**scale
        sigma = 1 / (1 + math.exp(-x)) if x > -700 else 0.0
        assert value == math.floor(y * sigma + 0.5), y
        assert slope == math.floor(2**SLOPE_BITS * sigma * (1 + x * (1 - sigma)) + 0.5), y


@pytest.mark.parametrize("scale", [1, 8, 16])
def test_the_widest_table_is_as_exact_as_ninety_digits(scale):
    """The recurrence of the exponential against the exponential itself, at the ends and in between."""
    values, slopes = silu(16, scale)
    half = 1 << 15
    with localcontext() as context:
        context.prec = 90
        for y in [*range(-half, half, 1013), half - 1, -half, -1, 0, 1]:
            x = Decimal(y) / (1 << scale)
            sigma = 1 / (1 + (-x).exp())
            for found, exact in (
                (values[y + half], y * sigma),
                (slopes[y + half], (1 << SLOPE_BITS) * sigma * (1 + x * (1 - sigma))),
            ):
                assert abs(found - exact) <= Decimal("0.5")


def test_leaky_relu_rounds_half_up():
    values, slopes = leaky_relu(7)
    for y in range(-64, 64):
        exact = Fraction(y) if y > 0 else Fraction(y, 8)
        assert values[y + 64] == math.floor(exact + Fraction(1, 2))
        assert Fraction(slopes[y + 64], 1 << SLOPE_BITS) == (1 if y > 0 else Fraction(1, 8))


@pytest.mark.parametrize("kind", KINDS[3:])
def test_a_wider_table_is_the_same_function(kind):
    narrow, wide = (second_column(Table(kind, bits, 8)) for bits in (9, 11))
    assert narrow == wide[768:1280]


@pytest.mark.parametrize("kind", KINDS[4::2])
@pytest.mark.parametrize("scale", [1, 4, 8])
def test_slopes_stay_within_what_the_bounds_assume(kind, scale):
    assert max(map(abs, second_column(Table(kind, 14, scale)))) < 2 << SLOPE_BITS


def test_identities_of_tables_are_distinct():
    tables = [Table(kind, bits) for kind in KINDS for bits in range(17)]
    assert len({table.identity for table in tables}) == len(tables)


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_extensions_are_sums_over_the_rows(kind, bits):
    """Negative entries stand for themselves mod p; and at 0/1 points the extension is the table."""
    table, rng = Table(kind, bits, 3, 200), random.Random(bits)
    point = [Ext.of([rng.randrange(P) for _ in range(3)]) for _ in range(bits)]
    first, second = ZERO, ZERO
    for u, (share, value) in enumerate(zip(equality_table(point), second_column(table), strict=True)):
        first, second = first + share * u, second + share * value
    assert evaluate(table, point) == (first, second)
    row = rng.randrange(1 << bits)
    corner = [Ext.of(row >> (bits - 1 - k) & 1) for k in range(bits)]
    assert evaluate(table, corner) == (Ext.of(row), Ext.of(second_column(table)[row]))


# --- the integers of a run ---


def function(activation: str, y: int, scale: int) -> tuple[int, int]:
    """Value and slope of one pre-activation, from the definitions alone."""
    if activation == "relu":
        return max(y, 0), int(y > 0)
    if activation == "leaky-relu":
        return (y, 256) if y > 0 else (math.floor(Fraction(y, 8) + Fraction(1, 2)), 32)
    x = y / 2**scale
    sigma = 1 / (1 + math.exp(-x))
    return math.floor(y * sigma + 0.5), math.floor(256 * sigma * (1 + x * (1 - sigma)) + 0.5)


def half_up(value: int, bits: int) -> int:
    return math.floor(Fraction(value, 1 << bits) + Fraction(1, 2))


def plain_run(p, weights, biases, inputs, targets, schedule):
    """Training in Python integers and loops; weights and biases are nested lists, changed in place."""
    steps = []
    for rows in schedule:
        change = [[[0] * d_out for _ in range(d_in)] for d_in, d_out in pairwise(p.widths)]
        shift = [[0] * d_out for d_out in p.widths[1:]]
        for n in rows:
            a, slopes = [[int(v) for v in inputs[n]]], []
            for l in range(p.layers):
                z = [
                    sum(v * w[j] for v, w in zip(a[l], weights[l], strict=True)) + (biases[l][j] << p.activation_bits)
                    for j in range(p.widths[l + 1])
                ]
                y = [half_up(v, p.weight_bits) for v in z]
                pairs = [function(p.activation, v, p.activation_bits) for v in y]
                a.append([value for value, _ in pairs] if l < p.layers - 1 else y)
                slopes.append([slope for _, slope in pairs])
            up, gain = 1 << p.activation_bits, 1 << (p.gradient_bits - p.activation_bits)
            g = [gain * (v - up * int(t)) for v, t in zip(a[-1], targets[n], strict=True)]
            steps.append((a, g))
            for l in range(p.layers - 1, -1, -1):
                for j, v in enumerate(g):
                    shift[l][j] += v << p.activation_bits
                    for i, x in enumerate(a[l]):
                        change[l][i][j] += x * v
                if l:
                    back = [
                        half_up(sum(v * w for v, w in zip(g, row, strict=True)), p.weight_bits) for row in weights[l]
                    ]
                    g = [v * d for v, d in zip(back, slopes[l - 1], strict=True)]
                    g = g if p.activation == "relu" else [half_up(v, 8) for v in g]
        for l in range(p.layers):
            weights[l] = [
                [w - c for w, c in zip(row, own, strict=True)] for row, own in zip(weights[l], change[l], strict=True)
            ]
            if p.bias:
                biases[l] = [b - c for b, c in zip(biases[l], shift[l], strict=True)]
    return steps


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "silu"])
def test_training_equals_plain_integers(activation, bias):
    p = draft(activation=activation, bias=bias, activation_bits=6, gradient_bits=9)
    rng = np.random.default_rng(3)
    inputs, targets = rng.integers(-100, 100, (11, 5)), one_hot(rng.integers(0, 3, 11), 3)
    schedule = [list(rows) for rows in batches(SEED, 11, p.batch, 0, p.steps)]
    state = initial_state(p.widths, p.weight_bits, rng.bytes)
    weights, biases = [w.tolist() for w in state.weights], [b.tolist() for b in state.biases]
    steps = plain_run(p, weights, biases, inputs, targets, schedule)
    trace = train(p, state, inputs, targets, schedule)
    assert [w.tolist() for w in trace.final.weights] == weights
    assert [b.tolist() for b in trace.final.biases] == biases
    assert all(b.any() == bias for b in trace.final.biases)
    for k, (a, _) in enumerate(steps):
        assert [trace.A[l][divmod(k, p.batch)].tolist() for l in range(p.layers)] == a[:-1]
    for l in range(p.layers - 1):
        g, rest = chain(trace.GA[l], trace.D[l], p)
        assert (g == trace.G[l]).all() and rest.min() >= 0 and rest.max() < 1 << SLOPE_BITS
        if activation != "relu":
            assert (trace.GA[l] * trace.D[l] == (g << SLOPE_BITS) + rest - (1 << (SLOPE_BITS - 1))).all()


def test_zero_stays_zero_so_that_padding_is_quiet():
    zero = np.zeros(1, dtype=np.int64)
    for activation, slope in (("relu", 0), ("leaky-relu", 32), ("silu", 128)):
        p = draft(activation=activation)
        assert [int(v[0]) for v in activate(zero, p)] == [0, slope]
        assert int(chain(zero, np.array([slope]), p)[0][0]) == 0


def test_a_table_has_no_row_beyond_its_width():
    p = dataclasses.replace(draft(activation="silu"), activation_width=9)
    assert len(columns(p)[0]) == 512
    activate(np.array([-256, 255]), p)
    for y in (-257, 256):
        with pytest.raises(OutOfRange, match="do not fit 9 bits"):
            activate(np.array([y]), p)


def test_chosen_widths_hold_gradients_beyond_their_slope():
    """SiLU's slope passes one, so that a gradient may be larger after it than before: both are seen."""
    p = draft(activation="silu", steps=20)
    rng = np.random.default_rng(4)
    inputs, targets = rng.integers(-300, 300, (40, 5)), one_hot(rng.integers(0, 3, 40), 3)
    state = initial_state(p.widths, p.weight_bits, rng.bytes)
    chosen, observed = choose_parameters(p, state, inputs, targets, seed=SEED)
    schedule = [list(rows) for rows in batches(SEED, 40, p.batch, 0, p.steps)]
    trace = train(chosen, state, inputs, targets, schedule)
    seen = [int(v) for g in (*trace.G[:-1], *trace.GA) for v in (g.min(), g.max())]
    assert observed.ranges["backward"] == (min(seen), max(seen))
    tight = dataclasses.replace(chosen, backward_width=observed.width("backward") - 1)
    with pytest.raises(OutOfRange, match="backward"):
        train(tight, state, inputs, targets, schedule)


def test_networks_without_bias_take_none():
    p = draft(bias=False)
    state = initial_state(p.widths, p.weight_bits, np.random.default_rng(1).bytes)
    biased = State(state.weights, tuple(b + 1 for b in state.biases))
    inputs, targets = np.ones((4, 5), dtype=np.int64), one_hot(np.zeros(4, dtype=np.int64), 3)
    with pytest.raises(InputInvalid, match="biases that are not zero"):
        train(p, biased, inputs, targets, [[0, 1, 2]] * p.steps)


def test_weights_files_without_bias(tmp_path):
    p = draft(bias=False)
    state = initial_state(p.widths, p.weight_bits, np.random.default_rng(2).bytes)
    save_weights(tmp_path, state, p.weight_bits, bias=False)
    assert sorted(load_arrays(tmp_path / "weights.safetensors")) == [f"{2 * l}.weight" for l in range(3)]
    back = load_state(tmp_path / "weights_int.safetensors", p)
    assert all((x == y).all() for x, y in zip(state.weights, back.weights, strict=True))
    assert not any(b.any() for b in back.biases) and [len(b) for b in back.biases] == [7, 6, 3]
    save_weights(tmp_path, state, p.weight_bits)
    with pytest.raises(InputInvalid, match=r"layers\.0\.bias"):
        load_state(tmp_path / "weights_int.safetensors", p)


# --- accuracy ---


def smooth(activation, z):
    """Value and slope in float64."""
    if activation == "leaky-relu":
        return np.where(z > 0, z, z / 8), np.where(z > 0, 1, 1 / 8)
    sigma = 1 / (1 + np.exp(-z))
    return z * sigma, sigma * (1 + z * (1 - sigma))


def float_accuracy(p, initial, features, targets, schedule, rate, held_out, labels):
    """The same run in float64 without any rounding: the same first weights and the same batches."""
    weights = [w / 2.0**p.weight_bits for w in initial.weights]
    biases = [b / 2.0**p.weight_bits for b in initial.biases]
    for rows in schedule:
        acts, slopes = [features[rows]], []
        for l in range(p.layers):
            z = acts[l] @ weights[l] + biases[l]
            value, slope = smooth(p.activation, z)
            acts.append(z if l == p.layers - 1 else value)
            slopes.append(slope)
        g = (acts[-1] - targets[rows]) / p.batch
        for l in range(p.layers - 1, -1, -1):
            back = (g @ weights[l].T) * slopes[l - 1] if l else g
            weights[l] -= rate * acts[l].T @ g
            if p.bias:
                biases[l] -= rate * g.sum(axis=0)
            g = back
    x = held_out
    for l in range(p.layers):
        x = x @ weights[l] + biases[l]
        x = x if l == p.layers - 1 else smooth(p.activation, x)[0]
    return (x.argmax(axis=1) == labels).mean()


@pytest.mark.parametrize("activation, bias", [("silu", True), ("leaky-relu", True), ("silu", False)])
def test_as_accurate_as_float64_on_digits_after_300_steps(activation, bias):
    data = load_data(DIGITS)
    test = np.arange(len(data.features)) % 3 == 0
    p = draft(widths=(64, 64, 32, 10), batch=64, steps=300, rate=0.125, activation=activation, bias=bias)
    features, labels = data.features / 16, data.labels
    inputs, targets = quantize(features, p.activation_bits, 16, "digits"), one_hot(labels, 10)
    initial = initial_state(p.widths, p.weight_bits, np.random.default_rng(1).bytes)
    schedule = [list(rows) for rows in batches(SEED, int((~test).sum()), p.batch, 0, p.steps)]
    chosen, _ = choose_parameters(p, initial, inputs[~test], targets[~test], seed=SEED)
    final, _ = run(chosen, initial, inputs[~test], targets[~test], schedule)
    ours = (predict(final, chosen, inputs[test]) == labels[test]).mean()
    theirs = float_accuracy(p, initial, features[~test], targets[~test], schedule, 0.125, features[test], labels[test])
    assert theirs > 0.9 and abs(ours - theirs) <= 0.005, (ours, theirs)
    assert outputs(final, chosen, inputs[:3]).shape == (3, 10)
