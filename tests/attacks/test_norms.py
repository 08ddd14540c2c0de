"""Sums of squares over the batch: honest runs, every claim that they add, and the bounds that follow from them."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt
from typing import Any

import numpy as np
import pytest

from prover.loss import loss_gradient
from tests.attacks.lies import at, both
from tests.attacks.test_claim_removal import attack, claims_of
from tests.simulate import Arrays
from tests.support import DEEP, PRESET, ZERO, forge, preset
from tests.truth import is_true
from verifier import MalformedStatement, ParametersUnsafe
from verifier.check import verify_relation
from verifier.norms import activations, changes, gradients
from verifier.relation import Norm, Relation
from verifier.statement import Parameters, Statement, parse_statement
from verifier.statement import replace as restated
from verifier.training import integer_bounds, training_relation

NORMS = preset(activation_norm_width=12, gradient_norm_width=12)
DEEP_NORMS = replace(DEEP, activation_norm_width=12, gradient_norm_width=12)
WIDER = replace(DEEP, widths=(5, 7, 6, 3))
ROWS = replace(WIDER, activation_row_norm_width=12, gradient_row_norm_width=12)
CE = preset(loss="ce", error_width=2)
RUNS = {
    "preset": NORMS,
    "steps": replace(NORMS, steps=3, batch=4),
    "deep": DEEP_NORMS,
    "rows": preset(activation_row_norm_width=12),
    "deep rows": ROWS,
    "both": replace(ROWS, activation_norm_width=12, gradient_norm_width=12, steps=3, batch=4),
}


@pytest.mark.parametrize("name", RUNS)
def test_honest_runs_are_accepted(name: str) -> None:
    honest = forge(RUNS[name])
    assert is_true(honest)
    honest.verify()


def test_ranges_of_norms_that_a_relation_does_not_claim() -> None:
    """Bounds would trust them."""
    honest = forge(RUNS["both"])
    text = honest.job.statement
    verify_relation(text, training_relation, honest.proof, minimum_security=1, allow_transparent=True)
    norms = training_relation(text).norms
    assert len(norms) == 7
    for left_out in norms:
        def fewer(statement: Statement, left_out: Norm = left_out) -> Relation:
            return replace(training_relation(statement), norms=tuple(norm for norm in norms if norm != left_out))

        with pytest.raises(ParametersUnsafe, match=f"no claim on that of {left_out.tensor}"):
            verify_relation(text, fewer, honest.proof, minimum_security=1, allow_transparent=True)


def _all_zero(norm: str) -> Any:
    def change(x: Arrays) -> None:
        for k in range(2):
            x[f"{norm}.{k}"] = x[f"{norm}.{k}"] * 0
    return both(at("end", 0, change), at("end", 1, change))


def _all_in_one(norm: str, limb: int) -> Any:
    """The excess of a norm of more than seven bits stands in one limb: the lowest, or the one bit above it."""
    def change(x: Arrays) -> None:
        total = x[f"{norm}.0"] + 64 * x[f"{norm}.1"]
        high = np.minimum(total >> 6, 1) if limb == 0 else total >> 6
        x[f"{norm}.0"], x[f"{norm}.1"] = total - 64 * high, high
    return both(at("end", 0, change), at("end", 1, change))


LOUD = {
    "norm:Y0": replace(NORMS, activation_norm_width=7),
    "norm:GA1": replace(NORMS, gradient_norm_width=7),
    "row-norm:Y0": preset(activation_row_norm_width=7),
    "row-norm:Y1": replace(ROWS, widths=(5, 2, 6, 3), activation_row_norm_width=7),
    "row-norm:GA2": replace(ROWS, gradient_row_norm_width=7),
}
ATTACKS: dict[str, dict[str, Any]] = {}
for _claim, _p in LOUD.items():
    _norm = _claim.replace(":", ".")
    _hooks = {"p": _p, "seed": 1000 if _claim == "row-norm:Y1" else 0}  # only the second layer's rows are long there
    ATTACKS[_claim] = {"tamper": _all_zero(_norm)} | _hooks
    for _limb in range(2):
        ATTACKS[f"range:{_norm}.{_limb}"] = {"tamper": _all_in_one(_norm, _limb)} | _hooks


@pytest.mark.parametrize("claim", ATTACKS)
def test_accepted_without_and_refused_with(claim: str) -> None:
    attack(claim, ATTACKS)


def test_every_claim_has_its_attack() -> None:
    columns = claims_of(forge(NORMS).relation) - claims_of(forge(PRESET).relation)
    rows = claims_of(forge(ROWS).relation) - claims_of(forge(WIDER).relation)
    assert columns | rows == set(ATTACKS)


def test_bounds_by_cauchy_and_schwarz() -> None:
    """|sum_b A_b G_b|^2 <= sum_b A_b^2 sum_b G_b^2, also in the outer layers, where ranges stand for a norm."""
    p = replace(DEEP, batch=64, activation_norm_width=11, gradient_norm_width=9)
    found = [changes(p, activations(p, l), gradients(p, l)) for l in range(3)]
    assert found[1] == (1 << 10, isqrt(64 << 9) << 3)
    assert found[0][0] == isqrt(64 << 10 + 9) and found[2][0] == isqrt(64 << 11 + 12)
    bare = replace(p, activation_norm_width=0, gradient_norm_width=0)
    assert changes(bare, activations(bare, 1), gradients(bare, 1)) == (64 * 2**5 * 2**5, 64 * 2**5 * 2**3)
    _narrower(p, bare, {"weights of layer 1"})


def test_bounds_from_norms_of_rows() -> None:
    """|sum_i A_i W_i|^2 <= sum_i A_i^2 d max W^2. The first layer's gradients have no row norm: none is claimed."""
    p = replace(ROWS, activation_row_norm_width=9, gradient_row_norm_width=7)
    bare = replace(p, activation_row_norm_width=0, gradient_row_norm_width=0)
    assert [activations(p, l).total for l in range(3)] == [5 << 5, isqrt(7 << 9), isqrt(6 << 9)]
    assert [gradients(p, l).total for l in range(3)] == [7 << 5, isqrt(6 << 7), 3 << 6]
    assert [activations(bare, l).total for l in range(3)] == [5 << 5, 7 << 5, 6 << 5]
    assert gradients(p, 0) == gradients(bare, 0)
    _narrower(p, bare, {"forward sums of layer 1", "forward sums of layer 2", "backward sums of layer 1"})


