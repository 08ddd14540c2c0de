"""The plan of a proof against the proof: what it says before any work must hold afterwards."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from api.commands.demo import DIGITS
from prover.choose import choose_parameters, choose_rows, draft_parameters, initial_state, one_hot, quantize
from prover.errors import InputInvalid, OutOfMemory
from prover.model_io import load_data
from prover.plan import SPARE_OPENINGS, cut, least_segments, plan, plan_run, plan_segments
from prover.rates import scheduled
from verifier.check import MAX_SCHEDULE
from verifier.errors import ParametersUnsafe
from verifier.statement import Parameters
from verifier.training import check_bounds


def parameters(**changes) -> Parameters:
    p = draft_parameters(
        widths=(5, 7, 3),
        batch=3,
        steps=4,
        rate=0.375,
        target="one-hot",
        table_bits=8,
        row_bits=9,
        blowup_bits=2,
        data_openings=1,
        state_openings=1,
        security_bits=100,
        zero_knowledge=True,
        activation_bits=4,
        gradient_bits=4,
    )
    return dataclasses.replace(p, weight_width=16, **changes)


def test_every_term_is_counted_in_the_sum():
    found = plan(parameters(), 11)
    total = sum(2.0**-bits for bits in found.terms.values())
    assert found.security_bits == pytest.approx(-np.log2(total)) and found.security_bits > 100


def test_counts_follow_from_the_shapes():
    found = plan(parameters(), 11)
    row = 1 << 9
    # Offset-binary limbs of W (5x7, 7x3) and biases, two limbs each of 8 bits, one row a tensor.
    assert found.elements["initial"] == found.elements["final"] == 8 * row
    assert found.elements["data"] == 2 * row
    assert all(count % row == 0 for count in found.elements.values())
    assert plan(parameters(steps=8), 11).lookups > found.lookups


def test_more_steps_cost_more_of_everything():
    small, large = plan(parameters(), 11), plan(parameters(steps=64), 11)
    assert large.proof_bytes > small.proof_bytes and large.seconds > small.seconds
    assert large.memory_bytes > small.memory_bytes
    assert max(large.bounds_bits.values()) > max(small.bounds_bits.values())


def test_an_unsafe_run_has_no_plan():
    with pytest.raises(ParametersUnsafe, match="wraps around"):
        plan(parameters(steps=1 << 16, batch=1 << 16, error_width=16, backward_width=16, activation_width=16), 11)
    with pytest.raises(ParametersUnsafe, match="promises 100"):
        plan(parameters(), 11, minimum_security=128)


# --- runs in segments ---

RUN = parameters(steps=40, state_openings=4)


def test_a_run_that_fits_is_one_segment():
    (only,) = plan_segments(RUN, 11, memory=1 << 40)
    assert (only.steps, only.security_bits, only.data_openings) == (40, 100, 1 + SPARE_OPENINGS)
    assert only.row_bits == choose_rows(only, 11).row_bits


def test_segments_are_equally_long_and_as_few_as_asked_for():
    parts = plan_segments(RUN, 11, segment_steps=12)
    assert [(p.first_step, p.steps) for p in parts] == [(0, 10), (10, 10), (20, 10), (30, 10)]
    assert [p.steps for p in plan_segments(RUN, 11, segment_steps=14)] == [14, 13, 13]
    assert {(p.security_bits, p.data_openings) for p in parts} == {(102, 4 + SPARE_OPENINGS)}
    assert len({dataclasses.replace(p, first_step=0) for p in parts}) == 1, "they share all else"
    assert plan_run(parts, 11, 100).security_bits > 100


def test_memory_cuts_a_run_into_the_fewest_segments_that_fit():
    large = dataclasses.replace(RUN, widths=(5, 32, 3), batch=32, steps=64)
    needed = {count: plan(_part(large, count), 11).memory_bytes for count in (1, 2, 3, 4)}
    assert needed[1] > needed[2] >= needed[3] > needed[4]
    parts = plan_segments(large, 11, memory=(needed[3] + needed[4]) // 2)
    assert len(parts) == 4 and plan(parts[0], 11).memory_bytes <= (needed[3] + needed[4]) // 2
    with pytest.raises(OutOfMemory, match="insist on a length with --segment-steps"):
        plan_segments(dataclasses.replace(RUN, steps=4), 11, memory=1 << 20)
    assert len(plan_segments(large, 11, memory=1 << 20, segment_steps=32)) == 2, "a length that is asked for is kept"


def _part(p: Parameters, count: int) -> Parameters:
    return plan_segments(p, 11, segment_steps=-(-p.steps // count))[0]


def test_bounds_cut_a_run_that_one_proof_would_wrap():
    wide = dataclasses.replace(RUN, widths=(512, 3), batch=64, weight_width=32, gradient_bits=24, steps=256)
    with pytest.raises(ParametersUnsafe, match="wraps around"):
        check_bounds(wide)
    parts = plan_segments(wide, 11)
    assert len(parts) > 1 and sum(p.steps for p in parts) == 256
    with pytest.raises(ParametersUnsafe, match="wraps around"):
        check_bounds(dataclasses.replace(parts[0], steps=-(-256 // (len(parts) - 1))))
    with pytest.raises(ParametersUnsafe, match="wraps around"):
        plan_segments(dataclasses.replace(wide, weight_width=48, widths=(1 << 12, 3)), 11)


def test_a_schedule_of_rates_is_cut_and_equal_rates_are_written_once():
    run = dataclasses.replace(RUN, steps=6, rates=(4, 4, 2, 1, 1, 1))
    assert [p.rates for p in cut(run, 3)] == [(4,), (2, 1), (1,)]
    assert [p.rates for p in cut(run, 2)] == [(4, 4, 2), (1,)]
    assert [p.rates for p in cut(dataclasses.replace(run, rates=(3,)), 4)] == [(3,)] * 4


def test_only_the_first_segment_starts_from_a_public_seed():
    assert [p.initial for p in cut(dataclasses.replace(RUN, initial="public-seed"), 3)] == [
        "public-seed", "committed", "committed"]  # fmt: skip


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"segment_steps": 0}, InputInvalid, "segments of 0 steps"),
        ({"segment_steps": 10, "data_openings": 3}, InputInvalid, "grant at least 4"),
        ({"segment_steps": 10, "data_openings": 4}, InputInvalid, "at least 2 openings"),
    ],
)
def test_what_cannot_be_cut_is_refused(options, error, message):
    states = 1 if "at least 2" in message else 4
    with pytest.raises(error, match=message):
        plan_segments(dataclasses.replace(RUN, state_openings=states), 11, **options)


def test_a_run_of_too_many_segments_or_too_long_a_schedule_is_refused():
    with pytest.raises(ParametersUnsafe, match="at most 1000 are proven"):
        plan_segments(dataclasses.replace(RUN, steps=2001), 11, segment_steps=2)
    with pytest.raises(ParametersUnsafe, match="indices to draw"):
        least_segments(RUN, MAX_SCHEDULE)
    assert least_segments(dataclasses.replace(RUN, batch=1 << 12, steps=4096), 11) == 9


def test_costs_of_segments_add_up_and_memory_is_the_largest():
    parts = plan_segments(RUN, 11, segment_steps=14)
    each, whole = [plan(part, 11) for part in parts], plan_run(parts, 11)
    assert whole.proof_bytes == sum(one.proof_bytes for one in each)
    assert whole.seconds == pytest.approx(sum(one.seconds for one in each))
    assert whole.memory_bytes == max(one.memory_bytes for one in each)
    assert 2.0**-whole.security_bits == pytest.approx(sum(2.0**-one.security_bits for one in each))
    alone = plan_run(parts[:1], 11)
    assert alone.terms == pytest.approx(each[0].terms) and alone.bounds_bits == each[0].bounds_bits


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0.02, "momentum": 0.9},
        {"rate": scheduled(0.02, 1000, "cosine", warmup=50), "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
    ],
    ids=["momentum", "everything"],
)
def test_a_thousand_steps_with_momentum_take_few_segments(options):
    """docs/long-runs.md counts fewer still; without claims on norms of rows twice as many would not do."""
    widths, data = (64, 128, 64, 10), load_data(DIGITS, label="label")
    draft = draft_parameters(
        widths=widths, batch=64, steps=1000, target="one-hot", table_bits=16, row_bits=14, blowup_bits=2,
        data_openings=1, state_openings=4, security_bits=128, zero_knowledge=True, loss="ce", **options,
    )  # fmt: skip
    inputs, targets = quantize(data.features / 16, draft.activation_bits, 16, "digits"), one_hot(data.labels, 10)
    first = initial_state(widths, draft.state_bits, np.random.default_rng(1).bytes)
    chosen, _ = choose_parameters(draft, first, inputs, targets, seed=bytes(range(32)))
    for part in cut(chosen, 10):
        check_bounds(part)
    columns = dataclasses.replace(chosen, activation_row_norm_width=0, gradient_row_norm_width=0)
    with pytest.raises(ParametersUnsafe, match="wraps around"):
        check_bounds(cut(columns, 20)[0])
