"""The answering channel: the verifier's own function asks, a script answers.

A script is a generator written in the order of the protocol. It yields `Say` (values, a root) where the verifier
receives, and `Draw` where the verifier draws, and is sent the challenges. Labels and counts must agree at every turn.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from verifier.channel import LEFT, PRODUCT, RIGHT, Channel, Hidden, Opened, Pair
from verifier.claims import Claim
from verifier.field import ZERO, Ext
from verifier.transcript import encode_elements

from .errors import WitnessUnsatisfied
from .randomness import Randomness

Opener = Callable[[str, Sequence[int]], Opened]
T = TypeVar("T")


@dataclass(frozen=True)
class Say:
    """What the prover sends next: elements of K, or raw bytes (a root)."""

    label: str
    values: Sequence[Ext] | bytes


@dataclass(frozen=True)
class Draw:
    """What the verifier draws next."""

    label: str
    count: int | None  # None where only the verifier knows it


Script = Generator[Say | Draw, list[Ext], T]


class Pads:
    """One-time pads of every hidden scalar, drawn before the proof starts; used once, never stored."""

    def __init__(self, singles: int, pairs: int, randomness: Randomness) -> None:
        self.singles = randomness.scalars(singles)
        self.left = randomness.scalars(pairs)
        self.right = randomness.scalars(pairs)

    def value(self, variable: int) -> Ext:
        """The pad that a variable of `verifier.channel` stands for."""
        kind, index = variable & 3, variable >> 2
        if kind == PRODUCT:
            return self.left[index] * self.right[index]
        return (self.left if kind == LEFT else self.right if kind == RIGHT else self.singles)[index]


class AnsweringChannel(Channel):
    """Runs the verifier against a script and writes the proof's body.

    With `strict`, an equation or check that fails is a WitnessUnsatisfied naming it: the prover finds out before it
    publishes. Tests that cheat turn it off. `settled` is the script's view of the verifier's claims: it is filled when
    the verifier hands them over.
    """

    def __init__(
        self, script: Script[None], settled: list[Claim], pads: Pads | None, opener: Opener, strict: bool = True
    ) -> None:
        super().__init__(pads is not None)
        self._pads, self._opener, self.strict = pads, opener, strict
        self._masks: list[Ext] = []
        self._script = script
        self._settled = settled
        self._pending: Say | Draw | None = next(script)
        self._parts: list[bytes] = []

    @property
    def body(self) -> bytes:
        """Everything sent so far."""
        return b"".join(self._parts)

    def settle(self, claims: Sequence[Claim]) -> None:
        self._settled += claims

    def _turn(self, kind: type[T], label: str) -> T:
        if not isinstance(self._pending, kind) or self._pending.label != label:  # type: ignore[attr-defined]
            raise AssertionError(f"the verifier wants {kind.__name__} {label!r}, the script offers {self._pending}")
        return self._pending

    def _advance(self, answer: list[Ext] | None) -> None:
        try:
            self._pending = next(self._script) if answer is None else self._script.send(answer)
        except StopIteration:
            self._pending = None

    def _elements(self, label: str, count: int) -> list[Ext]:
        values: Any = self._turn(Say, label).values
        if len(values) != count:
            raise AssertionError(f"{label!r}: {count} values wanted, {len(values)} offered")
        if self._masks:
            values = [value + mask for value, mask in zip(values, self._masks, strict=True)]
            self._masks = []
        self._parts.append(encode_elements(values))
        self._advance(None)
        return list(values)

    def _bytes(self, label: str, count: int) -> bytes:
        data: Any = self._turn(Say, label).values
        assert isinstance(data, bytes) and len(data) == count
        self._parts.append(data)
        self._advance(None)
        return data

    def scalars(self, label: str, count: int) -> list[Hidden]:
        if self._pads is not None:
            self._masks = self._pads.singles[self.singles : self.singles + count]
        return super().scalars(label, count)

    def pair(self, label: str) -> Pair:
        if self._pads is not None:
            self._masks = [self._pads.left[self.pairs], self._pads.right[self.pairs]]
        return super().pair(label)

    def challenges(self, label: str, count: int, degree: int) -> list[Ext]:
        values = super().challenges(label, count, degree)
        if self._turn(Draw, label).count not in (count, None):
            raise AssertionError(f"{label!r}: {count} challenges drawn, the script expects another number")
        self._advance(values)
        return values

    def zero(self, expression: Hidden, what: str) -> None:
        if self.strict and self.reveal(expression) != ZERO:
            raise WitnessUnsatisfied(f"{what} does not hold for this witness")
        if expression.terms:
            super().zero(expression, what)

    def check(self, holds: bool, what: str) -> None:
        if self.strict and not holds:
            raise WitnessUnsatisfied(f"{what} does not hold for this witness")

    def reveal(self, expression: Hidden) -> Ext:
        """The value that a hidden expression stands for."""
        value = expression.constant
        for variable, coefficient in expression.terms.items():
            assert self._pads is not None
            value = value + coefficient * self._pads.value(variable)
        return value

    def opened(self, label: str, positions: Sequence[int], rows: int, nodes: int) -> Opened:
        opened = self._opener(label, positions)
        for salt, column in zip(opened.salts, opened.columns, strict=True):
            self._parts += [salt, struct.pack(f"<{len(column)}Q", *column)]
        self._parts += opened.nodes
        return opened

    def finish(self) -> bytes:
        """The body of the proof, once the verifier's function has returned."""
        if self._pending is not None:
            raise AssertionError(f"the script still offers {self._pending}")
        return self.body
