"""The process of one job: python -I child.py ROOT DESCRIPTOR PARENT MEMORY OUTPUT CACHE, with an empty environment.

Before anything is read it ties its life to its parent's and gives up core dumps, new privileges, memory beyond the
limit, and, where the kernel has Landlock, all files but the programs and all TCP. Then it serves one job over the
channel behind DESCRIPTOR. CACHE is the folder of compiled kernels, or empty for the user's own. A script, run by path.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PDEATHSIG, _NO_NEW_PRIVS = 1, 38
_ROOMS = ("api", "prover", "verifier", "fhe")
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/sys", "/dev/zero", "/dev/urandom")
# Of /proc otherwise names only, for who looks for his own descriptors: files there show others' environments.
_PROC = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys")


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


def enclose(root: str, cache: str) -> None:
    """Leaves this process the programs to read and the cache of kernels to write. Not the data folder, nor the keys."""
    from api.service.landlock import restrict
    from prover.backends.numba_cache import use_private_cache

    if cache:
        os.environ["NUMBA_CACHE_DIR"] = cache
    use_private_cache()
    programs = [os.path.join(root, room) for room in _ROOMS]
    cache = os.environ.get("NUMBA_CACHE_DIR", "")
    restrict([*_SYSTEM, *_PROC, sys.prefix, sys.base_prefix, *programs], ["/dev/null", cache], ["/proc"])


def main() -> int:
    """Serves the job; 0 whenever the outcome, good or bad, was told."""
    root, descriptor, parent, memory, output, cache = sys.argv[1:]
    confine(int(parent), int(memory), int(output))
    sys.path.insert(0, root)
    enclose(root, cache)
    from api.service.runners.serve import serve

    serve(int(descriptor))
    return 0


if __name__ == "__main__":
    sys.exit(main())
