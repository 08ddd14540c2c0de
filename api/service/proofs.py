"""Published proofs, and runs: the manifests of chains of them."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import manifest

from .artifacts import check_range
from .errors import NotFound
from .paging import page
from .schema import Proof, RunRow
from .store import Store
from .trash import discard
from .views import Page, ProofView, RunView


def get_proof(store: Store, tenant: str, digest: str) -> ProofView:
    """NotFound."""
    with store.database.read() as session:
        return _proof(require_proof(session, tenant, digest))


def list_proofs(
    store: Store,
    tenant: str,
    cursor: str | None = None,
    limit: int = 50,
    *,
    statement: str | None = None,
    job: str | None = None,
) -> Page[ProofView]:
    """Proofs of a tenant, of a statement or job if that is given, newest first."""
    query = select(Proof).where(Proof.tenant == tenant)
    if statement is not None:
        query = query.where(Proof.statement == statement)
    if job is not None:
        query = query.where(Proof.job == job)
    with store.database.read() as session:
        return page(session, query, (Proof.created, Proof.digest), cursor, limit, _proof)


def read_proof(store: Store, tenant: str, digest: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """A proof's bytes from `start` to before `stop`. NotFound, RangeInvalid: before any byte."""
    with store.database.read() as session:
        row = require_proof(session, tenant, digest)
        end = check_range(row.size, start, stop)
        blob = row.blob
    return store.blobs.read(blob, start, end)


def delete_proof(store: Store, tenant: str, digest: str) -> None:
    """Removes a proof; the openings that it spent stay spent. NotFound."""
    with store.database.write() as session:
        row = require_proof(session, tenant, digest)
        discard(session, store.database.now(session), [row.blob])
        session.delete(row)


def require_proof(session: Session, tenant: str, digest: str) -> Proof:
    """The row; NotFound."""
    row = session.get(Proof, (tenant, digest))
    if row is None:
        raise NotFound(f"there is no proof {digest}")
    return row


def get_run(store: Store, tenant: str, digest: str) -> RunView:
    """NotFound."""
    with store.database.read() as session:
        return _run(_require_run(session, tenant, digest))


def list_runs(store: Store, tenant: str, cursor: str | None = None, limit: int = 50) -> Page[RunView]:
    """Runs of a tenant, newest first."""
    query = select(RunRow).where(RunRow.tenant == tenant)
    with store.database.read() as session:
        return page(session, query, (RunRow.created, RunRow.digest), cursor, limit, _run)


def delete_run(store: Store, tenant: str, digest: str) -> None:
    """Removes a manifest; statements and proofs stay. NotFound."""
    with store.database.write() as session:
        session.delete(_require_run(session, tenant, digest))


def _require_run(session: Session, tenant: str, digest: str) -> RunRow:
    row = session.get(RunRow, (tenant, digest))
    if row is None:
        raise NotFound(f"there is no run {digest}")
    return row


def _proof(row: Proof) -> ProofView:
    return ProofView(row.digest, row.statement, row.job, row.segment, row.size, row.verdict, row.created)


def _run(row: RunRow) -> RunView:
    entries = manifest.parse(row.manifest)
    segments = tuple((entry.statement.hex(), entry.proof.hex() if entry.proof else "") for entry in entries)
    return RunView(row.digest, row.manifest, segments, row.job, row.created)
