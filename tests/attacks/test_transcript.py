"""The transcript binds everything that is sent; trees open only what was committed."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Sequence
from typing import Any

import pytest

from tests.attacks.mutations import TracingChannel
from tests.support import SMALLEST, Forged, forge, relation_of, shape_with
from verifier import RejectedProof
from verifier import channel as channels
from verifier.commitment import PADS_PREFIX, leaf_digest, leaf_prefix, root_from_leaves, sibling_count
from verifier.field import Ext, P
from verifier.proof import decode_proof
from verifier.protocol import converse
from verifier.statement import replace
from verifier.tensors import GROUPS
from verifier.transcript import Transcript, encode_elements


class Log(Transcript):
    """A transcript that writes down what happens, and can be told to leave one item out."""

    events: list[tuple[str, str, Any]]

    def __init__(self, skip: int | None = None) -> None:
        super().__init__()
        self.events, self._skip, self._seen = [], skip, 0

    def _absorb(self, kind: bytes, label: str, data: bytes) -> None:
        if kind in (b"B", b"K"):
            self.events.append(("absorb", label, data))
            self._seen += 1
            if self._seen - 1 == self._skip:
                return
        super()._absorb(kind, label, data)

    def sample(self, label: str, count: int) -> list[Ext]:
        out = super().sample(label, count)
        self.events.append(("draw", label, out))
        return out

    def positions(self, label: str, count: int, size: int) -> list[int]:
        out = super().positions(label, count, size)
        self.events.append(("draw", label, out))
        return out


class Tolerant(TracingChannel):
    """Reads a proof with a given transcript and checks nothing."""

    def __init__(self, zero_knowledge: bool, body: bytes, transcript: Transcript) -> None:
        super().__init__(zero_knowledge, body)
        self.transcript = transcript

    def check(self, holds: bool, what: str) -> None:
        return None

    def opened(self, label: str, positions: Sequence[int], rows: int, nodes: int) -> channels.Opened:
        return channels.Opened([], [], [])


@pytest.fixture(scope="module")
def honest() -> Forged:
    return forge(SMALLEST)


def replay(forged: Forged, skip: int | None = None, proof: bytes | None = None) -> list[tuple[str, str, Any]]:
    """What the verifier's transcript sees and gives, with one absorbed item left out."""
    statement = forged.statement
    shape, log = shape_with(statement, frozenset()), Log(skip)
    body = decode_proof(proof or forged.proof, statement.digest())
    converse(Tolerant(True, body, log), statement, relation_of(statement), shape.code, shape.pads)
    return log.events


def draws(events: list[tuple[str, str, Any]]) -> list[tuple[int, Any]]:
    return [(k, value) for k, (kind, _, value) in enumerate(events) if kind == "draw" and value]


def test_leaving_out_any_item_changes_every_later_challenge(honest: Forged) -> None:
    events = replay(honest)
    absorbed = [k for k, event in enumerate(events) if event[0] == "absorb"]
    for number, place in enumerate(absorbed):
        other = dict(draws(replay(honest, number)))
        for k, value in draws(events):
            assert (other[k] == value) == (k < place), (events[place][1], k)


def test_what_is_absorbed_first(honest: Forged) -> None:
    events = replay(honest)
    assert [label for _, label, _ in events[:5]] == ["parameters", "statement", "witness", "pads", "lookup row"]
    assert events[0][2] == honest.statement.parameters.digest()
    assert events[1][2] == honest.statement.digest()


def test_everything_sent_before_the_columns_is_absorbed(honest: Forged) -> None:
    """Byte for byte: what is absorbed after the statement is the body of the proof, up to the opened columns."""
    absorbed = b"".join(data for kind, _, data in replay(honest)[2:] if kind == "absorb")
    body = honest.proof[44:]
    assert body.startswith(absorbed)
    columns = sum(leaf.length for leaf in honest.job.shape.recorder.leaves if leaf.kind in ("salt", "column"))
    assert len(absorbed) + columns < len(body) <= len(absorbed) + columns + 32 * 400


def test_no_challenge_is_taken_from_the_proof(honest: Forged) -> None:
    """Challenges follow from a second hash chain over the absorbed items, written here from its description."""
    state = hashlib.sha256(b"zkgrad proof v1").digest()

    def absorb(kind: bytes, label: str, data: bytes) -> None:
        nonlocal state
        name = label.encode()
        size = len(name).to_bytes(4, "little"), len(data).to_bytes(8, "little")
        state = hashlib.sha256(state + kind + size[0] + name + size[1] + data).digest()

    def words() -> Any:
        counter = 0
        while True:
            block = hashlib.sha256(state + b"X" + counter.to_bytes(8, "little")).digest()
            yield from (int.from_bytes(block[k:k + 8], "little") for k in range(0, 32, 8))
            counter += 1
    for number, (kind, label, value) in enumerate(replay(honest)):
        if kind == "absorb":
            absorb(b"K" if number > 3 else b"B", label, value)
        elif label.endswith("positions"):
            absorb(b"P", label, b"")
            assert len(set(value)) == len(value) and value == sorted(value)
            stream, chosen = words(), set[int]()
            size = 256 if label == "positions" else 512
            while len(chosen) < len(value):
                chosen.add(next(stream) % size)
            assert sorted(chosen) == value
        else:
            absorb(b"C", label, b"")
            stream = (word for word in words() if word < P)
            assert value == [Ext((next(stream), next(stream), next(stream))) for _ in value]


