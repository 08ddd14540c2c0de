"""`doctor`: what is installed, and whether it works."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import time
from importlib import metadata
from typing import Any

import typer

from ..backend import default_backend
from ..console import Json, answer
from ..service import landlock

PACKAGES = ("zkgrad", "numpy", "numba", "safetensors", "typer", "rich", "tenseal", "opt_einsum", "galois")


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("doctor")(doctor)


def doctor(as_json: Json = False) -> None:
    """Versions, backend and threads, and a multiplication in the field as a sign of life."""
    packages = {name: _version(name) for name in PACKAGES}
    threads, alive, spent = _backend()
    result: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "backend": "cpu (numba)",
        "threads": threads,
        "cores": os.cpu_count(),
        "backend_works": alive,
        "backend_seconds": spent,
        "fhe": importlib.util.find_spec("tenseal") is not None,
        "landlock": landlock.version(),
    }
    files = "confined by Landlock" if result["landlock"] else "NOT confined: this kernel has no Landlock"
    lines = [
        f"python {result['python']} on {result['platform']}",
        *(f"  {name:<12} {version or 'not installed'}" for name, version in packages.items()),
        f"backend {result['backend']}, {threads} threads on {result['cores']} cores: "
        + (f"works ({spent:.2f} s to load)" if alive else "DOES NOT WORK"),
        f"processes of a service's jobs: no environment, no core dumps, limited memory; files and TCP {files}",
    ]
    answer(result, lines, as_json)
    if not alive:
        raise typer.Exit(70)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _backend() -> tuple[int, bool, float]:
    """Threads, whether 3 * (p - 2) = p - 6 there, and seconds until that was known (kernels may compile
    first)."""
    import numpy as np

    from prover.backends.interface import MODULUS

    start = time.perf_counter()
    product = default_backend().mul(np.array([3], dtype=np.uint64), np.array([MODULUS - 2], dtype=np.uint64))
    threads = sys.modules["prover.backends.threads"].threads()
    return threads, int(product[0]) == MODULUS - 6, time.perf_counter() - start
