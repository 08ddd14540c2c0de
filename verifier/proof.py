"""The proof file: a fixed header, the statement's digest, then the items of the conversation in order."""

from __future__ import annotations

from .errors import MalformedProof, StatementMismatch

MAGIC = bytes((0x89, 0x5A, 0x4B, 0x47, 0x0D, 0x0A, 0x1A, 0x0A))
VERSION = 1
HEADER_BYTES = len(MAGIC) + 4 + 32


def encode_proof(digest: bytes, body: bytes) -> bytes:
    """magic || version (four bytes, little-endian) || statement digest || body."""
    return MAGIC + VERSION.to_bytes(4, "little") + digest + body


def decode_proof(data: bytes, digest: bytes) -> bytes:
    """The body of a proof for the statement with this digest. Nothing in the body is trusted."""
    if data[: len(MAGIC)] != MAGIC[: len(data)] or len(data) < HEADER_BYTES:
        raise MalformedProof("not a proof file, or cut off inside its header")
    version = int.from_bytes(data[8:12], "little")
    if version != VERSION:
        raise MalformedProof(f"proof version {version}; this verifier reads version {VERSION}")
    if data[12:HEADER_BYTES] != digest:
        raise StatementMismatch(f"the proof is for statement {data[12:HEADER_BYTES].hex()}, not {digest.hex()}")
    return data[HEADER_BYTES:]
