"""Which backend a command computes with, and in how much memory."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from prover.backends.interface import Backend
from prover.errors import DeviceUnavailable, OutOfMemory
from prover.plan import plan_statement, steps_that_fit
from verifier.statement import Statement

from .console import UsageError, say

_SHARE = 0.6  # of what is free: plans are estimates, and the machine has others to serve
_DEVICE_SHARE = 0.9  # of a GPU's memory, which few share
Choice = Annotated[str, typer.Option("--backend", help="auto, cpu or gpu. auto takes a GPU if one is there.")]


@dataclass(frozen=True)
class Chosen:
    """A backend by name, and the bytes of a GPU's memory that a proof may take, if it is one."""

    backend: Backend
    name: str
    memory: int | None = None

    def check(self, statement: Statement) -> None:
        """OutOfMemory, before any work, when a proof does not fit the GPU; it names how many steps would."""
        if self.memory is None:
            return
        needed = plan_statement(statement).device_bytes
        if needed > self.memory:
            what, advice = self._advice(statement, self.memory)
            raise OutOfMemory(
                f"a proof of {what} needs about {needed >> 20} MiB on {self.name}, "
                f"{self.memory >> 20} MiB may be used: {advice}, or use --backend cpu"
            )

    @staticmethod
    def _advice(statement: Statement, memory: int) -> tuple[str, str]:
        """What a proof is about, and how one that fits comes about."""
        parameters, samples = statement.parameters, statement.samples
        if parameters.task != "training":
            return f"{samples} samples", "take fewer samples at a time"
        fitting = steps_that_fit(parameters, samples, memory)
        advice = f"train with --segment-steps {fitting}" if fitting else "no segment is small enough"
        return f"{parameters.steps} steps", advice


def default_backend() -> Backend:
    """The CPU backend. Imported late: its kernels take a moment to load, and most verbs need none."""
    from prover.backends.cpu import BACKEND

    return BACKEND


@cache
def choose_backend(name: str) -> Chosen:
    """The backend that --backend asks for. DeviceUnavailable when it is "gpu" and there is none."""
    if name not in ("auto", "cpu", "gpu"):
        raise UsageError(f"--backend {name!r}: auto, cpu or gpu")
    if name == "gpu" or (name == "auto" and importlib.util.find_spec("cupy") is not None):
        try:
            found = _device()
            say(f"computing on {found.name}")
            return found
        except DeviceUnavailable as error:
            if name == "gpu":
                raise
            say(f"computing on the CPU: {error}")
    return Chosen(default_backend(), "cpu")


def _device() -> Chosen:
    from prover.backends.gpu_cupy import open_backend

    backend = open_backend()
    return Chosen(backend, backend.device.description, int(_DEVICE_SHARE * backend.device.free_bytes()))


def memory_for_proofs() -> int:
    """Bytes that a proof may take on this machine: six tenths of what is free, under the control group's limit."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            free = min(free, int(line.split()[1]) << 10)
    limit = _text(Path("/sys/fs/cgroup/memory.max")).strip()
    return int(_SHARE * min(free, int(limit) if limit.isdigit() else free))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
