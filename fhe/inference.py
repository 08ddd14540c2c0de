"""Encrypted inference: a multilayer perceptron with its activations replaced by polynomials, as one program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fhe.client import Client
from fhe.errors import BoundError, ExpressionError, ShapeError
from fhe.plan import Plan
from fhe.polynomial import fit, largest
from fhe.program import Program
from fhe.server import Server
from fhe.spec import Plain

Array = npt.NDArray[np.float64]
Layers = Sequence[tuple[Array, Array]]
ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "tanh": np.tanh,
}


@dataclass(frozen=True)
class Compiled:
    """A network ready for encrypted inputs.

    `plan` takes "x" of shape (batch, inputs); `operands` are the plain weights and biases, scaled so that
    every intermediate stays within [−1, 1]; `scale` turns the result into logits. `coefficients` are those of
    each activation on its interval `intervals[k]`, in rising order.
    """

    plan: Plan
    operands: Mapping[str, Array]
    scale: float
    layers: Layers
    activation: str
    coefficients: tuple[tuple[float, ...], ...]
    intervals: tuple[float, ...]

    @property
    def batch(self) -> int:
        return self.plan.shape[0]

    def clear(self, x: Array) -> Array:
        """Logits of the original network."""
        return forward(self.layers, [ACTIVATIONS[self.activation]] * len(self.coefficients), x)

    def polynomial(self, x: Array) -> Array:
        """Logits with the polynomials in place of the activations, in the clear."""
        replaced = [np.polynomial.Polynomial(c) for c in self.coefficients]
        return forward(self.layers, [lambda v, p=p: np.asarray(p(v)) for p in replaced], x)  # type: ignore[misc]

    def batches(self, x: Array) -> list[Array]:
        """Inputs in batches of the planned size, the last one filled with zeros."""
        if x.ndim != 2 or x.shape[1] != self.layers[0][0].shape[0]:
            raise ShapeError(
                f"inputs of shape {x.shape}; the network takes (any, {self.layers[0][0].shape[0]})"
            )
        missing = -len(x) % self.batch
        padded = np.concatenate([x, np.zeros((missing, x.shape[1]))])
        return [padded[k : k + self.batch] for k in range(0, len(padded), self.batch)]

    def simulate(self, x: Array, seed: int | None = None) -> Array:
        """Logits from the simulator."""
        made = [self.plan.simulate(seed=seed, x=part, **self.operands)[0] for part in self.batches(x)]
        return np.concatenate(made)[: len(x)] * self.scale

    def infer(self, client: Client, server: Server, x: Array, workers: int = 1) -> Array:
        """Logits of encrypted inputs: both sides in one process, as a demonstration."""
        made = []
        for part in self.batches(x):
            operands = {**self.operands, **client.encrypt(self.plan, x=part)}
            made.append(client.decrypt(self.plan, self.plan.run(server, workers=workers, **operands)))
        return np.concatenate(made)[: len(x)] * self.scale


def forward(layers: Layers, activations: Sequence[Callable[[Array], Array]], x: Array) -> Array:
    """Logits of a multilayer perceptron in the clear."""
    for k, (weight, bias) in enumerate(layers):
        x = x @ weight + bias
        if k < len(activations):
            x = activations[k](x)
    return x


def load_layers(path: Path) -> list[tuple[Array, Array]]:
    """Weights and biases from a safetensors file, in the order of their names.

    Matrices (inputs × outputs, or PyTorch's outputs × inputs when the name ends in ".weight") and vectors
    alternate after sorting by layer; a network without vectors gets zero biases.
    """
    from safetensors.numpy import load_file

    tensors = load_file(path)
    natural = sorted(tensors, key=lambda n: [(int(c), "") if c.isdigit() else (-1, c) for c in _pieces(n)])
    matrices = [
        np.asarray(tensors[n].T if n.endswith(".weight") else tensors[n], float)
        for n in natural
        if tensors[n].ndim == 2
    ]
    vectors = [np.asarray(tensors[n], float) for n in natural if tensors[n].ndim == 1]
    if not matrices or (vectors and len(vectors) != len(matrices)):
        raise ShapeError(f"{path}: {len(matrices)} matrices and {len(vectors)} vectors make no network")
    vectors = vectors or [np.zeros(m.shape[1]) for m in matrices]
    return list(zip(matrices, vectors, strict=True))


def _pieces(name: str) -> list[str]:
    """A name cut between digits and the rest, so that layer 10 follows layer 9."""
    out, digits = [""], False
    for char in name:
        if char.isdigit() != digits:
            out.append("")
            digits = char.isdigit()
        out[-1] += char
    return [x for x in out if x]


def check_layers(layers: Layers) -> None:
    for k, (weight, bias) in enumerate(layers):
        if weight.ndim != 2 or bias.shape != (weight.shape[1],):
            raise ShapeError(
                f"layer {k}: a weight of shape {weight.shape} needs a bias of shape ({weight.shape[-1]},), "
                f"not {bias.shape}"
            )
        if k and layers[k - 1][0].shape[1] != weight.shape[0]:
            raise ShapeError(
                f"layer {k} takes {weight.shape[0]} inputs but layer {k - 1} gives "
                f"{layers[k - 1][0].shape[1]}"
            )


def compile(
    layers: Layers,
    *,
    calibration: Array,
    activation: str = "relu",
    degree: int = 7,
    batch: int = 128,
    margin: float = 1.15,
    precision: float = 2e-2,
) -> Compiled:
    """Plan a network for encrypted inputs of magnitude at most max|calibration|.

    `calibration`: public inputs of shape (any, inputs). Each activation becomes the least-squares polynomial
    of `degree` on ±`margin` times the largest value calibration reaches; inputs beyond that interval give
    wrong results silently, so calibrate on data like the real ones. `precision` is relative to the largest
    logit. Raises ShapeError, BoundError, ExpressionError for an unknown activation, LevelsExhausted.
    """
    check_layers(layers)
    if activation not in ACTIVATIONS:
        raise ExpressionError(f"activation '{activation}' is none of {sorted(ACTIVATIONS)}")
    if calibration.ndim != 2 or not len(calibration) or not np.isfinite(calibration).all():
        raise BoundError(
            f"calibration data of shape {calibration.shape} must be (1 or more, inputs) and finite"
        )
    program, operands = Program(), dict[str, Array]()
    top = float(np.abs(calibration).max())
    hidden = program.encrypted("x", (batch, layers[0][0].shape[0]), top or 1.0)
    value, unit, coefficients, intervals = calibration, 1.0, list[tuple[float, ...]](), list[float]()
    for k, (weight, bias) in enumerate(layers):
        value = value @ weight + bias
        interval = margin * float(np.abs(value).max()) or 1.0
        operands |= {f"w{k}": weight * unit / interval, f"b{k}": bias / interval}
        w, b = (
            program.operand(n, Plain(operands[n].shape, max(float(np.abs(operands[n]).max()), 1e-9)))
            for n in (f"w{k}", f"b{k}")
        )
        hidden = program.declare(program.add(program.einsum("bi,ij->bj", hidden, w), b), 1.0)
        if k == len(layers) - 1:
            unit = interval
            break
        c = fit(ACTIVATIONS[activation], interval, degree, value)
        scaled = [x * math.pow(interval, n) for n, x in enumerate(c)]
        unit = largest(scaled, 1.0)
        hidden = program.polyval(hidden, [x / unit for x in scaled])
        coefficients.append(c)
        intervals.append(interval)
        value = np.asarray(np.polynomial.Polynomial(c)(value))
    plan = program.plan(hidden, precision=precision / margin)
    return Compiled(plan, operands, unit, layers, activation, tuple(coefficients), tuple(intervals))
