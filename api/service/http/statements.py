"""Statements: what proofs are about, with what follows from the text alone."""

from __future__ import annotations

import anyio.to_thread
from fastapi import FastAPI, Request, Response

from api.service import statements
from api.service.views import Page, StatementView

from .access import Reader, StoreOf, Writer
from .parameters import BODY, JSON, JSON_TEXT, READ, WRITE, Cursor, Digest, Limit, location
from .problems import Refusal, responses


def register(app: FastAPI) -> None:
    """Adds the routes to an application."""

    @app.post(
        "/v1/statements",
        status_code=201,
        tags=["statements"],
        summary="Store a statement",
        responses={201: location("The statement."), **responses(*BODY, "unsupported_media_type")},
        openapi_extra=JSON,
    )
    async def post_statement(request: Request, response: Response, store: StoreOf, caller: Writer) -> StatementView:
        """The bytes of statement.json as they are: the canonical text, of which the digest is made."""
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal("unsupported_media_type", f"send application/json, not {kind[:80] or 'nothing'}")
        text = await request.body()
        made = await anyio.to_thread.run_sync(statements.put_statement, store, caller.tenant, text)
        response.headers["Location"] = f"/v1/statements/{made.digest}"
        return made

    @app.get("/v1/statements", tags=["statements"], summary="Statements, newest first", responses=responses(*READ))
    def list_statements(
        store: StoreOf, caller: Reader, cursor: Cursor = None, limit: Limit = 50
    ) -> Page[StatementView]:
        return statements.list_statements(store, caller.tenant, cursor, limit)

    @app.get(
        "/v1/statements/{digest}",
        tags=["statements"],
        summary="A statement, the bounds of its integers, and what its proof will take",
        responses=responses(*READ, "not_found"),
    )
    def get_statement(digest: Digest, store: StoreOf, caller: Reader) -> StatementView:
        return statements.get_statement(store, caller.tenant, digest)

    @app.get(
        "/v1/statements/{digest}/statement.json",
        tags=["statements"],
        summary="A statement's canonical text",
        response_class=Response,
        responses={200: JSON_TEXT, **responses(*READ, "not_found")},
    )
    def get_statement_text(digest: Digest, store: StoreOf, caller: Reader) -> Response:
        return Response(statements.statement_text(store, caller.tenant, digest), media_type="application/json")

    @app.delete(
        "/v1/statements/{digest}",
        status_code=204,
        tags=["statements"],
        summary="Delete a statement",
        responses=responses(*WRITE, "not_found", "conflict"),
    )
    def delete_statement(digest: Digest, store: StoreOf, caller: Writer) -> None:
        statements.delete_statement(store, caller.tenant, digest)
