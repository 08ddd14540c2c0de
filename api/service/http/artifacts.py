"""Bytes out: public artifacts are read, secret ones only described; both are deleted."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from api.service import artifacts
from api.service.errors import WriteOnly
from api.service.views import ArtifactView, Page

from .access import Reader, StoreOf, Writer
from .bytes import serve
from .parameters import READ, WRITE, Cursor, Id, Limit, ranged
from .problems import responses
from .uploads import Kind


def register(app: FastAPI) -> None:
    """Adds the routes to an application."""

    @app.get("/v1/artifacts", tags=["artifacts"], summary="Artifacts, newest first", responses=responses(*READ))
    def list_artifacts(
        store: StoreOf,
        caller: Reader,
        cursor: Cursor = None,
        limit: Limit = 50,
        kind: Annotated[Kind | None, Query()] = None,
    ) -> Page[ArtifactView]:
        return artifacts.list_artifacts(store, caller.tenant, cursor, limit, kind)

    for method in ("GET", "HEAD"):

        @app.api_route(
            "/v1/artifacts/{artifact}",
            methods=[method],
            name=f"{method.lower()}_artifact",
            tags=["artifacts"],
            summary="The bytes of a public artifact",
            response_class=Response,
            responses=ranged("application/octet-stream", "All bytes.", "write_only"),
        )
        def get_artifact(artifact: Id, request: Request, store: StoreOf, caller: Reader) -> Response:
            """Range, If-Range and If-None-Match as in RFC 9110. A secret artifact is never read out: 403."""
            found = artifacts.get_artifact(store, caller.tenant, artifact)
            if found.digest is None:
                raise WriteOnly(f"artifact {artifact} is secret: it can be used and deleted, not read")
            name = f"{artifact}.bin"
            return serve(
                request,
                found.size,
                found.digest,
                "application/octet-stream",
                name,
                lambda start, stop: artifacts.read_artifact(store, caller.tenant, artifact, start, stop),
            )

    @app.get(
        "/v1/artifacts/{artifact}/about",
        tags=["artifacts"],
        summary="What an artifact is, a secret one too",
        responses=responses(*READ, "not_found"),
    )
    def about_artifact(artifact: Id, store: StoreOf, caller: Reader) -> ArtifactView:
        return artifacts.get_artifact(store, caller.tenant, artifact)

    @app.delete(
        "/v1/artifacts/{artifact}",
        status_code=204,
        tags=["artifacts"],
        summary="Delete an artifact",
        responses=responses(*WRITE, "not_found", "conflict"),
    )
    def delete_artifact(artifact: Id, store: StoreOf, caller: Writer) -> None:
        """A job that is not over, or a context, keeps what it uses: 409."""
        artifacts.delete_artifact(store, caller.tenant, artifact)
