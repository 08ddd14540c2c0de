"""Bytes out, in ranges and under conditions (RFC 9110), and in, by chunk and never whole."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator

import anyio.from_thread
from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from api.service.errors import RangeInvalid

from .problems import Refusal

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_DIGEST = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:([A-Za-z0-9+/]{43}=):\s*(?:$|,|;)")


def serve(
    request: Request,
    size: int,
    digest: str,
    media_type: str,
    name: str,
    read: Callable[[int, int | None], Iterator[bytes]],
) -> Response:
    """A file of `size` bytes with SHA-256 `digest`, or the range of it that the request asks for.

    One range is served; a request for several gets everything, which the standard permits. `read(start, stop)` gives
    the bytes. RangeInvalid.
    """
    etag = f'"{digest}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:",
    }
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    start, stop, status = 0, size, 200
    asked = request.headers.get("range")
    if asked is not None and request.headers.get("if-range", etag) == etag:
        found = _RANGE.fullmatch(asked.strip())
        if found is not None and any(found.groups()):
            start, stop = _bounds(found[1], found[2], size)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(read(start, stop), status, headers, media_type)


def _matches(given: str | None, etag: str) -> bool:
    return given is not None and (
        given.strip() == "*" or etag in [part.strip().removeprefix("W/") for part in given.split(",")]
    )


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """Start and end (exclusive) of bytes=first-last; RangeInvalid."""
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    if start >= stop:
        raise RangeInvalid(size)
    return start, stop


def incoming(request: Request) -> Iterator[bytes]:
    """The body's chunks for code in a worker thread: the next is asked for when the one before is dealt with."""
    stream = request.stream()

    async def following() -> bytes | None:
        return await anext(stream, None)

    while (chunk := anyio.from_thread.run(following)) is not None:
        if chunk:
            yield chunk


def content_length(request: Request) -> int:
    """The announced length of the body; Refusal without one, since the room for it is checked first."""
    stated = request.headers.get("content-length", "")
    if not stated.isdigit():
        raise Refusal("length_required", "say how many bytes come: Content-Length")
    return int(stated)


def stated_digest(request: Request) -> str | None:
    """SHA-256 in hexadecimal from Repr-Digest (RFC 9530), None without that header; Refusal if it holds no SHA-256."""
    header = request.headers.get("repr-digest")
    if header is None:
        return None
    found = _DIGEST.search(header)
    if found is None:
        raise Refusal("malformed_request", "Repr-Digest must hold sha-256=:<base64 of 32 bytes>:")
    return base64.b64decode(found[1]).hex()
