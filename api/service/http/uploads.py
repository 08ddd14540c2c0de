"""Bytes in: uploads in parts that can be resumed, or an artifact in one request."""

from __future__ import annotations

from typing import Annotated, Literal

import anyio.to_thread
from fastapi import FastAPI, Path, Query, Request, Response
from pydantic import BaseModel, Field

from api.service import uploads
from api.service.store import Store
from api.service.views import ArtifactView, Caller, UploadView

from .access import StoreOf, Writer
from .bytes import content_length, incoming, stated_digest
from .parameters import BODY, DIGEST, WRITE, Id, location
from .problems import Refusal, responses

Kind = Literal["data", "initial", "openings", "proof", "statement", "context", "request", "plain", "other"]
Media = Annotated[str, Field(pattern=r"^[A-Za-z0-9.+_-]{1,60}/[A-Za-z0-9.+_-]{1,59}$")]
_BYTES = "application/octet-stream"
_RAW = {
    "requestBody": {"required": True, "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}},
}
_REPR = {
    "name": "Repr-Digest",
    "in": "header",
    "required": False,
    "description": "sha-256=:<base64>: of the body; checked before anything is kept.",
    "schema": {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"},
}
_INCOMING = ("digest_mismatch", "length_required", "unsupported_media_type", "disk_full", "conflict")


class NewUpload(BaseModel):
    """What is going to be uploaded. Data, first weights and openings are secret whatever `secret` says."""

    model_config = {"extra": "forbid", "strict": True}

    kind: Kind
    secret: bool = False
    media_type: Media = _BYTES
    size: int | None = Field(None, ge=1, le=1 << 53, description="Bytes in all, where known.")
    digest: str | None = Field(None, pattern=DIGEST, description="SHA-256 of all bytes, checked at the end.")


class ReceivedPart(BaseModel):
    """A part that is stored. Its digest is not told: of secrets, it would confirm guesses."""

    number: int
    size: int


class Upload(BaseModel):
    """What was announced, and the parts that are there. Without a new part for long it ends at `expires`."""

    id: str
    kind: str
    secret: bool
    media_type: str
    size: int | None
    parts: list[ReceivedPart]
    received: int
    created: float
    expires: float
    artifact: str | None = Field(description="What it has become, once it is complete.")


def register(app: FastAPI) -> None:
    """Adds the routes to an application."""

    @app.post(
        "/v1/uploads",
        status_code=201,
        tags=["uploads"],
        summary="Begin an upload",
        responses={201: location("The upload."), **responses(*BODY, "disk_full")},
    )
    def begin_upload(new: NewUpload, response: Response, store: StoreOf, caller: Writer) -> Upload:
        """Then PUT its parts, numbered from 1, in any order, and POST to `complete`."""
        made = uploads.begin_upload(store, caller.tenant, **new.model_dump())
        response.headers["Location"] = f"/v1/uploads/{made.id}"
        return shown(made)

    @app.get(
        "/v1/uploads/{upload}",
        tags=["uploads"],
        summary="An upload and its parts, from which it is resumed",
        responses=responses(*WRITE, "not_found"),
    )
    def get_upload(upload: Id, store: StoreOf, caller: Writer) -> Upload:
        return shown(uploads.get_upload(store, caller.tenant, upload))

    @app.put(
        "/v1/uploads/{upload}/parts/{number}",
        tags=["uploads"],
        summary="A part, as raw bytes",
        responses=responses(*BODY, *_INCOMING, "not_found"),
        openapi_extra=_RAW | {"parameters": [_REPR]},
    )
    async def put_part(
        upload: Id, number: Annotated[int, Path(ge=1, le=100_000)], request: Request, store: StoreOf, caller: Writer
    ) -> ReceivedPart:
        """Durable once answered. The same number again replaces the part."""
        size, digest = _announced(request)

        def put() -> ReceivedPart:
            chunks = incoming(request)
            part = uploads.put_part(store, caller.tenant, upload, number, chunks, size=size, digest=digest)
            return ReceivedPart(number=part.number, size=part.size)

        return await anyio.to_thread.run_sync(put)

    @app.post(
        "/v1/uploads/{upload}/complete",
        status_code=201,
        tags=["uploads"],
        summary="Make an artifact of the parts",
        responses={
            201: location("The artifact."),
            **responses(*WRITE, "not_found", "digest_mismatch", "conflict", "too_large"),
        },
    )
    def complete_upload(upload: Id, response: Response, store: StoreOf, caller: Writer) -> ArtifactView:
        """Done twice, it answers with the same artifact."""
        made = uploads.complete_upload(store, caller.tenant, upload)
        response.headers["Location"] = f"/v1/artifacts/{made.id}"
        return made

    @app.delete(
        "/v1/uploads/{upload}",
        status_code=204,
        tags=["uploads"],
        summary="Abort an upload",
        responses=responses(*WRITE, "not_found"),
    )
    def abort_upload(upload: Id, store: StoreOf, caller: Writer) -> None:
        uploads.abort_upload(store, caller.tenant, upload)

    @app.post(
        "/v1/artifacts",
        status_code=201,
        tags=["artifacts"],
        summary="An artifact in one request, as raw bytes",
        responses={201: location("The artifact."), **responses(*BODY, *_INCOMING)},
        openapi_extra=_RAW | {"parameters": [_REPR]},
    )
    async def post_artifact(
        request: Request,
        response: Response,
        store: StoreOf,
        caller: Writer,
        kind: Kind,
        secret: Annotated[bool, Query(description="Write-only; data, initial and openings always are.")] = False,
    ) -> ArtifactView:
        """For what fits into one part; larger ones are uploaded in parts."""
        size, digest = _announced(request)
        made = await anyio.to_thread.run_sync(_whole, request, store, caller, kind, secret, size, digest)
        response.headers["Location"] = f"/v1/artifacts/{made.id}"
        return made


def _whole(
    request: Request, store: Store, caller: Caller, kind: Kind, secret: bool, size: int, digest: str | None
) -> ArtifactView:
    """One upload of one part, gone again if it fails."""
    upload = uploads.begin_upload(store, caller.tenant, kind, secret=secret, size=size, digest=digest)
    try:
        uploads.put_part(store, caller.tenant, upload.id, 1, incoming(request), size=size, digest=digest)
        return uploads.complete_upload(store, caller.tenant, upload.id)
    finally:
        uploads.abort_upload(store, caller.tenant, upload.id)


def _announced(request: Request) -> tuple[int, str | None]:
    """Length and digest of a raw body; Refusal for a body that is something else."""
    kind = request.headers.get("content-type", _BYTES).split(";")[0].strip().lower()
    if kind != _BYTES:
        raise Refusal("unsupported_media_type", f"send {_BYTES}, not {kind[:80]}")
    return content_length(request), stated_digest(request)


def shown(upload: UploadView) -> Upload:
    """An upload as it is told: nothing of a secret's content."""
    return Upload(
        id=upload.id,
        kind=upload.kind,
        secret=upload.secret,
        media_type=upload.media_type,
        size=upload.size,
        parts=[ReceivedPart(number=part.number, size=part.size) for part in upload.parts],
        received=upload.received,
        created=upload.created,
        expires=upload.expires,
        artifact=upload.artifact,
    )
