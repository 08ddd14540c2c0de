"""Secrets at rest: AES-256-GCM in chunks, under a key of the tenant, itself wrapped under a key kept elsewhere.

Sealed bytes: a salt of 32 bytes, then chunks of CHUNK bytes and a tag of 16 each. HKDF-SHA-256 of tenant key and salt
gives each blob its own key; a chunk's nonce is its number and whether it is the last, so that chunks cannot be left
out, repeated or moved, and the blob's key is authenticated, so that blobs cannot be swapped.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .errors import StorageUnavailable

CHUNK = 1 << 20
SALT, TAG, NONCE = 32, 16, 12
_LABEL = b"zkgrad sealed blob v1"


@dataclass(frozen=True, repr=False)
class Vault:
    """The wrapping key, and its name, which is a hash of it. `repr` shows neither."""

    key: bytes
    name: str

    def wrap(self, tenant: str, key: bytes) -> bytes:
        """A tenant's key as it may lie in the database."""
        nonce = secrets.token_bytes(NONCE)
        return nonce + AESGCM(self.key).encrypt(nonce, key, b"tenant:" + tenant.encode())

    def unwrap(self, tenant: str, wrapped: bytes) -> bytes:
        """StorageUnavailable: wrapped by another key, or altered."""
        try:
            return AESGCM(self.key).decrypt(wrapped[:NONCE], wrapped[NONCE:], b"tenant:" + tenant.encode())
        except InvalidTag:
            raise StorageUnavailable("a tenant's sealing key was wrapped by another wrapping key, or altered") from None


def open_vault(path: Path) -> Vault:
    """The vault of a key file, which is made if there is none. StorageUnavailable: it cannot be read, or is no key."""
    key = secret_file(path, "wrapping key")
    return Vault(key, hashlib.sha256(b"zkgrad wrapping key\0" + key).hexdigest()[:32])


def secret_file(path: Path, what: str) -> bytes:
    """The 32 secret bytes of a file of mode 0600, drawn now if there is no such file yet. StorageUnavailable."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
            _write_key(temporary, secrets.token_bytes(32))
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)  # whoever comes second keeps the first one's key
            temporary.unlink()
        key = path.read_bytes()
    except OSError as error:
        raise StorageUnavailable(f"cannot read the {what} {path}: {error.strerror}") from None
    if len(key) != 32:
        raise StorageUnavailable(f"{path} is no {what}: it has {len(key)} bytes, not 32")
    return key


def _write_key(path: Path, key: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(key)
        stream.flush()
        os.fsync(handle)


def seal(key: bytes, name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Sealed bytes of a stream; `key` is the tenant's, `name` the blob's. Holds a few chunks at a time."""
    salt = secrets.token_bytes(SALT)
    cipher = _cipher(key, salt)
    yield salt
    number, pending = 0, bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) > CHUNK:
            yield cipher.encrypt(_nonce(number, False), bytes(pending[:CHUNK]), name.encode())
            del pending[:CHUNK]
            number += 1
    yield cipher.encrypt(_nonce(number, True), bytes(pending), name.encode())


def unseal(key: bytes, name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The stream that `seal` sealed. StorageUnavailable as soon as a chunk is not authentic, or the last is missing."""
    cipher, number, pending = None, 0, bytearray()
    for chunk in chunks:
        pending += chunk
        if cipher is None and len(pending) >= SALT:
            cipher = _cipher(key, bytes(pending[:SALT]))
            del pending[:SALT]
        while cipher is not None and len(pending) > CHUNK + TAG:
            yield _open(cipher, name, number, False, bytes(pending[: CHUNK + TAG]))
            del pending[: CHUNK + TAG]
            number += 1
    if cipher is None:
        raise StorageUnavailable("a sealed object is cut off before its first chunk")
    yield _open(cipher, name, number, True, bytes(pending))


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, _LABEL).derive(key))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(NONCE - 1, "big") + bytes([last])


def _open(cipher: AESGCM, name: str, number: int, last: bool, data: bytes) -> bytes:
    try:
        return cipher.decrypt(_nonce(number, last), data, name.encode())
    except InvalidTag:
        raise StorageUnavailable(f"chunk {number} of a sealed object is not authentic") from None
