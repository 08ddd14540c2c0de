"""What can be done to the bytes of a proof: the items as the verifier reads them, and random mutations of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.support import Forged, relation_of, shape_with
from verifier.channel import Opened, ReadingChannel
from verifier.field import P
from verifier.proof import HEADER_BYTES, decode_proof
from verifier.protocol import converse
from verifier.recording import Leaf


class TracingChannel(ReadingChannel):
    """Reads a proof and keeps every item with its place in the body, as the recorder would call it."""

    def __init__(self, zero_knowledge: bool, body: bytes) -> None:
        super().__init__(zero_knowledge, body)
        self.leaves: list[Leaf] = []
        self._kind = "bytes"

    def _bytes(self, label: str, count: int) -> bytes:
        self.leaves.append(Leaf(label, self._place, count, self._kind))
        return super()._bytes(label, count)

    def _elements(self, label: str, count: int) -> list:
        self._kind = "elements"
        out = super()._elements(label, count)
        self._kind = "bytes"
        return out

    def opened(self, label: str, positions: Sequence[int], rows: int, nodes: int) -> Opened:
        first = len(self.leaves)
        out = super().opened(label, positions, rows, nodes)
        for k, leaf in enumerate(self.leaves[first:], first):
            kind = {"salt": "salt", "column": "column", "path": "node"}[leaf.label.rsplit(" ", 1)[1]]
            self.leaves[k] = leaf._replace(kind=kind)
        return out


def leaves_of(forged: Forged) -> list[Leaf]:
    """Every item of a valid proof; `start` counts from the start of the file."""
    statement = forged.statement
    shape = shape_with(statement, frozenset())
    channel = TracingChannel(statement.parameters.zero_knowledge, decode_proof(forged.proof, statement.digest()))
    converse(channel, statement, relation_of(statement), shape.code, shape.pads)
    channel.close()
    return [leaf._replace(start=leaf.start + HEADER_BYTES) for leaf in channel.leaves]


def word_at(data: bytes, place: int) -> int:
    return int.from_bytes(data[place:place + 8], "little")


def with_bytes(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new):]


def flip(data: bytes, bit: int) -> bytes:
    """One bit of a file flipped."""
    return with_bytes(data, bit >> 3, bytes([data[bit >> 3] ^ 1 << (bit & 7)]))


def increment(data: bytes, place: int) -> bytes:
    """One word plus 1 mod p."""
    return with_bytes(data, place, ((word_at(data, place) + 1) % P).to_bytes(8, "little"))


def alter_leaf(data: bytes, leaf: Leaf, rng: random.Random) -> bytes:
    """One item changed to another well-formed one: a word plus 1 mod p, or a bit of a digest or salt flipped."""
    if leaf.kind in ("elements", "column"):
        return increment(data, leaf.start + 8 * rng.randrange(leaf.length // 8))
    return flip(data, 8 * leaf.start + rng.randrange(8 * leaf.length))


def swap(data: bytes, first: int, second: int, size: int) -> bytes:
    """Two blocks of `size` bytes exchanged."""
    a, b = data[first:first + size], data[second:second + size]
    return with_bytes(with_bytes(data, first, b), second, a)


def _flip(data: bytes, leaves: Sequence[Leaf], rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        data = flip(data, rng.randrange(8 * len(data)))
    return data


def _truncate(data: bytes, leaves: Sequence[Leaf], rng: random.Random) -> bytes:
    leaf = rng.choice(leaves)
    return data[:rng.choice((rng.randrange(len(data)), rng.randrange(HEADER_BYTES), len(data) - 1 - rng.randrange(40),
                             leaf.start, leaf.start + rng.randrange(leaf.length)))]


def _trail(data: bytes, leaves: Sequence[Leaf], rng: random.Random) -> bytes:
    return data + rng.choice((rng.randbytes(rng.randrange(1, 100)), bytes(8), data[-32:], bytes(1 << 20)))


def _uncanonical(data: bytes, leaves: Sequence[Leaf], rng: random.Random) -> bytes:
    leaf = rng.choice([leaf for leaf in leaves if leaf.kind in ("elements", "column")])
    place = leaf.start + 8 * rng.randrange(leaf.length // 8)
    word = rng.choice((P, P + 1, 2**64 - 1, min(2**64 - 1, P + word_at(data, place))))
    return with_bytes(data, place, word.to_bytes(8, "little"))


def _swap(data: bytes, leaves: Sequence[Leaf], rng: random.Random) -> bytes:
    first = rng.choice(leaves)
    second = rng.choice([leaf for leaf in leaves if leaf.length == first.length])
    return swap(data, first.start, second.start, first.length)


def _swap_words(data: bytes, leaves: Sequence[Leaf], rng: random.Random) -> bytes:
    words = (len(data) - HEADER_BYTES) // 8
    first, second = (HEADER_BYTES + 8 * rng.randrange(words) for _ in range(2))
    return swap(data, first, second, 8)


def _increment(data: bytes, leaves: Sequence[Leaf], rng: random.Random) -> bytes:
    return alter_leaf(data, rng.choice(leaves), rng)


def _blank(data: bytes, leaves: Sequence[Leaf], rng: random.Random) -> bytes:
    leaf = rng.choice(leaves)
    return with_bytes(data, leaf.start, rng.choice((bytes(leaf.length), rng.randbytes(leaf.length))))


def _shift(data: bytes, leaves: Sequence[Leaf], rng: random.Random) -> bytes:
    """An item left out, or sent twice."""
    leaf = rng.choice(leaves)
    item = data[leaf.start:leaf.start + leaf.length]
    return data[:leaf.start] + rng.choice((b"", item + item)) + data[leaf.start + leaf.length:]


MUTATORS: tuple[Callable[[bytes, Sequence[Leaf], random.Random], bytes], ...] = (
    _flip, _flip, _truncate, _trail, _uncanonical, _swap, _swap_words, _increment, _increment, _blank, _shift)


def mutate(data: bytes, leaves: Sequence[Leaf], rng: random.Random) -> tuple[str, bytes]:
    """A random mutation that changes something, with its name."""
    while True:
        mutator = rng.choice(MUTATORS)
        changed = mutator(data, leaves, rng)
        if changed != data:
            return mutator.__name__, changed
