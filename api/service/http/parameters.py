"""Parameters that many operations share, and the tables of what an operation may answer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Path, Query

from api.service.paging import MAX_LIMIT

from .problems import responses

Id = Annotated[str, Path(pattern="^[a-z0-9-]{1,80}$", examples=["4f1c0d9b2a7e66f0c3d5"])]
DIGEST = "^[0-9a-f]{64}$"
Digest = Annotated[str, Path(pattern=DIGEST, description="SHA-256, 64 hexadecimal digits.")]
Cursor = Annotated[str | None, Query(pattern="^[A-Za-z0-9_-]{1,400}$", description="`cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern="^[!-~]{1,255}$",
        description="The same key with the same payload answers with the job that it made first.",
    ),
]
JSON = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}
READ = ("unauthorized", "forbidden", "input_invalid", "storage_unavailable")
WRITE = (*READ, "too_many")
BODY = (*WRITE, "malformed_request", "too_large")


def location(description: str, **more: str) -> dict[str, Any]:
    """A success with a Location, and further headers by name and description."""
    headers = {"Location": "Where it is."} | {name.replace("_", "-"): text for name, text in more.items()}
    shown = {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}
    return {"description": description, "headers": shown}


def content(media_type: str, description: str) -> dict[str, Any]:
    """A success with bytes of a media type."""
    schema: dict[str, Any] = {"type": "string"}
    if not media_type.startswith("text/"):
        schema["format"] = "binary"
    return {"description": description, "content": {media_type: {"schema": schema}}}


def ranged(media_type: str, description: str, *codes: str) -> dict[int | str, dict[str, Any]]:
    """The answers of a GET that takes Range and conditions, with the problems that it may have besides."""
    return {
        200: content(media_type, description),
        206: content(media_type, "The asked-for range."),
        304: {"description": "Unchanged."},
        **responses(*READ, "not_found", "range_invalid", *codes),
    }


JSON_TEXT = content("application/json", "Its canonical text.")
