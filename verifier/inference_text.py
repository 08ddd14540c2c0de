"""The part of a statement that only an inference has: public outputs, or classes, and public inputs if they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .document import integer
from .errors import MalformedStatement
from .parameters import Parameters

Rows = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Inference:
    """What a model gives for n samples: `outputs` [n][d_L] at scale 2^a, or `classes` [n] and nothing more.

    `inputs` [n][d_0] at scale 2^a are there if they are public; without them the data set is committed.
    """

    inputs: Rows | None = None
    outputs: Rows | None = None
    classes: tuple[int, ...] | None = None


def inference_document(inference: Inference) -> dict[str, Any]:
    """The section `inference` of the statement's text: the fields that are given."""
    return {name: value for name, value in vars(inference).items() if value is not None}


def parse_inference(found: dict[str, Any], p: Parameters, samples: int) -> Inference:
    """Reads the section: values in the ranges of the statement, one row a sample."""
    if ("outputs" in found) == ("classes" in found):
        raise MalformedStatement("an inference has either inference.outputs or inference.classes")
    inputs = outputs = classes = None
    if "inputs" in found:
        inputs = _rows(found["inputs"], "inference.inputs", (samples, p.widths[0]), p.input_width)
    if "outputs" in found:
        outputs = _rows(found["outputs"], "inference.outputs", (samples, p.widths[-1]), p.output_width)
    else:
        listed = _list(found["classes"], "inference.classes", samples)
        classes = tuple(integer(v, f"inference.classes[{k}]", 0, p.widths[-1] - 1) for k, v in enumerate(listed))
    return Inference(inputs, outputs, classes)


def _list(value: Any, place: str, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise MalformedStatement(f"{place} must be a list of length {length}")
    return value


def _rows(value: Any, place: str, shape: tuple[int, int], width: int) -> Rows:
    half = 1 << (width - 1)
    rows = [_list(row, f"{place}[{k}]", shape[1]) for k, row in enumerate(_list(value, place, shape[0]))]
    return tuple(
        tuple(integer(v, f"{place}[{k}][{j}]", -half, half - 1) for j, v in enumerate(row))
        for k, row in enumerate(rows)
    )
