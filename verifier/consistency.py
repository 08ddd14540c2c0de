"""What the fields of a statement must have in common, task by task; each by itself is checked as it is parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import MalformedStatement

if TYPE_CHECKING:
    from .parameters import Parameters
    from .statement import Statement

MAX_MOVING_STEPS = 2048  # of a segment with momentum or decay: its coefficients take O(T^2)


def check_consistent(s: Statement) -> None:
    """Raises MalformedStatement for fields that contradict each other."""
    p = s.parameters
    _consistent_optimizer(p)
    norms = p.activation_norm_width, p.gradient_norm_width
    if (norms[0] > 0) != (norms[1] > 0) or (norms[0] and (p.layers == 1 or p.task != "training")):
        raise MalformedStatement(
            "ranges.activation_norm and ranges.gradient_norm are both zero or both not; not zero, they are of the "
            "hidden layers of a training"
        )
    if p.task == "accuracy":
        _consistent_accuracy(s)
    if p.task == "training" and p.loss == "mse" and p.gradient_bits < p.activation_bits:
        raise MalformedStatement(
            f"gradient_bits = {p.gradient_bits} is below activation_bits = {p.activation_bits}: "
            "the loss gradient would need a rounding"
        )
    if len(p.rates) > 1 and len(set(p.rates)) == 1:
        raise MalformedStatement("training.rates that are all equal are written once")
    if p.loss == "ce" and (p.target != "one-hot" or p.error_width != 2 or p.widths[-1] >= 1 << p.table_bits):
        raise MalformedStatement(
            "cross entropy needs one-hot targets, fewer classes than 2^table_bits, and ranges.error = 2 (it is unused)"
        )
    if p.target == "one-hot" and (p.target_bits != 0 or p.target_width != 1):
        raise MalformedStatement("one-hot targets have fixed_point.target_bits = 0 and ranges.target = 1")
    if p.target_bits > p.activation_bits:
        raise MalformedStatement(f"target_bits = {p.target_bits} exceeds activation_bits = {p.activation_bits}")
    for name in ("input_width", "target_width", "activation_width", "output_width", "backward_width", "error_width"):
        if getattr(p, name) > p.table_bits:
            raise MalformedStatement(f"{name} = {getattr(p, name)} exceeds table_bits = {p.table_bits}")
    if p.initial == "public-seed" and p.first_step != 0:
        raise MalformedStatement("only a run that starts at step 0 can start from a public seed")
    if p.first_step == 0 and s.origin_root != s.initial_root:
        raise MalformedStatement("a run that starts at step 0 has its own initial root as schedule.origin")


def _consistent_optimizer(p: Parameters) -> None:
    if (p.kernel_bits > 0) == p.plain or p.kernel_bits >= p.weight_bits:
        raise MalformedStatement(
            f"kernel_bits = {p.kernel_bits}: from 1 to {p.weight_bits - 1} with momentum or weight decay, else 0"
        )
    if not p.momentum and (p.nesterov or p.velocity_width != 2):
        raise MalformedStatement("without momentum, training.nesterov is false and ranges.velocity = 2 (it is unused)")
    if not p.plain and p.steps > MAX_MOVING_STEPS:
        raise MalformedStatement(f"{p.steps} steps with momentum or weight decay: at most {MAX_MOVING_STEPS} a segment")


def _consistent_accuracy(s: Statement) -> None:
    p = s.parameters
    if (p.steps, p.first_step, p.rates, p.initial) != (1, 0, (1,), "committed"):
        raise MalformedStatement("an accuracy has steps = 1, first_step = 0, rates = [1] and a committed initial state")
    if s.final_root != bytes(32) or s.nonce != bytes(32):
        raise MalformedStatement("an accuracy has zeros as final root and nonce")
    if (p.batch, p.target, p.loss, p.error_width) != (s.samples, "one-hot", "mse", 2):
        raise MalformedStatement("an accuracy has batch = samples, one-hot targets, loss = mse and ranges.error = 2")
