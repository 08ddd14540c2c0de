"""Run a function on hostile bytes in a child with little power: bytes come back, or one typed error."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path

from fhe import errors
from fhe.errors import FheError, LimitExceeded

_NO_NEW_PRIVS = 38


def limited(
    function: Callable[[], bytes], *, seconds: float = 600.0, memory: int = 16 << 30, output: int = 1 << 32
) -> bytes:
    """`function()` in a forked child: no environment, no core dump, no new privileges, no further
    descriptors.

    `seconds` of processor and wall time, `memory` bytes beyond what this process maps, at most `output` bytes
    of result. The child inherits values but can change none here. Raises LimitExceeded, or the child's own
    FheError.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        _serve(function, write, seconds, memory, output)
    os.close(write)
    try:
        data = _gather(read, child, seconds, output)
    finally:
        os.close(read)
        _, status = os.waitpid(child, 0)
    if len(data) < 9 or len(data) != 9 + struct.unpack_from("<Q", data, 1)[0]:
        raise LimitExceeded(
            f"the child ended with status {status} after {len(data)} bytes: it crashed or exceeded "
            f"{seconds:g} s or {memory:,} bytes of memory"
        )
    if data[0] == 0:
        return data[9:]
    report = json.loads(data[9:])
    kind = getattr(errors, report["type"], FheError)
    raise kind(report["message"])


def _gather(read: int, child: int, seconds: float, output: int) -> bytes:
    """All bytes of the child, which is killed when they are too many or too late."""
    deadline, parts, size = time.monotonic() + seconds, list[bytes](), 0
    while True:
        ready, _, _ = select.select([read], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(read, 1 << 20) if ready else None
        if part == b"":
            return b"".join(parts)
        if part is None or size + len(part) > output + 9:
            os.kill(child, signal.SIGKILL)
            return b""
        parts.append(part)
        size += len(part)


def _serve(function: Callable[[], bytes], write: int, seconds: float, memory: int, output: int) -> None:
    """The child's whole life."""
    try:
        _confine(write, seconds, memory)
        try:
            kind, body = b"\0", function()
        except FheError as error:
            kind, body = b"\1", json.dumps({"type": type(error).__name__, "message": str(error)}).encode()
        except MemoryError:
            kind, body = (
                b"\1",
                json.dumps(
                    {"type": "LimitExceeded", "message": f"more than {memory:,} bytes of memory are needed"}
                ).encode(),
            )
        data = memoryview(kind + struct.pack("<Q", len(body)) + body)
        while data:
            data = data[os.write(write, data) :]
    finally:
        os._exit(0)


def _confine(write: int, seconds: float, memory: int) -> None:
    """Give up everything but computing and one pipe."""
    os.setsid()
    os.environ.clear()
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(seconds) + 1),
        (resource.RLIMIT_AS, mapped + memory),
    ):
        resource.setrlimit(limit, (value, value))
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.closerange(3, write)
    os.closerange(write + 1, max(write + 2, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536)))
