"""The process of one job: python -I child.py ROOT DESCRIPTOR PARENT MEMORY OUTPUT, with an empty environment.

Before anything is imported or read it ties its life to its parent's and gives up core dumps, new privileges and memory
beyond the limit. Then it serves one job over the channel behind DESCRIPTOR. A script, run by path.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PDEATHSIG, _NO_NEW_PRIVS = 1, 38


def confine(parent: int, memory: int, output: int) -> None:
    """The limits of a job's process: `memory` bytes of address space, files of at most `output` bytes."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # the parent died before it could be watched
    prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, output),
    ):
        _, most = resource.getrlimit(limit)
        allowed = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (allowed, allowed))


def main() -> int:
    """Serves the job; 0 whenever the outcome, good or bad, was told."""
    root, descriptor, parent, memory, output = sys.argv[1:]
    confine(int(parent), int(memory), int(output))
    sys.path.insert(0, root)
    from api.service.runners.serve import serve

    serve(int(descriptor))
    return 0


if __name__ == "__main__":
    sys.exit(main())
