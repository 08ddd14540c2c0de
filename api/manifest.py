"""run.json: the ordered manifest of a run in segments, and the digests that tie files to their place in it.

    {
     "format": "zkgrad-chain/1",
     "segments": [
      {
       "statement": 64 hexadecimal digits, the digest of segments/000/statement.json as `zkgrad show` prints it,
       "proof": 64 hexadecimal digits, SHA-256 of segments/000/proof.zkp, or null until there is one
      },
      ... one a segment, in the order of the run, at least two
     ]
    }

There is one canonical text: ASCII, keys in this order, indented by one space, a newline at the end. The manifest is
public and proves nothing: it says which files belong together, the chain of statements says that they do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prover.errors import RunFolderError
from prover.plan import MAX_SEGMENTS

MANIFEST = "run.json"
FORMAT = "zkgrad-chain/1"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A segment's files: the digest of its statement, and that of its proof once there is one."""

    statement: bytes
    proof: bytes | None = None


def proof_digest(proof: bytes) -> bytes:
    """SHA-256 of a proof file, as the manifest lists it."""
    return hashlib.sha256(proof).digest()


def to_bytes(entries: Sequence[Entry]) -> bytes:
    """The one canonical text."""
    segments = [{"statement": e.statement.hex(), "proof": e.proof.hex() if e.proof else None} for e in entries]
    return (json.dumps({"format": FORMAT, "segments": segments}, indent=1) + "\n").encode("ascii")


def parse(text: bytes) -> tuple[Entry, ...]:
    """The entries of a canonical manifest; RunFolderError, with the place, for anything else."""
    if len(text) > MAX_BYTES:
        raise RunFolderError(f"{MANIFEST} has {len(text)} bytes, at most {MAX_BYTES} are read")
    try:
        document = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{MANIFEST} is not JSON in ASCII: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise RunFolderError(f"{MANIFEST} is not of format {FORMAT!r}")
    listed = document.get("segments")
    if not isinstance(listed, list) or not 2 <= len(listed) <= MAX_SEGMENTS:
        raise RunFolderError(f"{MANIFEST}: segments must list 2 to {MAX_SEGMENTS} segments")
    entries = tuple(_entry(item, number) for number, item in enumerate(listed))
    if to_bytes(entries) != text:
        raise RunFolderError(f"{MANIFEST} is not in canonical form (key order, spacing, unknown or repeated keys)")
    return entries


def _entry(item: Any, number: int) -> Entry:
    if not isinstance(item, dict):
        raise RunFolderError(f"{MANIFEST}: segments[{number}] is not an object")
    statement, proof = item.get("statement"), item.get("proof")
    return Entry(
        _hex32(statement, f"segments[{number}].statement"),
        None if proof is None else _hex32(proof, f"segments[{number}].proof"),
    )


def _hex32(value: Any, place: str) -> bytes:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise RunFolderError(f"{MANIFEST}: {place} must be 64 lower-case hexadecimal digits")
    return bytes.fromhex(value)
