"""multipart/form-data with a statement and a proof, read as it arrives: into files without names, within limits."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import AsyncIterable
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.verification import spool
from verifier.errors import VerifierError
from verifier.proof import HEADER_BYTES, decode_proof
from verifier.statement import MAX_BYTES

from .problems import Refusal

_FIELD_BYTES, _PARTS, _HEADER_BYTES = 256, 16, 4096
STATEMENT, PROOF = "statement", "proof"


class Enough(Exception):
    """The proof's header belongs to no proof of this statement: the verdict does not depend on what follows."""


@dataclass
class _Part:
    name: str = ""
    size: int = 0


class VerificationForm:
    """The parts of one request: `handles` of the two files (close them with `close`), and short text `fields`.

    The statement comes before the proof, which comes last: so a proof of something else is refused at its header.
    """

    def __init__(self, content_type: str, max_proof: int) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            raise Refusal("unsupported_media_type", f"send multipart/form-data, not {content_type[:80] or 'nothing'}")
        if not 1 <= len(options.get(b"boundary", b"")) <= 70:
            raise Refusal("malformed_request", "multipart/form-data needs a boundary of 1 to 70 characters")
        self.fields: dict[str, list[str]] = {}
        self.handles: dict[str, int] = {}
        self.statement = b""
        self._max_proof, self._part, self._head, self._text = max_proof, _Part(), b"", b""
        self._header, self._value, self._parts, self._ended = b"", b"", 0, False
        self._disposition = b""
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin,
                "on_header_begin": self._header_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._opened,
                "on_part_data": self._data,
                "on_part_end": self._close_part,
                "on_end": self._end,
            },
        )

    async def read(self, chunks: AsyncIterable[bytes]) -> None:
        """Takes the whole body; Refusal when it is not a form or too large, Enough at a hopeless proof."""
        try:
            async for chunk in chunks:
                self._parser.write(chunk)
            self._parser.finalize()
        except FormParserError as error:
            raise Refusal("malformed_request", f"the form cannot be read: {str(error)[:200]}") from None
        if not self._ended:
            raise Refusal("malformed_request", "the form ends before its last boundary")
        missing = [name for name in (STATEMENT, PROOF) if name not in self.handles]
        if missing:
            raise Refusal("input_invalid", f"no {missing[0]}", errors=[(f"/{name}", "is missing") for name in missing])

    def close(self) -> None:
        """Gives the files back."""
        for handle in self.handles.values():
            with contextlib.suppress(OSError):
                os.close(handle)
        self.handles.clear()

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _PARTS:
            raise Refusal("malformed_request", f"more than {_PARTS} parts")
        if PROOF in self.handles:
            raise Refusal("input_invalid", "a part follows the proof", errors=[("/proof", "must be the last part")])
        self._part, self._disposition, self._text = _Part(), b"", b""

    def _header_begin(self) -> None:
        self._header = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = self._bounded(self._header + data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value = self._bounded(self._value + data[start:end])

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value

    def _bounded(self, data: bytes) -> bytes:
        if len(data) > _HEADER_BYTES:
            raise Refusal("malformed_request", f"a part's header has more than {_HEADER_BYTES} bytes")
        return data

    def _opened(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"")
        if kind != b"form-data" or not name:
            raise Refusal("malformed_request", f"part {self._parts} has no name")
        self._part = _Part(name.decode("latin-1")[:64])
        if self._part.name in (STATEMENT, PROOF):
            if self._part.name in self.handles:
                raise Refusal("input_invalid", "two statements", errors=[("/statement", "is there twice")])
            if self._part.name == PROOF and STATEMENT not in self.handles:
                raise Refusal(
                    "input_invalid", "no statement before the proof", errors=[("/statement", "must come first")]
                )
            self.handles[self._part.name] = spool()

    def _data(self, data: bytes, start: int, end: int) -> None:
        piece = memoryview(data)[start:end]
        part, limit = self._part, self._limit()
        part.size += len(piece)
        if part.size > limit:
            self._too_large(limit)
        if part.name not in self.handles:
            self._text += piece
            return
        if part.name == STATEMENT:
            self.statement += piece
        written = 0
        while written < len(piece):
            written += os.write(self.handles[part.name], piece[written:])
        if part.name == PROOF and len(self._head) < HEADER_BYTES:
            self._head += bytes(piece[: HEADER_BYTES - len(self._head)])
            if len(self._head) == HEADER_BYTES:
                self._check_header()

    def _limit(self) -> int:
        return {STATEMENT: MAX_BYTES, PROOF: self._max_proof}.get(self._part.name, _FIELD_BYTES)

    def _too_large(self, limit: int) -> None:
        advice = "; larger proofs are verified by jobs (POST /v1/verify-jobs)" if self._part.name == PROOF else ""
        raise Refusal("too_large", f"{self._part.name} has more than {limit} bytes{advice}")

    def _close_part(self) -> None:
        if self._part.name not in self.handles:
            self.fields.setdefault(self._part.name, []).append(self._text.decode("utf-8", "replace"))

    def _end(self) -> None:
        self._ended = True

    def _check_header(self) -> None:
        try:
            decode_proof(self._head, self.statement_digest())
        except VerifierError:
            raise Enough from None

    def statement_digest(self) -> bytes:
        """The digest of the statement's bytes, whatever they are worth."""
        return hashlib.sha256(b"zkgrad statement v1\0" + self.statement).digest()
