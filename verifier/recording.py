"""The channel that runs the verifier without a proof: what a proof will hold, and how likely a false one passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .channel import Channel, Hidden, Opened
from .field import ZERO, Ext


class Leaf(NamedTuple):
    """One item of a proof: its label, its place in the body, its length, and what it is."""

    label: str
    start: int
    length: int
    kind: str


class RecordingChannel(Channel):
    """Runs the verifier without a proof: the shape of the proof, its largest length, and the soundness error.

    Challenges are fixed numbers, all different (claims at equal points would be shared); nothing is checked. `leaves`
    lists every item sent, for sizes and for tests that must alter each; `errors` adds up, per label, the degrees over
    |K| that draws contribute.
    """

    def __init__(self, zero_knowledge: bool) -> None:
        super().__init__(zero_knowledge)
        self.leaves: list[Leaf] = []
        self.errors: dict[str, int] = {}
        self.length = 0
        self._drawn = 0

    def _leaf(self, label: str, length: int, kind: str) -> None:
        self.leaves.append(Leaf(label, self.length, length, kind))
        self.length += length

    def _elements(self, label: str, count: int) -> list[Ext]:
        self._leaf(label, 24 * count, "elements")
        return [ZERO] * count

    def _bytes(self, label: str, count: int) -> bytes:
        self._leaf(label, count, "bytes")
        return bytes(count)

    def opened(self, label: str, positions: Sequence[int], rows: int, nodes: int) -> Opened:
        for _ in positions:
            self._leaf(f"{label} salt", 32, "salt")
            self._leaf(f"{label} column", 8 * rows, "column")
        for _ in range(nodes):
            self._leaf(f"{label} path", 32, "node")
        return Opened([], [], [])

    def challenges(self, label: str, count: int, degree: int) -> list[Ext]:
        self.errors[label] = self.errors.get(label, 0) + degree
        self._drawn += count
        return [Ext((3 + k, 5, 7)) for k in range(self._drawn - count, self._drawn)]

    def positions(self, label: str, count: int, size: int) -> list[int]:
        """Evenly spread positions, for which the paths share the fewest nodes."""
        return [k * size // count for k in range(count)]

    def zero(self, expression: Hidden, what: str) -> None:
        self.equations.append((expression, what))

    def check(self, holds: bool, what: str) -> None:
        return None
