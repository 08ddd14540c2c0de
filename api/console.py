"""What people read (stderr), what programs read (stdout with --json), and progress on a terminal."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


class UsageError(Exception):
    """Options that contradict each other or cannot be read."""


class LimitError(Exception):
    """An input that is larger than anything that could be right."""


def say(*lines: str) -> None:
    """Lines for people, on stderr."""
    for line in lines:
        print(line, file=sys.stderr)


def answer(result: dict[str, Any], lines: list[str], as_json: bool) -> None:
    """The outcome of a command: the object on stdout with --json, else the lines on stderr."""
    if as_json:
        print(json.dumps({"ok": True} | result, allow_nan=False))
    else:
        say(*lines)


def fail(code: str, message: str, status: int, as_json: bool, cause: BaseException | None = None) -> int:
    """Reports an error to people and, with --json, to programs; returns the exit status."""
    if cause is not None:
        traceback.print_exception(cause, file=sys.stderr)
    if message:
        say(f"zkgrad: {message}")
    if as_json:
        print(json.dumps({"ok": False, "error": {"code": code, "message": message, "exit": status}}))
    return status


class Stages:
    """Shows the stage a long command is in, with steps and their rate; silent unless stderr is a terminal.

    `seconds` keeps the time each stage took, for the summary and --json.
    """

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._name, self._since = "", 0.0
        self._task: Any = None

    def stage(self, name: str) -> None:
        """Begins a stage and ends the one before."""
        self._close()
        self._name, self._since = name, time.perf_counter()
        if self._progress is not None:
            self._task = self._progress.add_task(name, total=None, rate="")

    def counter(self, total: int, unit: str = "steps") -> Callable[[int], None]:
        """A callback that shows how many of `total` are done in this stage, and how many a second."""

        def count(done: int) -> None:
            if self._progress is not None and self._task is not None:
                rate = done / max(time.perf_counter() - self._since, 1e-9)
                self._progress.update(self._task, completed=done, total=total, rate=f"{rate:,.0f} {unit}/s")

        return count

    def _close(self) -> None:
        if not self._name:
            return
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + time.perf_counter() - self._since
        if self._progress is not None and self._task is not None:
            task = self._progress.tasks[self._task]
            total = task.total or 1
            self._progress.update(self._task, total=total, completed=total)
            self._progress.stop_task(self._task)
        self._name = ""

    def total(self) -> float:
        """Seconds of all stages so far."""
        return sum(self.seconds.values())


@contextmanager
def stages(quiet: bool = False) -> Iterator[Stages]:
    """Stages of one command; a live display on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        shown = Stages(None)
        yield shown
        shown._close()
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(*columns, console=console) as progress:
        shown = Stages(progress)
        yield shown
        shown._close()


def size(count: float) -> str:
    """A number of bytes for people: 1.12 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.2f} {unit}"
        count /= 1000
    raise AssertionError


def seconds(value: float) -> str:
    """A duration for people."""
    return f"{value:.2f} s" if value < 100 else f"{value / 60:.1f} min"
