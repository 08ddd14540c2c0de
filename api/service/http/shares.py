"""Links for auditors: a token opens one statement with its proof or run, and nothing else, until it is revoked."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api.service import proofs, receipts_store, shares, statements
from api.service.errors import NotFound
from api.service.store import Store
from api.service.views import ReceiptView, SharedView, ShareView

from .access import Reader, StoreOf, Writer
from .parameters import BODY, DIGEST, JSON_TEXT, READ, WRITE, Digest, Id, location, ranged
from .problems import responses
from .proofs import PROOF, Run, proof_bytes, run_of

Token = Annotated[str, Path(pattern="^zks_[0-9a-z]{1,80}_[0-9a-f]{64}$", description="zks_<id>_<secret>")]
OPEN = ("not_found", "input_invalid", "storage_unavailable")


class NewShare(BaseModel):
    """What an auditor shall see."""

    model_config = {"extra": "forbid", "strict": True}

    statement: str = Field(pattern=DIGEST)
    proof: str | None = Field(None, pattern=DIGEST)
    run: str | None = Field(None, pattern=DIGEST)
    seconds: float | None = Field(
        None, gt=0, lt=1e10, description="How long the link is valid; until revoked if absent."
    )


class MadeShare(BaseModel):
    """A link and its token, which is told this once."""

    share: ShareView
    token: str
    path: str = Field(description="Where the auditor reads it, without a key.")


class Shared(BaseModel):
    """What a link opens."""

    statement: str
    proof: str | None
    run: Run | None
    receipts: list[ReceiptView]
    expires: float | None


def register(app: FastAPI) -> None:
    """Adds the routes to an application."""
    _register_owner(app)
    _register_auditor(app)


def _register_owner(app: FastAPI) -> None:
    @app.post(
        "/v1/shares",
        status_code=201,
        tags=["shares"],
        summary="Make a link for an auditor",
        responses={201: location("Where the auditor reads."), **responses(*BODY, "not_found")},
    )
    def post_share(new: NewShare, response: Response, store: StoreOf, caller: Writer) -> MadeShare:
        view, token = shares.create_share(store, caller.tenant, **new.model_dump())
        path = f"/v1/shared/{token}"
        response.headers["Location"] = path
        return MadeShare(share=view, token=token, path=path)

    @app.get("/v1/shares", tags=["shares"], summary="All links, ended ones too", responses=responses(*READ))
    def list_shares(store: StoreOf, caller: Reader) -> list[ShareView]:
        return list(shares.list_shares(store, caller.tenant))

    @app.delete(
        "/v1/shares/{share}",
        tags=["shares"],
        summary="Revoke a link",
        responses=responses(*WRITE, "not_found"),
    )
    def revoke_share(share: Id, store: StoreOf, caller: Writer) -> ShareView:
        """At once, and for good."""
        return shares.revoke_share(store, caller.tenant, share)


def _register_auditor(app: FastAPI) -> None:
    @app.get("/v1/shared/{token}", tags=["shares"], summary="What a link opens", responses=responses(*OPEN))
    def get_shared(token: Token, store: StoreOf) -> Shared:
        """The token is the key. A file named here lies below this path."""
        tenant, share = _open(store, token)
        run = None if share.run is None else run_of(proofs.get_run(store, tenant, share.run))
        found = receipts_store.list_receipts(store, tenant, statement=share.statement).items
        return Shared(
            statement=share.statement, proof=share.proof, run=run, receipts=list(found), expires=share.expires
        )

    @app.get(
        "/v1/shared/{token}/statements/{digest}",
        tags=["shares"],
        summary="A statement that a link opens",
        response_class=Response,
        responses={200: JSON_TEXT, **responses(*OPEN)},
    )
    def get_shared_statement(token: Token, digest: Digest, store: StoreOf) -> Response:
        shared = _require(store, token, digest, 0)
        return Response(statements.statement_text(store, shared.tenant, digest), media_type="application/json")

    @app.get(
        "/v1/shared/{token}/proofs/{digest}",
        tags=["shares"],
        summary="A proof that a link opens",
        response_class=Response,
        responses=_shared_ranged(),
    )
    def get_shared_proof(token: Token, digest: Digest, request: Request, store: StoreOf) -> Response:
        return proof_bytes(request, store, _require(store, token, digest, 1).tenant, digest)


def _shared_ranged() -> dict[int | str, dict[str, object]]:
    answers = ranged(PROOF, "proof.zkp")
    return {status: answer for status, answer in answers.items() if status not in (401, 403)}


def _open(store: Store, token: str) -> tuple[str, ShareView]:
    shared = shares.open_share(store, token)
    return shared.tenant, shared.share


def _require(store: Store, token: str, digest: str, place: int) -> SharedView:
    """The share, if the statement (place 0) or proof (place 1) with this digest is part of it; NotFound."""
    shared = shares.open_share(store, token)
    files = {(shared.share.statement, shared.share.proof)[place]}
    if shared.share.run is not None:
        files |= {segment[place] for segment in proofs.get_run(store, shared.tenant, shared.share.run).segments}
    if digest not in files:
        raise NotFound(f"this link does not open {digest}")
    return shared
