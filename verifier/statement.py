"""The statement: what a proof is about. One frozen object, one canonical JSON text, one digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from .consistency import check_consistent
from .errors import MalformedStatement
from .parameters import ACTIVATIONS, CHOICES, INTEGERS, TASKS, Parameters, dump, parameters_document
from .schedule import batches, schedule_seed

__all__ = ["ACTIVATIONS", "FORMAT", "MAX_BYTES", "Parameters", "Statement", "parse_statement", "replace"]

FORMAT = "zkgrad-statement/1"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Statement:
    """Parameters plus the commitments: the final state follows from the initial one on the scheduled batches.

    Of the task "accuracy": the initial state classifies `correct` of all samples correctly; there is no final state.
    """

    parameters: Parameters
    samples: int
    data_root: bytes
    initial_root: bytes
    final_root: bytes
    origin_root: bytes
    nonce: bytes
    correct: int | None = None

    def to_bytes(self) -> bytes:
        """The one canonical text of this statement, as written to statement.json."""
        return dump(_document(self))

    def digest(self) -> bytes:
        """SHA-256 of the canonical text; the proof file carries it and the transcript starts from it."""
        return hashlib.sha256(b"zkgrad statement v1\0" + self.to_bytes()).digest()

    def batches(self) -> tuple[tuple[int, ...], ...]:
        """The public schedule: [steps][batch] indices into the committed data set."""
        p = self.parameters
        if p.task != "training":
            return (tuple(range(self.samples)),)
        seed = schedule_seed(self.data_root, self.origin_root, self.nonce)
        return batches(seed, self.samples, p.batch, p.first_step, p.steps)


_COMMITMENTS = {
    "data_root": ("data", "root"),
    "initial_root": ("initial", "root"),
    "final_root": ("final", "root"),
    "origin_root": ("schedule", "origin"),
    "nonce": ("schedule", "nonce"),
}
_MAX_LAYERS, _MAX_WIDTH, _MAX_SAMPLES, _MAX_RATE = 64, 1 << 16, 1 << 30, 1 << 20


def _document(s: Statement) -> dict[str, Any]:
    document: dict[str, Any] = {"format": FORMAT} | parameters_document(s.parameters)
    document |= {"data": {"samples": s.samples}, "initial": {}, "final": {}, "schedule": {}}
    for field, (section, key) in _COMMITMENTS.items():
        document[section][key] = getattr(s, field).hex()
    if s.correct is not None:
        document["evaluation"] = {"correct": s.correct}
    return document


def _section(document: Any, name: str) -> dict[str, Any]:
    section = document.get(name)
    if not isinstance(section, dict):
        raise MalformedStatement(f"section {name!r} is missing or not an object")
    return section


def _integer(value: Any, place: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedStatement(f"{place} must be an integer from {low} to {high}, found {str(value)[:40]!r}")
    if not low <= value <= high:
        raise MalformedStatement(f"{place} = {str(value)[:40]} is outside {low}..{high}")
    return value


def _hex32(value: Any, place: str) -> bytes:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise MalformedStatement(f"{place} must be 64 lower-case hexadecimal digits")
    return bytes.fromhex(value)


def _widths(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not 2 <= len(value) <= _MAX_LAYERS + 1:
        raise MalformedStatement(f"model.widths must list 2 to {_MAX_LAYERS + 1} layer widths")
    return tuple(_integer(v, f"model.widths[{k}]", 1, _MAX_WIDTH) for k, v in enumerate(value))


def _rates(value: Any, steps: int) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) not in (1, steps):
        raise MalformedStatement(f"training.rates must list one multiplier, or one for each of {steps} steps")
    return tuple(_integer(v, f"training.rates[{k}]", 0, _MAX_RATE) for k, v in enumerate(value))


def parse_statement(text: bytes) -> Statement:
    """Reads the canonical text; anything else is a MalformedStatement that names the place."""
    if len(text) > MAX_BYTES:
        raise MalformedStatement(f"a statement has at most {MAX_BYTES} bytes, this one has {len(text)}")
    try:
        document = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise MalformedStatement(f"not JSON in ASCII: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise MalformedStatement(f"not a statement of format {FORMAT!r}")
    statement = _build(document)
    if statement.to_bytes() != text:
        raise MalformedStatement("not in canonical form (key order, spacing, unknown or repeated keys)")
    return statement


def _build(document: dict[str, Any]) -> Statement:
    fields: dict[str, Any] = {"widths": _widths(_section(document, "model").get("widths"))}
    for field, (section, key, low, high) in INTEGERS.items():
        fields[field] = _integer(_section(document, section).get(key), f"{section}.{key}", low, high)
    for field, (section, key, choices) in CHOICES.items():
        fields[field] = _section(document, section).get(key)
        if fields[field] not in choices:
            raise MalformedStatement(f"{section}.{key} must be one of {', '.join(choices)}")
    for field, section in (("zero_knowledge", "protocol"), ("bias", "model"), ("nesterov", "training")):
        fields[field] = _section(document, section).get(field)
        if not isinstance(fields[field], bool):
            raise MalformedStatement(f"{section}.{field} must be true or false")
    fields["rates"] = _rates(_section(document, "training").get("rates"), fields["steps"])
    commitments = {
        field: _hex32(_section(document, section).get(key), f"{section}.{key}")
        for field, (section, key) in _COMMITMENTS.items()
    }
    samples = _integer(_section(document, "data").get("samples"), "data.samples", 1, _MAX_SAMPLES)
    fields["task"] = document.get("task")
    if fields["task"] not in TASKS:
        raise MalformedStatement(f"task must be one of {', '.join(TASKS)}")
    correct = None
    if fields["task"] == "accuracy":
        correct = _integer(_section(document, "evaluation").get("correct"), "evaluation.correct", 0, samples)
    statement = Statement(parameters=Parameters(**fields), samples=samples, correct=correct, **commitments)
    check_consistent(statement)
    return statement


def replace(statement: Statement, **changes: Any) -> Statement:
    """A copy with fields of the statement or of its parameters changed."""
    own = {f.name for f in dataclasses.fields(Statement)}
    inner = {k: v for k, v in changes.items() if k not in own}
    outer = {k: v for k, v in changes.items() if k in own}
    parameters = dataclasses.replace(outer.pop("parameters", statement.parameters), **inner)
    return dataclasses.replace(statement, parameters=parameters, **outer)
