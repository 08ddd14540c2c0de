"""What is removed without being asked: blobs that nothing refers to, expired uploads, and what is older than kept."""

from __future__ import annotations

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from .artifacts import in_use, remove, remove_parts
from .errors import ServiceError
from .logs import get_logger
from .schema import Artifact, Context, Garbage, JobRow, Key, Part, Proof, Rate, Share, Upload
from .store import Store
from .views import CANCELLED, FAILED, SUCCEEDED

_BATCH = 200


def empty_trash(store: Store) -> int:
    """Removes blobs that the database has let go of; how many. One that cannot be removed now is tried again later."""
    removed = 0
    while True:
        with store.database.read() as session:
            blobs = session.scalars(select(Garbage.blob).order_by(Garbage.at).limit(_BATCH)).all()
        if not blobs:
            return removed
        for blob in blobs:
            store.blobs.delete(blob)
        with store.database.write() as session:
            session.execute(delete(Garbage).where(Garbage.blob.in_(blobs)))
        removed += len(blobs)


def sweep(store: Store) -> None:
    """Expires uploads, removes jobs and artifacts past their time, then blobs that nobody refers to past the grace."""
    log = get_logger("retention")
    try:
        with store.database.write() as session:
            now = store.database.now(session)
            _expire_uploads(session, now)
            _expire_jobs(session, now - store.settings.retain_seconds)
            _expire_links(session, now - store.settings.retain_seconds)
            _expire_artifacts(session, now, now - store.settings.retain_seconds)
            session.execute(delete(Rate).where(Rate.minute < int(now // 60) - 60))
        removed = empty_trash(store) + _sweep_blobs(store, now - store.settings.sweep_grace_seconds)
        log.info("swept", blobs=removed)
    except ServiceError as error:
        log.warning("sweep failed", code=error.code)


def _expire_uploads(session: Session, now: float) -> None:
    expired = select(Upload).where(Upload.expires <= now).limit(_BATCH)
    for row in session.scalars(expired.with_for_update(skip_locked=True)):
        remove_parts(session, now, row.id)
        session.delete(row)


def _expire_jobs(session: Session, before: float) -> None:
    over = select(JobRow).where(JobRow.status.in_((SUCCEEDED, FAILED, CANCELLED)), JobRow.finished <= before)
    for row in session.scalars(over.limit(_BATCH).with_for_update(skip_locked=True)):
        session.delete(row)


def _expire_links(session: Session, before: float) -> None:
    """Keys and shares that ended long ago."""
    for table in (Key, Share):
        session.execute(delete(table).where(or_(table.expires <= before, table.revoked <= before)))


def _expire_artifacts(session: Session, now: float, before: float) -> None:
    kept = select(Context.id).where(Context.tenant == Artifact.tenant, Context.id == Artifact.id).exists()
    old = select(Artifact).where(Artifact.created <= before, ~kept).limit(_BATCH)
    for row in session.scalars(old.with_for_update(skip_locked=True)):
        if not in_use(session, row.tenant, row.id):
            remove(session, now, row)


def _sweep_blobs(store: Store, before: float) -> int:
    """Marks what the database knows and removes what is older than the grace and not marked.

    A blob is written before the row that refers to it, so the grace must be longer than any write takes.
    """
    removed = 0
    for blob in store.blobs.list():
        if blob.modified < before and not _known(store, blob.key):
            store.blobs.delete(blob.key)
            removed += 1
    return removed


def _known(store: Store, blob: str) -> bool:
    with store.database.read() as session:
        return any(
            session.scalars(query.limit(1)).first() is not None
            for query in (
                select(Part.blob).where(Part.blob == blob),
                select(Proof.blob).where(Proof.blob == blob),
                select(Garbage.blob).where(Garbage.blob == blob),
            )
        )
