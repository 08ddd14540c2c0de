"""The statement: what a proof is about. One frozen object, one canonical JSON text, one digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from .consistency import check_consistent
from .document import dump, hex32, integer, section
from .errors import MalformedStatement
from .inference_text import Inference, inference_document, parse_inference
from .parameters import ACTIVATIONS, CHOICES, INTEGERS, OPTIONAL, TASKS, Parameters, parameters_document
from .schedule import batches, schedule_seed

__all__ = ["ACTIVATIONS", "FORMAT", "MAX_BYTES", "Inference", "Parameters", "Statement", "parse_statement", "replace"]

FORMAT = "zkgrad-statement/1"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Statement:
    """Parameters plus the commitments: the final state follows from the initial one on the scheduled batches.

    Of the other tasks there is no final state. "accuracy": the initial state classifies `correct` of all samples
    correctly. "inference": it gives the `inference` on all samples, which are not committed if that lists them.
    "model": it consists of the integers in the weights file with SHA-256 `file`; there are no samples.
    """

    parameters: Parameters
    samples: int
    data_root: bytes
    initial_root: bytes
    final_root: bytes
    origin_root: bytes
    nonce: bytes
    correct: int | None = None
    inference: Inference | None = None
    file: bytes | None = None

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
_MAX_DEPTH = 8
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_MAX_LAYERS, _MAX_WIDTH, _MAX_SAMPLES, _MAX_RATE = 64, 1 << 16, 1 << 30, 1 << 20


def _document(s: Statement) -> dict[str, Any]:
    document: dict[str, Any] = {"format": FORMAT} | parameters_document(s.parameters)
    document |= {"data": {"samples": s.samples}, "initial": {}, "final": {}, "schedule": {}}
    for field, (place, key) in _COMMITMENTS.items():
        document[place][key] = getattr(s, field).hex()
    if s.correct is not None:
        document["evaluation"] = {"correct": s.correct}
    if s.inference is not None:
        document["inference"] = inference_document(s.inference)
    if s.file is not None:
        document["weights"] = {"file": s.file.hex()}
    return document


def _widths(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not 2 <= len(value) <= _MAX_LAYERS + 1:
        raise MalformedStatement(f"model.widths must list 2 to {_MAX_LAYERS + 1} layer widths")
    return tuple(integer(v, f"model.widths[{k}]", 1, _MAX_WIDTH) for k, v in enumerate(value))


def _rates(value: Any, steps: int) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) not in (1, steps):
        raise MalformedStatement(f"training.rates must list one multiplier, or one for each of {steps} steps")
    return tuple(integer(v, f"training.rates[{k}]", 0, _MAX_RATE) for k, v in enumerate(value))


def _check_depth(text: bytes) -> None:
    """Refuses nested brackets before a recursive parser meets them, whatever the interpreter's recursion limit."""
    depth = 0
    for bracket in text.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > _MAX_DEPTH:
            raise MalformedStatement(f"not a statement: brackets are nested more than {_MAX_DEPTH} deep")


def parse_statement(text: bytes) -> Statement:
    """Reads the canonical text; anything else is a MalformedStatement that names the place."""
    if len(text) > MAX_BYTES:
        raise MalformedStatement(f"a statement has at most {MAX_BYTES} bytes, this one has {len(text)}")
    _check_depth(text)
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
    fields: dict[str, Any] = {"widths": _widths(section(document, "model").get("widths"))}
    for field, (place, key, low, high) in INTEGERS.items():
        absent = 0 if field in OPTIONAL else None
        fields[field] = integer(section(document, place).get(key, absent), f"{place}.{key}", low, high)
    for field, (place, key, choices) in CHOICES.items():
        fields[field] = section(document, place).get(key)
        if fields[field] not in choices:
            raise MalformedStatement(f"{place}.{key} must be one of {', '.join(choices)}")
    for field, place in (("zero_knowledge", "protocol"), ("bias", "model"), ("nesterov", "training")):
        fields[field] = section(document, place).get(field)
        if not isinstance(fields[field], bool):
            raise MalformedStatement(f"{place}.{field} must be true or false")
    fields["rates"] = _rates(section(document, "training").get("rates"), fields["steps"])
    rest: dict[str, Any] = {
        field: hex32(section(document, place).get(key), f"{place}.{key}")
        for field, (place, key) in _COMMITMENTS.items()
    }
    samples = integer(section(document, "data").get("samples"), "data.samples", 1, _MAX_SAMPLES)
    fields["task"] = document.get("task")
    if fields["task"] not in TASKS:
        raise MalformedStatement(f"task must be one of {', '.join(TASKS)}")
    parameters = Parameters(**fields)
    rest |= _task_fields(document, parameters, samples)
    statement = Statement(parameters=parameters, samples=samples, **rest)
    check_consistent(statement)
    return statement


def _task_fields(document: dict[str, Any], p: Parameters, samples: int) -> dict[str, Any]:
    """What the statements of one task have besides roots."""
    if p.task == "accuracy":
        return {"correct": integer(section(document, "evaluation").get("correct"), "evaluation.correct", 0, samples)}
    if p.task == "inference":
        return {"inference": parse_inference(section(document, "inference"), p, samples)}
    if p.task == "model":
        return {"file": hex32(section(document, "weights").get("file"), "weights.file")}
    return {}


def replace(statement: Statement, **changes: Any) -> Statement:
    """A copy with fields of the statement or of its parameters changed."""
    own = {f.name for f in dataclasses.fields(Statement)}
    inner = {k: v for k, v in changes.items() if k not in own}
    outer = {k: v for k, v in changes.items() if k in own}
    parameters = dataclasses.replace(outer.pop("parameters", statement.parameters), **inner)
    return dataclasses.replace(statement, parameters=parameters, **outer)
