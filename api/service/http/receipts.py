"""Receipts: verdicts of valid, signed by this service if it has a key, or brought by somebody else who signed."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, Field, JsonValue

from api import bls, registry
from api.console import UsageError
from api.receipts import message, parse_receipt, sign
from api.registry import MalformedReceipt
from api.service import proofs, receipts_store, statements
from api.service.artifacts import read_artifact
from api.service.errors import Conflict, NotFound, StorageUnavailable, TooMany, Unprocessable
from api.service.store import Store
from api.service.views import Page, ReceiptView
from api.verdict import NoVerdict, judge
from api.verification import VerificationStopped
from verifier.errors import VerifierError

from .access import Reader, SettingsOf, StoreOf, Verifier
from .parameters import BODY, DIGEST, JSON_TEXT, READ, WRITE, Cursor, Id, Limit, location
from .problems import Refusal, responses
from .settings import HttpSettings


class NewReceipt(BaseModel):
    """Either a proof for this service to verify and sign, or a receipt that somebody else has signed."""

    model_config = {"extra": "forbid"}

    statement: str = Field(pattern=DIGEST)
    proof: str | None = Field(None, pattern="^[0-9a-f]{1,64}$", description="A published proof, or a proof artifact.")
    min_security_bits: Literal[100, 128] = 128
    receipt: dict[str, JsonValue] | None = Field(None, description="The document of a receipt about the statement.")


def register(app: FastAPI) -> None:
    """Adds the routes to an application."""
    room = threading.BoundedSemaphore(app.state.settings.verify_now_at_once)

    @app.post(
        "/v1/receipts",
        status_code=201,
        tags=["receipts"],
        summary="Sign a verdict, or keep one that is signed",
        responses={201: location("The receipt."), **responses(*BODY, "not_found", "conflict")},
    )
    def post_receipt(
        new: NewReceipt, response: Response, store: StoreOf, settings: SettingsOf, caller: Verifier
    ) -> ReceiptView:
        """Only *valid* is signed: anybody can have a proof that is not. Whose signature counts is for the reader's
        registry of signers to say; here a signature only has to hold for its own keys."""
        if (new.proof is None) == (new.receipt is None):
            raise Unprocessable("give either a proof to be judged or a receipt to be kept", "/proof")
        if new.receipt is None:
            if not room.acquire(blocking=False):
                raise TooMany("others' proofs are being judged", 5.0)
            try:
                document = _signed(store, settings, caller.tenant, new)
            finally:
                room.release()
        else:
            document = _checked(new.receipt, new.statement)
        made = receipts_store.put_receipt(store, caller.tenant, new.statement, document)
        response.headers["Location"] = f"/v1/receipts/{made.id}"
        return made

    @app.get("/v1/receipts", tags=["receipts"], summary="Receipts, newest first", responses=responses(*READ))
    def list_receipts(
        store: StoreOf,
        caller: Reader,
        cursor: Cursor = None,
        limit: Limit = 50,
        statement: Annotated[str | None, Query(pattern=DIGEST)] = None,
    ) -> Page[ReceiptView]:
        return receipts_store.list_receipts(store, caller.tenant, cursor, limit, statement=statement)

    @app.get(
        "/v1/receipts/{receipt}",
        tags=["receipts"],
        summary="A receipt",
        responses=responses(*READ, "not_found"),
    )
    def get_receipt(receipt: Id, store: StoreOf, caller: Reader) -> ReceiptView:
        return receipts_store.get_receipt(store, caller.tenant, receipt)

    @app.get(
        "/v1/receipts/{receipt}/receipt.json",
        tags=["receipts"],
        summary="A receipt's canonical text, as `zkgrad receipt verify` reads it",
        response_class=Response,
        responses={200: JSON_TEXT, **responses(*READ, "not_found")},
    )
    def get_receipt_text(receipt: Id, store: StoreOf, caller: Reader) -> Response:
        document = receipts_store.get_receipt(store, caller.tenant, receipt).document
        return Response(registry.dump(document), media_type="application/json")

    @app.delete(
        "/v1/receipts/{receipt}",
        status_code=204,
        tags=["receipts"],
        summary="Delete a receipt",
        responses=responses(*WRITE, "not_found"),
    )
    def delete_receipt(receipt: Id, store: StoreOf, caller: Verifier) -> None:
        receipts_store.delete_receipt(store, caller.tenant, receipt)


def _checked(document: dict[str, Any], statement: str) -> dict[str, Any]:
    """A receipt about this statement whose signature holds; Unprocessable."""
    try:
        receipt = parse_receipt(registry.dump(document))
    except MalformedReceipt as error:
        raise Unprocessable(str(error), "/receipt") from None
    subject = receipt.verdict.subject
    if (subject.kind, subject.digest.hex()) != ("statement", statement):
        raise Unprocessable(f"the receipt is about {subject.kind} {subject.digest.hex()}", "/receipt/digest")
    if not bls.holds(receipt.keys, message(receipt.verdict), receipt.signature):
        raise Unprocessable("the signature does not hold for these keys and this verdict", "/receipt/signature")
    return document


def _signed(store: Store, settings: HttpSettings, tenant: str, new: NewReceipt) -> dict[str, Any]:
    """A receipt by this service for a proof that its verifier finds valid. Conflict without a key; Unprocessable."""
    if settings.receipt_key is None:
        raise Conflict("this service has no key to sign with (ZKGRAD_RECEIPT_KEY); bring a receipt")
    text = statements.statement_text(store, tenant, new.statement)
    proof = _proof(store, settings, tenant, str(new.proof))
    try:
        verdict = judge([(text, proof)], new.min_security_bits)
    except VerifierError as error:
        raise Unprocessable(f"not valid, and so not signed: {error}", "/proof") from None
    except VerificationStopped as error:
        raise Refusal("too_large", str(error)) from None
    except NoVerdict as error:
        raise StorageUnavailable(str(error)) from None
    document: dict[str, Any] = json.loads(sign(verdict, _secret(settings.receipt_key)).to_bytes())
    return document


def _proof(store: Store, settings: HttpSettings, tenant: str, name: str) -> bytes:
    limit = settings.verify_now_proof_bytes
    try:
        chunks = proofs.read_proof(store, tenant, name)
    except NotFound:
        chunks = read_artifact(store, tenant, name)
    parts, size = [], 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise Refusal("too_large", f"a proof of more than {limit} bytes is not judged while a request waits")
        parts.append(chunk)
    return b"".join(parts)


def _secret(path: Path) -> int:
    try:
        return registry.read_secret(path)
    except (UsageError, MalformedReceipt) as error:
        # The caller can do nothing about it, and the path is not his to know.
        raise StorageUnavailable(f"the service's signing key cannot be used: {type(error).__name__}") from None
