"""Bytes by key: files that are whole or absent, or objects of an S3 service. Written once, never changed.

Keys are `folder/name` with letters, digits, dots and dashes, chosen by the store and never by a client.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .errors import DiskFull, StorageUnavailable
from .settings import Settings

CHUNK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TEMPORARY = ".tmp"


@dataclass(frozen=True)
class Stored:
    """A blob as a listing shows it; `modified` is in seconds since 1970, by the storage's clock."""

    key: str
    size: int
    modified: float


class Blobs(Protocol):
    """What the store needs of a place for bytes. Errors: DiskFull, StorageUnavailable."""

    def admit(self, size: int) -> None:
        """DiskFull unless `size` more bytes leave the floor free."""

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        """Stores all chunks durably under a new key, or nothing, also when the iterable raises."""

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` to before `stop`, in chunks of bounded size."""

    def delete(self, key: str) -> None:
        """Removes a blob, if there is one."""

    def list(self) -> Iterator[Stored]:
        """All blobs, those included whose writing was interrupted."""


def open_blobs(settings: Settings) -> Blobs:
    """The blobs that the settings name."""
    if settings.blobs is None:
        return FileBlobs(settings.data / "blobs", settings.disk_floor_bytes)
    return ObjectBlobs(settings)


class FileBlobs:
    """Files in a folder of mode 0700: written beside, flushed to disk, renamed, the folder flushed."""

    def __init__(self, root: Path, floor: int) -> None:
        self._root, self._floor = root.absolute(), floor
        with _typed("making the folder"):
            _make_folder(self._root)
            self._root.chmod(0o700)

    def admit(self, size: int) -> None:
        with _typed("asking for free space"):
            free = shutil.disk_usage(self._root).free
        if free - size < self._floor:
            raise DiskFull(
                f"{size} bytes more would leave {max(0, free - size)} bytes free; {self._floor} are kept free: delete "
                "something, or give the service more room"
            )

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        path = self._root / key
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}{_TEMPORARY}")
        try:
            with _typed("writing"):
                _make_folder(path.parent)
                handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb", buffering=0) as stream:
                for chunk in chunks:
                    with _typed("writing"):
                        _write_all(stream, chunk)
                with _typed("flushing"):
                    os.fsync(handle)
            with _typed("naming"):
                os.replace(temporary, path)
                _sync(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        with _typed("reading"), (self._root / key).open("rb", buffering=0) as stream:
            stream.seek(start)
            left = stop - start if stop is not None else None
            while left is None or left > 0:
                chunk = stream.read(CHUNK if left is None else min(CHUNK, left))
                if not chunk and left:
                    raise StorageUnavailable(f"a stored object ends {left} bytes early")
                if not chunk:
                    return
                left = None if left is None else left - len(chunk)
                yield chunk

    def delete(self, key: str) -> None:
        with _typed("removing"), contextlib.suppress(FileNotFoundError):
            (self._root / key).unlink()

    def list(self) -> Iterator[Stored]:
        with _typed("listing"):
            for folder, _, names in os.walk(self._root):
                for name in names:
                    path = Path(folder) / name
                    with contextlib.suppress(FileNotFoundError):
                        found = path.stat()
                        yield Stored(str(path.relative_to(self._root)), found.st_size, found.st_mtime)


def _write_all(stream: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def _make_folder(path: Path) -> None:
    """Like mkdir -p, each new name flushed to disk."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _typed(doing: str) -> Iterator[None]:
    """An error of the operating system as one of the store's."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(f"storage is full ({doing})") from error
        raise StorageUnavailable(f"storage failed while {doing}: {error.strerror or type(error).__name__}") from error


class ObjectBlobs:
    """Objects of an S3 service, under a prefix of a bucket; large ones are sent in parts, which end whole or not."""

    def __init__(self, settings: Settings) -> None:
        from obstore.store import S3Store

        assert settings.blobs is not None
        scheme, _, rest = settings.blobs.partition("://")
        if scheme != "s3" or not rest:
            raise StorageUnavailable(f"blobs={settings.blobs!r}: give s3://bucket/prefix, or nothing for files")
        bucket, _, prefix = rest.partition("/")
        options: dict[str, Any] = {"region": settings.s3_region}
        for name, secret in (("access_key_id", settings.s3_access_key), ("secret_access_key", settings.s3_secret_key)):
            if secret is not None:
                options[name] = secret.get_secret_value()
        if settings.s3_endpoint is not None:
            options["endpoint"] = settings.s3_endpoint
        self._store = S3Store(
            bucket, prefix=prefix or None, client_options={"allow_http": settings.s3_allow_http}, **options
        )

    def admit(self, size: int) -> None:
        """An object store announces no limit."""

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        import obstore

        fault: list[BaseException] = []

        def watched() -> Iterator[bytes]:
            try:
                yield from chunks
            except BaseException as error:
                fault.append(error)
                raise

        with _remote(fault):
            obstore.put(self._store, key, watched(), use_multipart=True, chunk_size=8 * CHUNK, max_concurrency=2)

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        import obstore

        if stop is not None and stop <= start:
            return
        with _remote([]):
            wanted: Any = {"range": (start, stop)} if stop is not None else {"range": {"offset": start}}
            found = obstore.get(self._store, key, options=wanted if start or stop is not None else {})
            for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def delete(self, key: str) -> None:
        import obstore

        with _remote([]), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def list(self) -> Iterator[Stored]:
        import obstore

        with _remote([]):
            for batch in obstore.list(self._store):
                for entry in batch:
                    yield Stored(entry["path"], entry["size"], entry["last_modified"].timestamp())


@contextlib.contextmanager
def _remote(fault: list[BaseException]) -> Iterator[None]:
    """obstore's errors as the store's; what the caller's own iterable raised goes through unchanged."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        if fault:
            raise fault[0] from None
        # The text of such an error may quote a request with its signature.
        raise StorageUnavailable(f"object storage failed ({type(error).__name__})") from error
