"""Which backend a command computes with, and in how much memory."""

from __future__ import annotations

import os
from pathlib import Path

from prover.backends.interface import Backend

_SHARE = 0.6  # of what is free: plans are estimates, and the machine has others to serve


def default_backend() -> Backend:
    """The CPU backend. Imported late: its kernels take a moment to load, and most verbs need none."""
    from prover.backends.cpu import BACKEND

    return BACKEND


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
