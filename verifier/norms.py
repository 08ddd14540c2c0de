"""How large the tensors of one step are, and what they multiply and add up to: from ranges, or from proven norms.

Ranges alone give |sum_b A_b G_b| <= B max|A| max|G| and |sum_i A_i W_i| <= d max|A| max|W|, which no batch comes near.
Where that leaves room for too few steps in a proof, sums of squares of every hidden activation and gradient are proven
too, and the inequality of Cauchy and Schwarz bounds both sums:

    column norms, of a neuron over the batch:  |sum_b A_b G_b| <= sqrt(sum_b A_b^2) sqrt(sum_b G_b^2)
    row norms, of a sample over the neurons:   |sum_i A_i W_i| <= sqrt(sum_i A_i^2) sqrt(d) max|W|

They cost one value a neuron, or one a sample, where the tensor itself has one a neuron and sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

from .builder import Builder
from .parameters import Parameters
from .relation import Norm


def norms(build: Builder) -> None:
    """Commits the norms of all hidden layers and claims them.

    ReLU's activation is Y or zero and its gradient GA or zero, so that their norms are at most those of Y and GA. The
    gradients of the first layer go back no further: rows of theirs need none.
    """
    for layer, tensor, rows, width in stated(build.p):
        kind, axis = ("row-norm", build.b) if rows else ("norm", build.f[layer + 1])
        form = build.limbs(f"{kind}.{tensor}", "witness", width, (build.t, axis), checked=True)
        build.norms.append(Norm(f"{kind}:{tensor}", tensor, form, rows, width))


def stated(p: Parameters) -> Iterator[tuple[int, str, bool, int]]:
    """Hidden layer, tensor, whether it is of rows, and bits of every norm that the parameters have a range of."""
    for layer in range(p.layers - 1):
        relu = p.activation == "relu"
        forward, backward = (f"Y{layer}", f"GA{layer + 1}") if relu else (f"act{layer}", f"grad{layer}")
        for tensor, rows, width in (
            (forward, False, p.activation_norm_width),
            (backward, False, p.gradient_norm_width),
            (forward, True, p.activation_row_norm_width),
            (backward, True, p.gradient_row_norm_width if layer else 0),
        ):
            if width:
                yield layer, tensor, rows, width


@dataclass(frozen=True)
class Sizes:
    """Bounds on a tensor over (b, f) in any step: on the square of an entry, on sums of squares over b (a column) and
    over f (a row), and on the sum of magnitudes over f."""

    entry: int
    column: int
    row: int
    total: int


def _sizes(p: Parameters, width: int, largest: int, column_norm: int = 0, row_norm: int = 0) -> Sizes:
    """Of a tensor of `width` features with entries of at most `largest`, and norms of so many bits where proven."""
    row = min(width * largest**2, 1 << row_norm) if row_norm else width * largest**2
    entry = min(largest**2, row)
    column = min(p.batch * entry, 1 << column_norm) if column_norm else p.batch * entry
    return Sizes(entry, column, row, isqrt(width * row))


def activations(p: Parameters, layer: int) -> Sizes:
    """How large the inputs of a layer are, A_layer."""
    if layer == 0:
        return _sizes(p, p.widths[0], 1 << (p.input_width - 1))
    largest = 1 << (p.activation_width - 1)
    return _sizes(p, p.widths[layer], largest, p.activation_norm_width, p.activation_row_norm_width)


def gradients(p: Parameters, layer: int) -> Sizes:
    """How large the gradients of a layer's outputs are, G_layer, in training.

    Cross entropy has G_j = P_j - 2^g target_j with P_j >= 0 and sum_j P_j <= 2^g, so that sum_j |G_j| <= 2 * 2^g.
    """
    width = p.widths[layer + 1]
    if layer < p.layers - 1:
        rows = p.gradient_row_norm_width if layer else 0
        return _sizes(p, width, 1 << (p.backward_width - 1), p.gradient_norm_width, rows)
    if p.loss == "mse":
        return _sizes(p, width, 1 << (p.gradient_bits - p.activation_bits + p.error_width - 1))
    unit = 1 << p.gradient_bits
    return Sizes(unit**2, p.batch * unit**2, min(width, 2) * unit**2, min(width, 2) * unit)


def changes(p: Parameters, a: Sizes, g: Sizes) -> tuple[int, int]:
    """The largest |sum_b A_b G_b| of a weight and |2^a sum_b G_b| of a bias, in one step."""
    return isqrt(a.column * g.column), isqrt(p.batch * g.column) << p.activation_bits
