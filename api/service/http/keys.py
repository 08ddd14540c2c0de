"""Keys of a tenant: made, rotated and revoked by whoever has the scope admin."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Body, FastAPI
from pydantic import BaseModel, Field

from api.service import tenants
from api.service.views import KeyView

from .access import Admin, StoreOf
from .parameters import BODY, READ, WRITE, Id
from .problems import responses

Scope = Literal["prove", "verify", "read", "admin"]


class NewKey(BaseModel):
    """What a key may do, and for how long."""

    model_config = {"extra": "forbid", "strict": True}

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
    scopes: list[Scope] = Field(min_length=1, max_length=4)
    seconds: float | None = Field(None, gt=0, lt=1e10, description="How long it is valid; until revoked if absent.")


class MadeKey(BaseModel):
    """A key and its text, which is told this once."""

    key: KeyView
    text: str = Field(description="zk_<id>_<secret>")


class Rotation(BaseModel):
    """How the old key ends."""

    model_config = {"extra": "forbid", "strict": True}

    overlap_seconds: float = Field(0, ge=0, lt=1e10, description="How long the old key stays valid.")


def register(app: FastAPI) -> None:
    """Adds the routes to an application."""

    @app.post("/v1/keys", status_code=201, tags=["keys"], summary="Make a key", responses=responses(*BODY))
    def post_key(new: NewKey, store: StoreOf, caller: Admin) -> MadeKey:
        """The first key of a service ends its answering without one."""
        view, text = tenants.create_key(store, caller.tenant, new.name, new.scopes, new.seconds)
        return MadeKey(key=view, text=text)

    @app.get("/v1/keys", tags=["keys"], summary="All keys, revoked ones too", responses=responses(*READ))
    def list_keys(store: StoreOf, caller: Admin) -> list[KeyView]:
        return list(tenants.list_keys(store, caller.tenant))

    @app.post(
        "/v1/keys/{key}/rotate",
        status_code=201,
        tags=["keys"],
        summary="Another key of the same name and scopes",
        responses=responses(*BODY, "not_found", "conflict"),
    )
    def rotate_key(
        key: Id, store: StoreOf, caller: Admin, rotation: Annotated[Rotation, Body(default_factory=Rotation)]
    ) -> MadeKey:
        view, text = tenants.rotate_key(store, caller.tenant, key, rotation.overlap_seconds)
        return MadeKey(key=view, text=text)

    @app.delete("/v1/keys/{key}", tags=["keys"], summary="Revoke a key", responses=responses(*WRITE, "not_found"))
    def revoke_key(key: Id, store: StoreOf, caller: Admin) -> KeyView:
        """At once, and for good."""
        return tenants.revoke_key(store, caller.tenant, key)
