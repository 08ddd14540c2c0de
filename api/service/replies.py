"""Signed replies to encrypted requests. The supervisor signs; it reads of a request its header, and nothing more."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from fhe.signing import Identity, Request, sign_result

from .channel import contents
from .sealing import secret_file

_MAX_HEADER = 1 << 16


def open_identity(path: Path) -> Identity:
    """The service's signing key, made if there is none. Clients pin its public half. StorageUnavailable."""
    return Identity(secret_file(path, "signing key"))


def read_header(chunks: Iterable[bytes]) -> Request:
    """What a signed request asks, from its first bytes; ValueError when that is not one."""
    from fhe.exchange import MAGIC

    head = bytearray()
    for chunk in chunks:
        head += chunk
        if len(head) >= 12 + _MAX_HEADER:
            break
    if bytes(head[:8]) != MAGIC or len(head) < 12:
        raise ValueError("no request")
    size = struct.unpack_from("<I", head, 8)[0]
    if size > _MAX_HEADER or len(head) < 12 + size:
        raise ValueError("a request header that is cut off")
    try:
        header: dict[str, Any] = json.loads(bytes(head[12 : 12 + size]))
        operands = {str(name): str(digest) for name, digest in header["operands"].items()}
        request = Request(str(header["plan"]), bytes.fromhex(header["nonce"]), operands)
        request.message()
    except (KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ValueError(f"a request header that is malformed ({type(error).__name__})") from None
    return request


def signed(identity: Identity, request: Request, handle: int) -> Iterator[bytes]:
    """A signature over request and words, then the words, which are the content of a file in memory."""
    with mmap.mmap(handle, 0, prot=mmap.PROT_READ) as words:
        # What is signed is the digest of all words together; one piece has the same as many.
        yield sign_result(identity, request, cast(Sequence[bytes], [words]))
    yield from contents(handle)
