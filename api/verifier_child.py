"""Runs the verifier, and nothing but the verifier, in a process that has given up what it can.

    env -i python -I -S -B verifier_child.py FOLDER SECONDS BYTES ARGUMENT...

FOLDER is the directory `verifier/`: it becomes importable, what lies beside it does not. SECONDS of processor time and
BYTES of address space are the limits; ARGUMENTs are those of `python -m verifier`. A script, not a module of `api`.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import resource
import signal
import sys

_PDEATHSIG, _NO_NEW_PRIVS = 1, 38
_FILES = 64


def confine(seconds: int, memory: int, files: int) -> None:
    """Gives up core dumps, new privileges, processes, written files, and all memory, time and open files beyond the
    limits."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: files,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
    }
    for limit, value in limits.items():
        _, most = resource.getrlimit(limit)
        most = sys.maxsize if most == resource.RLIM_INFINITY else most
        # The kernel kills without a name at the hard limit; a second before, SIGXCPU says that time was the reason.
        hard = value + 1 if limit == resource.RLIMIT_CPU else value
        resource.setrlimit(limit, (min(value, most), min(hard, most)))
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)


def load_verifier(folder: str) -> None:
    """Makes the package in `folder` importable as `verifier`, and no other beside the standard library."""
    spec = importlib.util.spec_from_file_location(
        "verifier", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no verifier in {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["verifier"] = module
    spec.loader.exec_module(module)


def main() -> int:
    """The verifier's exit code."""
    folder, seconds, memory, *arguments = sys.argv[1:]
    # What was handed over is open already, under numbers that the limit has to cover.
    confine(int(seconds), int(memory), _FILES + max(map(int, os.listdir("/dev/fd"))))
    load_verifier(folder)
    return int(importlib.import_module("verifier.__main__").main(arguments))


if __name__ == "__main__":
    sys.exit(main())
