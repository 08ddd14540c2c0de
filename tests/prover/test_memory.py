"""Memory used again: blocks come back, and those in use and idle together stay below the limit."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from prover.backends import memory

MEGABYTE = 1 << 20
WORDS = MEGABYTE // 8


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> memory._Pool:
    """A pool of four megabytes in the place of the process's."""
    own = memory._Pool(4 * MEGABYTE)
    monkeypatch.setattr(memory, "_POOL", own)
    return own


def address(table: np.ndarray[tuple[int, ...], np.dtype[np.uint64]]) -> int:
    return int(table.__array_interface__["data"][0])


def test_a_dropped_array_is_used_again_when_its_last_view_goes(pool: memory._Pool) -> None:
    table = memory.empty(WORDS)
    place, view = address(table), table[10:20]
    del table
    other = memory.empty(WORDS)
    assert address(other) != place, "a view still uses it"
    del view
    assert address(memory.empty(WORDS)) == place
    assert pool.held == 2 * MEGABYTE


def test_a_block_serves_more_than_half_of_its_size_only(pool: memory._Pool) -> None:
    table = memory.empty(2 * WORDS)
    place = address(table)
    del table
    small = memory.empty(WORDS)
    assert address(small) != place
    assert address(memory.empty(WORDS + 1)) == place


def test_a_table_a_little_longer_takes_the_same_block(pool: memory._Pool) -> None:
    table = memory.empty(WORDS + 1000)
    place = address(table)
    del table
    assert address(memory.empty(WORDS + 1003)) == place


def test_idle_blocks_make_room_those_of_the_longest_unused_size_first(pool: memory._Pool) -> None:
    first, second = memory.empty(2 * WORDS), memory.empty(WORDS)
    del first
    del second
    assert pool.held == 3 * MEGABYTE
    large = memory.empty(2 * WORDS + WORDS // 2)  # takes neither, and there is room for one of them
    assert pool.held == large.nbytes + MEGABYTE
    assert [size for size, blocks in pool.idle.items() if blocks] == [WORDS]


def test_beyond_the_limit_nothing_is_kept(pool: memory._Pool) -> None:
    tables = [memory.empty(WORDS) for _ in range(6)]
    assert pool.held == 6 * MEGABYTE
    tables.clear()
    assert pool.held == 4 * MEGABYTE
    memory.release()
    assert pool.held == 0


def test_threads_that_make_and_drop_leave_the_count_right(pool: memory._Pool) -> None:
    def work() -> None:
        for k in range(300):
            memory.empty(WORDS // 4 + (k % 7) * 1000)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert pool.held == sum(block.nbytes for blocks in pool.idle.values() for block in blocks) <= pool.limit
