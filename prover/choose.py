"""From real numbers to a run in integers: quantisation, initial weights, parameters from a dry run."""

from __future__ import annotations

import dataclasses
import itertools
import math
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifier.check import MAX_SCHEDULE
from verifier.errors import ParametersUnsafe
from verifier.parameters import BILLION, COLUMN_NORMS, NORMS, ROW_NORMS
from verifier.schedule import batches, work
from verifier.security import check_security, shape_of
from verifier.statement import Parameters, Statement
from verifier.training import check_bounds, training_relation

from .errors import InputInvalid, OutOfRange
from .exact import Integers, bits_needed
from .rates import multipliers
from .trainer import Progress, State, run, unbounded
from .watch import Observed

Bytes = Callable[[int], bytes]
MAX_WEIGHT_WIDTH = 48
_RANGED = ("input", "activation", "output", "backward", "error", "weight", "velocity")
_DRY_STEPS = 1024  # a dry run draws the schedule of so many steps at a time, so that long runs need no memory for it
_DRY_SAMPLES = 256  # a dry run of fewer is too small a sample of what other batches do: it is made several times
_DRY_MOVING_STEPS = 64  # with momentum or decay a part keeps all its gradients, and shows its velocity at its end
# Fractional bits of the coefficients of rounded states, and the least multiplier of a learning rate, for momentum alone
# and with decay: a decayed state is committed with so many bits fewer than the weights have that it starts.
_MOMENTUM, _DECAY = (16, 8), (12, 64)


def quantize(values: NDArray[np.float64], bits: int, width: int, what: str) -> Integers:
    """floor(values * 2^bits + 1/2) as int64; InputInvalid for a value outside `width` signed bits."""
    scaled = np.floor(np.asarray(values, dtype=np.float64) * 2.0**bits + 0.5)
    wrong = ~((scaled >= -(2.0 ** (width - 1))) & (scaled < 2.0 ** (width - 1)))
    if wrong.any():
        place = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise InputInvalid(
            f"{what}: value {float(values[place])!r} at index {list(place)} is outside the fixed-point "
            f"range +-2^{width - 1 - bits} ({bits} bits after the point, {width} in all). Scale it."
        )
    return np.asarray(scaled.astype(np.int64))


def one_hot(labels: Integers, classes: int) -> Integers:
    """[n] labels in [0, classes) -> [n, classes] rows with a single 1."""
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InputInvalid(f"labels run from {labels.min()} to {labels.max()}, the last layer has {classes} outputs")
    return np.asarray((labels[:, None] == np.arange(classes)).astype(np.int64))


def initial_state(widths: Sequence[int], weight_bits: int, random: Bytes = secrets.token_bytes) -> State:
    """He-uniform weights at scale 2^weight_bits: in +-sqrt(6 / d_in) before a ReLU, +-sqrt(3 / d_in) in the
    last layer.

    Biases are zero. `random(n)` gives n bytes; the default is the operating system's generator, since initial
    weights are a secret of the run. Only tests pass a seeded one.
    """
    weights = []
    for layer, (d_in, d_out) in enumerate(itertools.pairwise(widths)):
        gain = 3 if layer == len(widths) - 2 else 6
        words = np.frombuffer(random(8 * d_in * d_out), dtype="<u8").reshape(d_in, d_out)
        unit = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        weights.append(np.rint((2 * unit - 1) * math.sqrt(gain / d_in) * 2.0**weight_bits).astype(np.int64))
    return State(tuple(weights), tuple(np.zeros(d, dtype=np.int64) for d in widths[1:]))


