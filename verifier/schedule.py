"""The public batch schedule: which committed sample stands at which place of which batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache

LABEL = b"zkgrad batch schedule v1"


def schedule_seed(data_root: bytes, origin_root: bytes, nonce: bytes) -> bytes:
    """The seed of a run's schedule, bound to the data, the run's first state and the auditor's nonce."""
    return hashlib.sha256(LABEL + data_root + origin_root + nonce).digest()


def _words(seed: bytes, epoch: int) -> Iterator[int]:
    """64-bit words of SHA-256(seed || epoch || counter), counter = 0, 1, 2, ..."""
    counter = 0
    while True:
        block = hashlib.sha256(seed + epoch.to_bytes(8, "little") + counter.to_bytes(8, "little")).digest()
        for k in range(0, 32, 8):
            yield int.from_bytes(block[k : k + 8], "little")
        counter += 1


def epoch_order(seed: bytes, epoch: int, samples: int) -> list[int]:
    """The order of one epoch: Fisher-Yates from the end, indices drawn without bias by rejection."""
    order = list(range(samples))
    words = _words(seed, epoch)
    for i in range(samples - 1, 0, -1):
        limit = 2**64 - 2**64 % (i + 1)
        word = next(words)
        while word >= limit:
            word = next(words)
        j = word % (i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def work(samples: int, batch: int, first_step: int, steps: int) -> int:
    """How many indices `batches` draws and lists: what it costs, known beforehand."""
    epochs = (first_step + steps) * batch // samples - first_step * batch // samples + 1
    return epochs * samples + steps * batch


@lru_cache(maxsize=4)  # the prover's and the verifier's passes ask for the same schedule several times
def batches(seed: bytes, samples: int, batch: int, first_step: int, steps: int) -> tuple[tuple[int, ...], ...]:
    """Sample indices of `steps` batches from `first_step` on; batches run on across the ends of epochs."""
    place, end = first_step * batch, (first_step + steps) * batch
    flat: list[int] = []
    while place < end:
        epoch, start = divmod(place, samples)
        taken = epoch_order(seed, epoch, samples)[start : start + end - place]
        flat += taken
        place += len(taken)
    return tuple(tuple(flat[k : k + batch]) for k in range(0, len(flat), batch))
