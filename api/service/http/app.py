"""The API: all resources of the service on one store."""

from __future__ import annotations

from fastapi import FastAPI, Request, Security
from fastapi.responses import JSONResponse
from starlette.types import Lifespan

from api.service.errors import RangeInvalid, ServiceError, TooMany, Unauthorized, Unprocessable
from api.service.pages import PagesOr
from api.service.store import Store

from . import (
    application,
    artifacts,
    contexts,
    jobs,
    keys,
    metrics,
    proofs,
    receipts,
    reports,
    shares,
    statements,
    uploads,
    verify,
)
from .access import the_caller
from .problems import CATALOGUE, Refusal, responses
from .settings import HttpSettings

DESCRIPTION = """Proves and verifies how neural networks were trained, and computes on encrypted tensors.

*Delegated*: this service sees the data and weights that it proves for; its proofs hide them from everybody else.
A verdict is about the statement it was asked about: pin what you expect, or read the statement.

Every error is a problem (RFC 9457, `application/problem+json`) with a `code` from a closed list. Digests are SHA-256
in 64 hexadecimal digits. Secret artifacts (data, first weights, openings) are write-only. No URL is ever fetched."""
_SLACK = 1 << 12


def create_app(store: Store, settings: HttpSettings, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """The application on an open store, which the caller closes when it is done."""
    app = application.create("zkgrad", DESCRIPTION, lambda path: _limit(path, settings), lifespan=lifespan)
    app.state.store, app.state.settings = store, settings
    app.add_exception_handler(ServiceError, _service_error)
    application.add_readiness(app, store.ready)
    verify.register(
        app,
        settings.verify_limits,
        [Security(the_caller, scopes=["verify"])],
        responses("unauthorized", "forbidden", "storage_unavailable"),
    )
    for module in (uploads, artifacts, statements, jobs, proofs, shares, reports, receipts, contexts, keys):
        module.register(app)
    app.router.default = PagesOr(app.router.default)
    requests = metrics.Requests()
    metrics.register(app, store, requests)
    app.add_middleware(metrics.Observed, requests=requests)
    return app


def _limit(path: str, settings: HttpSettings) -> int:
    """Bytes that a request to a path may have."""
    if path == verify.PATH:
        return settings.verify_limits.body_bytes
    if path == "/v1/artifacts" or (path.startswith("/v1/uploads/") and "/parts/" in path):
        return settings.max_part_bytes
    if path == "/v1/statements":
        return settings.max_statement_bytes
    return settings.max_payload_bytes + _SLACK


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    """An error of the store as a problem. Its message is for the caller."""
    assert isinstance(error, ServiceError)
    code = error.code if error.code in CATALOGUE else "internal"
    headers = {}
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if isinstance(error, RangeInvalid):
        headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="zkgrad"'
    faults = [(error.pointer, str(error))] if isinstance(error, Unprocessable) and error.pointer else []
    return Refusal(code, str(error), errors=faults, headers=headers).response()
