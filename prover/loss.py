"""The losses in integers: gradients of both, and every quantity of the proof of softmax cross entropy."""

from __future__ import annotations

import numpy as np

from verifier.statement import Parameters
from verifier.tables import exponential
from verifier.training import exponential_top

from .exact import Integers, beside, on_host


def cross_entropy(output: Integers, p: Parameters) -> dict[str, Integers]:
    """All tensors of the loss for outputs [..., C] at scale 2^a, each of the same shape; see `verifier.training`.

    top = max output, choice = one-hot of the lowest index that has it, exp = table at top - output, sum over classes,
    share = floor(2^g exp / sum), rest = 2^g exp - share sum. Outputs must lie within output_width bits.
    """
    values = np.array(exponential(p.output_width, p.activation_bits, exponential_top(p)), dtype=np.int64)
    top = np.broadcast_to(output.max(axis=-1, keepdims=True), output.shape)
    choice = (np.arange(output.shape[-1]) == output.argmax(axis=-1)[..., None]).astype(np.int64)
    below = top - output
    exp = np.where(below < len(values), values[np.minimum(below, len(values) - 1)], 0)
    total = np.broadcast_to(exp.sum(axis=-1, keepdims=True), output.shape)
    share, rest = np.divmod(exp << p.gradient_bits, total)
    return {"top": top, "choice": choice, "exp": exp, "sum": total, "share": share, "rest": rest}


def squared_error(output: Integers, target: Integers, p: Parameters) -> Integers:
    """Y - 2^(a - target_bits) target, at scale 2^a: what the range `error` holds."""
    error: Integers = output - (target << (p.activation_bits - p.target_bits))
    return error


def loss_gradient(output: Integers, target: Integers, p: Parameters) -> Integers:
    """G of the last layer, the loss's gradient times the batch size at scale 2^g, shapes [..., C].

    Mean squared error: 2^(g-a) (Y - 2^(a - target_bits) target). Cross entropy: share - 2^g target; what depends on
    the few classes alone is computed on the host.
    """
    if p.loss == "mse":
        return squared_error(output, target, p) << (p.gradient_bits - p.activation_bits)
    share: Integers = beside(output, cross_entropy(on_host(output), p)["share"])
    return share - (target << p.gradient_bits)
