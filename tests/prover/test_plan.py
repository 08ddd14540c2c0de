"""The plan of a proof against the proof: what it says before any work must hold afterwards."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from prover.choose import draft_parameters
from prover.plan import plan
from verifier.errors import ParametersUnsafe
from verifier.statement import Parameters


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
