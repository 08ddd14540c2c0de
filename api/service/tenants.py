"""Tenants, their access keys, and their sealing keys. A key reads zk_<id>_<secret>; only a hash of it is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from .errors import Conflict, NotFound, Unauthorized, Unprocessable
from .schema import Artifact, JobRow, Key, Part, Proof, Rate, Tenant, Upload
from .store import Store
from .trash import discard
from .views import QUEUED, RUNNING, Caller, KeyView, TenantView

SCOPES = ("prove", "verify", "read", "admin")
LOCAL = "local"
_PREFIX = "zk"


def create_tenant(store: Store, name: str) -> TenantView:
    """A new tenant with a sealing key of his own. Conflict: the name is taken."""
    if not 1 <= len(name) <= 200:
        raise Unprocessable("a tenant's name has 1 to 200 characters", "/name")
    tenant, key = new_id(), secrets.token_bytes(32)
    try:
        with store.database.write() as session:
            row = Tenant(
                id=tenant,
                name=name,
                sealing_key=store.vault.wrap(tenant, key),
                wrapped_by=store.vault.name,
                created=store.database.now(session),
            )
            session.add(row)
            session.flush()
            return _tenant(row)
    except IntegrityError:
        raise Conflict(f"there is a tenant {name!r} already") from None


def list_tenants(store: Store) -> tuple[TenantView, ...]:
    """All tenants, oldest first."""
    with store.database.read() as session:
        return tuple(_tenant(row) for row in session.scalars(select(Tenant).order_by(Tenant.created, Tenant.id)))


def local_tenant(store: Store) -> TenantView:
    """The tenant of a service without keys, for use on one machine."""
    with store.database.read() as session:
        row = session.scalars(select(Tenant).where(Tenant.name == LOCAL)).one_or_none()
    if row is not None:
        return _tenant(row)
    try:
        return create_tenant(store, LOCAL)
    except Conflict:
        return local_tenant(store)


def delete_tenant(store: Store, tenant: str) -> None:
    """Removes a tenant and everything of his but the spent openings. Conflict while a job is not over."""
    with store.database.write() as session:
        row = require_tenant(session, tenant)
        if session.scalars(
            select(JobRow.id).where(JobRow.tenant == tenant, JobRow.status.in_((QUEUED, RUNNING))).limit(1)
        ).first():
            raise Conflict("jobs of this tenant are not over; cancel them and wait")
        owners = select(Artifact.parts).where(Artifact.tenant == tenant)
        open_ones = select(Upload.id).where(Upload.tenant == tenant)
        parts = session.scalars(select(Part).where(Part.owner.in_(owners.union(open_ones)))).all()
        proofs = session.scalars(select(Proof.blob).where(Proof.tenant == tenant)).all()
        discard(session, store.database.now(session), [*(part.blob for part in parts), *proofs])
        for part in parts:
            session.delete(part)
        session.execute(delete(Rate).where(Rate.tenant == tenant))
        session.delete(row)


def require_tenant(session: Session, tenant: str) -> Tenant:
    """The row; NotFound."""
    row = session.get(Tenant, tenant)
    if row is None:
        raise NotFound(f"there is no tenant {tenant}")
    return row


def sealing_key(store: Store, tenant: str) -> bytes:
    """The key that a tenant's new secrets are sealed with.

    If the wrapping key is another one than before (a restored backup), the tenant gets a new sealing key: what was
    sealed with the old one stays unreadable.
    """
    with store.database.read() as session:
        row = require_tenant(session, tenant)
        if row.wrapped_by == store.vault.name:
            return store.vault.unwrap(tenant, row.sealing_key)
    with store.database.write() as session:
        row = require_tenant(session, tenant)
        if row.wrapped_by != store.vault.name:
            row.sealing_key, row.wrapped_by = store.vault.wrap(tenant, secrets.token_bytes(32)), store.vault.name
        return store.vault.unwrap(tenant, row.sealing_key)


# --- access keys ---


def create_key(
    store: Store, tenant: str, name: str, scopes: Collection[str], seconds: float | None = None
) -> tuple[KeyView, str]:
    """A new key and its text, which is told this once. `seconds`: how long it is valid, None for ever."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Unprocessable(f"scopes {unknown or 'none'}: give some of {', '.join(SCOPES)}", "/scopes")
    if not 1 <= len(name) <= 200:
        raise Unprocessable("a key's name has 1 to 200 characters", "/name")
    if seconds is not None and not 0 < seconds < 1e10:
        raise Unprocessable("a key is valid for a positive number of seconds", "/seconds")
    with store.database.write() as session:
        require_tenant(session, tenant)
        now = store.database.now(session)
        expires = None if seconds is None else now + seconds
        return _new_key(session, tenant, name, " ".join(sorted(scopes)), now, expires)


