"""Files that may be hostile: judged by their first bytes, and never read beyond a limit."""

from __future__ import annotations

import sys
from pathlib import Path

from verifier.proof import HEADER_BYTES

from .console import LimitError, UsageError

MAX_PROOF = 1 << 28


def read_limited(path: Path, limit: int, magic: bytes = b"") -> bytes:
    """A file (- is standard input): its first bytes are judged before the rest is read, and at most `limit` bytes are.

    A file that does not start with `magic` is cut off there, for the caller's parser to refuse. UsageError: it cannot
    be read; LimitError: it is longer.
    """
    try:
        if str(path) == "-":
            head = sys.stdin.buffer.read(HEADER_BYTES)
            rest = sys.stdin.buffer.read(limit + 1 - len(head)) if head.startswith(magic) else b""
        else:
            with path.open("rb") as stream:
                head = stream.read(HEADER_BYTES)
                rest = stream.read(limit + 1 - len(head)) if head.startswith(magic) else b""
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(head) + len(rest) > limit:
        raise LimitError(f"{path} has more than {limit} bytes")
    return head + rest
