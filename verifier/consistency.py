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
    if p.task != "training":
        _consistent_use(s)
    _consistent_norms(p)
    if p.task == "accuracy":
        _consistent_accuracy(s)
    elif p.task == "inference":
        _consistent_inference(s)
    elif p.task == "model":
        _consistent_model(s)
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


def _consistent_norms(p: Parameters) -> None:
    hidden = p.layers - 1 if p.task == "training" else 0
    norms = p.activation_norm_width, p.gradient_norm_width
    if (norms[0] > 0) != (norms[1] > 0) or (norms[0] and not hidden):
        raise MalformedStatement(
            "ranges.activation_norm and ranges.gradient_norm are both zero or both not; not zero, they are of the "
            "hidden layers of a training"
        )
    rows = p.activation_row_norm_width > 0, p.gradient_row_norm_width > 0
    if rows != (rows[0] and hidden > 0, rows[0] and hidden > 1):
        raise MalformedStatement(
            "ranges.activation_row_norm is of the hidden layers of a training, and ranges.gradient_row_norm with it of "
            "the hidden layers from the second on: either has a range where there are any, or neither"
        )


def _consistent_optimizer(p: Parameters) -> None:
    if (p.kernel_bits > 0) == p.plain or p.kernel_bits >= p.weight_bits:
        raise MalformedStatement(
            f"kernel_bits = {p.kernel_bits}: from 1 to {p.weight_bits - 1} with momentum or weight decay, else 0"
        )
    if not p.momentum and (p.nesterov or p.velocity_width != 2):
        raise MalformedStatement("without momentum, training.nesterov is false and ranges.velocity = 2 (it is unused)")
    if not p.plain and p.steps > MAX_MOVING_STEPS:
        raise MalformedStatement(f"{p.steps} steps with momentum or weight decay: at most {MAX_MOVING_STEPS} a segment")


def _consistent_use(s: Statement) -> None:
    """What holds of every task about a model that is there already: one step, nothing that only training has."""
    p = s.parameters
    if (p.steps, p.first_step, p.rates, p.initial) != (1, 0, (1,), "committed"):
        raise MalformedStatement(
            f"a statement of the task {p.task} has steps = 1, first_step = 0, rates = [1] and a committed initial state"
        )
    if s.final_root != bytes(32) or s.nonce != bytes(32):
        raise MalformedStatement(f"a statement of the task {p.task} has zeros as final root and nonce")
    if (p.target, p.loss, p.error_width, p.backward_width) != ("one-hot", "mse", 2, 2):
        raise MalformedStatement(
            f"a statement of the task {p.task} has one-hot targets, loss = mse, 2 as ranges.error and ranges.backward"
        )


def _consistent_accuracy(s: Statement) -> None:
    if s.parameters.batch != s.samples:
        raise MalformedStatement("an accuracy has batch = samples")


def _consistent_inference(s: Statement) -> None:
    if s.parameters.batch != s.samples:
        raise MalformedStatement("an inference has batch = samples")
    if s.inference is not None and s.inference.inputs is not None and s.data_root != bytes(32):
        raise MalformedStatement("an inference on public inputs has zeros as data root: they are not committed")


def _consistent_model(s: Statement) -> None:
    p = s.parameters
    if (p.batch, s.samples, s.data_root) != (1, 1, bytes(32)):
        raise MalformedStatement("a statement of the task model has batch = 1, samples = 1 and zeros as data root")
    if (p.input_width, p.activation_width, p.output_width) != (2, 2, 2):
        raise MalformedStatement("a statement of the task model has 2 as ranges of inputs, activations and outputs")
