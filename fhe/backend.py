"""What a plan asks of a scheme: the calls of an evaluator, and the loop that runs a plan on one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fhe.analysis import plain_scale, scales
from fhe.errors import BoundError, LayoutError, ShapeError
from fhe.graph import Graph
from fhe.params import Params
from fhe.spec import Plain

Array = npt.NDArray[np.float64]


class Evaluator(Protocol):
    """Homomorphic operations; none changes its arguments. Depth counts rescalings since encryption."""

    def encode(self, values: Array, depth: int, scale: float) -> Any: ...
    def add(self, a: Any, b: Any) -> Any: ...
    def negate(self, a: Any) -> Any: ...
    def multiply(self, a: Any, b: Any) -> Any: ...
    def multiply_plain(self, a: Any, plaintext: Any) -> Any: ...
    def add_plain(self, a: Any, plaintext: Any) -> Any: ...
    def relinearize(self, a: Any) -> Any: ...
    def rescale(self, a: Any) -> Any: ...
    def rotate(self, a: Any, step: int) -> Any: ...
    def drop(self, a: Any, depth: int) -> Any: ...


def check_values(name: str, values: object, shape: tuple[int, ...], bound: float) -> Array:
    """A real, finite float64 array of the declared shape and bound, or one error naming what differs."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise BoundError(f"operand '{name}' has dtype {array.dtype}; only real numbers can be encrypted")
    if array.shape != shape:
        raise ShapeError(
            f"operand '{name}' has shape {array.shape} but was planned as {shape}; plan again or reshape"
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise BoundError(f"operand '{name}' has {count} entries of {array.size} that are NaN or infinite")
    top = float(np.abs(array).max(initial=0.0))
    if top > bound * (1 + 1e-12):
        raise BoundError(
            f"operand '{name}' reaches {top:g}, above its declared bound {bound:g}; scale it or plan with "
            "a larger bound"
        )
    return array


def check_plain(operands: Mapping[str, object], given: Mapping[str, object]) -> dict[str, Array]:
    """The plain operands of a plan, checked, from what the caller passed."""
    wanted = {name: spec for name, spec in operands.items() if isinstance(spec, Plain)}
    if set(wanted) != set(given):
        raise LayoutError(f"plain operands {sorted(given)} were given but the plan has {sorted(wanted)}")
    return {name: check_values(name, given[name], spec.shape, spec.bound) for name, spec in wanted.items()}


def plain_tensors(graph: Graph, operands: Mapping[str, Array]) -> list[Array]:
    """Every plain node's value."""
    out: list[Array] = []
    for node in graph.plain:
        if node.kind == "operand":
            out.append(operands[node.name])
        elif node.kind == "constant":
            out.append(np.asarray(node.values, float).reshape(node.shape))
        elif node.kind == "einsum":
            out.append(np.asarray(np.einsum(node.name, *(out[a] for a in node.args), optimize=True), float))
        elif node.kind == "reshape":
            out.append(out[node.args[0]].reshape(node.shape))
        else:
            a, b = (out[k] for k in node.args)
            out.append(a + b if node.kind == "add" else a - b)
    return out


def plaintext_values(graph: Graph, tensors: Sequence[Array], number: int) -> Array:
    """The slots of one plaintext."""
    gather = graph.plaintexts[number]
    flat = np.append(tensors[gather.node].reshape(-1), 0.0)
    return flat[np.where(gather.index < 0, flat.size - 1, gather.index)]


class Prepared:
    """A plan's plaintexts encoded for one evaluator; reusable while the plain operands stay the same."""

    def __init__(
        self, graph: Graph, params: Params, evaluator: Evaluator, operands: Mapping[str, Array]
    ) -> None:
        actual, tensors = scales(graph, params), plain_tensors(graph, operands)
        self.encoded: dict[tuple[int, int, float], Any] = {}
        self.keys: dict[int, tuple[int, int, float]] = {}
        for v, i in enumerate(graph.code):
            if i.plaintext < 0:
                continue
            a = i.args[0]
            scale = plain_scale(graph, params, a, actual) if i.op == "multiply_plain" else actual[a]
            key = (i.plaintext, i.depth, scale)
            self.keys[v] = key
            if key not in self.encoded:
                values = plaintext_values(graph, tensors, i.plaintext)
                self.encoded[key] = evaluator.encode(values, i.depth, scale)

    def of(self, v: int) -> Any:
        return self.encoded[self.keys[v]]


def operands_digest(operands: Mapping[str, Array]) -> bytes:
    """SHA-256 over names, shapes and values of plain operands."""
    h = hashlib.sha256()
    for name, array in sorted(operands.items()):
        h.update(repr((name, array.shape)).encode() + np.ascontiguousarray(array, "<f8").tobytes())
    return h.digest()


def execute(
    graph: Graph,
    evaluator: Evaluator,
    inputs: Mapping[tuple[str, int], Any],
    prepared: Prepared,
    outputs: Sequence[int],
) -> list[Any]:
    """Run the instructions that `outputs` depend on, freeing each value after its last use."""
    live, stack = set[int](), list(outputs)
    while stack:
        v = stack.pop()
        if v not in live:
            live.add(v)
            stack.extend(graph.code[v].args)
    uses = Counter(a for v in live for a in graph.code[v].args)
    uses.update(outputs)
    values: dict[int, Any] = {}
    for v in sorted(live):
        i = graph.code[v]
        args = [values[a] for a in i.args]
        if i.op == "input":
            assert i.source is not None
            values[v] = inputs[i.source]
        elif i.op in ("multiply_plain", "add_plain"):
            values[v] = getattr(evaluator, i.op)(args[0], prepared.of(v))
        elif i.op == "rotate":
            values[v] = evaluator.rotate(args[0], i.step)
        elif i.op == "drop":
            values[v] = evaluator.drop(args[0], i.depth)
        else:
            values[v] = getattr(evaluator, i.op)(*args)
        for a in i.args:
            uses[a] -= 1
            if not uses[a]:
                values.pop(a, None)
    return [values[v] for v in outputs]
