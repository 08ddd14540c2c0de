"""Weights files as far as a verifier reads them: safetensors with the exact integers of a network, and nothing else.

A file is eight bytes with the header's length, little-endian; the header, a JSON object of name: {dtype, shape,
data_offsets}; and the tensors' bytes, which the offsets must tile without gap or overlap. `__metadata__` may hold
`scale_bits`, the binary digits after the point; nothing else of it counts.
"""

from __future__ import annotations

import json
import sys
from array import array
from itertools import pairwise
from math import prod
from typing import Any

from .errors import MalformedWeights
from .parameters import Parameters
from .public import Matrix

MAX_HEADER = 1 << 20
MAX_MODEL = 1 << 30  # bytes of a file that programs read
VELOCITY = ".velocity"
_PREFIX = 8


def parse_weights(data: bytes, p: Parameters) -> dict[str, Matrix]:
    """The matrices W0, b0, W1, ... of `layers.{l}.weight` [d_out][d_in] and `layers.{l}.bias` [d_out], as int64; with
    momentum also velocity.W0, ... of the same names with `.velocity` at the end.

    MalformedWeights names what is wrong: no whole safetensors file, tensors that are missing, more, of another type or
    shape than the layers have, values beyond their widths, another scale.
    """
    header, start = read_header(data)
    scale = header.pop("__metadata__", {})
    if not isinstance(scale, dict) or scale.get("scale_bits", str(p.state_bits)) != str(p.state_bits):
        raise MalformedWeights(f"the weights are not at scale 2^{p.state_bits}, as the statement's are")
    shapes = _shapes(p)
    if set(header) != {name for name, _ in shapes.values()}:
        raise MalformedWeights(
            f"the file holds {', '.join(sorted(header))[:200]}; expected {len(shapes)} tensors, layers.0.weight to "
            f"layers.{p.layers - 1}.{'bias' if p.bias else 'weight'}{' and their velocities' if p.momentum else ''}"
        )
    spans = {name: _span(name, header[name], shape) for name, shape in shapes.values()}
    _check_tiling(sorted(spans.values()), len(data) - start)
    weights = {}
    for tensor, (name, shape) in shapes.items():
        first, end = spans[name]
        bits = p.velocity_width if name.endswith(VELOCITY) else p.weight_width
        values = _integers(data[start + first : start + end], name, bits)
        width = shape[-1]
        lines = [values[k : k + width] for k in range(0, len(values), width)]
        weights[tensor] = Matrix(lines, transposed=len(shape) == 2)
    return weights


def _shapes(p: Parameters) -> dict[str, tuple[str, list[int]]]:
    """Name and shape in the file of each tensor of a state."""
    shapes = {}
    for layer, (d_in, d_out) in enumerate(pairwise(p.widths)):
        shapes[f"W{layer}"] = (f"layers.{layer}.weight", [d_out, d_in])
        if p.bias:
            shapes[f"b{layer}"] = (f"layers.{layer}.bias", [d_out])
    if p.starts_moving:
        shapes |= {f"velocity.{tensor}": (name + VELOCITY, shape) for tensor, (name, shape) in shapes.items()}
    return shapes


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name stands twice")
    return out


def read_header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header's object, and the place where the tensors begin; MalformedWeights if it is cut off or no object."""
    length = int.from_bytes(data[:_PREFIX], "little")
    if len(data) < _PREFIX or not 2 <= length <= min(MAX_HEADER, len(data) - _PREFIX):
        raise MalformedWeights("not a whole safetensors file: its header is cut off or longer than 1 MiB")
    try:
        header = json.loads(data[_PREFIX : _PREFIX + length].decode("utf-8"), object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError) as error:
        raise MalformedWeights(f"the header is not JSON: {str(error)[:100]}") from None
    if not isinstance(header, dict):
        raise MalformedWeights("the header is not an object")
    return header, _PREFIX + length


def _span(name: str, entry: Any, shape: list[int]) -> tuple[int, int]:
    """First byte and end of a tensor, counted from the end of the header."""
    if not isinstance(entry, dict) or entry.get("dtype") != "I64":
        raise MalformedWeights(f"{name} is not of the type I64: only a file of exact integers can be compared")
    if not _same(entry.get("shape"), shape):
        raise MalformedWeights(f"{name} has another shape than {shape}, which the statement's layers have")
    offsets, size = entry.get("data_offsets"), 8 * prod(shape)
    if not isinstance(offsets, list) or len(offsets) != 2 or any(type(value) is not int for value in offsets):
        raise MalformedWeights(f"{name}: data_offsets are not two integers")
    first, end = offsets
    if end - first != size:
        raise MalformedWeights(f"{name}: data_offsets do not span the {size} bytes of its shape")
    return first, end


def _same(found: Any, wanted: list[int]) -> bool:
    """Whether a value of the header is this very list of integers; True and 1.0 are none."""
    return isinstance(found, list) and found == wanted and all(type(value) is int for value in found)


def _check_tiling(spans: list[tuple[int, int]], size: int) -> None:
    if [first for first, _ in spans] + [size] != [0] + [end for _, end in spans]:
        raise MalformedWeights(f"the tensors do not fill the {size} bytes after the header without gap or overlap")


def _integers(data: bytes, name: str, width: int) -> array[int]:
    values = array("q", data)
    if sys.byteorder == "big":
        values.byteswap()
    half = 1 << (width - 1)
    if min(values) < -half or max(values) >= half:
        raise MalformedWeights(f"{name} has values from {min(values)} to {max(values)}, beyond {width} bits")
    return values
