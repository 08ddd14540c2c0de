"""Seconds by stage, on the clock and of the processor."""

from __future__ import annotations

import time


class Stages:
    """Seconds by stage: each runs until the next begins. `processor` adds up all threads, system calls included."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self._stage, self._start = "", (0.0, 0.0)

    def __call__(self, stage: str) -> None:
        now = time.perf_counter(), time.process_time()
        if self._stage:
            for kept, before, after in zip((self.seconds, self.processor), self._start, now, strict=True):
                kept[self._stage] = kept.get(self._stage, 0.0) + after - before
        self._stage, self._start = stage, now
