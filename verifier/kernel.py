"""Random combinations of the states of a run, as weights on its first state, first velocity and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

from .field import ONE, ZERO, Ext, equality_table, total
from .optimizer import coefficients
from .statement import Parameters


@dataclass(frozen=True)
class Kernel:
    """How a weight claim weighs the run: initial * W_0 + velocity * V_0 - sum of steps[tau] * (step tau's gradient)."""

    initial: Ext
    velocity: Ext
    steps: tuple[Ext, ...]

    def evaluate(self, point: Sequence[Ext]) -> Ext:
        """The multilinear extension of `steps` (zero beyond the last) at a point over the step axis."""
        table = equality_table(point, len(self.steps))
        return total(a * b for a, b in zip(self.steps, table, strict=True))


def state_kernel(point: Sequence[Ext], p: Parameters) -> Kernel:
    """The kernel of sum_t eq(point, t) W_t over the states before each step t < T, see `optimizer.py`.

    A plain step's share is steps[tau] = k_tau sum_{t > tau} eq(point, t); with momentum or decay all take O(T^2).
    """
    shares = equality_table(point, p.steps)
    if p.plain:
        after, out = ZERO, []
        for step, share in reversed(list(enumerate(shares))):
            out.append(after * p.rate(step))
            after = after + share
        return Kernel(after, ZERO, tuple(reversed(out)))
    found = coefficients(p)
    planes = [[share[k] for share in shares] for k in range(3)]
    steps = [_combine(column, planes, tau + 1) for tau, column in enumerate(found.gradients)]
    return Kernel(_combine(found.states, planes, 0), -_combine(found.velocities, planes, 0), tuple(steps))


def _combine(integers: Sequence[int], planes: Sequence[list[int]], first: int) -> Ext:
    """The sum of integers[i] * (element first + i), for elements given by their three planes."""
    return Ext.of([sum(map(mul, integers, plane[first:])) for plane in planes])


def final_kernel(p: Parameters) -> Kernel:
    """The kernel of the state after the last step."""
    if p.plain:
        return Kernel(ONE, ZERO, tuple(ONE * p.rate(step) for step in range(p.steps)))
    found = coefficients(p)
    last = tuple(Ext.of(column[-1]) for column in found.gradients)
    return Kernel(Ext.of(found.states[-1]), Ext.of(-found.velocities[-1]), last)


def last_kernels(p: Parameters) -> dict[bool, Kernel]:
    """The kernels of what a run ends with, made once for all tensors: of the state, and under True of the velocity."""
    kernels = {False: final_kernel(p)}
    return kernels | {True: velocity_kernel(p)} if p.momentum else kernels


def velocity_kernel(p: Parameters) -> Kernel:
    """The kernel of 2^q times the velocity after the last step."""
    found = coefficients(p)
    return Kernel(Ext.of(found.last[0]), Ext.of(found.last[1]), tuple(Ext.of(-k) for k in found.last_gradients))
