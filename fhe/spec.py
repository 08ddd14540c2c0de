"""What a user declares about the tensors of a plan, before any value is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fhe.errors import BoundError, ShapeError


def _check(shape: tuple[int, ...], bound: float, what: str) -> None:
    if any(not isinstance(size, int) or size < 1 for size in shape):
        raise ShapeError(f"{what} of shape {shape}: every axis needs an integer size of at least 1")
    if not (isinstance(bound, (int, float)) and math.isfinite(bound) and bound > 0):
        raise BoundError(
            f"{what} of shape {shape}: bound {bound} must be a finite number above 0; "
            "declare the largest magnitude an entry may have"
        )


@dataclass(frozen=True)
class Encrypted:
    """An operand only the client sees: real entries of magnitude at most `bound`."""

    shape: tuple[int, ...]
    bound: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        _check(self.shape, self.bound, "an encrypted operand")


@dataclass(frozen=True)
class Plain:
    """An operand the server knows: real entries of magnitude at most `bound`."""

    shape: tuple[int, ...]
    bound: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        _check(self.shape, self.bound, "a plain operand")


@dataclass(frozen=True)
class Release:
    """A wish to publish decrypted results: the noise that hides the secret key is sized from this.

    `bits`: bits of the result that stay correct, relative to the output bound.
    `stat_security`: bits of statistical security over all `max_releases` publications.
    """

    bits: int
    stat_security: int = 40
    max_releases: int = 1

    def __post_init__(self) -> None:
        if not (
            1 <= self.bits <= 40 and 20 <= self.stat_security <= 128 and 1 <= self.max_releases <= 1 << 20
        ):
            raise BoundError(
                f"release of {self.bits} bits at 2^-{self.stat_security} for {self.max_releases} "
                "publications: use 1–40 bits, 20–128 bits of security, at most 2^20 publications"
            )


Operand = Encrypted | Plain
