"""Files sent in parts: what arrived before an interruption is not sent again."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from api.client_errors import Refused

from .transport import Transport

PART_BYTES = 32 << 20
_CHUNK = 1 << 18
Sent = Callable[[int, int], None]


def begin(transport: Transport, path: Path, kind: str) -> str:
    """Opens an upload of a file; its id."""
    size, digest = path.stat().st_size, _digest(path, 0, None)
    document = {"kind": kind, "size": size, "digest": digest.hex()}
    return str(transport.json("POST", "/v1/uploads", document=document, repeatable=False)["id"])


def finish(transport: Transport, upload: str, path: Path, sent: Sent | None = None) -> str:
    """Sends the parts that the service lacks and makes the artifact; its id. `sent(done, total)` tells bytes.

    Refused: code digest_mismatch when the file is no longer the one that the upload was opened for.
    """
    size = path.stat().st_size
    state: dict[str, Any] = transport.json("GET", f"/v1/uploads/{upload}")
    if state["artifact"] is not None:
        return str(state["artifact"])
    present = {int(part["number"]): int(part["size"]) for part in state["parts"]}
    for number, start in enumerate(range(0, size, PART_BYTES), 1):
        length = min(PART_BYTES, size - start)
        if present.get(number) != length:
            _put(transport, upload, path, number, start, length)
        if sent is not None:
            sent(start + length, size)
    return str(transport.json("POST", f"/v1/uploads/{upload}/complete")["id"])


def is_open(transport: Transport, upload: str) -> bool:
    """Whether the service still knows an upload."""
    try:
        transport.json("GET", f"/v1/uploads/{upload}")
    except Refused as refusal:
        if refusal.status == 404:
            return False
        raise
    return True


def _put(transport: Transport, upload: str, path: Path, number: int, start: int, length: int) -> None:
    digest = base64.b64encode(_digest(path, start, length)).decode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(length),
        "Repr-Digest": f"sha-256=:{digest}:",
    }
    transport.request(
        "PUT",
        f"/v1/uploads/{upload}/parts/{number}",
        body=lambda: _chunks(path, start, length),
        headers=headers,
    )


def _chunks(path: Path, start: int, length: int | None) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(start)
        left = length
        while left is None or left > 0:
            chunk = stream.read(_CHUNK if left is None else min(_CHUNK, left))
            if not chunk:
                return
            left = None if left is None else left - len(chunk)
            yield chunk


def _digest(path: Path, start: int, length: int | None) -> bytes:
    found = hashlib.sha256()
    for chunk in _chunks(path, start, length):
        found.update(chunk)
    return found.digest()