def _new_key(
    session: Session, tenant: str, name: str, scopes: str, now: float, expires: float | None
) -> tuple[KeyView, str]:
    key, secret = new_id(), secrets.token_hex(32)
    row = Key(
        id=key,
        tenant=tenant,
        name=name,
        secret_hash=secret_hash(key, secret),
        scopes=scopes,
        created=now,
        expires=expires,
        revoked=None,
    )
    session.add(row)
    return _key(row), f"{_PREFIX}_{key}_{secret}"


def rotate_key(store: Store, tenant: str, key: str, overlap_seconds: float = 0.0) -> tuple[KeyView, str]:
    """A new key of the same name, scopes and end; the old one stays valid for `overlap_seconds`. NotFound."""
    if not 0 <= overlap_seconds < 1e10:
        raise Unprocessable("the overlap is a number of seconds, not negative", "/overlap_seconds")
    with store.database.write() as session:
        old = _require_key(session, tenant, key)
        now = store.database.now(session)
        if old.revoked is not None:
            raise Conflict(f"key {key} is revoked; create a new one")
        expires, end = old.expires, now + overlap_seconds
        old.expires = end if expires is None else min(expires, end)
        return _new_key(session, tenant, old.name, old.scopes, now, expires)


def revoke_key(store: Store, tenant: str, key: str) -> KeyView:
    """Ends a key at once, for good. NotFound."""
    with store.database.write() as session:
        row = _require_key(session, tenant, key)
        row.revoked = row.revoked or store.database.now(session)
        return _key(row)


def list_keys(store: Store, tenant: str) -> tuple[KeyView, ...]:
    """All keys of a tenant, revoked ones too."""
    with store.database.read() as session:
        rows = session.scalars(select(Key).where(Key.tenant == tenant).order_by(Key.created, Key.id))
        return tuple(_key(row) for row in rows)


def any_key(store: Store) -> bool:
    """Whether the service has keys at all; without one it must listen to this machine only."""
    with store.database.read() as session:
        return session.scalars(select(Key.id).limit(1)).first() is not None


def authenticate(store: Store, text: str) -> Caller:
    """The owner of a key. Unauthorized, in the same words and time whatever is wrong with it."""
    key, secret = split_token(_PREFIX, text)
    with store.database.read() as session:
        row = session.get(Key, key)
        now = store.database.now(session)
    known = row.secret_hash if row is not None else bytes(32)
    same = hmac.compare_digest(known, secret_hash(key, secret))
    if row is None or not same or row.revoked is not None or (row.expires is not None and row.expires <= now):
        raise Unauthorized("no valid key: give zk_<id>_<secret> of a key that is neither expired nor revoked")
    return Caller(row.tenant, row.id, frozenset(row.scopes.split()))


def split_token(prefix: str, text: str) -> tuple[str, str]:
    """Name and secret of a token prefix_name_secret, the name cut to the length of a column; both empty for another."""
    parts = text.split("_")
    return (parts[1][:80], parts[2]) if len(parts) == 3 and parts[0] == prefix else ("", "")


def secret_hash(name: str, secret: str) -> bytes:
    """What is stored of a secret of 256 random bits."""
    return hashlib.sha256(f"zkgrad secret\0{name}\0{secret}".encode()).digest()


def new_id() -> str:
    """A random name of 80 bits."""
    return secrets.token_hex(10)


def _require_key(session: Session, tenant: str, key: str) -> Key:
    row = session.get(Key, key)
    if row is None or row.tenant != tenant:
        raise NotFound(f"there is no key {key}")
    return row


def _tenant(row: Tenant) -> TenantView:
    return TenantView(row.id, row.name, row.created)


def _key(row: Key) -> KeyView:
    return KeyView(row.id, row.name, tuple(row.scopes.split()), row.created, row.expires, row.revoked)
