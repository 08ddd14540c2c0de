"""Turn the steps of a program into instructions, given one strategy for each contraction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fhe.contraction import Strategy, lower, term
from fhe.errors import ExpressionError
from fhe.expression import Expression, parse
from fhe.graph import Graph, Inapplicable, PlainNode
from fhe.layout import GARBAGE, ZERO, Layout, Map
from fhe.linear import Terms, apply, convert, mask, one
from fhe.polynomial import evaluate
from fhe.program import Program, Step, _index
from fhe.spec import Encrypted
from fhe.values import Public, Secret, Tensor, Unplaced, current, default_rows, place


def lower_program(
    program: Program,
    output: int,
    slots: int,
    choice: Mapping[int, Strategy],
    reveal: str,
    budget: float = math.inf,
) -> tuple[Graph, Secret, dict[str, Layout]]:
    """The graph, the encrypted result, and the layout of every encrypted operand."""
    graph = Graph(slots, budget)
    tensors: list[Tensor] = []
    needed = _needed(program, output)
    for k, step in enumerate(program.steps):
        if k not in needed:
            tensors.append(Public(-1, step.shape, step.bound))
            continue
        tensors.append(_lower_step(graph, program, step, [tensors[a] for a in step.args], choice.get(k)))
    result = _secret(graph, tensors[output])
    if reveal == "output" and not result.layout.clean:
        result = mask(graph, result)
    graph.outputs = [graph.settle(ct) for ct in result.cts]
    graph.prune()
    layouts = {t.name: t.placed.layout for t in tensors if isinstance(t, Unplaced) and t.placed is not None}
    return graph, Secret(result.layout, list(graph.outputs), result.bound), layouts


def _needed(program: Program, output: int) -> set[int]:
    found, stack = set[int](), [output]
    while stack:
        k = stack.pop()
        if k not in found:
            found.add(k)
            stack.extend(program.steps[k].args)
    return found


def _secret(graph: Graph, tensor: Tensor) -> Secret:
    """A placed encrypted tensor; an input nobody placed takes the default layout."""
    tensor = current(tensor)
    if isinstance(tensor, Unplaced):
        rows, text = default_rows(tensor.shape, graph.slots)
        return place(graph, tensor, rows, text)
    assert isinstance(tensor, Secret)
    return tensor


def _lower_step(
    graph: Graph, program: Program, step: Step, args: list[Tensor], strategy: Strategy | None
) -> Tensor:
    if step.op == "operand":
        name = str(step.attributes[0])
        if isinstance(program.operands[name], Encrypted):
            return Unplaced(name, step.shape, step.bound)
        return Public(
            graph.plain_node(PlainNode("operand", step.shape, step.bound, name=name)), step.shape, step.bound
        )
    if step.op == "constant":
        node = PlainNode("constant", (), step.bound, values=(float(str(step.attributes[0])),))
        return Public(graph.plain_node(node), (), step.bound)
    if not step.secret:
        return _plain_step(graph, step, args)
    if step.op == "einsum":
        assert strategy is not None
        return _einsum(graph, program.expression(step), args, strategy)
    if step.op in ("add", "subtract"):
        return _add(graph, step, args[0], args[1])
    value = _secret(graph, args[0])
    if step.op == "polyval":
        return evaluate(graph, value, [float(str(c)) for c in step.attributes])
    if step.op == "declare":
        if value.layout.clean:
            for ct in value.cts:
                graph.limit(ct, step.bound)
        return Secret(value.layout, value.cts, step.bound)
    return _relabel(step, value)


def _plain_step(graph: Graph, step: Step, args: list[Tensor]) -> Tensor:
    """A step on plain tensors only, evaluated by the server in NumPy."""
    nodes = tuple(a.node for a in args if isinstance(a, Public))
    if step.op == "declare":
        return Public(nodes[0], step.shape, step.bound)
    if step.op not in ("einsum", "add", "subtract"):
        raise ExpressionError(
            f"step '{step.op}' of plain tensors only: compute it in NumPy and pass the result as an "
            "operand (0 of its arguments are encrypted)"
        )
    name = str(step.attributes[0]) if step.op == "einsum" else ""
    node = PlainNode(step.op, step.shape, step.bound, name=name, args=nodes)
    return Public(graph.plain_node(node), step.shape, step.bound)


def _relabel(step: Step, value: Secret) -> Secret:
    """Slices and reshapes: the same slots under other names; what is left out becomes garbage."""
    if step.op == "reshape":
        return Secret(Layout(step.shape, value.layout.maps, value.layout.text), value.cts, value.bound)
    size = int(np.prod(value.shape, dtype=np.int64))
    kept = np.arange(size).reshape(value.shape)[_index(step.attributes)].reshape(-1)
    new = np.full(size + 2, GARBAGE, np.int64)
    new[kept] = np.arange(kept.size)
    new[size] = GARBAGE
    new[size + 1] = ZERO
    rows = new[
        np.where(
            value.layout.maps == ZERO,
            size + 1,
            np.where(value.layout.maps == GARBAGE, size, value.layout.maps),
        )
    ]
    used = [t for t in range(rows.shape[0]) if bool((rows[t] >= 0).any())]
    return Secret(
        Layout(step.shape, rows[used], value.layout.text + ", sliced"),
        [value.cts[t] for t in used],
        value.bound,
    )


def _spread(shape: tuple[int, ...], target: tuple[int, ...]) -> Map:
    """For each flat entry of `target` the flat entry of an operand of `shape` broadcast to it."""
    size = int(np.prod(shape, dtype=np.int64))
    return np.asarray(np.broadcast_to(np.arange(size).reshape(shape), target).reshape(-1), np.int64)


def _rename(rows: Map, spread: Map) -> Map:
    return np.where(rows >= 0, spread[np.maximum(rows, 0)], ZERO)


def _add(graph: Graph, step: Step, a: Tensor, b: Tensor) -> Secret:
    """Sums and differences with broadcasting; an input not yet placed takes the other's layout for free."""
    a, b = current(a), current(b)
    minus = step.op == "subtract"
    if a is b and minus:
        value = _secret(graph, a)
        cts = [graph.rescale(graph.multiply_plain(ct, graph.constant(0.0))) for ct in value.cts]
        rows = np.where(value.layout.maps == GARBAGE, ZERO, value.layout.maps)
        return Secret(Layout(step.shape, rows, value.layout.text), cts, step.bound)
    if isinstance(a, Public) or (isinstance(a, Unplaced) and isinstance(b, Secret) and b.shape == step.shape):
        return _add_onto(graph, step, b, a, negate_base=minus, negate_other=False)
    return _add_onto(graph, step, a, b, negate_base=False, negate_other=minus)


