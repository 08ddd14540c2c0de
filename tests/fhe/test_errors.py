"""Every bad expression gets one typed error that quotes the expression, the axis and both numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest

import fhe
from fhe import errors
from fhe.expression import parse

BAD: list[tuple[str, list[tuple[int, ...]], type[Exception], list[str]]] = [
    ("ij,jk->ik", [(2, 3), (4, 5)], errors.ShapeError, ["'j'", "3", "4"]),
    ("ij->i", [(2, 3, 4)], errors.ShapeError, ["'ij'", "2 axes", "rank 3"]),
    ("ij->i", [(2,)], errors.ShapeError, ["2 axes", "rank 1"]),
    ("ii->i", [(1, 3)], errors.ShapeError, ["'i'", "1", "3"]),
    ("ii->i", [(2, 3)], errors.ShapeError, ["'i'", "2", "3"]),
    ("ij->j", [(0, 3)], errors.ShapeError, ["'i'", "size 0", "1"]),
    ("ij->k", [(2, 3)], errors.ExpressionError, ["'k'", "0 of 1"]),
    ("ij->ii", [(2, 3)], errors.ExpressionError, ["'i'", "2 times", "1 time"]),
    ("ij,jk->ik", [(2, 3)], errors.ExpressionError, ["2 operands", "1 were given"]),
    ("ij", [(2, 3), (3, 4)], errors.ExpressionError, ["1 operands", "2 were given"]),
    ("i->j->k", [(2,)], errors.ExpressionError, ["2 times", "once"]),
    ("i1->i", [(2, 2)], errors.ExpressionError, ["'1'", "operand 0"]),
    ("i->.i", [(2,)], errors.ExpressionError, ["'.'"]),
    ("i..j->ij", [(2, 2)], errors.ExpressionError, ["'.'", "operand 0"]),
    ("...i->i", [(2, 2, 2)], errors.ExpressionError, ["'...'", "2 axes"]),
    ("...ij->...", [(2,)], errors.ShapeError, ["2 axes", "rank 1"]),
    ("...,...->...", [(2, 3), (2, 4)], errors.ShapeError, ["3", "4"]),
    ("i-j", [(2, 2)], errors.ExpressionError, ["'-'", "operand 0"]),
    ("ij,i ,->j", [(2, 3), (3,), ()], errors.ShapeError, ["'i'", "2", "3"]),
    ("abc,def,ghi->a", [(2000, 2000, 2000)] * 3, errors.ShapeError, ["terms", str(1 << 40)]),
]


@pytest.mark.parametrize(("text", "shapes", "kind", "quoted"), BAD, ids=[f"{b[0]} {b[1]}" for b in BAD])
def test_bad_expressions(
    text: str, shapes: list[tuple[int, ...]], kind: type[Exception], quoted: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        parse(text, shapes)
    message = str(caught.value)
    assert f"'{text}'" in message
    for part in quoted:
        assert part in message, message
    if not any(0 in s for s in shapes) and max(map(max, (s or (1,) for s in shapes))) < 1000:
        with pytest.raises((ValueError, TypeError)):
            np.einsum(text, *(np.zeros(s) for s in shapes))


@pytest.mark.parametrize(
    ("call", "kind", "quoted"),
    [
        (lambda: fhe.Encrypted((2, 0)), errors.ShapeError, "(2, 0)"),
        (lambda: fhe.Encrypted((2,), bound=-1), errors.BoundError, "-1"),
        (lambda: fhe.plan("i->i", {"x": fhe.Plain((2,))}), errors.ExpressionError, "0 encrypted"),
        (lambda: fhe.plan("i->i", {"x y": fhe.Encrypted((2,))}), errors.ExpressionError, "'x y'"),
        (lambda: fhe.plan("i->i", {"x": fhe.Encrypted((2,))}, precision=0), errors.BoundError, "precision 0"),
        (
            lambda: fhe.plan("i->i", {"x": fhe.Encrypted((2,))}, replicate="no"),
            errors.BoundError,
            "replicate='no'",
        ),
        (lambda: fhe.plan("i->i", {"x": fhe.Encrypted((2,))}, rings=[1000]), errors.BoundError, "1000"),
        (lambda: fhe.plan("i->i", {"x": fhe.Encrypted((2,))}, across="q"), errors.ExpressionError, "'q'"),
        (
            lambda: fhe.plan(
                ",".join("a" * 60) + "->a", {f"x{k}": fhe.Encrypted((4,)) for k in range(60)}, rings=[4096]
            ),
            errors.LevelsExhausted,
            "levels",
        ),
    ],
    ids=[
        "size 0",
        "negative bound",
        "nothing encrypted",
        "name",
        "precision",
        "option",
        "ring",
        "across",
        "depth",
    ],
)
def test_bad_requests(call: object, kind: type[Exception], quoted: str) -> None:
    with pytest.raises(kind, match=re.escape(quoted)):
        call()  # type: ignore[operator]


def test_operands_that_differ_from_the_plan() -> None:
    plan = fhe.plan("ij,j->i", {"x": fhe.Encrypted((2, 3)), "w": fhe.Plain((3,))})
    for data, kind, quoted in (
        ({"x": np.zeros((3, 2)), "w": np.zeros(3)}, errors.ShapeError, r"'x' has shape \(3, 2\).*\(2, 3\)"),
        ({"x": np.zeros((2, 3)), "w": np.zeros(4)}, errors.ShapeError, r"'w' has shape \(4,\).*\(3,\)"),
        ({"x": np.zeros((2, 3))}, errors.LayoutError, r"\['w'\]"),
        ({"x": np.zeros((2, 3)), "w": np.zeros(3), "z": np.zeros(3)}, errors.LayoutError, "'z'"),
        ({"x": np.full((2, 3), 2.0), "w": np.zeros(3)}, errors.BoundError, "reaches 2.*bound 1"),
    ):
        with pytest.raises(kind, match=quoted):
            plan.simulate(**data)


def test_the_short_form_checks_expression_and_layout() -> None:
    plan = fhe.plan("bi,ij->bj", {"x": fhe.Encrypted((4, 8)), "w": fhe.Plain((8, 2))})
    client = fhe.Client.for_plans([plan])
    server = fhe.Server(client.server_bundle())
    x, w = np.ones((4, 8)), np.ones((8, 2))
    cts = client.encrypt(plan, x=x)
    assert np.abs(client.decrypt(plan, fhe.einsum("bi, ij -> bj", cts["x"], w)) - 8).max() <= plan.error
    assert (
        np.abs(client.decrypt(plan, fhe.einsum("bi,ij", cts["x"], w, server=server)) - 8).max() <= plan.error
    )
    with pytest.raises(errors.ExpressionError, match="not the planned 'bi,ij->bj'"):
        fhe.einsum("bi,ij->jb", cts["x"], w)
    with pytest.raises(errors.LayoutError, match="0 plans"):
        fhe.einsum("bi,ij->bj", x, w)
