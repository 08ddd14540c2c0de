"""A device and its tables: where memory comes from, how kernels are launched, what a table may be used for."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

THREADS = 256  # of a block, where a kernel needs a fixed number
SOURCE = Path(__file__).with_name("kernels.cu")

_INCLUDE = re.compile(r'#include "(\w+\.cuh)"\n')
_KERNEL = re.compile(r"^KERNEL (\w+)\(", re.MULTILINE)


def kernel_source(start: Path = SOURCE) -> str:
    """All kernels as one text, every included file once: what is compiled on a machine with a device."""
    seen: set[str] = set()

    def text(path: Path) -> str:
        def included(match: re.Match[str]) -> str:
            name = match[1]
            if name in seen:
                return ""
            seen.add(name)
            return text(SOURCE.with_name(name))

        return _INCLUDE.sub(included, path.read_text().replace("#pragma once\n", ""))

    return text(start)


def kernel_names(start: Path = SOURCE) -> list[str]:
    """The names of all kernels."""
    return _KERNEL.findall(kernel_source(start))


class Device(ABC):
    """Memory and kernels of one device. Arrays are those of `arrays`, a library with NumPy's functions.

    Every call may raise OutOfMemory or DeviceLost; since launches do not wait, the fault of a kernel may show at a
    later call.
    """

    arrays: Any
    description: str

    @abstractmethod
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
        """Starts a kernel on a grid [blocks, parts]; arguments are contiguous arrays and ints in [0, 2^64)."""

    @abstractmethod
    def download(self, array: Any) -> NDArray[Any]:
        """A host copy, when all launches before have ended."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Memory that can still be taken."""

    @abstractmethod
    def release(self) -> None:
        """Gives memory that is kept for reuse back to the system."""

    @abstractmethod
    def typed(self) -> AbstractContextManager[None]:
        """Turns the errors of the array library into those of `prover.errors`."""

    def upload(self, array: NDArray[Any]) -> Any:
        """A device copy of a host array."""
        with self.typed():
            return self.arrays.array(np.ascontiguousarray(array))

    def empty(self, shape: Sequence[int], dtype: Any = np.uint64) -> Any:
        """An uninitialised contiguous array."""
        with self.typed():
            return self.arrays.empty(tuple(shape), dtype)

    def zeros(self, shape: Sequence[int], dtype: Any = np.uint64) -> Any:
        """A contiguous array of zeros."""
        with self.typed():
            return self.arrays.zeros(tuple(shape), dtype)

    def contiguous(self, array: Any) -> Any:
        """The array itself, or a copy where its entries do not follow each other in memory."""
        with self.typed():
            return self.arrays.ascontiguousarray(array)

    def assign(self, view: Any, value: Any) -> None:
        """view[...] = value."""
        with self.typed():
            view[...] = view.dtype.type(value) if isinstance(value, int) else value


class DeviceTable:
    """A table on a device. It is only sliced, reshaped, assigned to, and handed to its backend: nothing else can be
    done with it by accident, since everything else would silently move it to the host."""

    __slots__ = ("data", "device")

    def __init__(self, device: Device, data: Any) -> None:
        self.device, self.data = device, data

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of its axes."""
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return int(self.data.ndim)

    @property
    def size(self) -> int:
        """The number of its entries."""
        return int(self.data.size)

    @property
    def nbytes(self) -> int:
        """Its length in bytes."""
        return int(self.data.nbytes)

    @property
    def T(self) -> Self:
        """A view with the axes reversed."""
        return type(self)(self.device, self.data.T)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Any:
        raise TypeError("a table on a device is not read entry by entry: ask its backend for a host copy")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a table on a device is not a NumPy array: ask its backend for a host copy")

    def reshape(self, *shape: Any) -> Self:
        """The same entries in another shape; a view of a contiguous table."""
        with self.device.typed():
            return type(self)(self.device, self.data.reshape(*shape))

    def __getitem__(self, key: Any) -> Self:
        return type(self)(self.device, self.data[_basic(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            value = self.device.upload(value)
        self.device.assign(self.data[_basic(key)], value.data if isinstance(value, DeviceTable) else value)


def _basic(key: Any) -> Any:
    """The key, if it is made of ints and slices."""
    for part in key if isinstance(key, tuple) else (key,):
        if not isinstance(part, int | slice | np.integer | type(...)):
            raise TypeError(f"a table on a device takes ints and slices as indices, not {type(part).__name__}")
    return key
