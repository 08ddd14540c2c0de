"""Links for auditors, zks_<id>_<secret>: whoever has one reads a statement, its proofs and receipts until it ends."""

from __future__ import annotations

import hmac
import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from .errors import NotFound, Unprocessable
from .proofs import require_proof
from .schema import RunRow, Share
from .statements import require_statement
from .store import Store
from .tenants import new_id, secret_hash, split_token
from .views import SharedView, ShareView

_PREFIX = "zks"


def create_share(
    store: Store,
    tenant: str,
    statement: str,
    proof: str | None = None,
    run: str | None = None,
    seconds: float | None = None,
) -> tuple[ShareView, str]:
    """A link and its token, which is told this once. `seconds`: how long it is valid, None until it is revoked.

    NotFound; Unprocessable: a proof of another statement.
    """
    if seconds is not None and not 0 < seconds < 1e10:
        raise Unprocessable("a share is valid for a positive number of seconds", "/seconds")
    with store.database.write() as session:
        require_statement(session, tenant, statement)
        if proof is not None and require_proof(session, tenant, proof).statement != statement:
            raise Unprocessable(f"proof {proof} is not about statement {statement}", "/proof")
        if run is not None and session.get(RunRow, (tenant, run)) is None:
            raise NotFound(f"there is no run {run}")
        now, name, secret = store.database.now(session), new_id(), secrets.token_hex(32)
        row = Share(
            id=name,
            tenant=tenant,
            secret_hash=secret_hash(name, secret),
            statement=statement,
            proof=proof,
            run=run,
            created=now,
            expires=None if seconds is None else now + seconds,
            revoked=None,
        )
        session.add(row)
        return _view(row), f"{_PREFIX}_{name}_{secret}"


def open_share(store: Store, token: str) -> SharedView:
    """What a token opens. NotFound, in the same words whatever is wrong with it."""
    name, secret = split_token(_PREFIX, token)
    with store.database.read() as session:
        row = session.get(Share, name)
        now = store.database.now(session)
    same = hmac.compare_digest(row.secret_hash if row is not None else bytes(32), secret_hash(name, secret))
    if row is None or not same or row.revoked is not None or (row.expires is not None and row.expires <= now):
        raise NotFound("this link is not valid: it was never given out, has expired, or was revoked")
    return SharedView(row.tenant, _view(row))


def revoke_share(store: Store, tenant: str, share: str) -> ShareView:
    """Ends a link at once, for good. NotFound."""
    with store.database.write() as session:
        row = _require(session, tenant, share)
        row.revoked = row.revoked or store.database.now(session)
        return _view(row)


def list_shares(store: Store, tenant: str) -> tuple[ShareView, ...]:
    """All links of a tenant, ended ones too."""
    with store.database.read() as session:
        rows = session.scalars(select(Share).where(Share.tenant == tenant).order_by(Share.created, Share.id))
        return tuple(_view(row) for row in rows)


def _require(session: Session, tenant: str, share: str) -> Share:
    row = session.get(Share, share)
    if row is None or row.tenant != tenant:
        raise NotFound(f"there is no share {share}")
    return row


def _view(row: Share) -> ShareView:
    return ShareView(row.id, row.statement, row.proof, row.run, row.created, row.expires, row.revoked)
