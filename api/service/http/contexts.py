"""Contexts of encrypted computation: parameters and public evaluation keys. A secret key is refused and removed."""

from __future__ import annotations

from fastapi import FastAPI, Response
from pydantic import BaseModel, Field

from api.service import contexts
from api.service.views import ContextView, Page

from .access import Prover, Reader, StoreOf
from .parameters import BODY, READ, WRITE, Cursor, Id, Limit, location
from .problems import responses


class NewContext(BaseModel):
    """Which artifact holds the bundle of keys."""

    model_config = {"extra": "forbid", "strict": True}

    artifact: str = Field(pattern="^[a-z0-9-]{1,80}$", description="An artifact of kind `context`.")


def register(app: FastAPI) -> None:
    """Adds the routes to an application."""

    @app.post(
        "/v1/contexts",
        status_code=201,
        tags=["fhe"],
        summary="Make a context of an uploaded bundle",
        responses={201: location("The context."), **responses(*BODY, "key_burnt", "not_found")},
    )
    def post_context(new: NewContext, response: Response, store: StoreOf, caller: Prover) -> ContextView:
        """If the artifact holds a secret key it is deleted, and the answer says that the key is burnt."""
        made = contexts.create_context(store, caller.tenant, new.artifact)
        response.headers["Location"] = f"/v1/contexts/{made.id}"
        return made

    @app.get("/v1/contexts", tags=["fhe"], summary="Contexts, newest first", responses=responses(*READ))
    def list_contexts(store: StoreOf, caller: Reader, cursor: Cursor = None, limit: Limit = 50) -> Page[ContextView]:
        return contexts.list_contexts(store, caller.tenant, cursor, limit)

    @app.get("/v1/contexts/{context}", tags=["fhe"], summary="A context", responses=responses(*READ, "not_found"))
    def get_context(context: Id, store: StoreOf, caller: Reader) -> ContextView:
        return contexts.get_context(store, caller.tenant, context)

    @app.delete(
        "/v1/contexts/{context}",
        status_code=204,
        tags=["fhe"],
        summary="Delete a context with its keys",
        responses=responses(*WRITE, "not_found", "conflict"),
    )
    def delete_context(context: Id, store: StoreOf, caller: Prover) -> None:
        contexts.delete_context(store, caller.tenant, context)