def draft_parameters(
    *,
    widths: Sequence[int],
    batch: int,
    steps: int,
    rate: float | Sequence[float],
    target: str,
    table_bits: int,
    row_bits: int,
    blowup_bits: int,
    data_openings: int,
    state_openings: int,
    security_bits: int,
    zero_knowledge: bool,
    activation_bits: int = 8,
    gradient_bits: int = 12,
    first_step: int = 0,
    loss: str = "mse",
    activation: str = "relu",
    bias: bool = True,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Parameters:
    """The run as asked for, with the widest ranges the format allows, for `choose_parameters` to narrow.

    `rate` is one learning rate, or one for each step; those that are no small multiple of a power of two are rounded
    (`rates.py`). InputInvalid: what no run could be trained with.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise InputInvalid(f"layers {'-'.join(map(str, widths))}: give at least two positive widths, as 64-128-10")
    if batch < 1 or steps < 1:
        raise InputInvalid(f"batch = {batch} and steps = {steps} must be at least 1")
    if loss == "ce" and target != "one-hot":
        raise InputInvalid("cross entropy is a loss of classes: it needs one-hot targets")
    rates = [rate] if isinstance(rate, int | float) else list(rate)
    if not isinstance(rate, int | float) and len(rates) != steps:
        raise InputInvalid(f"{len(rates)} learning rates for {steps} steps: give one, or one for each")
    if loss == "mse" and gradient_bits < activation_bits:
        raise InputInvalid(f"gradient bits {gradient_bits} must not be fewer than activation bits {activation_bits}")
    billionths = _billionths("momentum", momentum, BILLION - 1), _billionths("weight decay", weight_decay, BILLION)
    if nesterov and not billionths[0]:
        raise InputInvalid("Nesterov's momentum needs a momentum")
    kernel_bits, least = _DECAY if billionths[1] else _MOMENTUM if billionths[0] else (0, 1)
    wide = min(16, table_bits)
    hot = target == "one-hot"
    e, steps_rates = multipliers(batch, rates, least)
    return Parameters(
        widths=tuple(widths),
        activation=activation,
        loss=loss,
        optimizer="sgd",
        target=target,
        batch=batch,
        steps=steps,
        first_step=first_step,
        rate_bits=e,
        rates=steps_rates,
        activation_bits=activation_bits,
        gradient_bits=gradient_bits,
        target_bits=0 if hot else activation_bits,
        input_width=wide,
        target_width=1 if hot else wide,
        activation_width=wide,
        output_width=wide,
        backward_width=wide,
        error_width=wide if loss == "mse" else 2,
        weight_width=MAX_WEIGHT_WIDTH,
        table_bits=table_bits,
        row_bits=row_bits,
        blowup_bits=blowup_bits,
        data_openings=data_openings,
        state_openings=state_openings,
        security_bits=security_bits,
        zero_knowledge=zero_knowledge,
        bias=bias,
        momentum=billionths[0],
        nesterov=nesterov,
        weight_decay=billionths[1],
        kernel_bits=kernel_bits,
        velocity_width=MAX_WEIGHT_WIDTH if billionths[0] else 2,
    )


def _billionths(name: str, value: float, limit: int) -> int:
    found = round(value * BILLION) if math.isfinite(value) else -1
    if not 0 <= found <= limit or (found == 0) != (value == 0):
        raise InputInvalid(f"{name} = {value!r}: from 0 to {limit / BILLION:.9g}, with up to nine decimal places")
    return found


def part_of(p: Parameters, first: int, steps: int) -> Parameters:
    """The same run's parameters for `steps` steps from its step `first` on; equal rates are written once."""
    rates = p.rates if len(p.rates) == 1 else p.rates[first : first + steps]
    place = p.first_step + first
    return dataclasses.replace(
        p,
        first_step=place,
        steps=steps,
        rates=rates[:1] if len(set(rates)) == 1 else rates,
        initial=p.initial if place == 0 else "committed",
    )


def _dry_runs(
    draft: Parameters, initial: State, inputs: Integers, targets: Integers, seed: bytes, on_step: Progress | None
) -> Observed:
    """The extremes of every ranged tensor in as many runs on a throwaway schedule as it takes to see enough samples."""
    seen, length = Observed(), _DRY_STEPS if draft.plain else _DRY_MOVING_STEPS
    runs = -(-_DRY_SAMPLES // (draft.batch * draft.steps))
    for number in range(runs):
        state = initial
        for first in range(0, draft.steps, length):
            part = unbounded(part_of(draft, first, min(length, draft.steps - first)))
            # All runs' batches of this part at once: a schedule is drawn by whole epochs.
            drawn = batches(seed, len(inputs), part.batch, part.first_step * runs, part.steps * runs)
            count = None if on_step is None else (lambda done, before=first: on_step(before + done))
            state, found = run(part, state, inputs, targets, drawn[number::runs], count)
            for name, (low, high) in found.ranges.items():
                seen.widen(name, low, high)
    return seen


def choose_parameters(
    draft: Parameters,
    initial: State,
    inputs: Integers,
    targets: Integers,
    on_step: Progress | None = None,
    seed: bytes | None = None,
) -> tuple[Parameters, Observed]:
    """Trains on a throwaway schedule, short runs several times from the same start, and sets every width to what was
    seen plus one bit; velocities, which are seen now and then only, plus two.

    The schedule of the real run follows from commitments that do not exist yet; the spare bit covers the
    difference, and is left out where it would exceed the limit of min(16, table_bits) bits (weights: 48). The
    input range is taken from the whole data set and needs none. OutOfRange, with what to change: a tensor
    needs more.
    """
    observed = _dry_runs(draft, initial, inputs, targets, seed or secrets.token_bytes(32), on_step)
    observed.ranges["input"] = (int(inputs.min()), int(inputs.max()))
    widths: dict[str, Any] = {}
    spare = {"input": 0, "velocity": 2}
    for name in _RANGED:
        if (name == "error" and draft.loss == "ce") or (name == "velocity" and not draft.momentum):
            continue
        limit = MAX_WEIGHT_WIDTH if name in ("weight", "velocity") else min(16, draft.table_bits)
        needed = observed.width(name)
        if needed > limit:
            low, high = observed.ranges[name]
            raise OutOfRange(
                f"a dry run of {draft.steps} steps shows {name} from {low} to {high}: that is {needed} bits, "
                f"and at most {limit} can be proven. Lower the learning rate, scale the inputs down or "
                "use fewer "
                "scale bits."
            )
        widths[f"{name}_width"] = max(2, min(limit, needed + spare.get(name, 1)))
    if draft.target == "values":
        widths["target_width"] = bits_needed(int(targets.min()), int(targets.max()))
        if widths["target_width"] > min(16, draft.table_bits):
            raise OutOfRange(f"targets need {widths['target_width']} bits; scale them down")
    for name in NORMS:  # not signed: the bit of the sign is the spare one
        if name.removesuffix("_width") in observed.ranges:
            widths[name] = observed.width(name.removesuffix("_width"))
    return dataclasses.replace(draft, **widths), observed


def check_schedule(parameters: Parameters, samples: int) -> None:
    """ParametersUnsafe for a run whose schedule is longer than verifiers draw; cheap, so that it can come first."""
    p = parameters
    drawn = work(samples, p.batch, p.first_step, p.steps)
    if drawn > MAX_SCHEDULE:
        raise ParametersUnsafe(
            f"the schedule of {p.steps} steps has {drawn} indices to draw, at most {MAX_SCHEDULE} are verified: "
            "prove fewer steps at a time"
        )


def norm_choices(p: Parameters) -> list[Parameters]:
    """The same run with fewer claims on norms: with none, those of columns, those of rows, and all that it has."""
    found = []
    for names in (NORMS, ROW_NORMS, COLUMN_NORMS, ()):
        changes: dict[str, Any] = dict.fromkeys(names, 0)
        found.append(dataclasses.replace(p, **changes))
    return list(dict.fromkeys(found))


def _least_claims(p: Parameters) -> Parameters:
    *fewer, whole = norm_choices(p)
    for candidate in fewer:
        try:
            check_bounds(candidate)
            return candidate
        except ParametersUnsafe:
            continue
    check_bounds(whole)
    return whole


def choose_rows(parameters: Parameters, samples: int) -> Parameters:
    """The same run with the row length that gives the shortest proof at the security and openings asked for.

    It has no more claims on norms than keep its integers from wrapping around.

    ParametersUnsafe when no row length can give them, or when the run's integers could wrap around the field.
    """
    parameters = _least_claims(parameters)
    zero = bytes(32)
    best: tuple[int, Parameters] | None = None
    refused: ParametersUnsafe | None = None
    for bits in range(6, 19):
        candidate = dataclasses.replace(parameters, row_bits=bits)
        statement = Statement(candidate, samples, zero, zero, zero, zero, zero)
        try:
            shape = shape_of(statement, training_relation(statement))
            check_security(shape, candidate)
        except ParametersUnsafe as error:
            refused = error
            continue
        if best is not None and shape.max_bytes > best[0]:
            break
        best = shape.max_bytes, candidate
    if best is None:
        raise refused or ParametersUnsafe("no row length fits")
    return best[1]