def _add_onto(
    graph: Graph, step: Step, base: Tensor, other: Tensor, negate_base: bool, negate_other: bool
) -> Secret:
    if isinstance(base, Unplaced):
        rows, text = default_rows(step.shape, graph.slots)
        if isinstance(current(other), Secret) and other.shape == step.shape:
            placed = current(other)
            assert isinstance(placed, Secret)
            rows, text = np.where(placed.layout.maps >= 0, placed.layout.maps, ZERO), placed.layout.text
        own = place(graph, base, _rename(rows, _spread(base.shape, step.shape)), text)
        left = Secret(Layout(step.shape, rows, text), own.cts, base.bound)
    else:
        assert isinstance(base, Secret)
        left = base if base.shape == step.shape else _broadcast(graph, base, step.shape)
    rows = left.layout.maps
    cts = [graph.negate(ct) for ct in left.cts] if negate_base else left.cts
    spread, other = _spread(other.shape, step.shape), current(other)
    wanted = _rename(rows, spread)
    if isinstance(other, Public):
        node = other.node
        if negate_other:
            zero = graph.plain_node(PlainNode("constant", (), 1e-12, values=(0.0,)))
            node = graph.plain_node(PlainNode("subtract", other.shape, other.bound, args=(zero, node)))
        sums = [
            graph.add_plain(graph.settle(ct), graph.gather(node, row))
            for ct, row in zip(cts, wanted, strict=True)
        ]
        return Secret(Layout(step.shape, rows, left.layout.text), sums, step.bound)
    if isinstance(other, Unplaced):
        right = place(graph, other, wanted, left.layout.text)
    else:
        right = convert(graph, other, wanted, left.layout.text, rows == GARBAGE)
    turned = [graph.negate(ct) for ct in right.cts] if negate_other else right.cts
    sums = [graph.add(x, y) for x, y in zip(cts, turned, strict=True)]
    return Secret(Layout(step.shape, rows, left.layout.text), sums, step.bound)


