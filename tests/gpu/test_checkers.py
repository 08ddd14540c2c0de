"""Every kernel under the address, undefined-behaviour and thread sanitizers; and that these find what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from prover.backends import gpu_code
from prover.backends.gpu import GpuBackend
from prover.backends.gpu_device import kernel_names

from . import cases
from .emulation import HERE, EmulatedDevice, replay

FAULTS = {
    "without_barrier": ("thread", "data race"),
    "same_word": ("thread", "data race"),
    "beyond_the_end": ("address", "heap-buffer-overflow"),
    "beyond_shared": ("address", "heap-buffer-overflow"),
    "shifted_too_far": ("address", "shift exponent"),
    "not_all_wait": ("address", "do not meet at the same barriers"),
}


@pytest.fixture(scope="module")
def launches() -> list[bytes]:
    """What the smallest cases launch, which is every kernel; transforms in passes of two stages, so that they have
    several."""
    device = EmulatedDevice()
    device.record = []
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(gpu_code, "_STAGES", 2)
        for case in cases.smallest():
            case.run(GpuBackend(device))
    assert device.launched.keys() == set(kernel_names())
    return device.record


@pytest.mark.parametrize("order", [0, 2])
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_no_kernel_leaves_its_arrays_or_races(launches, sanitizer, order, tmp_path):
    done = replay(launches, sanitizer, order, tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == f"{len(launches)} launches repeated\n"


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_a_sound_kernel_passes(sanitizer, tmp_path):
    done = replay([faulty_launch("sound")], sanitizer, 0, tmp_path, HERE / "faulty.cu")
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("kernel", FAULTS)
def test_a_fault_is_found(kernel, tmp_path):
    sanitizer, message = FAULTS[kernel]
    done = replay([faulty_launch(kernel)], sanitizer, 0, tmp_path, HERE / "faulty.cu")
    assert done.returncode != 0
    assert message in done.stderr


def faulty_launch(kernel: str) -> bytes:
    """Two blocks of 64 threads that fill an array as the kernel's name says, whether rightly or not."""
    n = 128
    after = np.arange(n, dtype=np.uint64)
    if kernel in ("sound", "without_barrier"):
        after = (after % 64 + 1) % 64
    if kernel == "same_word":
        after = np.array([n - 1, *[0] * (n - 1)], dtype=np.uint64)
    words = lambda *values: np.array(values, dtype=np.uint64).tobytes()  # noqa: E731
    array = words(8 * n) + bytes(8 * n) + after.tobytes()
    return words(len(kernel)) + kernel.encode() + words(2, 1, 64, 64, 1) + array + words(2, 1, 0, 0, n)
