"""Who said what: Ed25519 signatures over plan, nonce and digests, in both directions.

A signature shows which server answered which request. It does not show that the server computed honestly.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fhe.errors import RejectedMessage

NONCE_BYTES = 32
SIGNATURE_BYTES = 64
_UPLOAD = b"zkgrad-fhe-upload-v1\0"
_RESULT = b"zkgrad-fhe-result-v1\0"


class Identity:
    """An Ed25519 signing key; fresh from the operating system unless 32 secret bytes are given."""

    def __init__(self, secret: bytes | None = None) -> None:
        self.secret = secret if secret is not None else secrets.token_bytes(32)
        self._key = Ed25519PrivateKey.from_private_bytes(self.secret)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


@dataclass(frozen=True)
class Request:
    """What a client asks: a plan, a fresh nonce, and the digests of all operands by name."""

    plan: str
    nonce: bytes
    operands: Mapping[str, str]

    def message(self) -> bytes:
        names = sorted(self.operands)
        parts = [bytes.fromhex(self.plan), self.nonce, struct.pack("<I", len(names))]
        for name in names:
            parts += [struct.pack("<H", len(name)), name.encode(), bytes.fromhex(self.operands[name])]
        return b"".join(parts)


def digest(parts: Sequence[bytes]) -> str:
    """SHA-256 over the concatenation."""
    h = hashlib.sha256()
    for part in parts:
        h.update(part)
    return h.hexdigest()


def new_request(plan: str, operands: Mapping[str, Sequence[bytes]]) -> Request:
    return Request(plan, secrets.token_bytes(NONCE_BYTES), {n: digest(w) for n, w in operands.items()})


def sign_request(identity: Identity, request: Request) -> bytes:
    return identity.sign(_UPLOAD + request.message())


def check_request(
    client_key: bytes, request: Request, operands: Mapping[str, Sequence[bytes]], signature: bytes
) -> None:
    """Raise RejectedMessage unless the client of `client_key` asked exactly this about exactly these words.
    """
    actual = {n: digest(w) for n, w in operands.items()}
    for name in sorted(set(actual) | set(request.operands)):
        if actual.get(name) != request.operands.get(name):
            raise RejectedMessage(
                f"operand '{name}' has digest {str(actual.get(name))[:16]}, the request names "
                f"{str(request.operands.get(name))[:16]}"
            )
    _verify(client_key, _UPLOAD + request.message(), signature, "upload", "client")


def sign_result(identity: Identity, request: Request, words: Sequence[bytes]) -> bytes:
    return identity.sign(_RESULT + request.message() + bytes.fromhex(digest(words)))


def check_result(server_key: bytes, request: Request, words: Sequence[bytes], signature: bytes) -> None:
    """Raise RejectedMessage unless the pinned server answered this very request (its nonce) with these words.
    """
    _verify(
        server_key, _RESULT + request.message() + bytes.fromhex(digest(words)), signature, "result", "server"
    )


def _verify(key: bytes, message: bytes, signature: bytes, what: str, who: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise RejectedMessage(
            f"the {what}'s signature is not that of {who} {key.hex()[:16]} for this plan, nonce and "
            "these words: a replay, another key, or altered in transit"
        ) from None


class NonceBook:
    """The requests a server has answered; a nonce is taken once, across restarts when a file keeps them."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        known = path.read_text().split() if path is not None and path.exists() else []
        self._seen = {bytes.fromhex(line) for line in known}

    def take(self, request: Request) -> None:
        if len(request.nonce) != NONCE_BYTES or request.nonce in self._seen:
            raise RejectedMessage(f"nonce {request.nonce.hex()[:16]} was used before; sign a new request")
        self._seen.add(request.nonce)
        if self.path is not None:
            with self.path.open("a") as stream:
                stream.write(request.nonce.hex() + "\n")
                stream.flush()
                os.fsync(stream.fileno())
