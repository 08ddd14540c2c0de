"""Exact-integer stochastic gradient descent: the run that a proof is about, as integers from start to end.

Notation of docs/protocol.md, for layers l = 0..L-1 with widths d_0..d_L, batch size B, scales 2^a
(activations), 2^g (gradients), 2^w (weights, w = a + g + e). A_0 is the batch of inputs at scale 2^a:

    Z_l = A_l W_l + 2^a bias_l        Y_l = floor(Z_l / 2^w + 1/2)      R_l = Z_l - 2^w Y_l + 2^(w-1)
    D_l = [Y_l > 0]                   A_(l+1) = Y_l * D_l               (hidden layers, l < L-1; ReLU)
    G_(L-1) = 2^(g-a) * (Y_(L-1) - 2^(a-target_bits) * target)
    GA_l = floor(G_l W_l^T / 2^w + 1/2)    G_(l-1) = GA_l * D_(l-1)     (l = L-1..1, remainder RG_l as above)
    W_l <- W_l - A_l^T G_l            bias_l <- bias_l - 2^a * sum_b G_l

Other activations (`prover.activations`) take A_(l+1) and the slope D_l from tables, and G_(l-1) is GA_l D_(l-1) at the
slope's scale, rounded. Networks without bias keep biases of zero.
The loss is half the sum of squares, averaged over the batch (`prover.loss` has cross entropy), and lr / B = 2^-e; with
learning-rate multipliers k_t both updates carry the factor k_t. Gradients use the weights from before the update, and
the update needs no rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from verifier.initial import public_weights
from verifier.statement import Parameters
from verifier.tables import SLOPE_BITS

from .activations import activate, chain
from .errors import InputInvalid, OutOfRange
from .exact import LIMIT_BITS, Integers, bits_needed, matmul_exact, round_half_up, threads_for
from .loss import loss_gradient, squared_error

Progress = Callable[[int], None]


@dataclass(frozen=True)
class State:
    """A network in integers at scale 2^w: weights[l] is [d_l, d_(l+1)], biases[l] is [d_(l+1)]."""

    weights: tuple[Integers, ...]
    biases: tuple[Integers, ...]


def public_state(p: Parameters, seed: bytes) -> State:
    """The first state that a public seed of 32 bytes stands for; biases are zero."""
    weights = tuple(np.array(matrix, dtype=np.int64) for matrix in public_weights(p, seed))
    return State(weights, tuple(np.zeros(width, dtype=np.int64) for width in p.widths[1:]))


@dataclass(frozen=True)
class Trace:
    """Every integer of T steps. Lists run over layers; `GA` and `RG` start at layer 1.

    inputs [T,B,d_0], targets [T,B,d_L], indices [T,B]; Y, R, G: [T,B,d_(l+1)] for every layer; D: the same
    for hidden layers, ReLU's bit or the slope; A: [T,B,d_l] for every layer (A[0] is inputs); GA, RG: [T,B,d_l]
    for layers 1..L-1.
    """

    initial: State
    final: State
    indices: Integers
    inputs: Integers
    targets: Integers
    A: list[Integers]
    Y: list[Integers]
    R: list[Integers]
    D: list[Integers]
    G: list[Integers]
    GA: list[Integers]
    RG: list[Integers]


@dataclass
class Observed:
    """Smallest and largest value seen of each ranged tensor, by name ("activation", "weight", ...)."""

    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)

    def width(self, name: str) -> int:
        """Bits of the narrowest signed range that holds all values seen of `name` (1 if none was seen)."""
        return bits_needed(*self.ranges.get(name, (0, 0)))


@dataclass
class _Watch:
    """Checks each tensor against its declared width as it comes into being, and keeps the extremes."""

    parameters: Parameters
    observed: Observed = field(default_factory=Observed)
    step: int = 0

    def see(self, name: str, layer: int, values: Integers) -> None:
        low, high = int(values.min()), int(values.max())
        old = self.observed.ranges.get(name, (low, high))
        self.observed.ranges[name] = (min(low, old[0]), max(high, old[1]))
        width: int = getattr(self.parameters, f"{name}_width")
        if low < -(1 << (width - 1)) or high >= 1 << (width - 1):
            worst = high if high >= 1 << (width - 1) else low
            raise OutOfRange(
                f"step {self.step}, layer {layer}: {name} {worst} does not fit {name}_width = {width} "
                f"bits; it needs {bits_needed(low, high)}. Declare a wider range or lower the rate."
            )

    def product(self, name: str, layer: int, a: Integers, b: Integers) -> Integers:
        """a @ b, exact, with the place of an overflow of 64-bit integers in the message."""
        try:
            return matmul_exact(a, b)
        except OutOfRange as error:
            raise OutOfRange(f"step {self.step}, layer {layer}: {name}: {error}") from None

    def scaled(self, name: str, layer: int, values: Integers, factor: int) -> Integers:
        """values * factor >= 0, refused when it would leave the 64-bit integers that the prover computes with."""
        needed = bits_needed(int(values.min()), int(values.max())) + max(0, factor - 1).bit_length()
        if needed > LIMIT_BITS - 1:
            raise OutOfRange(
                f"step {self.step}, layer {layer}: {name} needs {needed} bits, "
                f"the trainer computes with {LIMIT_BITS - 1}. Lower the rate or the scales."
            )
        return values if factor == 1 else values * factor


@dataclass
class _Pass:
    """The tensors of one step, named as in Trace, without the leading step axis."""

    A: list[Integers]
    Y: list[Integers] = field(default_factory=list)
    R: list[Integers] = field(default_factory=list)
    D: list[Integers] = field(default_factory=list)
    G: list[Integers] = field(default_factory=list)
    GA: list[Integers] = field(default_factory=list)
    RG: list[Integers] = field(default_factory=list)


def _forward(
    p: Parameters, weights: Sequence[Integers], biases: Sequence[Integers], x: Integers, watch: _Watch
) -> _Pass:
    run = _Pass(A=[x])
    for layer in range(p.layers):
        z = watch.product("Z", layer, run.A[layer], weights[layer])
        z += watch.scaled("2^a bias", layer, biases[layer], 1 << p.activation_bits)
        y, r = round_half_up(z, p.weight_bits)
        last = layer == p.layers - 1
        watch.see("output" if last else "activation", layer, y)
        run.Y.append(y)
        run.R.append(r)
        if not last:
            a, d = activate(y, p)
            run.D.append(d)
            run.A.append(a)
    return run


def _backward(p: Parameters, weights: Sequence[Integers], target: Integers, run: _Pass, watch: _Watch) -> None:
    last = p.layers - 1
    if p.loss == "mse":
        watch.see("error", last, squared_error(run.Y[last], target, p))
    g = loss_gradient(run.Y[last], target, p)
    gradients, rounded, remainders = [g], [], []
    for layer in range(last, 0, -1):
        ga, rg = round_half_up(watch.product("G W^T", layer, g, weights[layer].T), p.weight_bits)
        watch.see("backward", layer, ga)
        g, _ = chain(ga, run.D[layer - 1], p)
        if p.activation != "relu":
            watch.see("backward", layer, g)
        gradients.append(g)
        rounded.append(ga)
        remainders.append(rg)
    run.G, run.GA, run.RG = gradients[::-1], rounded[::-1], remainders[::-1]


def _update(p: Parameters, weights: list[Integers], biases: list[Integers], run: _Pass, watch: _Watch) -> None:
    rate = p.rate(watch.step - p.first_step)
    for layer in range(p.layers):
        change = watch.product("A^T G", layer, run.A[layer].T, run.G[layer])
        weights[layer] -= watch.scaled("rate A^T G", layer, change, rate)
        watch.see("weight", layer, weights[layer])
        if not p.bias:
            continue
        total = watch.product("sum of G", layer, np.ones((1, len(run.G[layer])), dtype=np.int64), run.G[layer])[0]
        biases[layer] -= watch.scaled("2^a rate sum of G", layer, total, rate << p.activation_bits)
        watch.see("weight", layer, biases[layer])


def _validate(
    p: Parameters, initial: State, inputs: Integers, targets: Integers, indices: Sequence[Sequence[int]]
) -> Integers:
    """Refuses what could not be trained on at all, and returns the schedule as an array [T,B]."""
    if p.weight_bits > LIMIT_BITS - 2:
        raise InputInvalid(f"w = a + g + e = {p.weight_bits} bits leaves no room in 64-bit integers")
    shapes = [w.shape for w in initial.weights]
    if shapes != list(zip(p.widths[:-1], p.widths[1:], strict=True)) or [b.shape for b in initial.biases] != [
        (d,) for d in p.widths[1:]
    ]:
        raise InputInvalid(f"the initial state has weights of shapes {shapes}, the layers are {p.widths}")
    if not p.bias and any(bias.any() for bias in initial.biases):
        raise InputInvalid("the initial state has biases that are not zero, the network has none")
    if inputs.ndim != 2 or inputs.shape[1] != p.widths[0] or not len(inputs):
        raise InputInvalid(f"inputs have shape {inputs.shape}, expected [n, {p.widths[0]}] with n > 0")
    if targets.shape != (len(inputs), p.widths[-1]):
        raise InputInvalid(f"targets have shape {targets.shape}, expected {(len(inputs), p.widths[-1])}")
    if p.target == "one-hot" and not (np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all()):
        raise InputInvalid("one-hot targets must hold exactly one 1 and otherwise 0 in every row")
    schedule = np.asarray(indices, dtype=np.int64)
    if schedule.shape != (p.steps, p.batch):
        raise InputInvalid(f"the schedule has shape {schedule.shape}, expected {(p.steps, p.batch)}")
    if schedule.min() < 0 or schedule.max() >= len(inputs):
        raise InputInvalid(f"the schedule picks sample {int(schedule.max())} of {len(inputs)}")
    return schedule


def _steps(
    p: Parameters,
    initial: State,
    inputs: Integers,
    targets: Integers,
    schedule: Integers,
    watch: _Watch,
    record: Callable[[int, _Pass], None] | None,
    on_step: Progress | None,
) -> State:
    weights = [w.astype(np.int64, copy=True) for w in initial.weights]
    biases = [b.astype(np.int64, copy=True) for b in initial.biases]
    watch.step = p.first_step
    for layer in range(p.layers):
        watch.see("weight", layer, weights[layer])
        watch.see("weight", layer, biases[layer])
    largest = p.batch * max(d_in * d_out for d_in, d_out in pairwise(p.widths))
    with threads_for(largest):
        _loop(p, weights, biases, inputs, targets, schedule, watch, record, on_step)
    return State(tuple(weights), tuple(biases))


def _loop(
    p: Parameters,
    weights: list[Integers],
    biases: list[Integers],
    inputs: Integers,
    targets: Integers,
    schedule: Integers,
    watch: _Watch,
    record: Callable[[int, _Pass], None] | None,
    on_step: Progress | None,
) -> None:
    """The steps themselves; updates weights and biases in place."""
    for t in range(p.steps):
        watch.step = p.first_step + t
        x, target = inputs[schedule[t]], targets[schedule[t]]
        watch.see("input", 0, x)
        if p.target == "values":
            watch.see("target", p.layers - 1, target)
        run = _forward(p, weights, biases, x, watch)
        _backward(p, weights, target, run, watch)
        _update(p, weights, biases, run, watch)
        if record is not None:
            record(t, run)
        if on_step is not None:
            on_step(t + 1)


def train(
    parameters: Parameters,
    initial: State,
    inputs: Integers,
    targets: Integers,
    indices: Sequence[Sequence[int]],
    on_step: Progress | None = None,
) -> Trace:
    """Trains `parameters.steps` steps and keeps every integer of them.

    inputs [n, d_0] at scale 2^a, targets [n, d_L] at scale 2^target_bits (one-hot: 0 or 1), indices
    [steps][batch] into both. `on_step` is told the number of steps done. Memory: about 8 bytes times T*B*(7
    times the neurons). InputInvalid: shapes, targets or schedule that do not fit. OutOfRange: a value left
    its declared width.
    """
    p = parameters
    schedule = _validate(p, initial, inputs, targets, indices)
    ins, outs, hidden = p.widths[:-1], p.widths[1:], p.widths[1:-1]

    def tensors(widths: Sequence[int]) -> list[Integers]:
        return [np.empty((p.steps, p.batch, d), dtype=np.int64) for d in widths]

    kept = {
        "A": tensors(ins),
        "Y": tensors(outs),
        "R": tensors(outs),
        "D": tensors(hidden),
        "G": tensors(outs),
        "GA": tensors(hidden),
        "RG": tensors(hidden),
    }

    def record(t: int, run: _Pass) -> None:
        for name, arrays in kept.items():
            for array, values in zip(arrays, getattr(run, name), strict=True):
                array[t] = values

    final = _steps(p, initial, inputs, targets, schedule, _Watch(p), record, on_step)
    return Trace(initial=initial, final=final, indices=schedule, inputs=kept["A"][0], targets=targets[schedule], **kept)


def run(
    parameters: Parameters,
    initial: State,
    inputs: Integers,
    targets: Integers,
    indices: Sequence[Sequence[int]],
    on_step: Progress | None = None,
) -> tuple[State, Observed]:
    """The same training without a trace: the final state, and the extremes of every ranged tensor."""
    schedule = _validate(parameters, initial, inputs, targets, indices)
    watch = _Watch(parameters)
    final = _steps(parameters, initial, inputs, targets, schedule, watch, None, on_step)
    return final, watch.observed


def forward_pass(state: State, parameters: Parameters, inputs: Integers) -> _Pass:
    """Every integer of one forward pass of inputs [n, d_0], lists over layers; ranges are not checked."""
    watch = _Watch(unbounded(parameters))
    return _forward(parameters, state.weights, state.biases, inputs, watch)


def outputs(state: State, parameters: Parameters, inputs: Integers) -> Integers:
    """Y of the last layer for inputs [n, d_0] at scale 2^a: [n, d_L] at scale 2^a. Widths are not checked
    here."""
    if inputs.ndim != 2 or inputs.shape[1] != parameters.widths[0]:
        raise InputInvalid(f"inputs have shape {inputs.shape}, the network takes [n, {parameters.widths[0]}]")
    return forward_pass(state, parameters, inputs).Y[-1]


def predict(state: State, parameters: Parameters, inputs: Integers) -> Integers:
    """The class of each input, [n]: the index of the largest output, the lowest index on a tie."""
    return np.asarray(outputs(state, parameters, inputs).argmax(axis=1), dtype=np.int64)


def unbounded(p: Parameters) -> Parameters:
    """The same run with ranges as wide as the trainer's own integers: what a dry run observes with.

    Activations from tables keep to the 16 bits of the largest table, and gradients leave room for their slope.
    """
    wide: dict[str, Any] = {
        f"{name}_width": LIMIT_BITS - 1 for name in ("input", "activation", "output", "backward", "weight")
    }
    if p.activation != "relu":
        wide |= {"activation_width": 16, "backward_width": LIMIT_BITS - 2 - SLOPE_BITS}
    if p.loss == "mse":
        wide["error_width"] = LIMIT_BITS - 1 - (p.gradient_bits - p.activation_bits)
    if p.target == "values":
        wide["target_width"] = LIMIT_BITS - 1
    return dataclasses.replace(p, **wide)
