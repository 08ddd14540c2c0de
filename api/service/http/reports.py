"""Reports: a proof or a run as one page for people. A page of the prover's own service never says VALID by itself."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from api.report.page import render
from api.report.subject import Part, Subject
from api.service import proofs, shares, statements
from api.service.errors import NotFound, Unprocessable
from api.service.store import Store
from verifier.errors import VerifierError
from verifier.statement import parse_statement

from .access import Reader, StoreOf
from .parameters import READ, Digest, content
from .problems import responses
from .shares import OPEN, Token

# Besides, the page's own policy names its script and its style by digest.
POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_VERIFY = "/verify/"
_PAGE = content("text/html", "The report.")


def register(app: FastAPI) -> None:
    """Adds the routes to an application."""

    @app.get(
        "/v1/proofs/{digest}/report",
        tags=["proofs"],
        summary="A proof's report, for people",
        response_class=HTMLResponse,
        responses={200: _PAGE, **responses(*READ, "not_found")},
    )
    def get_proof_report(digest: Digest, store: StoreOf, caller: Reader) -> Response:
        """What is claimed and how to check it. It says nothing about validity."""
        statement = proofs.get_proof(store, caller.tenant, digest).statement
        return _report(store, caller.tenant, [(statement, digest)])

    @app.get(
        "/v1/runs/{digest}/report",
        tags=["runs"],
        summary="A run's report, for people",
        response_class=HTMLResponse,
        responses={200: _PAGE, **responses(*READ, "not_found")},
    )
    def get_run_report(digest: Digest, store: StoreOf, caller: Reader) -> Response:
        """What is claimed and how to check it. It says nothing about validity."""
        return _report(store, caller.tenant, proofs.get_run(store, caller.tenant, digest).segments)

    @app.get(
        "/v1/shared/{token}/report",
        tags=["shares"],
        summary="The report of what a link opens, for people",
        response_class=HTMLResponse,
        responses={200: _PAGE, **responses(*OPEN)},
    )
    def get_shared_report(token: Token, store: StoreOf) -> Response:
        """What is claimed and how to check it. It says nothing about validity."""
        shared = shares.open_share(store, token)
        tenant, share = shared.tenant, shared.share
        if share.run is not None:
            return _report(store, tenant, proofs.get_run(store, tenant, share.run).segments)
        if share.proof is None:
            raise NotFound("this link opens a statement without a proof")
        return _report(store, tenant, [(share.statement, share.proof)])


def _report(store: Store, tenant: str, segments: Sequence[tuple[str, str]]) -> Response:
    parts = []
    for statement, proof in segments:
        claim = parse_statement(statements.statement_text(store, tenant, statement))
        parts.append(Part(claim, proofs.get_proof(store, tenant, proof).size, bytes.fromhex(proof)))
    try:
        page = render(Subject(tuple(parts), verify_at=_VERIFY))
    except VerifierError as error:
        raise Unprocessable(str(error)) from None
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY, "Cache-Control": "private, no-store"})
