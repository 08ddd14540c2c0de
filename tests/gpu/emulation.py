"""A device made of the host: the kernels of the GPU backend, compiled for the processor, thread by thread.

Threads of a block run one after another, from barrier to barrier, forward, backward or shuffled (`order` 0, 1, 2).
`record` keeps launches for `replay`, which repeats them under a sanitizer.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
import subprocess
import tempfile
import weakref
from contextlib import nullcontext
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from prover.backends.gpu_device import SOURCE, THREADS, Device, kernel_names, kernel_source

HERE = Path(__file__).parent
NOISE = 0xDB
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")


def build(name: str, sources: list[str], flags: list[str], kernels: Path = SOURCE) -> Path:
    """A file compiled from sources of this folder, the first with `flags`; kept between runs by what it is made of."""
    parts = [kernel_source(kernels), *(path.read_text() for path in sorted(HERE.glob("*.[ch]*"))), name, *flags]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"zkgrad-emulation-{digest}"
    target = folder / name
    if target.exists():
        return target
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        names = Path(work) / "names.inc"
        names.write_text("".join(f"ENTRY({kernel})\n" for kernel in kernel_names(kernels)))
        objects = []
        for number, source in enumerate(sources):
            # Only the kernels are under the sanitizer: the engine that switches between threads is not.
            own = [f for f in flags if not f.startswith("-fsanitize")] if number else flags
            out = Path(work) / f"{number}.o"
            command = ["g++", "-std=c++17", "-O1", "-g", "-fPIC", *WARNINGS, *own, "-c", HERE / source, "-o", out]
            macros = [f'-I{SOURCE.parent}', f'-DKERNEL_SOURCE="{kernels}"', f'-DKERNEL_NAMES="{names}"']
            subprocess.run([*command, *macros], check=True)
            objects.append(out)
        linked = Path(work) / name
        shared = ["-shared"] if name.endswith(".so") else []
        subprocess.run(["g++", *flags, *shared, *objects, "-o", linked], check=True)
        linked.replace(target)
    return target


@cache
def library() -> ctypes.CDLL:
    """The kernels and the engine, loaded."""
    loaded = ctypes.CDLL(str(build("emulation.so", ["kernels.cpp", "engine.cpp"], ["-O2"])))
    loaded.emulate.restype = ctypes.c_char_p
    loaded.emulate.argtypes = [ctypes.c_char_p, *[ctypes.c_uint] * 3, ctypes.c_ulonglong, ctypes.c_void_p,
                               ctypes.c_uint, ctypes.c_uint]
    return loaded


class EmulatedDevice(Device):
    """The device interface on host memory. Fresh memory is full of nonsense, so that a missing write shows."""

    arrays = np
    description = "emulation on the host"

    def __init__(self, order: int = 0) -> None:
        self.order = order
        self.launched: dict[str, int] = {}
        self.downloaded = self.uploaded = self.live = self.peak = 0
        self.record: list[bytes] | None = None

    def launch(self, kernel, blocks, arguments, *, parts=1, threads=THREADS, shared_words=0):
        self.launched[kernel] = self.launched.get(kernel, 0) + 1
        arrays = [a for a in arguments if isinstance(a, np.ndarray)]
        assert all(a.flags.c_contiguous for a in arrays), f"{kernel}: an array that is not contiguous"
        words = np.array([a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments], dtype=np.uint64)
        before = [a.tobytes() for a in arrays] if self.record is not None else []
        wrong = library().emulate(kernel.encode(), blocks, parts, threads, shared_words, words.ctypes.data,
                                  len(words), self.order)
        if wrong:
            raise AssertionError(f"{kernel}: {wrong.decode()}")
        if self.record is not None:
            self.record.append(_recorded(kernel, (blocks, parts, threads, shared_words), arguments, arrays, before))

    def _counted(self, array):
        """Counts an array's bytes for as long as it or a view of it lives."""
        self.live += array.nbytes
        self.peak = max(self.peak, self.live)
        weakref.finalize(array, self._dropped, array.nbytes)
        return array

    def _dropped(self, count):
        self.live -= count

    def upload(self, array):
        self.uploaded += array.nbytes
        return self._counted(super().upload(array))

    def zeros(self, shape, dtype=np.uint64):
        return self._counted(super().zeros(shape, dtype))

    def contiguous(self, array):
        return array if array.flags.c_contiguous else self._counted(super().contiguous(array))

    def download(self, array):
        self.downloaded += array.nbytes
        return array.copy()

    def free_bytes(self):
        return 1 << 40

    def release(self):
        """Nothing is kept."""

    def typed(self):
        return nullcontext()

    def empty(self, shape, dtype=np.uint64):
        out = self._counted(np.empty(tuple(shape), dtype))
        out.view(np.uint8).reshape(-1)[:] = NOISE
        return out


def _recorded(kernel, shape, arguments, arrays, before) -> bytes:
    """One launch in the format of replay.cpp."""
    spans = sorted({(a.ctypes.data, a.nbytes) for a in arrays})
    for (start, length), (following, _) in pairwise(spans):
        assert start + length <= following or length == 0, f"{kernel}: arrays that overlap"
    numbers = {span: number for number, span in enumerate(spans)}
    contents = {(a.ctypes.data, a.nbytes): (old, a.tobytes()) for a, old in zip(arrays, before, strict=True)}
    out = [struct.pack("<Q", len(kernel)), kernel.encode(), struct.pack("<4Q", *shape), struct.pack("<Q", len(spans))]
    for span in spans:
        out += [struct.pack("<Q", span[1]), *contents[span]]
    out.append(struct.pack("<Q", len(arguments)))
    for a in arguments:
        array = isinstance(a, np.ndarray)
        out.append(struct.pack("<2Q", array, numbers[(a.ctypes.data, a.nbytes)] if array else int(a)))
    return b"".join(out)


def replay(launches: list[bytes], sanitizer: str, order: int, folder: Path,
           kernels: Path = SOURCE) -> subprocess.CompletedProcess[str]:
    """Repeats recorded launches under the `address` (and undefined-behaviour) or the `thread` sanitizer."""
    checks = {"address": "address,undefined", "thread": "thread"}[sanitizer]
    flags = [f"-fsanitize={checks}", "-fno-sanitize-recover=all", f"-D{sanitizer.upper()}"]
    program = build(f"replay-{sanitizer}", ["kernels.cpp", "engine.cpp", "replay.cpp"], flags, kernels)
    recording = folder / "launches"
    recording.write_bytes(struct.pack("<Q", len(launches)) + b"".join(launches))
    command = [program, recording, str(order)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in done.stderr:
        # The thread sanitizer wants addresses where it expects them, not where the system puts them at random.
        done = subprocess.run(["setarch", "-R", *command], capture_output=True, text=True, check=False)
    return done