def _narrower(p: Parameters, bare: Parameters, where: set[str]) -> None:
    narrow, wide = integer_bounds(p), integer_bounds(bare)
    assert all(narrow[place] <= wide[place] for place in wide)
    assert where <= {place for place in wide if narrow[place] < wide[place]}


def test_no_real_batch_exceeds_its_bound() -> None:
    rng = np.random.default_rng(5)
    columns = replace(WIDER, batch=9, activation_norm_width=10, gradient_norm_width=10)
    rows = replace(WIDER, batch=9, activation_row_norm_width=10, gradient_row_norm_width=10)
    for _ in range(200):
        a, g = ((rng.integers(-31, 32, (9, 7)) * (rng.random((9, 7)) < 0.3)) for _ in range(2))
        weights = rng.choice([-3, 3], 7)
        if (a**2).sum(axis=0).max() < 1 << 10 and (g**2).sum(axis=0).max() < 1 << 10:
            weight, bias = changes(columns, activations(columns, 1), gradients(columns, 1))
            assert abs(a.T @ g).max() <= weight and abs(g.sum(axis=0) << columns.activation_bits).max() <= bias
        if (a**2).sum(axis=1).max() < 1 << 10:
            assert abs(a @ weights).max() <= activations(rows, 1).total * 3


def test_gradients_of_cross_entropy_add_up_to_little() -> None:
    """sum_j |P_j - 2^g target_j| <= 2 * 2^g, however many classes there are."""
    p, rng = replace(CE, widths=(5, 7, 12)), np.random.default_rng(6)
    y = rng.integers(-32, 32, (500, 12))
    target = np.eye(12, dtype=np.int64)[rng.integers(0, 12, 500)]
    found = abs(loss_gradient(y, target, p))
    limits = gradients(p, 1)
    assert found.sum(axis=1).max() <= limits.total == 2 << p.gradient_bits
    assert (found**2).sum(axis=1).max() <= limits.row and found.max() ** 2 <= limits.entry
    assert found.sum(axis=1).max() > 1 << p.gradient_bits  # more than any one entry can have
    assert gradients(replace(CE, widths=(5, 7, 1)), 1).total == 1 << p.gradient_bits


def test_norms_are_of_hidden_layers_of_a_training() -> None:
    columns, rows = (Statement(p, 10, ZERO, ZERO, ZERO, ZERO, ZERO) for p in (NORMS, ROWS))
    for changed in ({"activation_norm_width": 0}, {"gradient_norm_width": 0}, {"widths": (5, 3)}):
        with pytest.raises(MalformedStatement, match="both zero or both not"):
            parse_statement(restated(columns, **changed).to_bytes())
    for changed in ({"activation_row_norm_width": 0}, {"gradient_row_norm_width": 0}, {"widths": (5, 3)},
                    {"widths": (5, 7, 3)}):
        with pytest.raises(MalformedStatement, match="or neither"):
            parse_statement(restated(rows, **changed).to_bytes())


def test_row_norms_are_not_written_where_there_are_none() -> None:
    """So that runs without them have the statements, and proofs, that they would have if there were no such claims."""
    text = Statement(ROWS, 10, ZERO, ZERO, ZERO, ZERO, ZERO).to_bytes()
    assert parse_statement(text).parameters == ROWS
    assert b"row_norm" not in Statement(WIDER, 10, ZERO, ZERO, ZERO, ZERO, ZERO).to_bytes()
    for place in (b'"activation_row_norm": 12', b'"gradient_row_norm": 12'):
        assert place in text
    zeros = text.replace(b"row_norm\": 12", b"row_norm\": 0")
    with pytest.raises(MalformedStatement, match="canonical"):
        parse_statement(zeros)
