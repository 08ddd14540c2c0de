"""The ranges of training: what leaves a declared one is refused, and the extremes are kept for choosing them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from verifier.statement import Parameters

from .errors import OutOfRange
from .exact import LIMIT_BITS, Integers, bits_needed, extremes, magnitude, matmul_exact, on_host, square_sums

_ADVICE = "Ranges come from a dry run on other batches: start again to have them chosen anew, or lower the rate."


@dataclass
class Observed:
    """Smallest and largest value seen of each ranged tensor, by name ("activation", "weight", ...)."""

    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)

    def widen(self, name: str, low: int, high: int) -> None:
        """Takes note of values of `name` from `low` to `high`."""
        old = self.ranges.get(name, (low, high))
        self.ranges[name] = (min(low, old[0]), max(high, old[1]))

    def width(self, name: str) -> int:
        """Bits of the narrowest signed range that holds all values seen of `name` (1 if none was seen)."""
        return bits_needed(*self.ranges.get(name, (0, 0)))


@dataclass
class Watch:
    """Checks each tensor against its declared width as it comes into being, and keeps the extremes."""

    parameters: Parameters
    observed: Observed = field(default_factory=Observed)
    step: int = 0

    def see(self, name: str, layer: int, values: Integers) -> None:
        low, high = extremes(values)
        self.observed.widen(name, low, high)
        width: int = getattr(self.parameters, f"{name}_width")
        if low < -(1 << (width - 1)) or high >= 1 << (width - 1):
            worst = high if high >= 1 << (width - 1) else low
            raise OutOfRange(
                f"step {self.step}, layer {layer}: {name} {worst} does not fit {name}_width = {width} "
                f"bits; it needs {bits_needed(low, high)}. {_ADVICE}"
            )

    def norms(self, name: str, layer: int, values: Integers, rows: bool = True) -> None:
        """Checks sums of squares of values [B, d], over the batch and with `rows` over the features; exact to 2^53."""
        self._norm(f"{name}_norm", layer, _largest_square_sum(values, False))
        if rows:
            self._norm(f"{name}_row_norm", layer, _largest_square_sum(values, True))

    def _norm(self, name: str, layer: int, largest: int) -> None:
        self.observed.widen(name, 0, largest)
        width: int = getattr(self.parameters, f"{name}_width")
        if width and largest >= 1 << width:
            raise OutOfRange(
                f"step {self.step}, layer {layer}: {name} {largest} does not fit {name}_width = {width} bits; it needs "
                f"{largest.bit_length()}. {_ADVICE}"
            )

    def product(self, name: str, layer: int, a: Integers, b: Integers) -> Integers:
        """a @ b, exact, with the place of an overflow of 64-bit integers in the message."""
        try:
            return matmul_exact(a, b)
        except OutOfRange as error:
            raise OutOfRange(f"step {self.step}, layer {layer}: {name}: {error}") from None

    def scaled(self, name: str, layer: int, values: Integers, factor: int) -> Integers:
        """values * factor >= 0, refused when it would leave the 64-bit integers that the prover computes with."""
        self.fits(name, layer, magnitude(values) * factor)
        return values if factor == 1 else values * factor

    def fits(self, name: str, layer: int, largest: int) -> None:
        """Refuses a sum whose magnitude may reach `largest`, when that leaves the 64-bit integers."""
        needed = largest.bit_length() + 1
        if needed > LIMIT_BITS - 1:
            raise OutOfRange(
                f"step {self.step}, layer {layer}: {name} needs {needed} bits, "
                f"the trainer computes with {LIMIT_BITS - 1}. Lower the rate or the scales."
            )


def _largest_square_sum(values: Integers, rows: bool) -> int:
    if not isinstance(values, np.ndarray) and max(values.shape) * magnitude(values) ** 2 < 1 << LIMIT_BITS:
        return extremes(square_sums(values, rows))[1]
    return int(np.square(on_host(values), dtype=np.float64).sum(axis=1 if rows else 0).max())