def _broadcast(graph: Graph, value: Secret, shape: tuple[int, ...]) -> Secret:
    """An encrypted tensor repeated to a larger shape, in the default layout."""
    rows, text = default_rows(shape, graph.slots)
    dst = np.flatnonzero(rows.reshape(-1) >= 0)
    entry = _spread(value.shape, shape)[rows.reshape(-1)[dst]]
    return apply(
        graph, value, Terms(dst, entry, np.zeros_like(dst), one(graph)), rows, shape, value.bound, text
    )


def _einsum(graph: Graph, expression: Expression, args: Sequence[Tensor], strategy: Strategy) -> Secret:
    terms = [term(labels, current(t)) for labels, t in zip(expression.inputs, args, strict=True)]
    if strategy.method == "path":
        return _pairwise(graph, expression, list(args), strategy)
    result = lower(graph, expression, terms, strategy)
    if result is None:
        raise Inapplicable(strategy.method)
    return result


def _pairwise(graph: Graph, expression: Expression, args: list[Tensor], strategy: Strategy) -> Secret:
    """Contract two operands at a time, in the order `strategy.order` names ("0,1" positions, opt_einsum's
    way).
    """
    labels, tensors = list(expression.inputs), args
    for pair in strategy.order:
        picked = sorted((int(x) for x in pair.split(",")), reverse=True)
        parts = [(labels.pop(k), tensors.pop(k)) for k in picked][::-1]
        alive = {x for other in labels for x in other} | set(expression.output)
        keep = tuple(dict.fromkeys(x for part, _ in parts for x in part if x in alive))
        keep = expression.output if not labels else keep
        names = {x: chr(65 + k) for k, x in enumerate(dict.fromkeys(x for part, _ in parts for x in part))}
        text = (
            ",".join("".join(names[x] for x in part) for part, _ in parts)
            + "->"
            + "".join(names[x] for x in keep)
        )
        inner = parse(text, [t.shape for _, t in parts])
        if all(isinstance(t, Public) for _, t in parts):
            nodes = tuple(t.node for _, t in parts if isinstance(t, Public))
            bound = float(np.prod([t.bound for _, t in parts])) * np.prod(
                [inner.extents[x] for x in inner.contracted]
            )
            node = graph.plain_node(PlainNode("einsum", inner.shape, float(bound), name=text, args=nodes))
            labels.append(keep)
            tensors.append(Public(node, inner.shape, float(bound)))
            continue
        for method in _methods(inner, strategy):
            terms = [term(part, current(t)) for part, (_, t) in zip(inner.inputs, parts, strict=True)]
            made = lower(graph, inner, terms, method)
            if made is not None:
                break
        else:
            raise Inapplicable("path")
        labels.append(keep)
        tensors.append(made)
    last = tensors[0]
    assert isinstance(last, Secret)
    return last


def _methods(inner: Expression, strategy: Strategy) -> list[Strategy]:
    order = (*inner.output, *inner.contracted)
    tiled = (*inner.contracted, *reversed(inner.output))
    product = Strategy("product", strategy.replicate, order, tiled)
    return [Strategy("linear"), product] if strategy.exact else [product]
