"""The optimiser on integers: one weight matrix or bias on its way through the steps of a segment."""

from __future__ import annotations

from verifier.optimizer import coefficients
from verifier.statement import Parameters

from .exact import Integers, combined, magnitude, round_half_up, zeros_beside
from .watch import Watch


class Path:
    """W_t of one tensor: `value`, at scale 2^w, from its first state, its first velocity and every gradient M so far.

    Plain steps are W <- W - k M. With momentum or decay W_t = states[t] W_0 - velocities[t] V_0 - sum of coefficient *
    M_tau (`verifier.optimizer`), so that the gradients of all steps are kept: 8 T bytes an entry.
    """

    def __init__(self, p: Parameters, layer: int, first: Integers, velocity: Integers | None) -> None:
        self.p, self.layer, self.first, self.velocity = p, layer, first, velocity
        self.value = first << p.state_shift
        self.done = 0
        self._changes = zeros_beside(first, (0 if p.plain else p.steps, *first.shape))
        self._sizes: list[int] = []

    def step(self, change: Integers, watch: Watch) -> None:
        """Takes the gradient of a step, at the scale of A^T G."""
        if self.p.plain:
            self.value -= watch.scaled("rate A^T G", self.layer, change, self.p.rate(self.done))
            self.done += 1
            return
        self._changes[self.done] = change
        self._sizes.append(magnitude(change))
        self.done += 1
        found = coefficients(self.p)
        shares = [column[self.done - tau - 1] for tau, column in enumerate(found.gradients[: self.done])]
        self.value = self._sum(found.states[self.done], -found.velocities[self.done], [-k for k in shares], watch)

    def _sum(self, state: int, velocity: int, shares: list[int], watch: Watch) -> Integers:
        """state * W_0 + velocity * V_0 + sum of shares[tau] * M_tau."""
        largest = abs(state) * magnitude(self.first)
        largest += sum(abs(share) * size for share, size in zip(shares, self._sizes, strict=True))
        if self.velocity is not None:
            largest += abs(velocity) * magnitude(self.velocity)
        watch.fits("the sum of gradients", self.layer, largest)
        total: Integers = state * self.first
        total += combined(shares, self._changes[: self.done])
        return total if self.velocity is None else total + velocity * self.velocity

    def finish(self, watch: Watch) -> tuple[Integers, Integers | None, dict[str, Integers]]:
        """The last state at its own scale, the last velocity if there is momentum, and the remainders of both roundings
        as "" and "velocity."."""
        p, rounding = self.p, {}
        state, velocity = self.value, None
        if p.state_shift:
            state, rounding[""] = round_half_up(state, p.kernel_bits)
        if p.momentum:
            found = coefficients(p)
            exact = self._sum(*found.last, list(found.last_gradients), watch)
            velocity, rounding["velocity."] = round_half_up(exact, p.kernel_bits)
        return state, velocity, rounding
