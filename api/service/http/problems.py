"""Problem details (RFC 9457): the one form in which every error leaves the service."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger(__name__)

# code: (status, title, whether the same request may succeed later)
CATALOGUE: Mapping[str, tuple[int, str, bool]] = {
    "malformed_request": (400, "The request cannot be read", False),
    "digest_mismatch": (400, "The bytes do not have the stated digest", False),
    "unauthorized": (401, "A valid key is needed", False),
    "forbidden": (403, "The key does not allow this", False),
    "write_only": (403, "A secret can be written and deleted, never read", False),
    "not_found": (404, "There is no such resource", False),
    "method_not_allowed": (405, "The resource does not have this method", False),
    "conflict": (409, "The resource is in another state, or in use", False),
    "length_required": (411, "Content-Length is needed", False),
    "too_large": (413, "More than allowed", False),
    "unsupported_media_type": (415, "Another media type is needed", False),
    "range_invalid": (416, "The range lies outside", False),
    "input_invalid": (422, "The request cannot be carried out as it is", False),
    "idempotency_mismatch": (422, "The idempotency key was used for another payload", False),
    "budget_exhausted": (422, "Too few openings are granted or left", False),
    "key_burnt": (422, "The upload held a secret key", False),
    "too_many": (429, "Too many at once, or too often", True),
    "internal": (500, "A fault of the service", True),
    "storage_unavailable": (503, "The storage does not answer", True),
    "schema_mismatch": (503, "The database is of another version", False),
    "disk_full": (507, "There is no room", True),
}
_OF_STATUS = {status: code for code, (status, _, _) in reversed(list(CATALOGUE.items()))}


class Fault(BaseModel):
    """One thing that is wrong with a request body: where (a JSON pointer, or a parameter's name), and what."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it. `code` is from a closed list; `retryable`: the same request may succeed later."""

    type: str = Field(examples=["urn:zkgrad:problem:not_found"])
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    code: str
    retryable: bool
    errors: list[Fault] | None = None


class Refusal(HTTPException):
    """Raised by a handler to answer with a problem; `code` is one of CATALOGUE.

    It is a kind of the framework's own exception, which passes wherever it is raised, while a body is read too.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(CATALOGUE[code][0], detail, headers)
        self.code, self.errors = code, tuple(errors)

    def response(self) -> JSONResponse:
        """The problem as a response."""
        status, title, retryable = CATALOGUE[self.code]
        body: dict[str, Any] = {
            "type": f"urn:zkgrad:problem:{self.code}",
            "title": title,
            "status": status,
            "detail": self.detail,
            "code": self.code,
            "retryable": retryable,
        }
        if self.errors:
            body["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in self.errors]
        return JSONResponse(body, status, dict(self.headers or {}), media_type=MEDIA_TYPE)


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: the problems it may answer with, by status."""
    titles: dict[int, list[str]] = {}
    for code in codes:
        status, title, _ = CATALOGUE[code]
        titles.setdefault(status, []).append(f"{title} (`{code}`)")
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "; ".join(found), "content": content} for status, found in sorted(titles.items())}


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem, the framework's own too."""
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _fault)


async def _refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return error.response()


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _OF_STATUS.get(error.status_code, "malformed_request" if error.status_code < 500 else "internal")
    headers = dict(error.headers or {})
    detail = str(error.detail)
    if code == "method_not_allowed":
        headers["Allow"] = ", ".join(_allowed(request))
        detail = f"{request.method} is not one of {headers['Allow']}"
    elif code == "not_found":
        detail = f"there is nothing at {request.url.path[:200]}"
    return Refusal(code, detail, headers=headers).response()


def _allowed(request: Request) -> list[str]:
    """The methods of all routes that have this path: the framework names those of the first one only."""
    methods: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods)


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [(_pointer(item["loc"]), str(item["msg"])) for item in error.errors()]
    detail = f"{faults[0][0]}: {faults[0][1]}" + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")
    return Refusal("input_invalid", detail, errors=faults).response()


def _pointer(location: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901) into the body; of a parameter, where it stands and its name."""
    place, *rest = location
    if place != "body":
        return "/".join(str(part) for part in location)
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in rest) or "/"


async def _gone(request: Request, error: Exception) -> JSONResponse:
    """The client went away while it was sending: nobody reads this, and it is no fault of the service."""
    return Refusal("malformed_request", "the connection ended before the body did").response()


async def _fault(request: Request, error: Exception) -> JSONResponse:
    """Nothing of the error is shown: its text may hold what the caller must not see. The log has the same number."""
    incident = secrets.token_hex(8)
    _log.error("incident %s: %s in %s", incident, type(error).__name__, request.scope.get("path"), exc_info=error)
    return Refusal("internal", f"this is a fault of the service, logged as incident {incident}").response()
