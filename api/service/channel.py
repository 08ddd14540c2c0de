"""What a job's process and its supervisor say to each other: small JSON messages, large bytes as files in memory.

The process has no access to database, blobs or keys. It asks for its inputs by name, asks to spend openings before it
shows a proof, and hands results over; the supervisor does what is asked, or ends the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import StorageUnavailable

MAX_MESSAGE = 1 << 16
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Message:
    """`body` names what is said under "op"; `handle` is the descriptor of a file in memory, or -1."""

    body: dict[str, Any]
    handle: int = -1


class Channel:
    """One end of a socket pair that keeps messages apart (SOCK_SEQPACKET)."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def send(self, body: dict[str, Any], handle: int = -1) -> None:
        """Sends a message; the descriptor stays open here. OSError when the other end is gone."""
        data = json.dumps(body).encode()
        if len(data) > MAX_MESSAGE:
            raise ValueError(f"a message of {len(data)} bytes; at most {MAX_MESSAGE}")
        if handle < 0:
            self.socket.sendall(data)
        else:
            socket.send_fds(self.socket, [data], [handle])

    def receive(self) -> Message | None:
        """The next message, its descriptor now the caller's to close; None when the other end is gone."""
        try:
            data, handles, _, _ = socket.recv_fds(self.socket, MAX_MESSAGE + 1, 1)
        except ConnectionError:
            return None
        if not data:
            return None
        for handle in handles:
            os.set_inheritable(handle, False)
        return Message(json.loads(data), handles[0] if handles else -1)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def in_memory(name: str, chunks: Iterable[bytes]) -> int:
    """The descriptor of a file without a name that holds the chunks, in memory and never on a disk of ours."""
    handle = os.memfd_create(name, os.MFD_CLOEXEC)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, handle)
        try:
            for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(handle, view) :]
        except OSError as error:
            raise StorageUnavailable(f"no memory for an input: {error.strerror}") from None
        undo.pop_all()
    return handle


def contents(handle: int) -> Iterator[bytes]:
    """The bytes of such a file from its start, in chunks."""
    at = 0
    while chunk := os.pread(handle, _CHUNK, at):
        at += len(chunk)
        yield chunk


def path_of(handle: int) -> Path:
    """A path that opens such a file anew, for readers that want one."""
    return Path(f"/proc/self/fd/{handle}")
