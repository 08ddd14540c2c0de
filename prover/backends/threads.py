"""Splits a range of independent work over a few threads; the kernels release the GIL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from prover.backends.interface import Item, Made


class _Pool:
    """The threads of this process; a forked child starts its own."""

    def __init__(self) -> None:
        self.threads = os.cpu_count() or 1
        self.owner = 0
        self.executor: ThreadPoolExecutor | None = None

    def start(self) -> ThreadPoolExecutor:
        if self.executor is None or self.owner != os.getpid():
            self.owner = os.getpid()
            self.executor = ThreadPoolExecutor(self.threads, thread_name_prefix="zkgrad")
        return self.executor


_POOL = _Pool()


def set_threads(n: int) -> None:
    """Uses n >= 1 threads from now on; the results do not depend on it."""
    if n < 1:
        raise ValueError(f"set_threads: at least one thread is needed, not {n}")
    if _POOL.executor is not None:
        _POOL.executor.shutdown()
    _POOL.executor, _POOL.threads = None, n


def threads() -> int:
    return _POOL.threads


def split(size: int, grain: int) -> list[tuple[int, int]]:
    """[0, size) in at most one range a thread, none (but a single one) shorter than the grain."""
    parts = max(1, min(_POOL.threads, size // grain))
    return [(size * k // parts, size * (k + 1) // parts) for k in range(parts)]


def spread(size: int, grain: int, work: Callable[[int, int, int], None]) -> int:
    """Runs work(k, start, stop) for the ranges of :func:`split`; returns how many there were.

    The caller takes the first range itself. Work that is spread already is not spread again.
    """
    ranges = split(size, grain)
    if len(ranges) == 1 or _HERE.busy:
        work(0, 0, size)
        return 1
    futures = [_POOL.start().submit(_alone, work, k, *bounds) for k, bounds in enumerate(ranges) if k]
    try:
        _alone(work, 0, *ranges[0])
    finally:
        wait(futures)
    for future in futures:
        future.result()
    return len(ranges)


class _Here(threading.local):
    """Whether this thread is doing a part of spread work."""

    busy = False


_HERE = _Here()


def _alone(work: Callable[[int, int, int], None], part: int, start: int, stop: int) -> None:
    _HERE.busy = True
    try:
        work(part, start, stop)
    finally:
        _HERE.busy = False


def each(make: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """make(item) of each, a thread taking the next when it is done with one; of few items each has all threads."""
    if len(items) < 2 * _POOL.threads:
        return [make(item) for item in items]
    out: dict[int, Made] = {}
    numbered = enumerate(items)

    def work(*_: int) -> None:
        for k, item in numbered:
            out[k] = make(item)

    spread(_POOL.threads, 1, work)
    return [out[k] for k in range(len(items))]
