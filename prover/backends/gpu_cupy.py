"""A CUDA device through CuPy. Nothing here is imported, and CuPy neither, unless a GPU is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.backends.gpu import GpuBackend
from prover.backends.gpu_device import THREADS, Device, kernel_source
from prover.errors import DeviceLost, DeviceUnavailable, OutOfMemory

# Products in double are as fast as the plan of the training step assumes from this architecture on.
_OLDEST = 80
_INSTALL = "install zkgrad[gpu12] or zkgrad[gpu13] for the driver's version of CUDA, or use --backend cpu"


def open_backend(number: int = 0) -> GpuBackend:
    """The backend on a device of this machine. DeviceUnavailable says what is missing."""
    return GpuBackend(CupyDevice(load_cupy(), number))


def load_cupy() -> Any:
    """CuPy; DeviceUnavailable if it is not installed or cannot be loaded."""
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceUnavailable(f"CuPy cannot be loaded ({error}): {_INSTALL}") from None


def describe(cupy: Any) -> dict[str, Any]:
    """Versions and devices, as far as they can be found out: what `doctor` shows."""
    found: dict[str, Any] = {"cupy": cupy.__version__, "devices": []}
    runtime = cupy.cuda.runtime
    try:
        found["driver"], found["runtime"] = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        for number in range(runtime.getDeviceCount()):
            properties = runtime.getDeviceProperties(number)
            found["devices"].append(
                {
                    "name": properties["name"].decode(),
                    "architecture": 10 * properties["major"] + properties["minor"],
                    "memory_bytes": int(properties["totalGlobalMem"]),
                }
            )
    except runtime.CUDARuntimeError as error:
        found["error"] = str(error)
    return found


class CupyDevice(Device):
    """One CUDA device, with all kernels compiled for it."""

    def __init__(self, cupy: Any, number: int = 0) -> None:
        self.arrays = self._cupy = cupy
        found = describe(cupy)
        if number >= len(found["devices"]):
            reason = found.get("error") or f"{len(found['devices'])} found, number {number} asked for"
            raise DeviceUnavailable(f"no CUDA device can be used ({reason}): check the driver, or use --backend cpu")
        device = found["devices"][number]
        if device["architecture"] < _OLDEST:
            raise DeviceUnavailable(
                f"{device['name']} has compute capability {device['architecture'] / 10}, {_OLDEST / 10} is needed: "
                "use --backend cpu"
            )
        self.description = f"{device['name']} (sm_{device['architecture']})"
        self._number = number
        try:
            with self.typed():
                cupy.cuda.Device(number).use()
                self._module = cupy.RawModule(code=kernel_source(), options=("-std=c++17",))
                self._module.compile()
        except RuntimeError as error:
            raise DeviceUnavailable(f"a library of CUDA is missing ({error}): {_INSTALL}") from error
        self._kernels: dict[str, Any] = {}

    def launch(
        self,
        kernel: str,
        blocks: int,
        arguments: Sequence[Any],
        *,
        parts: int = 1,
        threads: int = THREADS,
        shared_words: int = 0,
    ) -> None:
        words = [np.uint64(a) if isinstance(a, int) else a for a in arguments]
        with self.typed():
            if kernel not in self._kernels:
                self._kernels[kernel] = self._module.get_function(kernel)
            self._kernels[kernel]((blocks, parts), (threads,), tuple(words), shared_mem=8 * shared_words)

    def download(self, array: Any) -> NDArray[Any]:
        with self.typed():
            return np.asarray(self._cupy.asnumpy(array))

    def free_bytes(self) -> int:
        with self.typed():
            kept: int = self._cupy.get_default_memory_pool().free_bytes()
            return int(self._cupy.cuda.Device(self._number).mem_info[0]) + kept

    def release(self) -> None:
        with self.typed():
            self._cupy.get_default_memory_pool().free_all_blocks()

    @contextmanager
    def typed(self) -> Iterator[None]:
        cuda = self._cupy.cuda
        try:
            yield
        except cuda.memory.OutOfMemoryError as error:
            raise OutOfMemory(f"the GPU's memory is full ({error}): prove fewer steps a segment") from error
        except cuda.compiler.CompileException as error:
            raise DeviceUnavailable(f"the kernels cannot be compiled for this GPU ({error})") from error
        except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as error:
            if "OutOfMemory" in str(error) or "OUT_OF_MEMORY" in str(error):
                raise OutOfMemory(f"the GPU's memory is full ({error}): prove fewer steps a segment") from error
            raise DeviceLost(
                f"the GPU stopped in the middle of the work ({error}): nothing was written; start the command again, "
                "or with --backend cpu"
            ) from error
