"""Search: every ring and strategy gives a graph; the cheapest that is secure and precise enough is the plan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import opt_einsum

from fhe.analysis import Analysis, analyse, key_bytes, upload_bytes
from fhe.contraction import Strategy
from fhe.errors import BoundError, ExpressionError, LevelsExhausted, LimitExceeded
from fhe.expression import Expression
from fhe.graph import Graph, Inapplicable
from fhe.layout import Layout, power_of_two
from fhe.lowering import _needed, lower_program
from fhe.params import MIN_SCALE_BITS, SECURE_BITS, Params, make_params
from fhe.plan import Options, Plan
from fhe.program import Program
from fhe.values import Secret

__all__ = ["Options", "plan_program"]

_WEIGHTS = {
    "rotate": 1.0,
    "relinearize": 1.0,
    "multiply": 0.5,
    "multiply_plain": 0.1,
    "rescale": 0.2,
    "add": 0.02,
    "add_plain": 0.05,
    "negate": 0.02,
    "drop": 0.02,
    "input": 0.4,
}
_LEVEL_WEIGHT = 6.0
_UPLOAD_BYTES_PER_SECOND = 12.5e6
_EXHAUSTIVE = 48
MAX_INSTRUCTIONS = 400_000


@dataclass(frozen=True)
class Candidate:
    graph: Graph
    result: Secret
    layouts: dict[str, Layout]
    params: Params
    analysis: Analysis
    cost: float


def plan_program(program: Program, output: int, options: Options) -> Plan:
    """The cheapest plan; raises LevelsExhausted when no secure ring holds it."""
    options.check()
    step = program.steps[output]
    if not step.secret:
        raise ExpressionError("the result depends on 0 encrypted operands; compute it with numpy.einsum")
    best: Candidate | None = None
    reason, settled = "no strategy applies", False
    for fits, ring in _ring_order(program, output, options):
        if fits and settled:
            continue
        if best is not None and SECURE_BITS[ring] < (best.graph.levels() + 1) * MIN_SCALE_BITS:
            continue
        found, why = _best_in_ring(
            program, output, ring, options, best.cost if best is not None else math.inf
        )
        reason = why or reason
        if found is not None and (best is None or (found.cost, ring) < (best.cost, best.params.ring)):
            best = found
        settled = settled or (fits and found is not None)
    if best is None:
        raise LevelsExhausted(
            f"{describe(program, output)}: no 128-bit-secure ring up to {max(SECURE_BITS)} fits "
            f"({reason}); split the computation, lower the declared bounds, or ask for less than "
            f"precision {options.precision:g}"
        )
    return Plan(
        program,
        output,
        options,
        best.params,
        best.graph,
        best.result.layout,
        best.result.bound,
        best.layouts,
        best.analysis,
    )


def _ring_order(program: Program, output: int, options: Options) -> list[tuple[bool, int]]:
    """Rings whose slots hold every index space, smallest first (a larger one cannot save an operation); then
    the others, largest first, so that few ciphertexts are tried before many.
    """
    sizes = [
        math.prod(
            power_of_two(n)
            for n in (
                program.expression(program.steps[k]).extents.values()
                if program.steps[k].op == "einsum"
                else program.steps[k].shape
            )
        )
        for k in _needed(program, output)
    ]
    rings = options.rings or sorted(SECURE_BITS)
    return sorted(
        ((max(sizes) <= ring // 2, ring) for ring in rings), key=lambda x: (not x[0], x[1] if x[0] else -x[1])
    )


def describe(program: Program, output: int) -> str:
    """The program in one line: its expressions in order."""
    steps = [program.steps[k] for k in sorted(_needed(program, output))]
    return "; ".join(
        f"'{s.attributes[0]}'" if s.op == "einsum" else s.op
        for s in steps
        if s.op not in ("operand", "constant")
    )


def _best_in_ring(
    program: Program, output: int, ring: int, options: Options, limit: float
) -> tuple[Candidate | None, str]:
    nodes = [
        k
        for k in sorted(_needed(program, output))
        if program.steps[k].op == "einsum" and program.steps[k].secret
    ]
    menus = [list(strategies(program, k, ring // 2, options)) for k in nodes]
    best: tuple[Candidate, tuple[int, ...]] | None = None
    reason = ""
    tried: dict[tuple[int, ...], Candidate | None] = {}

    def consider(picks: tuple[int, ...]) -> None:
        nonlocal best, reason
        if picks in tried:
            return
        choice = {node: menu[p] for node, menu, p in zip(nodes, menus, picks, strict=True)}
        top = min(limit, best[0].cost if best is not None else math.inf)
        tried[picks], why = _candidate(program, output, ring, choice, options, top)
        reason = why or reason
        found = tried[picks]
        if found is not None and (best is None or found.cost < best[0].cost):
            best = (found, picks)

    if math.prod(len(m) for m in menus) <= _EXHAUSTIVE:
        for picks in itertools.product(*(range(len(m)) for m in menus)):
            consider(picks)
    else:
        for uniform in range(max(len(m) for m in menus)):
            consider(tuple(min(uniform, len(m) - 1) for m in menus))
        for k, menu in enumerate(menus):
            for p in range(len(menu)):
                if best is not None:
                    consider((*best[1][:k], p, *best[1][k + 1 :]))
    return (best[0] if best is not None else None), reason


def _candidate(
    program: Program, output: int, ring: int, choice: dict[int, Strategy], options: Options, limit: float
) -> tuple[Candidate | None, str]:
    budget = 2 * limit if options.objective == "operations" else math.inf
    try:
        graph, result, layouts = lower_program(program, output, ring // 2, choice, options.reveal, budget)
    except Inapplicable as error:
        return None, f"strategy {error} does not apply"
    if len(graph.code) > MAX_INSTRUCTIONS:
        return None, f"{len(graph.code)} instructions exceed {MAX_INSTRUCTIONS}"
    target = options.target(result.bound)
    found = smallest_scale(graph, ring, target)
    if found is None:
        return (
            None,
            f"{graph.levels()} levels and error {target:.1e} exceed {SECURE_BITS[ring]} bits in ring {ring}",
        )
    params, analysis = found
    return Candidate(graph, result, layouts, params, analysis, _cost(graph, params, analysis, options)), ""


def smallest_scale(graph: Graph, ring: int, target: float) -> tuple[Params, Analysis] | None:
    """The parameters of least scale whose predicted error is at most `target`, None when none is secure."""
    levels = graph.levels()
    for bits in range(MIN_SCALE_BITS, 59):
        params = make_params(ring, levels, bits, graph.magnitude_bits(bits))
        if params is None:
            continue
        analysis = analyse(graph, params)
        if analysis.error <= target:
            return params, analysis
        if analysis.error > target * 4096:
            skip = int(math.log2(analysis.error / target)) - 6
            if skip > 0 and bits + skip < 59:
                return _from(graph, ring, target, bits + skip)
    return None


def _from(graph: Graph, ring: int, target: float, start: int) -> tuple[Params, Analysis] | None:
    for bits in range(start, 59):
        params = make_params(ring, graph.levels(), bits, graph.magnitude_bits(bits))
        if params is not None:
            analysis = analyse(graph, params)
            if analysis.error <= target:
                return params, analysis
    return None


def _cost(graph: Graph, params: Params, analysis: Analysis, options: Options) -> float:
    upload = sum(upload_bytes(graph, params).values())
    if options.objective == "time":
        return analysis.seconds + upload / _UPLOAD_BYTES_PER_SECOND + 1e-3 * key_bytes(graph, params) / 1e8
    if options.objective == "upload":
        return upload + 1e3 * analysis.seconds
    return sum(_WEIGHTS[op] * n for op, n in graph.counts().items()) + _LEVEL_WEIGHT * graph.levels()


def strategies(program: Program, node: int, slots: int, options: Options) -> Iterator[Strategy]:
    """Ways to lower one contraction, the usual one first, without duplicates."""
    step = program.steps[node]
    expression = program.expression(step)
    secret = [program.steps[a].secret for a in step.args]
    for x in options.across:
        if x not in {
            y
            for k in _needed(program, node)
            if program.steps[k].op == "einsum"
            for labels in program.expression(program.steps[k]).inputs
            for y in labels
        }:
            raise ExpressionError(f"across names axis '{x}', which is in 0 operands of '{expression.text}'")
    plain_only = _plain_only(expression, secret)
    summed = tuple(x for x in expression.contracted if x not in plain_only)
    free = expression.output
    modes = ("client", "server") if options.replicate == "auto" else (options.replicate,)
    across = tuple(x for x in options.across if x in (*free, *summed))
    exacts = (False, True) if any(n & (n - 1) for n in expression.extents.values()) else (False,)
    tight = math.prod(1 << (n - 1).bit_length() for n in expression.extents.values()) > slots
    seen = set[Strategy]()
    if sum(secret) == 1 and not across:
        yield Strategy("linear")
        several = sum(s.op == "einsum" and s.secret for s in program.steps) > 1
        if tight and several:
            # An intermediate would first be spread over the many ciphertexts of the index space.
            return
    for mode in modes:
        for exact in exacts if tight else (False,):
            for tiled in ((*summed, *reversed(free)), (*reversed(free), *summed)) if tight else ((),):
                for order in ((*free, *summed), (*reversed(free), *summed)) if free else (summed,):
                    found = Strategy("product", mode, order, tiled, exact, across)
                    if found not in seen:
                        seen.add(found)
                        yield found
    if options.replicate in ("server", "auto") and sum(secret) == 2 and len(secret) == 2 and not across:
        yield Strategy("skew")
    if len(secret) > 2 and not across:
        order = contraction_order(expression)
        for mode in modes:
            yield Strategy("path", mode, order)
            yield Strategy("path", mode, order, exact=True)


def _plain_only(expression: Expression, secret: list[bool]) -> set[str]:
    """Labels summed within plain operands alone: they never enter the index space."""
    hidden = {x for labels, s in zip(expression.inputs, secret, strict=True) if s for x in labels}
    return {x for x in expression.contracted if x not in hidden}


def contraction_order(expression: Expression) -> tuple[str, ...]:
    """opt_einsum's pairwise order, as positions such as "0,1"."""
    names = {x: chr(0x4E00 + k) for k, x in enumerate(expression.extents)}
    text = ",".join("".join(dict.fromkeys(names[x] for x in labels)) for labels in expression.inputs)
    shapes = [tuple(expression.extents[x] for x in dict.fromkeys(labels)) for labels in expression.inputs]
    path, _ = opt_einsum.contract_path(
        f"{text}->{''.join(names[x] for x in expression.output)}", *shapes, shapes=True, optimize="auto"
    )
    return tuple(",".join(map(str, pair)) for pair in path if len(pair) <= 2)


def replan(document: dict[str, object], caps: dict[str, float]) -> Plan:
    """Plan again from another party's description, under caps on instructions, key bytes and seconds.

    Raises LimitExceeded naming the cap; MalformedBytes when the description is not exactly ours.
    """
    from fhe.plan import from_document

    program, output, options = from_document(document)
    plan = plan_program(program, output, options)
    actual = {
        "instructions": float(len(plan.graph.code)),
        "key_bytes": float(plan.key_bytes),
        "seconds": plan.seconds,
    }
    for name, cap in caps.items():
        if name not in actual:
            raise BoundError(f"cap '{name}' is unknown; use {sorted(actual)}")
        if actual[name] > cap:
            raise LimitExceeded(
                f"{describe(program, output)} needs {actual[name]:.3g} {name}, more than the cap {cap:.3g}"
            )
    return plan
