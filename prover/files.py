"""Files that are whole or absent: write beside, flush to disk, rename. Only their owner can read secrets."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from .errors import InputInvalid, RunFolderError

MAX_FILE = 1 << 36


def write_atomic(path: Path, data: bytes, secret: bool = False) -> None:
    """Writes `data` to `path` whole, or leaves what was there; `secret` gives mode 0600 from the start.

    RunFolderError when the folder cannot be written to (missing, read-only, disk full).
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_input(path: Path) -> bytes:
    """The bytes of a file that a user named; InputInvalid when missing, empty, not a file, or enormous."""
    try:
        if path.is_dir():
            raise InputInvalid(f"{path} is a folder; name a file")
        size = path.stat().st_size
        if size > MAX_FILE:
            raise InputInvalid(f"{path} has {size} bytes; at most {MAX_FILE} are read")
        data = path.read_bytes()
    except OSError as error:
        raise InputInvalid(f"cannot read {path}: {error.strerror or error}") from None
    if not data:
        raise InputInvalid(f"{path} is empty")
    return data
