"""Predictions of a plan: error, seconds, keys, bytes. Nothing here touches a value or a key."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from fhe.graph import Graph
from fhe.params import Params

# Standard deviation of SEAL's error distribution (centred binomial, sum of 21 bit differences), and the
# deviations a maximum over all slots may reach. A slot's rounding error is a product of two normal numbers,
# the rounding and the secret key at that slot's root: it exceeds x deviations with a chance of about
# exp(-x sqrt 2), far more often than one normal number does. At 14 that is 3e-9 a slot.
SIGMA = 3.24
TAIL = 14.0

# Seconds per 2^20 butterfly-like word operations, measured on one core of an AMD EPYC; see docs/fhe.md.
UNIT = {
    "multiply": 16e-3,
    "multiply_plain": 7.6e-3,
    "add": 2.4e-3,
    "negate": 1.6e-3,
    "add_plain": 2.0e-3,
    "drop": 2.0e-3,
    "rescale": 1.95e-3,
    "relinearize": 0.75e-3,
    "rotate": 0.75e-3,
    "input": 0.0,
}
ENCODE_UNIT = 2.2e-3


@dataclass(frozen=True)
class Analysis:
    """error: largest absolute error of any output slot; seconds: on the server, without and with encoding."""

    error: float
    seconds: float
    encode_seconds: float


def fresh_deviation(params: Params, depth: int) -> float:
    """Standard deviation of one slot of a fresh symmetric encryption: error and rounding, over the scale."""
    n = params.ring
    return math.sqrt(n * (SIGMA**2 + 1 / 12) / 2) / params.scales[depth]


def rounding_deviation(params: Params) -> float:
    """Deviation of a slot from rounding both polynomials of a ciphertext against a ternary secret."""
    n = params.ring
    return math.sqrt(n / 12 * (1 + 2 * n / 3) / 2)


def switching_deviation(params: Params, depth: int) -> float:
    """Deviation of the worst slot from one key switch, before division by the scale.

    The library's residues lie in [0, q): their mean q/2 on every coefficient evaluates to q·N/π at the root
    nearest 1, far above the random part √(N/12)·q.
    """
    n = params.ring
    ratio = sum((q / params.special) ** 2 for q in params.primes[: params.count(depth)])
    return math.sqrt(
        ratio * (n / 12 + (n / math.pi) ** 2) * n * SIGMA**2 / 2 + rounding_deviation(params) ** 2
    )


def plain_scale(graph: Graph, params: Params, a: int, actual: dict[int, float]) -> float:
    """The scale a plaintext factor of value `a` needs, so that the rescaled product is canonical."""
    depth = graph.depth(a)
    return params.scales[depth + 1] * params.dropped(depth) / actual[a]


def scales(graph: Graph, params: Params) -> dict[int, float]:
    """The scale of every value; all but dropped and squared ones are canonical for their depth."""
    actual: dict[int, float] = {}
    for v, i in enumerate(graph.code):
        if i.op == "multiply":
            actual[v] = actual[i.args[0]] * actual[i.args[1]]
        elif i.op == "multiply_plain":
            actual[v] = params.scales[i.depth + 1] * params.dropped(i.depth)
        elif i.op == "rescale" or i.op == "input":
            actual[v] = params.scales[i.depth]
        else:
            actual[v] = actual[i.args[0]]
    return actual


def deviations(graph: Graph, params: Params) -> list[float]:
    """Standard deviation of each value's slot error, in the units of the message.

    Errors of different instructions are treated as independent; a product's error uses the factors' bounds.
    """
    actual, out = scales(graph, params), list[float]()
    rounding = rounding_deviation(params)
    for v, i in enumerate(graph.code):
        scale = actual[v]
        e = [out[a] for a in i.args]
        b = [graph.bound[a] for a in i.args]
        if i.op == "input":
            d = fresh_deviation(params, i.depth)
        elif i.op == "add":
            same = i.args[0] == i.args[1]
            d = 2 * e[0] if same else math.hypot(*e)
        elif i.op == "multiply":
            same = i.args[0] == i.args[1]
            d = (
                2 * b[0] * e[0]
                if same
                else math.sqrt((b[1] * e[0]) ** 2 + (b[0] * e[1]) ** 2 + (e[0] * e[1]) ** 2)
            )
        elif i.op == "multiply_plain":
            pt = graph.plaintexts[i.plaintext]
            encoding = math.sqrt(params.ring / 24) / plain_scale(graph, params, i.args[0], actual)
            d = math.hypot(pt.bound * e[0], encoding * (b[0] + e[0]))
        elif i.op == "add_plain":
            d = math.hypot(e[0], math.sqrt(params.ring / 24) / scale)
        elif i.op == "rescale":
            d = math.hypot(e[0], rounding / scale)
        elif i.op in ("relinearize", "rotate"):
            d = math.hypot(e[0], switching_deviation(params, i.depth) / scale)
        else:
            d = e[0]
        out.append(d)
    return out


def instruction_seconds(graph: Graph, params: Params, v: int) -> float:
    """Predicted seconds of one instruction on one core."""
    i = graph.code[v]
    limbs, words = params.count(i.depth), params.ring / (1 << 20)
    if i.op == "rescale":
        limbs += 1
    size = graph.degree[i.args[0]] if i.args else 2
    work = words * limbs * UNIT[i.op]
    if i.op in ("relinearize", "rotate"):
        return words * math.log2(params.ring) * UNIT[i.op] * limbs * (limbs + 8.5)
    if i.op == "rescale":
        return work * math.log2(params.ring) * (size / 2)
    return work * (size / 2)


def analyse(graph: Graph, params: Params) -> Analysis:
    out = deviations(graph, params)
    error = max((out[v] for v in graph.outputs), default=0.0) * TAIL
    seconds = sum(instruction_seconds(graph, params, v) for v in range(len(graph.code)))
    encode, seen = 0.0, set[tuple[int, int]]()
    for i in graph.code:
        if i.plaintext >= 0 and (i.plaintext, i.depth) not in seen:
            seen.add((i.plaintext, i.depth))
            words = params.ring / (1 << 20) * math.log2(params.ring)
            encode += words * ENCODE_UNIT * (1 + 0.6 * params.count(i.depth))
    return Analysis(error, seconds, encode)


def rotation_keys(graph: Graph) -> dict[int, int]:
    """Every rotation step of the plan and the least depth (largest modulus) at which it is used."""
    keys: dict[int, int] = {}
    for i in graph.code:
        if i.op == "rotate":
            keys[i.step] = min(keys.get(i.step, i.depth), i.depth)
    return dict(sorted(keys.items()))


def relinearization_depth(graph: Graph) -> int | None:
    """The least depth at which a relinearisation happens, None without one."""
    return min((i.depth for i in graph.code if i.op == "relinearize"), default=None)


def key_bytes(graph: Graph, params: Params) -> int:
    depths = list(rotation_keys(graph).values())
    relin = relinearization_depth(graph)
    return sum(params.key_bytes(d) for d in depths + ([relin] if relin is not None else []))


def upload_bytes(graph: Graph, params: Params) -> dict[str, int]:
    """Bytes of every encrypted operand, as the client sends it."""
    sizes: dict[str, int] = defaultdict(int)
    for i in graph.code:
        if i.source is not None:
            sizes[i.source[0]] += params.ciphertext_bytes(i.depth, seeded=True)
    return dict(sizes)
