"""Published proofs, and the manifests of runs in segments."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api.service import proofs, statements
from api.service.store import Store
from api.service.views import Page, ProofView, RunView

from .access import Reader, StoreOf, Writer
from .bytes import serve
from .parameters import DIGEST, JSON_TEXT, READ, WRITE, Cursor, Digest, Limit, ranged
from .problems import responses

PROOF = "application/octet-stream"


class RunSegment(BaseModel):
    """One segment of a run: the digests of its files."""

    statement: str
    proof: str


class Run(BaseModel):
    """A run in segments, in order."""

    digest: str
    segments: list[RunSegment]
    job: str
    created: float


def register(app: FastAPI) -> None:
    """Adds the routes to an application."""
    _register_proofs(app)
    _register_runs(app)


def _register_proofs(app: FastAPI) -> None:
    @app.get("/v1/proofs", tags=["proofs"], summary="Proofs, newest first", responses=responses(*READ))
    def list_proofs(
        store: StoreOf,
        caller: Reader,
        cursor: Cursor = None,
        limit: Limit = 50,
        statement: Annotated[str | None, Query(pattern=DIGEST)] = None,
        job: Annotated[str | None, Query(pattern="^[a-z0-9-]{1,80}$")] = None,
    ) -> Page[ProofView]:
        return proofs.list_proofs(store, caller.tenant, cursor, limit, statement=statement, job=job)

    for method in ("GET", "HEAD"):

        @app.api_route(
            "/v1/proofs/{digest}",
            methods=[method],
            name=f"{method.lower()}_proof",
            tags=["proofs"],
            summary="The bytes of a proof",
            response_class=Response,
            responses=ranged(PROOF, "proof.zkp"),
        )
        def get_proof(digest: Digest, request: Request, store: StoreOf, caller: Reader) -> Response:
            """Range, If-Range and If-None-Match as in RFC 9110."""
            return proof_bytes(request, store, caller.tenant, digest)

    @app.get(
        "/v1/proofs/{digest}/about",
        tags=["proofs"],
        summary="What a proof is about, and where it came from",
        responses=responses(*READ, "not_found"),
    )
    def about_proof(digest: Digest, store: StoreOf, caller: Reader) -> ProofView:
        return proofs.get_proof(store, caller.tenant, digest)

    @app.get(
        "/v1/proofs/{digest}/statement.json",
        tags=["proofs"],
        summary="The statement that a proof is about",
        response_class=Response,
        responses={200: JSON_TEXT, **responses(*READ, "not_found")},
    )
    def get_proof_statement(digest: Digest, store: StoreOf, caller: Reader) -> Response:
        statement = proofs.get_proof(store, caller.tenant, digest).statement
        return Response(statements.statement_text(store, caller.tenant, statement), media_type="application/json")

    @app.delete(
        "/v1/proofs/{digest}",
        status_code=204,
        tags=["proofs"],
        summary="Delete a proof",
        responses=responses(*WRITE, "not_found"),
    )
    def delete_proof(digest: Digest, store: StoreOf, caller: Writer) -> None:
        """The openings that it spent stay spent."""
        proofs.delete_proof(store, caller.tenant, digest)


def _register_runs(app: FastAPI) -> None:
    @app.get("/v1/runs", tags=["runs"], summary="Runs in segments, newest first", responses=responses(*READ))
    def list_runs(store: StoreOf, caller: Reader, cursor: Cursor = None, limit: Limit = 50) -> Page[Run]:
        found = proofs.list_runs(store, caller.tenant, cursor, limit)
        return Page(tuple(map(run_of, found.items)), found.cursor)

    @app.get(
        "/v1/runs/{digest}",
        tags=["runs"],
        summary="A run: its segments in order",
        responses=responses(*READ, "not_found"),
    )
    def get_run(digest: Digest, store: StoreOf, caller: Reader) -> Run:
        return run_of(proofs.get_run(store, caller.tenant, digest))

    @app.get(
        "/v1/runs/{digest}/run.json",
        tags=["runs"],
        summary="The manifest of a run",
        response_class=Response,
        responses={200: JSON_TEXT, **responses(*READ, "not_found")},
    )
    def get_manifest(digest: Digest, store: StoreOf, caller: Reader) -> Response:
        return Response(proofs.get_run(store, caller.tenant, digest).manifest, media_type="application/json")

    @app.delete(
        "/v1/runs/{digest}",
        status_code=204,
        tags=["runs"],
        summary="Delete a manifest; statements and proofs stay",
        responses=responses(*WRITE, "not_found"),
    )
    def delete_run(digest: Digest, store: StoreOf, caller: Writer) -> None:
        proofs.delete_run(store, caller.tenant, digest)


def run_of(view: RunView) -> Run:
    """A run as it is shown."""
    segments = [RunSegment(statement=statement, proof=proof) for statement, proof in view.segments]
    return Run(digest=view.digest, segments=segments, job=view.job, created=view.created)


def proof_bytes(request: Request, store: Store, tenant: str, digest: str) -> Response:
    """A proof of a tenant, or a range of it."""
    found = proofs.get_proof(store, tenant, digest)
    name = f"{digest[:16]}.zkp"
    return serve(
        request,
        found.size,
        digest,
        PROOF,
        name,
        lambda start, stop: proofs.read_proof(store, tenant, digest, start, stop),
    )
