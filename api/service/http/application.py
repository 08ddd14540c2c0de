"""What every application of the service has: problems, limits, headers, health, and a document that says so."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from verifier.proof import VERSION
from verifier.statement import FORMAT

from . import problems
from .guard import BodyLimit, SecurityHeaders
from .problems import Problem, responses

LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}


class Health(BaseModel):
    """The process answers."""

    status: str = "ok"


class Version(BaseModel):
    """Of the software, and of what it can verify."""

    version: str
    statement_formats: list[str]
    proof_versions: list[int]


def create(title: str, description: str, limit_of: Callable[[str], int], **options: Any) -> FastAPI:
    """An application without routes but /healthz and /version; no page that loads scripts from elsewhere.

    `limit_of` gives the bytes that a request to a path may have.
    """
    app = FastAPI(
        title=title,
        description=description,
        version=_version(),
        license_info=LICENSE,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        **options,
    )
    problems.install(app)
    app.add_middleware(BodyLimit, limit_of=limit_of)
    app.add_middleware(SecurityHeaders)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]

    @app.get("/healthz", tags=["service"], summary="Whether the process answers")
    def healthz() -> Health:
        return Health()

    @app.get("/version", tags=["service"], summary="Versions of software and protocol")
    def version() -> Version:
        return Version(version=_version(), statement_formats=[FORMAT], proof_versions=[VERSION])

    return app


def add_readiness(app: FastAPI, check: Callable[[], None]) -> None:
    """Adds /readyz; `check` raises a Refusal while the service cannot work."""

    @app.get(
        "/readyz",
        tags=["service"],
        summary="Whether requests can be served",
        responses=responses("storage_unavailable", "schema_mismatch"),
    )
    def readyz() -> Health:
        check()
        return Health()


def _version() -> str:
    try:
        return importlib.metadata.version("zkgrad")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once: errors are problems, also those of the framework."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=None,
            description=app.description,
            routes=app.routes,
            license_info=app.license_info,
            tags=app.openapi_tags,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas |= Problem.model_json_schema(ref_template="#/components/schemas/{model}").pop("$defs")
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        problem.pop("$defs")
        schemas["Problem"] = problem
        for path in document["paths"].values():
            for operation in path.values():
                answers = operation["responses"]
                if "HTTPValidationError" in str(answers.get("422")):
                    answers.update({str(k): v for k, v in responses("input_invalid").items()})
        document["components"]["schemas"] = dict(sorted(schemas.items()))
        app.openapi_schema = document
    return app.openapi_schema
