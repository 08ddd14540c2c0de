"""`keys`: tenants and access keys of a service, administered on the machine of its database."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import Json, UsageError, answer
from ..extras import needs_extra
from .serve import Data, read_settings

if TYPE_CHECKING:
    from ..service.store import Store

Tenant = Annotated[str, typer.Option(help="Whose key, by name.")]
_DAY = 86400.0


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file as `keys`."""
    verbs = typer.Typer(no_args_is_help=True, help="Access keys of a service, on its own machine.")
    verbs.command("create")(create)
    verbs.command("list")(list_)
    verbs.command("rotate")(rotate)
    verbs.command("revoke")(revoke)
    verbs.command("tenants")(tenants)
    app.add_typer(verbs, name="keys")


@contextmanager
def _store(data: Any) -> Iterator[Store]:
    settings = read_settings(data=data)
    with needs_extra("api"):
        from ..service.store import open_store
    store = open_store(settings, migrate=settings.database is None)
    try:
        yield store
    finally:
        store.close()


def _tenant(store: Store, name: str, create: bool = False) -> str:
    """The id of a tenant by name; UsageError when there is none and none shall be made."""
    from ..service import tenants as stored

    if name == stored.LOCAL:
        return stored.local_tenant(store).id
    for tenant in stored.list_tenants(store):
        if tenant.name == name:
            return tenant.id
    if not create:
        raise UsageError(f"there is no tenant {name!r}: zkgrad keys tenants lists them; --new-tenant makes one")
    return stored.create_tenant(store, name).id


def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scopes: Annotated[str, typer.Option(help="Some of prove,verify,read,admin.")] = "prove,verify,read",
    days: Annotated[float | None, typer.Option(help="How long it is valid; until revoked if absent.")] = None,
    tenant: Tenant = "local",
    new_tenant: Annotated[bool, typer.Option("--new-tenant", help="Make the tenant if there is none.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown this once; the service keeps only a hash of it."""
    with _store(data) as store:
        from ..service.tenants import create_key

        owner = _tenant(store, tenant, new_tenant)
        listed = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        view, text = create_key(store, owner, name, listed, None if days is None else days * _DAY)
    _tell(view, text, as_json)


def rotate(
    key: Annotated[str, typer.Argument(metavar="ID")],
    overlap_hours: Annotated[float, typer.Option(help="How long the old key stays valid.")] = 0.0,
    tenant: Tenant = "local",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make another key of the same name and scopes, and end the old one."""
    with _store(data) as store:
        from ..service.tenants import rotate_key

        view, text = rotate_key(store, _tenant(store, tenant), key, overlap_hours * 3600)
    _tell(view, text, as_json)


def revoke(
    key: Annotated[str, typer.Argument(metavar="ID")],
    tenant: Tenant = "local",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """End a key at once, for good."""
    with _store(data) as store:
        from ..service.tenants import revoke_key

        view = revoke_key(store, _tenant(store, tenant), key)
    answer({"key": view.id, "revoked": view.revoked}, [f"key {view.id} ({view.name}) is revoked"], as_json)


def list_(tenant: Tenant = "local", data: Data = None, as_json: Json = False) -> None:
    """List the keys of a tenant, revoked ones too."""
    with _store(data) as store:
        from ..service.tenants import list_keys

        found = list_keys(store, _tenant(store, tenant))
    keys = [{"id": k.id, "name": k.name, "scopes": k.scopes, "expires": k.expires, "revoked": k.revoked} for k in found]
    lines = [f"{k.id}  {','.join(k.scopes):<24}  {_state(k):<28}  {k.name}" for k in found]
    answer({"keys": keys}, lines or ["no keys"], as_json)


def tenants(data: Data = None, as_json: Json = False) -> None:
    """List the tenants."""
    with _store(data) as store:
        from ..service.tenants import list_tenants

        found = list_tenants(store)
    answer({"tenants": [{"id": t.id, "name": t.name} for t in found]}, [f"{t.id}  {t.name}" for t in found], as_json)


def _state(key: Any) -> str:
    if key.revoked is not None:
        return f"revoked {_day(key.revoked)}"
    return "until revoked" if key.expires is None else f"until {_day(key.expires)}"


def _day(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _tell(view: Any, text: str, as_json: bool) -> None:
    result = {"key": view.id, "scopes": view.scopes, "expires": view.expires, "text": text}
    # The key itself is the outcome: alone on stdout, so that it can be kept without being read.
    if not as_json:
        print(text)
    answer(result, [f"key {view.id} ({view.name}): {', '.join(view.scopes)}; shown this once"], as_json)