def test_the_order_of_the_conversation(honest: Forged) -> None:
    """End claims before anything else is drawn; batching coefficients after all claims; the mask before rho."""
    order = [(kind, label) for kind, label, _ in replay(honest)]
    first = {event: order.index(event) for event in dict.fromkeys(order)}
    last = {event: len(order) - 1 - order[::-1].index(event) for event in first}
    claims = ("lookup end", "final state", "output", "bias", "einsum end", "initial state", "history end")
    for label in claims:
        assert last["absorb", label] < first["draw", "merge batch"], label
    for label in ("final state", "output", "bias"):
        assert first["draw", "output point"] < first["absorb", label]
        assert last["absorb", label] < first["draw", "einsum batch"]
    assert last["draw", "einsum round"] < first["absorb", "einsum end"]
    assert last["absorb", "einsum end"] < last["absorb", "initial state"] < first["draw", "history batch"]
    assert last["absorb", "merge end"] < first["absorb", "mask value"] < first["draw", "tensor coefficients"]
    assert first["absorb", "mask value"] < first["draw", "rho"] < first["absorb", "combined row"]
    assert last["absorb", "combined row"] < first["draw", "pads low degree"] < first["absorb", "pads low degree"]
    assert last["absorb", "pads product"] < first["draw", "positions"] < first["draw", "pads positions"]
    assert order[-1][0] == "draw"
    for k, event in enumerate(order):  # a sumcheck's end claims come straight after its last challenge
        if event == ("draw", "lookup fold"):
            assert order[k - 1] == order[k - 2] == ("absorb", "lookup end")


def test_an_item_s_label_type_and_length_count() -> None:
    def challenge(*items: Any) -> Ext:
        transcript = Transcript()
        for item in items:
            (transcript.observe if isinstance(item[1], list) else transcript.observe_bytes)(*item)
        return transcript.sample("c", 1)[0]
    one, two = Ext((1, 2, 3)), Ext((4, 5, 6))
    variants = [[("a", [one, two])], [("a", [one]), ("a", [two])], [("b", [one, two])], [("a", [two, one])],
                [("a", encode_elements([one, two]))], [("a", [one, two]), ("a", b"")], [], [("a", b"")], [("", b"a")],
                [("ab", b"")], [("a", b"b")]]
    assert len({challenge(*items) for items in variants}) == len(variants)
    transcript = Transcript()
    assert transcript.sample("c", 1) != transcript.sample("c", 1)
    assert Transcript().sample("c", 2) != [*Transcript().sample("c", 1), *Transcript().sample("c", 1)]


def test_positions_are_distinct_and_without_bias() -> None:
    counts = [0] * 16
    for k in range(3000):
        transcript = Transcript()
        transcript.observe_bytes("k", k.to_bytes(4, "little"))
        chosen = transcript.positions("p", 5, 16)
        assert len(set(chosen)) == 5 and chosen == sorted(chosen)
        for position in chosen:
            counts[position] += 1
    expected = 3000 * 5 / 16
    assert sum((c - expected) ** 2 / expected for c in counts) < 50
    assert Transcript().positions("p", 16, 16) == list(range(16))
    with pytest.raises(ValueError, match="17 distinct positions among 16"):
        Transcript().positions("p", 17, 16)


# --- frozen challenges --------------------------------------------------------------------------------------------


class Frozen(Transcript):
    """Gives the challenges of a list, whatever was absorbed."""

    def __init__(self, answers: list[Any]) -> None:
        super().__init__()
        self._answers = iter(answers)

    def sample(self, label: str, count: int) -> list[Ext]:
        return next(self._answers)

    def positions(self, label: str, count: int, size: int) -> list[int]:
        return next(self._answers)


def test_honest_challenges_on_a_changed_statement() -> None:
    """With one sample every nonce gives the same batches, so the algebra cannot tell: only the transcript can."""
    forged = forge(SMALLEST, samples=1)
    answers = [value for kind, _, value in replay(forged) if kind == "draw"]
    changed = dataclasses.replace(forged.statement, nonce=b"\1" * 32)
    assert changed.batches() == forged.statement.batches()
    shape, relation = shape_with(changed, frozenset()), relation_of(changed)
    body = forged.proof[44:]

    def channel() -> channels.ReadingChannel:
        return channels.ReadingChannel(True, body)
    frozen = channel()
    frozen.transcript = Frozen(answers)
    converse(frozen, changed, relation, shape.code, shape.pads)
    frozen.close()
    with pytest.raises(RejectedProof):
        converse(channel(), changed, relation, shape.code, shape.pads)


