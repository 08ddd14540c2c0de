"""Contexts of encrypted conversations: a client's parameters and public evaluation keys, uploaded as an artifact."""

from __future__ import annotations

import json
import struct
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from .artifacts import in_use, open_artifact, remove, require_artifact
from .errors import Conflict, KeyBurnt, NotFound, Unprocessable
from .paging import page
from .schema import Artifact, Context
from .store import Store
from .tenants import require_tenant
from .views import ContextView, Page

_MAX_HEADER = 1 << 20


def create_context(store: Store, tenant: str, artifact: str) -> ContextView:
    """Makes a context of an uploaded bundle; again is the same.

    The header is checked here, the words of the keys in the process that uses them. Unprocessable: no bundle.
    KeyBurnt: the client's secret key file was uploaded; the artifact is deleted.
    """
    head = _head(store, tenant, artifact)
    if _holds_secret(head):
        _burn(store, tenant, artifact)
    client_key, rings = _read(head)
    with store.database.write() as session:
        row = session.get(Context, (tenant, artifact))
        if row is None:
            require_artifact(session, tenant, artifact)
            now = store.database.now(session)
            row = Context(tenant=tenant, id=artifact, client_key=client_key, rings={"rings": rings}, created=now)
            session.add(row)
        return _view(row)


def get_context(store: Store, tenant: str, context: str) -> ContextView:
    """NotFound."""
    with store.database.read() as session:
        return _view(require_context(session, tenant, context))


def list_contexts(store: Store, tenant: str, cursor: str | None = None, limit: int = 50) -> Page[ContextView]:
    """Contexts of a tenant, newest first."""
    query = select(Context).where(Context.tenant == tenant)
    with store.database.read() as session:
        return page(session, query, (Context.created, Context.id), cursor, limit, _view)


def delete_context(store: Store, tenant: str, context: str) -> None:
    """Removes a context and its artifact. NotFound; Conflict while a job that is not over uses it."""
    with store.database.write() as session:
        row = require_context(session, tenant, context)
        if in_use(session, tenant, context):
            raise Conflict(f"a job that is not over uses context {context}; cancel it first")
        session.delete(row)
        artifact = session.get(Artifact, (tenant, context))
        if artifact is not None:
            remove(session, store.database.now(session), artifact)


def require_context(session: Session, tenant: str, context: str) -> Context:
    """The row; NotFound."""
    row = session.get(Context, (tenant, context))
    if row is None:
        raise NotFound(f"there is no context {context}")
    return row


def _head(store: Store, tenant: str, artifact: str) -> bytes:
    """The first bytes of an artifact, the whole header of a bundle among them."""
    with store.database.read() as session:
        require_tenant(session, tenant)
        require_artifact(session, tenant, artifact)
    head = bytearray()
    for chunk in open_artifact(store, tenant, artifact):
        head += chunk
        if len(head) >= 12 + _MAX_HEADER:
            break
    return bytes(head)


def _holds_secret(head: bytes) -> bool:
    """A client's key file is JSON with its signing key and its rings' secrets."""
    return head.lstrip()[:1] == b"{" and (b'"identity"' in head or b'"secret"' in head)


def _burn(store: Store, tenant: str, artifact: str) -> None:
    with store.database.write() as session:
        remove(session, store.database.now(session), require_artifact(session, tenant, artifact))
    raise KeyBurnt(
        "this is a client's secret key file, not a bundle. It is deleted here, but it has left your machine: do not "
        "use that key any more, make a new one and upload its bundle"
    )


def _read(head: bytes) -> tuple[str, list[dict[str, Any]]]:
    from fhe.wire import BUNDLE_MAGIC, read_params

    try:
        if head[:8] != BUNDLE_MAGIC:
            raise ValueError(f"it begins with {head[:8].hex()}")
        length = struct.unpack_from("<I", head, 8)[0]
        if length > _MAX_HEADER or len(head) < 12 + length:
            raise ValueError(f"its header has {length} bytes")
        header = json.loads(head[12 : 12 + length])
        key = bytes.fromhex(header["client_key"])
        rings = [
            {"ring": read_params(ring["params"]).ring, "rotations": len(ring["rotations"])} for ring in header["rings"]
        ]
        if len(key) != 32 or not rings:
            raise ValueError("it lacks a client key or rings")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        reason = str(error) if isinstance(error, ValueError) else type(error).__name__
        raise Unprocessable(f"no bundle of `zkgrad fhe keygen`: {reason}"[:300]) from None
    return key.hex(), rings


def _view(row: Context) -> ContextView:
    return ContextView(row.id, row.client_key, list(row.rings["rings"]), row.created)
