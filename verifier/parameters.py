"""The parameters of a statement: all that a run and its proof are made with, except what is committed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from .document import dump

LOSSES = ("mse", "ce")
ACTIVATIONS = ("relu", "leaky-relu", "silu")
OPTIMIZERS = ("sgd",)
TARGETS = ("one-hot", "values")
INITIALS = ("committed", "public-seed")
BILLION = 10**9
TASKS = ("training", "accuracy", "inference", "model")


@dataclass(frozen=True)
class Parameters:
    """Everything about the run and the protocol that is not a commitment. Scales are binary digits after the point.

    Integers: activations at scale 2^a (`activation_bits`), gradients at 2^g (`gradient_bits`), weights at 2^w with
    w = a + g + e; step t is W <- W - k_t A^T G exactly, so that its lr / batch = k_t 2^-e (`rate_bits` = e). The
    multipliers k_t are `rates`: one for all steps, or one a step. With `initial` = "public-seed" the first state is
    not committed but expanded from a seed, which stands in the place of its root; see `initial.py`. Without `bias`
    layers are Z = A W, and states are weight matrices alone.
    `momentum` and `weight_decay` are in billionths; `optimizer.py` has their meaning, and 2^q (`kernel_bits` = q) is
    the scale of the coefficients that end in a rounded state: the velocity, and with decay the weights, which are then
    committed at scale 2^(w - q).
    Widths are bits of a signed two's-complement range [-2^(width-1), 2^(width-1)) proven for every entry; the one
    exception is target_width = 1 of one-hot targets, proven to be 0 or 1. Targets stand at scale 2^target_bits. Norms
    are not signed: unless their widths are zero, sums of squares of every hidden activation and gradient, of a neuron
    over the batch or of a sample over the neurons (`row_norm`), are below 2^width (`norms.py`).
    """

    widths: tuple[int, ...]
    activation: str
    loss: str
    optimizer: str
    target: str
    batch: int
    steps: int
    first_step: int
    rate_bits: int
    activation_bits: int
    gradient_bits: int
    target_bits: int
    input_width: int
    target_width: int
    activation_width: int
    output_width: int
    backward_width: int
    error_width: int
    weight_width: int
    table_bits: int
    row_bits: int
    blowup_bits: int
    data_openings: int
    state_openings: int
    security_bits: int
    zero_knowledge: bool
    rates: tuple[int, ...] = (1,)
    initial: str = "committed"
    task: str = "training"
    bias: bool = True
    momentum: int = 0
    nesterov: bool = False
    weight_decay: int = 0
    kernel_bits: int = 0
    velocity_width: int = 2
    activation_norm_width: int = 0
    gradient_norm_width: int = 0
    activation_row_norm_width: int = 0
    gradient_row_norm_width: int = 0

    @property
    def plain(self) -> bool:
        """Whether the optimiser is W <- W - k A^T G, without momentum and decay."""
        return self.momentum == self.weight_decay == 0

    @property
    def state_shift(self) -> int:
        """How many binary digits a committed state has fewer than the weights that it starts."""
        return self.kernel_bits if self.weight_decay else 0

    @property
    def state_bits(self) -> int:
        """The scale of committed weights and biases."""
        return self.weight_bits - self.state_shift

    @property
    def starts_moving(self) -> bool:
        """Whether the first state comes with a velocity: one that training left, not one that a run starts from."""
        return self.momentum > 0 and (self.first_step > 0 or self.task != "training")

    def rate(self, step: int) -> int:
        """k_t of a step counted from this segment's first, 0 <= step < steps."""
        return self.rates[step] if len(self.rates) > 1 else self.rates[0]

    @property
    def weight_bits(self) -> int:
        """w = a + g + e, the scale of the weights and the shift of both roundings."""
        return self.activation_bits + self.gradient_bits + self.rate_bits

    @property
    def layers(self) -> int:
        """The number of weight matrices."""
        return len(self.widths) - 1

    def digest(self) -> bytes:
        """SHA-256 of the canonical text: it plays the part of a verifying key."""
        return hashlib.sha256(b"zkgrad parameters v1\0" + dump(parameters_document(self))).digest()


# Every integer field: where it stands in the document and its bounds, both inclusive.
INTEGERS: dict[str, tuple[str, str, int, int]] = {
    "batch": ("training", "batch", 1, 1 << 16),
    "steps": ("training", "steps", 1, 1 << 16),
    "first_step": ("training", "first_step", 0, 1 << 40),
    "rate_bits": ("training", "rate_bits", 0, 30),
    "activation_bits": ("fixed_point", "activation_bits", 1, 16),
    "gradient_bits": ("fixed_point", "gradient_bits", 1, 24),
    "target_bits": ("fixed_point", "target_bits", 0, 16),
    "input_width": ("ranges", "input", 1, 16),
    "target_width": ("ranges", "target", 1, 16),
    "activation_width": ("ranges", "activation", 2, 16),
    "output_width": ("ranges", "output", 2, 16),
    "backward_width": ("ranges", "backward", 2, 16),
    "error_width": ("ranges", "error", 2, 16),
    "weight_width": ("ranges", "weight", 2, 48),
    "velocity_width": ("ranges", "velocity", 2, 48),
    "activation_norm_width": ("ranges", "activation_norm", 0, 48),
    "gradient_norm_width": ("ranges", "gradient_norm", 0, 48),
    "activation_row_norm_width": ("ranges", "activation_row_norm", 0, 48),
    "gradient_row_norm_width": ("ranges", "gradient_row_norm", 0, 48),
    "momentum": ("training", "momentum", 0, BILLION - 1),
    "weight_decay": ("training", "weight_decay", 0, BILLION),
    "kernel_bits": ("fixed_point", "kernel_bits", 0, 24),
    "table_bits": ("protocol", "table_bits", 2, 16),
    "row_bits": ("protocol", "row_bits", 1, 18),
    "blowup_bits": ("protocol", "blowup_bits", 1, 5),
    "data_openings": ("protocol", "data_openings", 1, 1 << 10),
    "state_openings": ("protocol", "state_openings", 1, 1 << 10),
    "security_bits": ("protocol", "security_bits", 1, 256),
}
COLUMN_NORMS = ("activation_norm_width", "gradient_norm_width")
ROW_NORMS = ("activation_row_norm_width", "gradient_row_norm_width")
NORMS = COLUMN_NORMS + ROW_NORMS
OPTIONAL = ROW_NORMS  # not written where they are zero
CHOICES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "activation": ("model", "activation", ACTIVATIONS),
    "loss": ("training", "loss", LOSSES),
    "optimizer": ("training", "optimizer", OPTIMIZERS),
    "target": ("training", "target", TARGETS),
    "initial": ("training", "initial", INITIALS),
}
SECTIONS = ("model", "training", "fixed_point", "ranges", "protocol")


def parameters_document(p: Parameters) -> dict[str, Any]:
    """The part of a statement's text that its parameters are, in canonical order."""
    document: dict[str, Any] = {"task": p.task} | {name: {} for name in SECTIONS}
    document["model"]["widths"] = list(p.widths)
    for field, (section, key, *_) in (CHOICES | INTEGERS).items():
        if field not in OPTIONAL or getattr(p, field):
            document[section][key] = getattr(p, field)
    document["model"]["bias"] = p.bias
    document["training"]["nesterov"] = p.nesterov
    document["training"]["rates"] = list(p.rates)
    document["protocol"]["zero_knowledge"] = p.zero_knowledge
    return document
