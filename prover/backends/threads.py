"""Splits a range of independent work over a few threads; the kernels release the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


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
    """Runs work(k, start, stop) for the ranges of :func:`split`; returns how many there were."""
    ranges = split(size, grain)
    if len(ranges) == 1:
        work(0, 0, size)
        return 1
    futures = [_POOL.start().submit(work, k, *bounds) for k, bounds in enumerate(ranges)]
    for future in futures:
        future.result()
    return len(ranges)


def each(make: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
    """make(item) of each: on large arrays NumPy lets threads run at the same time."""
    out: dict[int, T] = {}

    def work(_: int, start: int, stop: int) -> None:
        for k in range(start, stop):
            out[k] = make(items[k])

    spread(len(items), 1, work)
    return [out[k] for k in range(len(items))]
