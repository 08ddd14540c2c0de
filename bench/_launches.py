"""How many kernels a GPU would be asked to run for a proof, and how often the host would wait: exact, without a GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from prover.backends.gpu import GpuBackend
from prover.backends.gpu_device import THREADS, Device
from prover.proving import Job, prove
from prover.randomness import SeededRandomness


class CountingDevice(Device):
    """A device whose kernels do nothing: its tables are zeros that no memory stands behind until they are written.

    What a prover launches depends on shapes alone. Its proofs on this device prove nothing.
    """

    arrays = np
    description = "no device"

    def __init__(self) -> None:
        self.launches: Counter[str] = Counter()
        self.downloads = 0

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
        self.launches[kernel] += 1

    def download(self, array: Any) -> Any:
        self.downloads += 1
        return np.array(array)

    def free_bytes(self) -> int:
        return 1 << 62

    def release(self) -> None:
        """Nothing is kept."""

    def typed(self) -> Any:
        return nullcontext()

    def empty(self, shape: Sequence[int], dtype: Any = np.uint64) -> Any:
        return self.zeros(shape, dtype)


def launches(job: Job) -> dict[str, Any]:
    """Of one proof of a job: launches in all and by kernel, and copies to the host, each of which waits for them."""
    device = CountingDevice()
    prove(job, GpuBackend(device), SeededRandomness(b"launches"), strict=False)
    kernels = dict(sorted(device.launches.items()))
    return {"kernel_launches": sum(kernels.values()), "device_downloads": device.downloads, "launches": kernels}
