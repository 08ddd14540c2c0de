"""The optimiser as public numbers: how much of the first state and of every gradient stands in each later state.

One step of stochastic gradient descent with momentum m, weight decay d and the multiplier k of its learning rate, on a
gradient M (a sum over the batch), as torch.optim.SGD has it:

    H = M + d' W        V <- m V + H        W <- W - k V, or with Nesterov's momentum W <- W - k (H + m V)

d' = d B 2^-e, since H stands at the scale of M and W at that of k M. All of this is linear, so that with integers that
follow from the parameters alone

    W_t = states[t] W_0 - velocities[t] V_0 - sum over tau < t of gradients[tau][t - tau - 1] M_tau.

They are computed at _PRECISION fractional bits and rounded once. This rounding is part of the definition of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from .errors import ParametersUnsafe
from .parameters import BILLION, Parameters

_PRECISION = 96
_ONE = 1 << _PRECISION
_LARGEST = 1 << (_PRECISION + 64)  # a coefficient of 2^64 lets weights wrap around, whatever their range


@dataclass(frozen=True)
class Coefficients:
    """The integers of a run of T steps: states and velocities for t = 0..T, gradients[tau] for t = tau + 1..T.

    The last velocity is 2^q V_T = last[0] W_0 + last[1] V_0 + sum over tau of last_gradients[tau] M_tau, q =
    `kernel_bits`, before it is rounded.
    """

    states: tuple[int, ...]
    velocities: tuple[int, ...]
    gradients: tuple[tuple[int, ...], ...]
    last: tuple[int, int]
    last_gradients: tuple[int, ...]


@lru_cache(maxsize=8)
def coefficients(p: Parameters) -> Coefficients:
    """The coefficients of a run: O(T^2) multiplications, O(T) where the learning rate is constant.

    ParametersUnsafe when one passes 2^64: a statement could make them grow by many bits a step.
    """
    states, from_state = _source(p, 0, _ONE << p.state_shift, 0, 0)
    velocities, from_velocity = _source(p, 0, 0, _ONE, 0)
    columns = [_source(p, 0, 0, 0, _ONE)] if len(p.rates) == 1 else [_source(p, t, 0, 0, _ONE) for t in range(p.steps)]
    if len(columns) == 1:  # what a gradient becomes depends on its age alone
        whole, ages = columns[0]
        columns = [(whole[: p.steps - t], ages[: p.steps - t]) for t in range(p.steps)]
    return Coefficients(
        states=(1 << p.state_shift, *(_round(w, 0) for w in states)),
        velocities=(0, *(_round(-w, 0) for w in velocities)),
        gradients=tuple(tuple(_round(-w, 0) for w in weights) for weights, _ in columns),
        last=(_round(from_state[-1], p.kernel_bits), _round(from_velocity[-1], p.kernel_bits)),
        last_gradients=tuple(_round(ages[-1], p.kernel_bits) for _, ages in columns),
    )


def _source(p: Parameters, first: int, w: int, v: int, gradient: int) -> tuple[list[int], list[int]]:
    """Shares of one source in W and V after each step from `first` on; a gradient enters with that step itself."""
    momentum = (p.momentum << _PRECISION) // BILLION
    decay = ((p.weight_decay * p.batch) << _PRECISION) // (BILLION << p.rate_bits)
    weights, velocities = [], []
    for step in range(first, p.steps):
        h = gradient + (decay * w >> _PRECISION)
        v = (momentum * v >> _PRECISION) + h
        w -= p.rate(step) * (h + (momentum * v >> _PRECISION) if p.nesterov else v)
        gradient = 0
        if max(abs(w), abs(v)) >= _LARGEST:
            raise ParametersUnsafe(
                f"step {p.first_step + step}: with momentum {p.momentum / BILLION:g} and weight decay "
                f"{p.weight_decay / BILLION:g} a coefficient of the optimiser passes 2^64, and weights could wrap "
                "around the field: lower the learning rate or the decay"
            )
        weights.append(w)
        velocities.append(v)
    return weights, velocities


def _round(value: int, bits: int) -> int:
    """round(2^bits value), half up, of a number at _PRECISION fractional bits."""
    return ((value << bits) + (_ONE >> 1)) >> _PRECISION


def spread(p: Parameters) -> tuple[int, int, int]:
    """The largest of |states[t]|, of |velocities[t]|, and of the sums over tau of |gradients| in any state."""
    if p.plain:
        return 1, 0, sum(p.rate(step) for step in range(p.steps))
    found = coefficients(p)
    sums = [0] * p.steps
    for step, column in enumerate(found.gradients):
        for age, value in enumerate(column):
            sums[step + age] += abs(value)
    return max(map(abs, found.states)), max(map(abs, found.velocities)), max(sums)
