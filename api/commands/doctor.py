"""`doctor`: what is installed, and whether it works."""

from __future__ import annotations

import importlib.util
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
    """Versions, backend and threads, a multiplication in the field as a sign of life, and GPUs: whether one makes a
    small proof with the CPU's bytes."""
    packages = {name: _version(name) for name in PACKAGES}
    threads, alive, spent = _backend()
    gpu = _gpu()
    result: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "backend": "cpu (numba)",
        "threads": threads,
        "cores": os.cpu_count(),
        "backend_works": alive,
        "backend_seconds": spent,
        "gpu": gpu,
        "fhe": importlib.util.find_spec("tenseal") is not None,
        "landlock": landlock.version(),
    }
    files = "confined by Landlock" if result["landlock"] else "NOT confined: this kernel has no Landlock"
    lines = [
        f"python {result['python']} on {result['platform']}",
        *(f"  {name:<12} {version or 'not installed'}" for name, version in packages.items()),
        f"backend {result['backend']}, {threads} threads on {result['cores']} cores: "
        + (f"works ({spent:.2f} s to load)" if alive else "DOES NOT WORK"),
        *_gpu_lines(gpu),
        f"processes of a service's jobs: no environment, no core dumps, limited memory; files and TCP {files}",
    ]
    answer(result, lines, as_json)
    if not alive or gpu["works"] is False:
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


def _gpu() -> dict[str, Any]:
    """Versions and devices, and whether a small proof made there has the CPU's bytes: `works` is None without a GPU."""
    if importlib.util.find_spec("cupy") is None:
        return {"works": None, "reason": "CuPy is not installed (zkgrad[gpu12] or zkgrad[gpu13])"}
    from prover.backends.gpu_cupy import describe, load_cupy, open_backend
    from prover.errors import DeviceUnavailable, ProverError
    from prover.selftest import small_proof

    found: dict[str, Any] = {"works": None}
    try:
        found |= describe(load_cupy())
        backend = open_backend()
        backend.short_length = 0  # all rounds of the small proof there
        start = time.perf_counter()
        found["works"] = small_proof(backend) == small_proof(default_backend())
        found["seconds"] = time.perf_counter() - start
    except DeviceUnavailable as error:
        found["reason"] = str(error)
    except ProverError as error:
        found |= {"works": False, "reason": str(error)}
    return found


def _gpu_lines(gpu: dict[str, Any]) -> list[str]:
    lines = [
        f"gpu {device['name']}, sm_{device['architecture']}, {device['memory_bytes'] >> 20} MiB"
        for device in gpu.get("devices", [])
    ]
    if gpu["works"] is None:
        return [*lines, f"gpu: none is used: {gpu['reason']}"]
    verdict = "a small proof has the CPU's bytes"
    if not gpu["works"]:
        verdict = f"DOES NOT WORK: {gpu.get('reason', 'a small proof has other bytes than on the CPU')}"
    versions = f"CuPy {gpu['cupy']}, driver {gpu.get('driver')}, runtime {gpu.get('runtime')}"
    return [*lines, f"gpu: {verdict} ({versions})"]
