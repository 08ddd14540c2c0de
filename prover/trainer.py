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
the update needs no rounding. Momentum and weight decay are in `prover.optimizer`; they round the last state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from verifier.initial import public_weights
from verifier.parameters import BILLION, NORMS, Parameters
from verifier.tables import SLOPE_BITS

from .activations import activate, chain
from .errors import InputInvalid
from .exact import LIMIT_BITS, Integers, empty_beside, on_host, round_half_up, take, threads_for, zeros_beside
from .loss import loss_gradient, squared_error
from .optimizer import Path
from .watch import Observed, Watch

Progress = Callable[[int], None]
Load = Callable[[Integers], Integers]
Paths = dict[str, Path]


@dataclass(frozen=True)
class State:
    """A network in integers: weights[l] is [d_l, d_(l+1)], biases[l] is [d_(l+1)], both at scale 2^`state_bits`.

    Velocities have the same shapes, at scale 2^(a + g) and summed over the batch; there are none where training starts.
    """

    weights: tuple[Integers, ...]
    biases: tuple[Integers, ...]
    weight_velocities: tuple[Integers, ...] = ()
    bias_velocities: tuple[Integers, ...] = ()

    def named(self, p: Parameters) -> dict[str, Integers]:
        """Every tensor of the state that is trained: W0, b0, velocity.W0, velocity.b0, ..."""
        parts = [("W", self.weights), ("velocity.W", self.weight_velocities)]
        if p.bias:
            parts += [("b", self.biases), ("velocity.b", self.bias_velocities)]
        return {f"{name}{layer}": values for name, tensors in parts for layer, values in enumerate(tensors)}

    def moved(self, load: Load) -> State:
        """The same state where `load` brings it."""
        tensors = (self.weights, self.biases, self.weight_velocities, self.bias_velocities)
        return State(*(tuple(load(values) for values in kind) for kind in tensors))

    def working(self, p: Parameters) -> tuple[list[Integers], list[Integers]]:
        """Weights and biases at scale 2^w, as a forward pass takes them."""
        return [w << p.state_shift for w in self.weights], [b << p.state_shift for b in self.biases]


def public_state(p: Parameters, seed: bytes) -> State:
    """The first state that a public seed of 32 bytes stands for; biases are zero."""
    weights = tuple(np.array(matrix, dtype=np.int64) for matrix in public_weights(p, seed))
    return State(weights, tuple(np.zeros(width, dtype=np.int64) for width in p.widths[1:]))


@dataclass(frozen=True)
class Trace:
    """Every integer of T steps. Lists run over layers; `GA` and `RG` start at layer 1.

    inputs [T,B,d_0], targets [T,B,d_L], indices [T,B]; Y, R, G: [T,B,d_(l+1)] for every layer; D: the same
    for hidden layers, ReLU's bit or the slope; A: [T,B,d_l] for every layer (A[0] is inputs); GA, RG: [T,B,d_l]
    for layers 1..L-1. `rounding` has the remainders of a rounded last state: W0, velocity.W0, ...
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
    rounding: dict[str, Integers] = field(default_factory=dict)

    def moved(self, load: Load) -> Trace:
        """The same run where `load` brings it: a backend's `integers`, or `on_host`. The schedule stays on the host."""
        lists = {name: [load(values) for values in getattr(self, name)] for name in _STEPS}
        return Trace(
            initial=self.initial.moved(load),
            final=self.final.moved(load),
            indices=self.indices,
            inputs=load(self.inputs),
            targets=load(self.targets),
            rounding={name: load(values) for name, values in self.rounding.items()},
            **lists,
        )


_STEPS = ("A", "Y", "R", "D", "G", "GA", "RG")


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
    p: Parameters, weights: Sequence[Integers], biases: Sequence[Integers], x: Integers, watch: Watch
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
            watch.norms("activation", layer, y if p.activation == "relu" else a)
            run.D.append(d)
            run.A.append(a)
    return run


def _backward(p: Parameters, weights: Sequence[Integers], target: Integers, run: _Pass, watch: Watch) -> None:
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
        watch.norms("gradient", layer, ga if p.activation == "relu" else g, rows=layer > 1)
        gradients.append(g)
        rounded.append(ga)
        remainders.append(rg)
    run.G, run.GA, run.RG = gradients[::-1], rounded[::-1], remainders[::-1]


def _update(p: Parameters, paths: Paths, run: _Pass, watch: Watch) -> None:
    for layer in range(p.layers):
        path = paths[f"W{layer}"]
        path.step(watch.product("A^T G", layer, run.A[layer].T, run.G[layer]), watch)
        watch.see("weight", layer, path.value >> p.state_shift)
        if not p.bias:
            continue
        path = paths[f"b{layer}"]
        ones = zeros_beside(run.G[layer], (1, len(run.G[layer]))) + 1
        total = watch.product("sum of G", layer, ones, run.G[layer])[0]
        path.step(watch.scaled("2^a sum of G", layer, total, 1 << p.activation_bits), watch)
        watch.see("weight", layer, path.value >> p.state_shift)


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
    if bool(initial.weight_velocities) != p.starts_moving:
        raise InputInvalid(
            f"the state before step {p.first_step} has {len(initial.weight_velocities)} velocities: with momentum "
            f"(here {p.momentum / BILLION:g}) every state has them but the first, without it none"
        )
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
    watch: Watch,
    record: Callable[[int, _Pass], None] | None,
    on_step: Progress | None,
) -> tuple[State, dict[str, Integers]]:
    """The last state, and the remainders of its rounding."""
    named = initial.named(p)
    watch.step = p.first_step
    for layer in range(p.layers):
        watch.see("weight", layer, initial.weights[layer])
        watch.see("weight", layer, initial.biases[layer])
    for kind in (initial.weight_velocities, initial.bias_velocities):
        for layer, values in enumerate(kind):
            watch.see("velocity", layer, values)
    paths = {
        name: Path(p, int(name[1:]), values, named.get(f"velocity.{name}"))
        for name, values in named.items()
        if not name.startswith("velocity.")
    }
    largest = p.batch * max(d_in * d_out for d_in, d_out in pairwise(p.widths))
    with threads_for(largest):
        _loop(p, paths, initial, inputs, targets, schedule, watch, record, on_step)
    return _finish(p, paths, initial, watch)


