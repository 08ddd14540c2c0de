"""From real numbers to a run in integers: quantisation, initial weights, parameters from a dry run."""

from __future__ import annotations

import dataclasses
import itertools
import math
import secrets
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifier.check import MAX_SCHEDULE
from verifier.errors import ParametersUnsafe
from verifier.schedule import batches, work
from verifier.security import check_security, shape_of
from verifier.statement import Parameters, Statement
from verifier.training import check_bounds, training_relation

from .errors import InputInvalid, OutOfRange
from .exact import Integers, bits_needed
from .trainer import Progress, State, run, unbounded
from .watch import Observed

Bytes = Callable[[int], bytes]
MAX_RATE_BITS = 30
MAX_MULTIPLIER = 1 << 20
MAX_WEIGHT_WIDTH = 48
_RANGED = ("input", "activation", "output", "backward", "error", "weight")
_DRY_STEPS = 1024  # a dry run draws the schedule of so many steps at a time, so that long runs need no memory for it


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


def exact_rates(batch: int, rates: Sequence[float]) -> tuple[int, tuple[int, ...]]:
    """(e, k) with rates[t] / batch = k[t] * 2^-e exactly and e as small as can be; one k if all are equal.

    InputInvalid, naming the nearest rates that would do, for a rate that is no such multiple.
    """
    for rate in rates:
        if not math.isfinite(rate) or rate <= 0:
            raise InputInvalid(f"the learning rate must be a positive number, found {rate!r}")
    exact = [Fraction(rate) / batch for rate in rates]
    e = max(value.denominator.bit_length() - 1 for value in exact)
    for rate, value in zip(rates, exact, strict=True):
        dyadic = value.denominator & (value.denominator - 1) == 0
        if not dyadic or e > MAX_RATE_BITS or value * 2**e > MAX_MULTIPLIER:
            _refuse_rate(batch, rate)
    multipliers = tuple(int(value * 2**e) for value in exact)
    return e, multipliers[:1] if len(set(multipliers)) == 1 else multipliers


def _refuse_rate(batch: int, rate: float) -> None:
    exact = math.log2(batch / rate)
    near = sorted({min(max(k, 0), MAX_RATE_BITS) for k in (math.floor(exact), math.ceil(exact))}, reverse=True)
    rates = " or ".join(f"{batch / 2.0**k:.17g}" for k in near)
    raise InputInvalid(
        f"lr / batch = {rate!r} / {batch} must be k * 2^-e with e from 0 to {MAX_RATE_BITS}, so that the weight update "
        f"is exact. With batch {batch}, use lr {rates}, or a small multiple of such a rate."
    )


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
) -> Parameters:
    """The run as asked for, with the widest ranges the format allows, for `choose_parameters` to narrow.

    `rate` is one learning rate, or one for each step. InputInvalid: what no run could be trained with.
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
    wide = min(16, table_bits)
    hot = target == "one-hot"
    e, multipliers = exact_rates(batch, rates)
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
        rates=multipliers,
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
    )


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


def _dry_run(
    draft: Parameters, state: State, inputs: Integers, targets: Integers, seed: bytes, on_step: Progress | None
) -> Observed:
    """The extremes of every ranged tensor in a run on a throwaway schedule."""
    seen = Observed()
    for first in range(0, draft.steps, _DRY_STEPS):
        part = unbounded(part_of(draft, first, min(_DRY_STEPS, draft.steps - first)))
        schedule = batches(seed, len(inputs), part.batch, part.first_step, part.steps)
        count = None if on_step is None else (lambda done, before=first: on_step(before + done))
        state, found = run(part, state, inputs, targets, schedule, count)
        for name, (low, high) in found.ranges.items():
            old = seen.ranges.get(name, (low, high))
            seen.ranges[name] = (min(low, old[0]), max(high, old[1]))
    return seen


def choose_parameters(
    draft: Parameters,
    initial: State,
    inputs: Integers,
    targets: Integers,
    on_step: Progress | None = None,
    seed: bytes | None = None,
) -> tuple[Parameters, Observed]:
    """Trains once on a throwaway schedule and sets every width to what was seen plus one bit.

    The schedule of the real run follows from commitments that do not exist yet; the spare bit covers the
    difference, and is left out where it would exceed the limit of min(16, table_bits) bits (weights: 48). The
    input range is taken from the whole data set and needs none. OutOfRange, with what to change: a tensor
    needs more.
    """
    observed = _dry_run(draft, initial, inputs, targets, seed or secrets.token_bytes(32), on_step)
    observed.ranges["input"] = (int(inputs.min()), int(inputs.max()))
    widths: dict[str, Any] = {}
    for name in _RANGED:
        if name == "error" and draft.loss == "ce":
            continue
        limit = MAX_WEIGHT_WIDTH if name == "weight" else min(16, draft.table_bits)
        needed = observed.width(name)
        if needed > limit:
            low, high = observed.ranges[name]
            raise OutOfRange(
                f"a dry run of {draft.steps} steps shows {name} from {low} to {high}: that is {needed} bits, "
                f"and at most {limit} can be proven. Lower the learning rate, scale the inputs down or "
                "use fewer "
                "scale bits."
            )
        widths[f"{name}_width"] = max(2, min(limit, needed + (name != "input")))
    if draft.target == "values":
        widths["target_width"] = bits_needed(int(targets.min()), int(targets.max()))
        if widths["target_width"] > min(16, draft.table_bits):
            raise OutOfRange(f"targets need {widths['target_width']} bits; scale them down")
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


def choose_rows(parameters: Parameters, samples: int) -> Parameters:
    """The same run with the row length that gives the shortest proof at the security and openings asked for.

    ParametersUnsafe when no row length can give them, or when the run's integers could wrap around the field.
    """
    check_bounds(parameters)
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
