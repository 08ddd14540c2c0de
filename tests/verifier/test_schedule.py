"""The public batch schedule: a known answer, a permutation each epoch, batches that run on."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from verifier.schedule import LABEL, batches, epoch_order, schedule_seed

SEED = bytes(range(32))
KNOWN = ([2, 1, 5, 7, 6, 4, 8, 0, 9, 3], [1, 8, 0, 2, 9, 4, 5, 7, 3, 6])
KNOWN_SEED = "19529c3c846dcbef709bac418538bd4c291e5eb5ead1ff773cea9e6d2f3d58ca"


def test_known_answer() -> None:
    assert epoch_order(SEED, 0, 10) == KNOWN[0]
    assert epoch_order(SEED, 1, 10) == KNOWN[1]
    assert schedule_seed(b"\1" * 32, b"\2" * 32, b"\3" * 32).hex() == KNOWN_SEED


def independent(seed: bytes, epoch: int, samples: int) -> list[int]:
    """The same shuffle written from its description, with one index at a time."""
    stream = b"".join(hashlib.sha256(seed + epoch.to_bytes(8, "little") + k.to_bytes(8, "little")).digest()
                      for k in range(samples))
    words = [int.from_bytes(stream[k:k + 8], "little") for k in range(0, len(stream), 8)]
    order, i = list(range(samples)), samples - 1
    while i > 0:
        word = words.pop(0)
        if word < 2**64 // (i + 1) * (i + 1):
            order[i], order[word % (i + 1)] = order[word % (i + 1)], order[i]
            i -= 1
    return order


@pytest.mark.parametrize("samples", [1, 2, 3, 10, 257])
def test_every_epoch_is_a_permutation(samples: int) -> None:
    orders = [epoch_order(SEED, epoch, samples) for epoch in range(3)]
    for epoch, order in enumerate(orders):
        assert sorted(order) == list(range(samples))
        assert order == independent(SEED, epoch, samples)
    assert samples < 10 or orders[0] != orders[1] != orders[2]


def test_batches_run_on_across_epochs() -> None:
    rows = batches(SEED, 10, 4, 0, 10)
    assert [len(row) for row in rows] == [4] * 10
    flat = [k for row in rows for k in row]
    assert flat == [k for epoch in range(4) for k in epoch_order(SEED, epoch, 10)]
    assert Counter(flat) == dict.fromkeys(range(10), 4)


def test_a_segment_continues_the_run() -> None:
    whole = batches(SEED, 7, 3, 0, 9)
    assert batches(SEED, 7, 3, 0, 4) + batches(SEED, 7, 3, 4, 5) == whole


def test_a_batch_larger_than_the_data() -> None:
    (row,) = batches(SEED, 3, 8, 0, 1)
    assert Counter(row[:6]) == {0: 2, 1: 2, 2: 2} and len(row) == 8


def test_the_seed_depends_on_every_part() -> None:
    parts = [b"\1" * 32, b"\2" * 32, b"\3" * 32]
    seed = schedule_seed(*parts)
    assert seed == hashlib.sha256(LABEL + b"".join(parts)).digest()
    for k in range(3):
        other = list(parts)
        other[k] = bytes(32)
        assert schedule_seed(*other) != seed


def test_no_place_is_favoured() -> None:
    """10,000 shuffles of 5: each sample stands at each place 2,000 times, give or take five standard deviations."""
    seen = [Counter() for _ in range(5)]
    for epoch in range(10_000):
        for place, sample in enumerate(epoch_order(SEED, epoch, 5)):
            seen[place][sample] += 1
    assert all(abs(count - 2000) < 200 for counter in seen for count in counter.values())