def _finish(p: Parameters, paths: Paths, initial: State, watch: Watch) -> tuple[State, dict[str, Integers]]:
    states: dict[str, Integers] = {}
    rounding: dict[str, Integers] = {}
    for name, path in paths.items():
        states[name], velocity, rest = path.finish(watch)
        rounding |= {f"{kind}{name}": values for kind, values in rest.items()}
        if velocity is not None:
            states[f"velocity.{name}"] = velocity
            watch.see("velocity", path.layer, velocity)

    def every(kind: str) -> tuple[Integers, ...]:
        return tuple(states[f"{kind}{layer}"] for layer in range(p.layers) if f"{kind}{layer}" in states)

    biases = every("b") if p.bias else initial.biases
    return State(every("W"), biases, every("velocity.W"), every("velocity.b")), rounding


def _loop(
    p: Parameters,
    paths: Paths,
    initial: State,
    inputs: Integers,
    targets: Integers,
    schedule: Integers,
    watch: Watch,
    record: Callable[[int, _Pass], None] | None,
    on_step: Progress | None,
) -> None:
    """The steps themselves; moves the paths on. The schedule stands where inputs and targets do."""
    for t in range(p.steps):
        watch.step = p.first_step + t
        weights = [paths[f"W{layer}"].value for layer in range(p.layers)]
        biases = [paths[f"b{layer}"].value if p.bias else initial.biases[layer] for layer in range(p.layers)]
        x, target = take(inputs, schedule[t]), take(targets, schedule[t])
        watch.see("input", 0, x)
        if p.target == "values":
            watch.see("target", p.layers - 1, target)
        run = _forward(p, weights, biases, x, watch)
        _backward(p, weights, target, run, watch)
        _update(p, paths, run, watch)
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
    load: Load = on_host,
) -> Trace:
    """Trains `parameters.steps` steps and keeps every integer of them.

    inputs [n, d_0] at scale 2^a, targets [n, d_L] at scale 2^target_bits (one-hot: 0 or 1), indices
    [steps][batch] into both, all on the host. `on_step` is told the number of steps done. Computed where `load`, a
    backend's `integers`, brings integers; the trace stays there. Memory: about 8 bytes times T*B*(7 times the
    neurons). InputInvalid: shapes, targets or schedule that do not fit. OutOfRange: a value left its declared width.
    """
    p = parameters
    schedule = _validate(p, initial, inputs, targets, indices)
    places, initial, inputs, targets = load(schedule), initial.moved(load), load(inputs), load(targets)
    ins, outs, hidden = p.widths[:-1], p.widths[1:], p.widths[1:-1]

    def tensors(widths: Sequence[int]) -> list[Integers]:
        return [empty_beside(inputs, (p.steps, p.batch, d)) for d in widths]

    widths = {"A": ins, "Y": outs, "R": outs, "D": hidden, "G": outs, "GA": hidden, "RG": hidden}
    kept = {name: tensors(widths[name]) for name in _STEPS}

    def record(t: int, run: _Pass) -> None:
        for name, arrays in kept.items():
            for array, values in zip(arrays, getattr(run, name), strict=True):
                array[t] = values

    final, rounding = _steps(p, initial, inputs, targets, places, Watch(p), record, on_step)
    return Trace(
        initial=initial,
        final=final,
        indices=schedule,
        inputs=kept["A"][0],
        targets=take(targets, places),
        rounding=rounding,
        **kept,
    )


def run(
    parameters: Parameters,
    initial: State,
    inputs: Integers,
    targets: Integers,
    indices: Sequence[Sequence[int]],
    on_step: Progress | None = None,
    load: Load = on_host,
) -> tuple[State, Observed]:
    """The same training without a trace: the final state, on the host, and the extremes of every ranged tensor."""
    places = load(_validate(parameters, initial, inputs, targets, indices))
    watch = Watch(parameters)
    final, _ = _steps(
        parameters, initial.moved(load), load(inputs), load(targets), places, watch, None, on_step
    )
    return final.moved(on_host), watch.observed


def forward_pass(state: State, parameters: Parameters, inputs: Integers) -> _Pass:
    """Every integer of one forward pass of inputs [n, d_0], lists over layers; ranges are not checked."""
    watch = Watch(unbounded(parameters))
    return _forward(parameters, *state.working(parameters), inputs, watch)


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
    wide |= dict.fromkeys(NORMS, 0)
    if p.activation != "relu":
        wide |= {"activation_width": 16, "backward_width": LIMIT_BITS - 2 - SLOPE_BITS}
    if p.momentum:
        wide["velocity_width"] = LIMIT_BITS - 1
    if p.loss == "mse":
        wide["error_width"] = LIMIT_BITS - 1 - (p.gradient_bits - p.activation_bits)
    if p.target == "values":
        wide["target_width"] = LIMIT_BITS - 1
    return dataclasses.replace(p, **wide)
