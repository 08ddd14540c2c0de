"""Weights files: what the verifier's own reader takes, and every way in which a file is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from tests.support import preset
from verifier import MalformedWeights
from verifier.field import Ext
from verifier.public import Matrix
from verifier.weights import MAX_HEADER, parse_weights

P = preset()  # layers 5-7-3, weights of 17 bits at scale 2^11
LOW, HIGH = -(1 << 16), (1 << 16) - 1


def arrays() -> dict[str, Any]:
    numbers = np.random.default_rng(0)
    shapes = {"layers.0.weight": (7, 5), "layers.0.bias": (7,), "layers.1.weight": (3, 7), "layers.1.bias": (3,)}
    return {name: numbers.integers(LOW, HIGH, shape, endpoint=True) for name, shape in shapes.items()}


def file(**changes: Any) -> bytes:
    return safetensors.numpy.save(arrays() | changes, metadata={"scale_bits": "11"})


def test_read() -> None:
    read = parse_weights(file(), P)
    assert set(read) == {"W0", "b0", "W1", "b1"}
    for name, tensor in (("W0", "layers.0.weight"), ("W1", "layers.1.weight")):
        assert read[name].transposed and [list(line) for line in read[name].lines] == arrays()[tensor].tolist()
    assert [list(line) for line in read["b1"].lines] == [arrays()["layers.1.bias"].tolist()]
    assert set(
        parse_weights(
            safetensors.numpy.save({k: v for k, v in arrays().items() if "bias" not in k}), preset(bias=False)
        )
    ) == {"W0", "W1"}
    assert parse_weights(safetensors.numpy.save(arrays()), P)["b0"] == read["b0"]  # metadata may be absent


def test_velocities_are_of_the_state() -> None:
    p = preset(momentum=500_000_000, kernel_bits=6, velocity_width=18, first_step=1)
    moving = arrays() | {f"{name}.velocity": values * 2 for name, values in arrays().items()}
    read = parse_weights(safetensors.numpy.save(moving), p)
    assert [list(line) for line in read["velocity.W1"].lines] == (arrays()["layers.1.weight"] * 2).tolist()
    for other in (moving | {"layers.1.bias.velocity": np.full(3, 1 << 17)}, arrays()):
        with pytest.raises(MalformedWeights, match=r"beyond 18 bits|and their velocities"):
            parse_weights(safetensors.numpy.save(other), p)


def test_both_ends_of_the_range() -> None:
    for value in (LOW, HIGH):
        assert parse_weights(file(**{"layers.1.bias": np.full(3, value)}), P)["b1"].lines[0][0] == value
    for value in (LOW - 1, HIGH + 1):
        with pytest.raises(MalformedWeights, match=r"layers.1.bias has values .* beyond 17 bits"):
            parse_weights(file(**{"layers.1.bias": np.full(3, value)}), P)


def with_header(change: Callable[[dict[str, Any]], object], data: Callable[[bytes], bytes] = lambda d: d) -> bytes:
    """A file whose header was changed, its length made right."""
    whole = file()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data(whole[8 + length :])


def raw(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


def offsets(name: str, first: int, end: int) -> Callable[[dict[str, Any]], object]:
    return lambda header: header[name].update(data_offsets=[first, end])


def entry(name: str, **changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda header: header[name].update(changes)


WEIGHT = "layers.0.weight"
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a whole safetensors"),
    "seven bytes": (file()[:7], "not a whole safetensors"),
    "cut off in the header": (file()[:40], "not a whole safetensors"),
    "a header longer than the limit": ((MAX_HEADER + 1).to_bytes(8, "little") + bytes(MAX_HEADER + 1), "not a whole"),
    "a header of 2^64 - 1 bytes": (b"\xff" * 8 + file()[8:], "not a whole safetensors"),
    "no JSON": (raw(b"{..}"), "not JSON"),
    "deep nesting": (raw(b"[" * 100_000), "not JSON"),
    "not UTF-8": (raw(b'{"\xff": 1}'), "not JSON"),
    "a list": (raw(b"[]"), "not an object"),
    "a number too long for Python": (raw(b'{"a": ' + b"9" * 9000 + b"}"), "not JSON"),
    "a name twice": (raw(b'{"layers.0.weight": {}, "layers.0.weight": {}}'), "stands twice"),
    "a key twice": (raw(b'{"layers.0.weight": {"dtype": "I64", "dtype": "I64"}}'), "stands twice"),
    "a byte less": (file()[:-1], "do not fill"),
    "a byte more": (file() + b"\0", "do not fill"),
    "a tensor missing": (safetensors.numpy.save({WEIGHT: arrays()[WEIGHT]}), "expected 4 tensors, layers.0.weight to"),
    "a tensor more": (file(**{"layers.2.bias": np.zeros(3, dtype=np.int64)}), "expected 4 tensors, layers.0.weight to"),
    "floats": (file(**{WEIGHT: arrays()[WEIGHT].astype(np.float32)}), "not of the type I64"),
    "unsigned": (file(**{WEIGHT: arrays()[WEIGHT].astype(np.uint64)}), "not of the type I64"),
    "transposed": (file(**{WEIGHT: np.zeros((5, 7), dtype=np.int64)}), "another shape"),
    "flat": (file(**{WEIGHT: np.zeros(35, dtype=np.int64)}), "another shape"),
    "an entry that is no object": (with_header(lambda h: h.update({WEIGHT: 1})), "not of the type I64"),
    "a shape of floats": (with_header(entry(WEIGHT, shape=[7.0, 5])), "another shape"),
    "no offsets": (with_header(lambda h: h[WEIGHT].pop("data_offsets")), "data_offsets"),
    "three offsets": (with_header(entry(WEIGHT, data_offsets=[0, 280, 1])), "data_offsets"),
    "offsets of floats": (with_header(entry(WEIGHT, data_offsets=[0.0, 280.0])), "data_offsets"),
    "offsets of text": (with_header(entry(WEIGHT, data_offsets=["0", "280"])), "data_offsets"),
    "offsets that span too little": (with_header(offsets(WEIGHT, 0, 272)), "data_offsets"),
    "a negative offset": (with_header(offsets("layers.1.bias", -24, 0)), "gap or overlap"),
    "two tensors in one place": (with_header(offsets("layers.1.weight", 56, 224)), "gap or overlap"),
    "an offset beyond the end": (with_header(offsets(WEIGHT, 1 << 40, (1 << 40) + 280)), "gap or overlap"),
    "a gap": (with_header(lambda h: None, lambda d: d + bytes(8)), "gap or overlap"),
    "another scale": (safetensors.numpy.save(arrays(), metadata={"scale_bits": "12"}), "not at scale 2^11"),
    "metadata that are no object": (with_header(lambda h: h.update(__metadata__=[])), "not at scale"),
}


@pytest.mark.parametrize("what", BAD)
def test_refused(what: str) -> None:
    data, reason = BAD[what]
    with pytest.raises(MalformedWeights) as caught:
        parse_weights(data, P)
    assert reason in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("transposed", [False, True])
def test_the_extension_of_a_matrix(transposed: bool) -> None:
    """At 0/1 points its entries, zero in the padding; elsewhere the sum of eq times entry, with values of 63 bits."""
    numbers = np.random.default_rng(2)
    lines = [[int(v) for v in numbers.integers(-(2**62), 2**62, 5)] for _ in range(3)]
    matrix = Matrix(lines, transposed)
    dense = np.zeros((4, 8), dtype=object)
    dense[:3, :5] = lines
    dense = dense.T if transposed else dense
    for row, column in np.ndindex(*dense.shape):
        points = [
            [Ext.of(index >> k & 1) for k in reversed(range(n.bit_length() - 1))]
            for index, n in zip((row, column), dense.shape, strict=True)
        ]
        assert matrix.evaluate(*points) == Ext.of(int(dense[row, column]))
    bits = [n.bit_length() - 1 for n in dense.shape]
    rows, columns = ([Ext.of([int(v) for v in numbers.integers(0, 2**62, 3)]) for _ in range(n)] for n in bits)
    expected = Ext.of(0)
    for (row, column), value in np.ndenumerate(dense):
        share = Ext.of(int(value))
        for index, point in ((row, rows), (column, columns)):
            for k, x in enumerate(point):
                share = share * (x if index >> (len(point) - 1 - k) & 1 else 1 - x)
        expected = expected + share
    assert matrix.evaluate(rows, columns) == expected
    assert Matrix(()).evaluate(rows, columns) == Ext.of(0)
