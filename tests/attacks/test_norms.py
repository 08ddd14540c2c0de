"""Sums of squares over the batch: honest runs, every claim that they add, and the bounds that follow from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.attacks.lies import at, both
from tests.attacks.test_claim_removal import attack, claims_of
from tests.simulate import Arrays
from tests.support import DEEP, PRESET, ZERO, forge, preset
from tests.truth import is_true
from verifier import MalformedStatement
from verifier.norms import change_bounds
from verifier.statement import Statement, parse_statement
from verifier.statement import replace as restated
from verifier.training import integer_bounds

NORMS = preset(activation_norm_width=12, gradient_norm_width=12)


@pytest.mark.parametrize("p", [NORMS, replace(NORMS, steps=3, batch=4), replace(DEEP, activation_norm_width=12,
                         gradient_norm_width=12)], ids=["preset", "steps", "deep"])
def test_honest_runs_are_accepted(p: Any) -> None:
    honest = forge(p)
    assert is_true(honest)
    honest.verify()


def _all_zero(tensor: str) -> Any:
    def change(x: Arrays) -> None:
        for k in range(2):
            x[f"norm.{tensor}.{k}"] = x[f"norm.{tensor}.{k}"] * 0
    return both(at("end", 0, change), at("end", 1, change))


def _all_in_one(tensor: str, limb: int) -> Any:
    """The excess of a norm of more than seven bits stands in one limb: the lowest, or the one bit above it."""
    def change(x: Arrays) -> None:
        total = x[f"norm.{tensor}.0"] + 64 * x[f"norm.{tensor}.1"]
        high = np.minimum(total >> 6, 1) if limb == 0 else total >> 6
        x[f"norm.{tensor}.0"], x[f"norm.{tensor}.1"] = total - 64 * high, high
    return both(at("end", 0, change), at("end", 1, change))


LOUD = {"Y0": replace(NORMS, activation_norm_width=7), "GA1": replace(NORMS, gradient_norm_width=7)}
ATTACKS: dict[str, dict[str, Any]] = {}
for _tensor, _p in LOUD.items():
    ATTACKS[f"norm:{_tensor}"] = {"p": _p, "tamper": _all_zero(_tensor)}
    for _limb in range(2):
        ATTACKS[f"range:norm.{_tensor}.{_limb}"] = {"p": _p, "tamper": _all_in_one(_tensor, _limb)}


@pytest.mark.parametrize("claim", ATTACKS)
def test_accepted_without_and_refused_with(claim: str) -> None:
    attack(claim, ATTACKS)


def test_every_claim_has_its_attack() -> None:
    assert claims_of(forge(NORMS).relation) - claims_of(forge(PRESET).relation) == set(ATTACKS)


def test_bounds_by_cauchy_and_schwarz() -> None:
    """|sum_b A_b G_b|^2 <= sum_b A_b^2 sum_b G_b^2, also in the outer layers, where ranges stand for a norm."""
    p = replace(DEEP, batch=64, activation_norm_width=11, gradient_norm_width=9)
    assert change_bounds(p, 1, 1 << 7) == (1 << 10, (1 << 7) + 53 << 3)
    assert change_bounds(p, 0, 1 << 7)[0] == int((64 * 2**10 * 2**9) ** 0.5)
    assert change_bounds(p, 2, 1 << 7)[0] == int((2**11 * 64 * 2**14) ** 0.5)
    bare = replace(p, activation_norm_width=0, gradient_norm_width=0)
    assert change_bounds(bare, 1, 1 << 7) == (64 * 2**5 * 2**5, 64 * 2**5 * 2**3)
    narrow, wide = integer_bounds(p), integer_bounds(bare)
    assert all(narrow[place] <= wide[place] for place in wide) and narrow["weights of layer 1"] < wide[
        "weights of layer 1"]


def test_no_real_batch_exceeds_its_bound() -> None:
    rng, p = np.random.default_rng(5), replace(DEEP, batch=9, activation_norm_width=10, gradient_norm_width=10)
    for _ in range(200):
        a, g = (rng.integers(-31, 32, 9) * (rng.random(9) < 0.4) for _ in range(2))
        if (a**2).sum() < 1 << 10 and (g**2).sum() < 1 << 10:
            weight, bias = change_bounds(p, 1, 1)
            assert abs((a * g).sum()) <= weight and abs(g.sum() << p.activation_bits) <= bias


def test_norms_are_of_hidden_layers_of_a_training() -> None:
    statement = Statement(NORMS, 10, ZERO, ZERO, ZERO, ZERO, ZERO)
    for changes in ({"activation_norm_width": 0}, {"gradient_norm_width": 0}, {"widths": (5, 3)}):
        with pytest.raises(MalformedStatement, match="both zero or both not"):
            parse_statement(restated(statement, **changes).to_bytes())