# --- trees --------------------------------------------------------------------------------------------------------

DEPTH = 4
RNG = random.Random(5)
COLUMNS = [[RNG.randrange(P) for _ in range(3)] for _ in range(1 << DEPTH)]
SALTS = [RNG.randbytes(32) for _ in COLUMNS]
LEAVES = [leaf_digest(b"\0witness", salt, column) for salt, column in zip(SALTS, COLUMNS, strict=True)]


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def tree() -> list[list[bytes]]:
    levels = [LEAVES]
    while len(levels[-1]) > 1:
        levels.append([node(a, b) for a, b in zip(levels[-1][::2], levels[-1][1::2], strict=True)])
    return levels


ROOT = tree()[-1][0]


def path(positions: Sequence[int]) -> list[bytes]:
    """The sibling nodes of the joint paths, level by level."""
    out, level = [], list(positions)
    for digests in tree()[:-1]:
        out += [digests[q ^ 1] for q in level if q ^ 1 not in level]
        level = sorted({q >> 1 for q in level})
    return out


@pytest.mark.parametrize("positions", [(0,), (15,), (0, 1), (3, 4), (2, 7, 8, 9), tuple(range(16))])
def test_honest_paths(positions: tuple[int, ...]) -> None:
    nodes = path(positions)
    assert len(nodes) == sibling_count(positions, DEPTH)
    assert root_from_leaves(positions, [LEAVES[q] for q in positions], nodes, DEPTH) == ROOT


def test_another_leaf_place_or_node() -> None:
    positions = (2, 7, 9)
    nodes, leaves = path(positions), [LEAVES[q] for q in positions]
    for k in range(len(nodes)):
        wrong = [*nodes[:k], bytes(32), *nodes[k + 1:]]
        assert root_from_leaves(positions, leaves, wrong, DEPTH) != ROOT
    for k in range(3):
        wrong = [*leaves[:k], LEAVES[0], *leaves[k + 1:]]
        assert root_from_leaves(positions, wrong, nodes, DEPTH) != ROOT
    assert root_from_leaves((2, 6, 9), leaves, nodes, DEPTH) != ROOT
    assert root_from_leaves(positions, leaves, nodes[::-1], DEPTH) != ROOT


def test_a_node_is_no_leaf() -> None:
    """The digest of an inner node does not open as a leaf one level up: leaves and nodes are hashed apart."""
    levels = tree()
    data = levels[1][0] + levels[1][1]
    words = [int.from_bytes(data[k:k + 8], "little") for k in range(32, 64, 8)]
    assert leaf_digest(b"\0witness", data[:32], words) != levels[2][0]
    assert leaf_digest(b"\0", data[:32], words) != levels[2][0]


def test_prefixes_keep_trees_apart(honest: Forged) -> None:
    """Groups and shapes differ in the prefix; a segment starts from the tree that the one before ended with."""
    prefixes = {group: leaf_prefix(honest.relation, group) for group in GROUPS}
    assert prefixes["initial"] == prefixes["final"]
    assert len({*prefixes.values(), PADS_PREFIX}) == 4
    assert all(prefix[0] == 0 for prefix in (*prefixes.values(), PADS_PREFIX))
    for changes in ({"samples": 11}, {"widths": (2, 4, 2)}, {"batch": 1}):
        other = relation_of(replace(honest.statement, **changes))
        assert {group: leaf_prefix(other, group) for group in GROUPS} != prefixes
    for changes in ({"table_bits": 7}, {"weight_width": 18}, {"activation_bits": 4}, {"gradient_bits": 5},
                    {"rate_bits": 5}, {"activation": "leaky-relu"}, {"row_bits": 5}, {"blowup_bits": 3}):
        other = relation_of(replace(honest.statement, **changes))
        assert leaf_prefix(other, "final") != prefixes["final"]


def test_a_leaf_cannot_be_recomputed_without_its_salt(honest: Forged) -> None:
    """From a right guess of the whole witness the root follows only with the salts, and a proof shows few of them."""
    column = COLUMNS[3]
    assert leaf_digest(b"\0witness", bytes(32), column) != LEAVES[3]
    assert leaf_digest(b"\0witness", SALTS[3], column) == LEAVES[3]
    shape = shape_with(honest.statement, frozenset())
    shown = sum(leaf.label == "witness salt" for leaf in shape.recorder.leaves)
    assert shown == shape.code.queries < shape.code.positions
    salts = [bytes(salt) for salt in honest.job.blindings["data"].salts]
    assert len(set(salts)) == shape.code.positions and sum(honest.proof.count(salt) for salt in salts) == shown
