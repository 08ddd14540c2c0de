"""Polynomials on encrypted tensors: least depth, exact bounds over an interval, and fitting in the clear."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fhe.graph import Graph
from fhe.layout import Layout
from fhe.linear import mask
from fhe.values import Secret


def largest(coefficients: Sequence[float], bound: float) -> float:
    """max |p(x)| over |x| ≤ bound, from the ends and the real critical points; coefficients in rising order.
    """
    p = np.polynomial.Polynomial(np.asarray(coefficients, float))
    roots = p.deriv().roots() if len(coefficients) > 2 else np.array([])
    inside = [float(r.real) for r in np.atleast_1d(roots) if abs(r.imag) < 1e-6 and abs(r.real) <= bound]
    return max(float(abs(p(x))) for x in (-bound, bound, 0.0, *inside)) * (1 + 1e-9) + 1e-300


def fit(
    function: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    bound: float,
    degree: int,
    samples: npt.NDArray[np.float64] | None = None,
) -> tuple[float, ...]:
    """Coefficients, in rising order, of the least-squares polynomial over [−bound, bound].

    Without `samples` the weight is that of 512 Chebyshev points; with samples (values the argument takes on
    public data) it is theirs, the Chebyshev points keeping a twentieth of it so that the ends stay tame.
    """
    points = bound * np.cos(np.pi * (np.arange(512) + 0.5) / 512)
    weights = np.ones_like(points)
    if samples is not None and samples.size:
        kept = np.sort(samples.reshape(-1))[:: max(1, samples.size // 8192)]
        weights = np.concatenate(
            [np.full(points.size, 0.05 / points.size), np.full(kept.size, 0.95 / kept.size)]
        )
        points = np.concatenate([points, kept])
    chebyshev = np.polynomial.chebyshev.Chebyshev.fit(
        points, function(points), degree, domain=[-bound, bound], w=np.sqrt(weights)
    )
    return tuple(float(c) for c in chebyshev.convert(kind=np.polynomial.Polynomial, domain=[-1, 1]).coef)


def evaluate(graph: Graph, value: Secret, coefficients: Sequence[float]) -> Secret:
    """p(value) in ⌊log₂ degree⌋ + 1 levels; coefficients in rising order, degree at least 1.

    The constant is added at the entries' slots only, so zeros of the padding stay zeros; garbage larger than
    the declared bound is masked first, because its powers would drown the entries beside it.
    """
    if not value.layout.clean and value.garbage(graph) > value.bound:
        value = mask(graph, value)
    bound = largest(coefficients, value.bound)
    cts = []
    for ct, row in zip(value.cts, value.layout.maps, strict=True):
        powers = {1: graph.settle(ct)}
        cts.append(graph.limit(graph.settle(_recurse(graph, powers, list(coefficients), row >= 0)), bound))
    return Secret(Layout(value.shape, value.layout.maps, value.layout.text), cts, bound)


def _recurse(graph: Graph, powers: dict[int, int], c: list[float], where: npt.NDArray[np.bool_]) -> int:
    """p = q·x^m + r with m the largest power of two ≤ degree; r's constant only at `where`."""
    m = 1 << ((len(c) - 1).bit_length() - 1)
    if len(c) == 2:
        result = graph.rescale(graph.multiply_plain(powers[1], graph.constant(c[1])))
    else:
        x = _power(graph, powers, m)
        if len(c) == m + 1:
            result = graph.rescale(graph.multiply_plain(x, graph.constant(c[m])))
        else:
            result = graph.settle(graph.multiply(_recurse(graph, powers, c[m:], np.ones_like(where)), x))
        rest = c[:m]
        while len(rest) > 1 and rest[-1] == 0.0:
            rest.pop()
        if len(rest) > 1:
            return graph.add(result, _recurse(graph, powers, rest, where))
    if c[0] != 0.0:
        result = graph.add_plain(result, graph.constant(c[0], where))
    return result


def _power(graph: Graph, powers: dict[int, int], m: int) -> int:
    if m not in powers:
        half = _power(graph, powers, m // 2)
        powers[m] = graph.settle(graph.multiply(half, half))
        graph.limit(powers[m], graph.bound[powers[1]] ** m)
    return powers[m]
