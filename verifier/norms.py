"""Bounds on what one step adds to a weight, |sum over b of A_b G_b|: from ranges, or from proven sums of squares.

Ranges alone give B max|A| max|G|, which no batch comes near to. Where that leaves room for too few steps in a proof,
the norms N = sum_b A_b^2 of every hidden activation and gradient are proven too, and by the inequality of Cauchy and
Schwarz |sum_b A_b G_b| <= sqrt(N_A N_G). They cost one value where the tensor itself has a batch of them.
"""

from __future__ import annotations

from math import isqrt

from .builder import Builder
from .parameters import Parameters
from .relation import Norm


def norms(build: Builder) -> None:
    """Commits the norms of all hidden layers and claims them.

    ReLU's activation is Y or zero and its gradient GA or zero, so that their norms are at most those of Y and GA.
    """
    p = build.p
    if not p.activation_norm_width:
        return
    for l in range(p.layers - 1):
        forward, backward = (f"Y{l}", f"GA{l + 1}") if p.activation == "relu" else (f"act{l}", f"grad{l}")
        for tensor, width in ((forward, p.activation_norm_width), (backward, p.gradient_norm_width)):
            form = build.limbs(f"norm.{tensor}", "witness", width, (build.t, build.f[l + 1]), checked=True)
            build.norms.append(Norm(f"norm:{tensor}", tensor, form))


def change_bounds(p: Parameters, layer: int, largest_error: int) -> tuple[int, int]:
    """The largest |sum_b A_b G_b| of a weight and |2^a sum_b G_b| of a bias of a layer, in one step.

    `largest_error` is that of |G| in the last layer.
    """
    first, last = layer == 0, layer == p.layers - 1
    a = 1 << ((p.input_width if first else p.activation_width) - 1)
    g = largest_error if last else 1 << (p.backward_width - 1)
    squares_a, squares_g = p.batch * a * a, p.batch * g * g
    if p.activation_norm_width:
        squares_a = squares_a if first else min(squares_a, 1 << p.activation_norm_width)
        squares_g = squares_g if last else min(squares_g, 1 << p.gradient_norm_width)
    return isqrt(squares_a * squares_g), isqrt(p.batch * squares_g) << p.activation_bits
