"""The statement's one canonical text: everything else is refused, with the place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import PRESET, preset
from verifier import MalformedStatement
from verifier.statement import MAX_BYTES, Parameters, Statement, parse_statement, replace

ROOT = bytes(range(32))
GOOD = Statement(PRESET, 10, ROOT, b"\1" * 32, b"\2" * 32, b"\1" * 32, bytes(32))
TEXT = GOOD.to_bytes()


def edited(change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(TEXT)
    change(document)
    return (json.dumps(document, indent=1) + "\n").encode()


def test_read_back() -> None:
    assert parse_statement(TEXT) == GOOD
    assert parse_statement(TEXT).to_bytes() == TEXT
    later = replace(GOOD, first_step=5, origin_root=b"\7" * 32, steps=3, rates=(1, 2, 3))
    assert parse_statement(later.to_bytes()) == later


def test_digests_depend_on_every_byte_of_the_text() -> None:
    assert GOOD.digest() != replace(GOOD, nonce=b"\1" * 32).digest()
    assert GOOD.parameters.digest() == replace(GOOD, nonce=b"\1" * 32).parameters.digest()
    assert GOOD.parameters.digest() != preset(batch=4).digest()


def _set(section: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document[section][key] = value
    return change


def _drop(section: str, key: str | None = None) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        if key is None:
            del document[section]
        else:
            del document[section][key]
    return change


def _reorder(document: dict[str, Any]) -> None:
    document["model"] = dict(reversed(document["model"].items()))


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"), "not JSON": (b"{", "not JSON"), "a list": (b"[]\n", "format"),
    "a number": (b"1", "format"), "not ASCII": (TEXT.replace(b"relu", "rélu".encode()), "not JSON"),
    "NaN": (TEXT.replace(b'"batch": 3', b'"batch": NaN'), "training.batch"),
    "infinity": (TEXT.replace(b'"batch": 3', b'"batch": Infinity'), "training.batch"),
    "a float": (TEXT.replace(b'"batch": 3', b'"batch": 3.0'), "training.batch"),
    "an exponent": (TEXT.replace(b'"batch": 3', b'"batch": 3e0'), "training.batch"),
    "a leading zero": (TEXT.replace(b'"batch": 3', b'"batch": 03'), "not JSON"),
    "minus zero": (TEXT.replace(b'"first_step": 0', b'"first_step": -0'), "canonical"),
    "a huge number": (TEXT.replace(b'"batch": 3', b'"batch": ' + b"9" * 4000), "training.batch"),
    "a number too long for Python": (TEXT.replace(b'"batch": 3', b'"batch": ' + b"9" * 9000), "not JSON"),
    "deep nesting": (b"[" * 100_000, "nested more than 8 deep"), "too long": (TEXT + b" " * MAX_BYTES, "at most"),
    "another format": (TEXT.replace(b"statement/1", b"statement/2"), "format"),
    "a space more": (TEXT.replace(b"{", b"{ ", 1), "canonical"), "no newline": (TEXT[:-1], "canonical"),
    "a newline more": (TEXT + b"\n", "canonical"), "trailing text": (TEXT + b"{}", "not JSON"),
    "a repeated key": (TEXT.replace(b'"batch": 3', b'"batch": 3,\n  "batch": 3'), "canonical"),
    "an unknown key": (edited(_set("model", "dropout", 0)), "canonical"),
    "an unknown section": (edited(lambda d: d.update(extra={})), "canonical"),
    "another order": (edited(_reorder), "canonical"),
    "a boolean for a number": (edited(_set("training", "batch", True)), "training.batch"),
    "a number for a boolean": (edited(_set("protocol", "zero_knowledge", 1)), "zero_knowledge"),
    "upper-case digits": (edited(_set("data", "root", ROOT.hex().upper())), "data.root"),
    "a short root": (edited(_set("data", "root", ROOT.hex()[:-2])), "data.root"),
    "a root of another alphabet": (edited(_set("data", "root", "g" * 64)), "data.root"),
    "no widths": (edited(_set("model", "widths", [])), "model.widths"),
    "one width": (edited(_set("model", "widths", [5])), "model.widths"),
    "a width of zero": (edited(_set("model", "widths", [5, 0, 3])), "model.widths[1]"),
    "a width beyond the limit": (edited(_set("model", "widths", [5, 1 << 20, 3])), "model.widths[1]"),
    "a width that is no number": (edited(_set("model", "widths", [5, "7", 3])), "model.widths[1]"),
    "too many layers": (edited(_set("model", "widths", [1] * 100)), "model.widths"),
    "another optimiser": (edited(_set("training", "optimizer", "adam")), "training.optimizer"),
    "an activation that is no text": (edited(_set("model", "activation", ["relu"])), "model.activation"),
    "no samples": (edited(_set("data", "samples", 0)), "data.samples"),
    "too many samples": (edited(_set("data", "samples", 1 << 31)), "data.samples"),
    "g below a": (edited(_set("fixed_point", "gradient_bits", 2)), "gradient_bits"),
    "one-hot targets with a scale": (edited(_set("fixed_point", "target_bits", 1)), "one-hot"),
    "one-hot targets with a width": (edited(_set("ranges", "target", 2)), "one-hot"),
    "a range wider than the tables": (edited(_set("ranges", "activation", 7)), "activation_width"),
    "rates that do not match the steps": (edited(_set("training", "rates", [1, 2, 3])), "training.rates"),
    "equal rates written out": (edited(_set("training", "rates", [2, 2])), "written once"),
    "a negative rate": (edited(_set("training", "rates", [-1])), "training.rates"),
    "a first step with another origin": (edited(_set("schedule", "origin", "07" * 32)), "step 0")}


@pytest.mark.parametrize("what", BAD)
def test_refused(what: str) -> None:
    text, place = BAD[what]
    with pytest.raises(MalformedStatement) as caught:
        parse_statement(text)
    assert place in str(caught.value)
    assert len(str(caught.value)) < 400


LIMITS = [("training", "batch", 1, 1 << 16), ("training", "steps", 1, 1 << 16), ("training", "first_step", 0, 1 << 40),
          ("training", "rate_bits", 0, 30), ("protocol", "row_bits", 1, 18), ("protocol", "blowup_bits", 1, 5),
          ("protocol", "data_openings", 1, 1 << 10), ("protocol", "security_bits", 1, 256), ("ranges", "weight", 2, 48)]


@pytest.mark.parametrize(("section", "key", "low", "high"), LIMITS)
def test_both_ends_of_each_range(section: str, key: str, low: int, high: int) -> None:
    for value in (low, high):
        text = edited(_set(section, key, value))
        assert json.loads(parse_statement(text).to_bytes())[section][key] == value
    for value in (low - 1, high + 1):
        with pytest.raises(MalformedStatement, match=f"{section}.{key} = {value} is outside"):
            parse_statement(edited(_set(section, key, value)))


def test_every_key_is_needed() -> None:
    for section, inner in json.loads(TEXT).items():
        with pytest.raises(MalformedStatement):
            parse_statement(edited(_drop(section)))
        for key in inner if isinstance(inner, dict) else ():
            with pytest.raises(MalformedStatement):
                parse_statement(edited(_drop(section, key)))


def test_every_field_is_in_the_text() -> None:
    """Two parameters that differ have different texts, field by field."""
    for name, value in vars(PRESET).items():
        other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else (
            (*value, 1) if isinstance(value, tuple) else value + "x")
        assert Parameters(**(vars(PRESET) | {name: other})).digest() != PRESET.digest(), name
