"""The soundness sum against an independent computation, and parameters that must be refused."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from math import log2
from typing import Any

import pytest

from tests.support import PRESET, preset
from verifier import ParametersUnsafe
from verifier.commitment import code_of
from verifier.field import P
from verifier.lookup import layout
from verifier.security import bits_of, check_promise, check_security, shape_of
from verifier.statement import Parameters, Statement
from verifier.training import check_bounds, integer_bounds, training_relation

ZERO = bytes(32)
REAL = dataclasses.replace(
    PRESET, widths=(64, 128, 64, 10), batch=64, steps=32, rate_bits=10, activation_bits=8, gradient_bits=12,
    input_width=10, activation_width=13, output_width=13, backward_width=13, error_width=13, weight_width=32,
    table_bits=16, row_bits=12, blowup_bits=2, security_bits=128)


def shape(p: Parameters, samples: int = 1797) -> Any:
    statement = Statement(p, samples, ZERO, ZERO, ZERO, ZERO, ZERO)
    return shape_of(statement, training_relation(statement))


@pytest.mark.parametrize("p", [PRESET, REAL, dataclasses.replace(REAL, security_bits=100)])
def test_the_sum_recomputed(p: Parameters) -> None:
    """Degrees over |K| by hand: lookup, output points, einsum, history, merge, opening, pads; then the query terms."""
    found = shape(p)
    relation = training_relation(Statement(p, 1797, ZERO, ZERO, ZERO, ZERO, ZERO))
    depth = layout(relation).depth
    bits = {kind: (size - 1).bit_length() for kind, size in (("t", p.steps), ("b", p.batch), ("f", max(p.widths)))}
    expected = {
        "lookup row": 2 << depth, "lookup batch": depth, "lookup fold": depth,
        "lookup round": 3 * depth * (depth - 1) // 2,
        "output point": bits["t"] + bits["b"] + 3 * bits["f"], "einsum batch": 1, "history batch": 1, "merge batch": 1,
        "einsum round": 3 * bits["t"] + 2 * bits["f"], "history round": 3 * bits["t"] + 2 * bits["b"]}
    terms = dict(found.terms)
    for label, degree in expected.items():
        assert terms[label] == Fraction(degree, P**3), label
    code = found.code
    rate = Fraction(code.row + max(code.blinds.values()), code.positions)
    assert terms["queries"] == ((1 + rate) / 2) ** code.queries
    pads = found.pads
    assert terms["pads queries"] == (Fraction(1, 2) + Fraction(pads.length, pads.positions)) ** pads.queries
    assert terms["rho"] == Fraction(code.positions + 1, P**3)
    assert found.error == sum(terms.values())
    assert found.bits == bits_of(found.error) >= p.security_bits


def test_challenges_come_from_the_extension() -> None:
    """No term has a denominator below |K| but the query terms."""
    for label, value in shape(REAL).terms:
        assert label.endswith("queries") or P**3 % value.denominator == 0, label
        assert label.endswith("queries") or value < Fraction(1, 2**128), label


def test_unique_decoding_only() -> None:
    """A query catches with (1 - rate) / 2 at most: fewer queries than that needs are never chosen."""
    for blowup in (1, 2, 3, 4):
        code = code_of(dataclasses.replace(REAL, blowup_bits=blowup, row_bits=14))
        half = (1 + (code.row + max(code.blinds.values())) / code.positions) / 2
        assert -code.queries * log2(half) >= 130 > -(code.queries - 1) * log2(half) - 0.5


def test_known_values() -> None:
    found = shape(REAL)
    assert 128 <= found.bits < 131
    assert len(found.recorder.errors) >= 15


@pytest.mark.parametrize(("promised", "minimum"), [(99, 100), (100, 128), (127, 128), (6, 7)])
def test_promised_less_than_asked(promised: int, minimum: int) -> None:
    p = preset(security_bits=promised)
    with pytest.raises(ParametersUnsafe, match=f"promises {promised} bits of security, {minimum} are required"):
        check_promise(p, minimum)


def test_delivered_less_than_promised() -> None:
    """The shape of a statement for 6 bits does not carry a promise of 20."""
    with pytest.raises(ParametersUnsafe, match="adds up to"):
        check_security(shape(PRESET), preset(security_bits=20))


@pytest.mark.parametrize("changes", [{"security_bits": 128}, {"row_bits": 2}, {"data_openings": 9},
                                     {"state_openings": 9}, {"blowup_bits": 1, "row_bits": 3}])
def test_rows_too_short(changes: dict[str, int]) -> None:
    with pytest.raises(ParametersUnsafe, match="use longer rows or fewer openings"):
        code_of(preset(**changes))


def test_more_than_the_field_carries() -> None:
    """Around 180 bits no number of queries helps: the sum of algebraic terms is what is left."""
    with pytest.raises(ParametersUnsafe):
        p = dataclasses.replace(REAL, security_bits=180, row_bits=16)
        check_security(shape(p), p)


# --- bounds: one layer, so that every number can be written down ----------------------------------------------------


def line(**changes: Any) -> Parameters:
    return preset(widths=(1, 1), batch=1, steps=1, **changes)


def test_bounds_by_hand() -> None:
    p = line()
    a, g, w = 2**5, 2 ** (1 + 5), 2**11
    weight = 2**16 + a * g
    bias = 2**16 + g * 2**3
    assert integer_bounds(p) == {"weights of layer 0": max(weight, bias),
                                 "forward sums of layer 0": a * weight + bias * 2**3 + w * 2**6 + w}


def test_the_largest_product_is_really_below_the_bound() -> None:
    bounds = integer_bounds(REAL)
    assert set(bounds) == {f"{what} of layer {l}" for l in range(3) for what in ("weights", "forward sums")} | {
        f"backward sums of layer {l}" for l in (1, 2)}
    a, g, steps = 2**12, 2**12, 32
    assert bounds["weights of layer 1"] >= 2**31 + steps * 64 * a * g
    assert bounds["forward sums of layer 1"] >= 128 * a * (2**31 + steps * 64 * a * g)


def test_at_the_bound_and_one_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepted while every bound is below p/2, refused from p/2 on."""
    p = REAL
    largest = max(integer_bounds(p).values())
    monkeypatch.setattr("verifier.training.P", 2 * (largest + 1))
    check_bounds(p)
    monkeypatch.setattr("verifier.training.P", 2 * largest)
    with pytest.raises(ParametersUnsafe, match="wraps around the field"):
        check_bounds(p)


def test_too_many_steps_for_the_field() -> None:
    most = max(steps for steps in range(8, 20) if _safe(1 << steps))
    assert not _safe(1 << (most + 1))
    with pytest.raises(ParametersUnsafe, match="fewer steps"):
        check_bounds(dataclasses.replace(REAL, steps=1 << (most + 1)))


def _safe(steps: int) -> bool:
    return max(integer_bounds(dataclasses.replace(REAL, steps=steps)).values()) < P // 2
