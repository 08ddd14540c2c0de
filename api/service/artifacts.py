"""Immutable bytes of a tenant. Public ones are named by their digest; secret ones at random, and nobody reads them out.

Secret: data, weights and openings, sealed at rest under the tenant's key. Only a job of the tenant sees them open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .errors import Conflict, NotFound, RangeInvalid, WriteOnly
from .paging import page
from .schema import Artifact, Context, JobRow, Part, Upload, Use
from .sealing import unseal
from .store import Store
from .tenants import sealing_key
from .trash import discard
from .views import QUEUED, RUNNING, ArtifactView, Page

SECRET_KINDS = ("data", "initial", "openings")
KINDS = (*SECRET_KINDS, "proof", "statement", "context", "request", "plain", "reply", "other")


@dataclass(frozen=True)
class Piece:
    """A part of an artifact where it lies."""

    number: int
    blob: str
    size: int
    digest: str


def get_artifact(store: Store, tenant: str, artifact: str) -> ArtifactView:
    """NotFound."""
    with store.database.read() as session:
        return view(require_artifact(session, tenant, artifact))


def list_artifacts(
    store: Store, tenant: str, cursor: str | None = None, limit: int = 50, kind: str | None = None
) -> Page[ArtifactView]:
    """Artifacts of a tenant, newest first."""
    query = select(Artifact).where(Artifact.tenant == tenant)
    if kind is not None:
        query = query.where(Artifact.kind == kind)
    with store.database.read() as session:
        return page(session, query, (Artifact.created, Artifact.id), cursor, limit, view)


def read_artifact(store: Store, tenant: str, artifact: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """A public artifact's bytes from `start` to before `stop`. NotFound, WriteOnly, RangeInvalid: before any byte."""
    with store.database.read() as session:
        row = require_artifact(session, tenant, artifact)
        if row.secret:
            raise WriteOnly(f"artifact {artifact} is secret: it can be used and deleted, not read")
        end = check_range(row.size, start, stop)
        found = pieces(session, row.parts)
    return _cut(store, found, start, end)


def open_artifact(store: Store, tenant: str, artifact: str) -> Iterator[bytes]:
    """The whole of any artifact, secret ones unsealed: for jobs, never for an answer. NotFound, StorageUnavailable."""
    with store.database.read() as session:
        row = require_artifact(session, tenant, artifact)
        found, secret = pieces(session, row.parts), row.secret
    return read_pieces(store, tenant, found, secret)


def read_pieces(store: Store, tenant: str, found: Sequence[Piece], secret: bool) -> Iterator[bytes]:
    """The bytes of parts in order, unsealed if they are secret."""
    key = sealing_key(store, tenant) if secret else None
    for piece in found:
        chunks = store.blobs.read(piece.blob)
        yield from chunks if key is None else unseal(key, piece.blob, chunks)


def delete_artifact(store: Store, tenant: str, artifact: str) -> None:
    """Removes an artifact. NotFound; Conflict while a job that is not over, or a context, needs it."""
    with store.database.write() as session:
        row = require_artifact(session, tenant, artifact)
        if in_use(session, tenant, artifact):
            raise Conflict(f"a job that is not over uses artifact {artifact}; cancel it first")
        if session.get(Context, (tenant, artifact)) is not None:
            raise Conflict(f"artifact {artifact} is a context; delete that")
        remove(session, store.database.now(session), row)


def require_artifact(session: Session, tenant: str, artifact: str) -> Artifact:
    """The row; NotFound."""
    row = session.get(Artifact, (tenant, artifact))
    if row is None:
        raise NotFound(f"there is no artifact {artifact}")
    return row


def in_use(session: Session, tenant: str, artifact: str) -> bool:
    """Whether a job that is not over reads this artifact."""
    query = select(JobRow.id).join(Use, Use.job == JobRow.id)
    query = query.where(JobRow.tenant == tenant, Use.artifact == artifact, JobRow.status.in_((QUEUED, RUNNING)))
    return session.scalars(query.limit(1)).first() is not None


def remove(session: Session, now: float, row: Artifact) -> None:
    """Takes an artifact out of the database; its blobs follow."""
    remove_parts(session, now, row.parts)
    session.delete(row)


def remove_parts(session: Session, now: float, owner: str) -> None:
    """Takes the parts of an artifact or upload out of the database; their blobs follow."""
    parts = session.scalars(select(Part).where(Part.owner == owner)).all()
    discard(session, now, (part.blob for part in parts))
    for part in parts:
        session.delete(part)


def pieces(session: Session, owner: str) -> tuple[Piece, ...]:
    """The parts of an artifact or upload, in order."""
    rows = session.scalars(select(Part).where(Part.owner == owner).order_by(Part.number))
    return tuple(Piece(row.number, row.blob, row.size, row.digest) for row in rows)


def stored_bytes(session: Session, tenant: str) -> int:
    """Bytes of a tenant's artifacts and unfinished uploads."""
    kept = session.scalar(select(func.coalesce(func.sum(Artifact.size), 0)).where(Artifact.tenant == tenant))
    coming = select(func.coalesce(func.sum(Part.size), 0)).join(Upload, Upload.id == Part.owner)
    return int(kept or 0) + int(session.scalar(coming.where(Upload.tenant == tenant)) or 0)


def check_range(size: int, start: int, stop: int | None) -> int:
    """The end of a range that lies within `size` bytes; RangeInvalid."""
    end = size if stop is None else min(stop, size)
    if not 0 <= start <= end or (start == end and size):
        raise RangeInvalid(size)
    return end


def view(row: Artifact) -> ArtifactView:
    """A row as its owner sees it."""
    digest = None if row.secret else row.id
    return ArtifactView(row.id, row.kind, row.secret, row.media_type, row.size, digest, row.job, row.created)


def _cut(store: Store, found: Iterable[Piece], start: int, stop: int) -> Iterator[bytes]:
    at = 0
    for piece in found:
        first, last = max(start - at, 0), min(stop - at, piece.size)
        if first < last:
            yield from store.blobs.read(piece.blob, first, last)
        at += piece.size
