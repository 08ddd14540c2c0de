"""Jobs as workers see them: claimed for a while, and written to only by the attempt that holds the claim.

The attempt number is the fencing token. It grows with every claim, and each write first checks, in its transaction,
that the number is still the job's and the lease has not run out: a worker that was thought dead and comes back can
change nothing and spend nothing. Once the owner wants the job ended, an attempt can do no more than end it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session

from verifier.statement import Statement

from .artifacts import in_use, remove
from .errors import CancelRequested, LeaseLost
from .failures import Failure, failure
from .jobs import add_event
from .ledger import reserve
from .schema import Artifact, Event, JobRow, Nonce, Part, Proof, RunRow, Use
from .store import Store
from .tenants import new_id
from .trash import discard
from .views import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED


@dataclass(frozen=True)
class Lease:
    """A job in the hands of one worker. Times by the database's clock."""

    job: str
    tenant: str
    kind: str
    payload: dict[str, Any]
    attempt: int
    worker: str
    deadline: float


@dataclass(frozen=True)
class Made:
    """A blob that an attempt has written and wants published."""

    blob: str
    size: int
    digest: str


def claim(store: Store, worker: str) -> Lease | None:
    """The oldest job that waits, or whose worker has let its lease run out; None when there is none to be had."""
    while _anything(store):
        with store.database.write() as session:
            now = store.database.now(session)
            row = session.scalars(_claimable(now, store.settings.device)).first()
            if row is None:
                return None
            if row.status == RUNNING:
                add_event(session, row, now, "retry", {"failure": failure("internal", row.stage).document()})
            if not _end_instead(session, now, row):
                return _take(session, now, row, worker, store.settings.lease_seconds)
    return None


def _anything(store: Store) -> bool:
    """A look that keeps no writer waiting."""
    with store.database.read() as session:
        query = _claimable(store.database.now(session), store.settings.device, lock=False)
        return session.scalars(query).first() is not None


def _claimable(now: float, device: str, lock: bool = True) -> Any:
    """Jobs for this device, and any that are past their deadline: somebody has to end them."""
    waiting = and_(JobRow.status == QUEUED, JobRow.not_before <= now)
    orphaned = and_(JobRow.status == RUNNING, JobRow.lease_until <= now)
    expired = and_(JobRow.status == QUEUED, JobRow.deadline <= now)
    query = select(JobRow).where(or_(and_(or_(waiting, orphaned), JobRow.device == device), expired))
    query = query.order_by(JobRow.created, JobRow.id).limit(1)
    return query.with_for_update(skip_locked=True) if lock else query


def _end_instead(session: Session, now: float, row: JobRow) -> bool:
    """Ends a job that must not be tried again."""
    if row.cancel_requested:
        finalize(session, now, row, CANCELLED)
    elif row.deadline <= now:
        finalize(session, now, row, FAILED, failure("deadline", row.stage))
    elif row.attempt >= row.max_attempts:
        words = f"{row.attempt} attempts ended without a result, the last with its worker"
        finalize(session, now, row, FAILED, failure("internal", row.stage, words, retryable=False))
    else:
        return False
    return True


def _take(session: Session, now: float, row: JobRow, worker: str, seconds: float) -> Lease:
    row.status, row.worker = RUNNING, worker
    row.attempt += 1
    row.lease_until, row.progress_at = now + seconds, now
    row.stage, row.done, row.total = None, 0, 0
    row.started = row.started or now
    add_event(session, row, now, "started", {"attempt": row.attempt})
    return Lease(row.id, row.tenant, row.kind, row.payload, row.attempt, worker, row.deadline)


def held(session: Session, store: Store, lease: Lease) -> tuple[JobRow, float]:
    """The job's row, locked, and the time; LeaseLost unless this attempt still holds it."""
    row = session.get(JobRow, lease.job, with_for_update=True)
    now = store.database.now(session)
    if row is None or row.attempt != lease.attempt or row.status != RUNNING or (row.lease_until or 0) <= now:
        raise LeaseLost(f"attempt {lease.attempt} of job {lease.job} is not the current one any more")
    return row, now


def _wanted(session: Session, store: Store, lease: Lease) -> tuple[JobRow, float]:
    """As `held`; CancelRequested once the owner wants the job ended."""
    row, now = held(session, store, lease)
    if row.cancel_requested:
        raise CancelRequested(f"job {lease.job} is to end")
    return row, now


def heartbeat(store: Store, lease: Lease) -> tuple[bool, float]:
    """Extends the lease; whether the owner wants the job ended, and the seconds to its deadline. LeaseLost.

    It does not wait for the disk: a busy one might take longer than the lease lasts.
    """
    with store.database.write_soon() as session:
        row, now = held(session, store, lease)
        row.lease_until = now + store.settings.lease_seconds
        return row.cancel_requested, row.deadline - now


def report(store: Store, lease: Lease, stage: str | None = None, done: int = 0, total: int = 0) -> None:
    """Tells of a new stage, or of progress in it. LeaseLost, CancelRequested."""
    with store.database.write() as session:
        row, now = _wanted(session, store, lease)
        row.progress_at, row.done, row.total = now, done, total
        if stage is not None:
            row.stage = stage[:80]
            add_event(session, row, now, "stage", {"name": row.stage})
        else:
            # Only the latest is kept: a job of a day would have as many as it has seconds.
            session.execute(delete(Event).where(Event.job == row.id, Event.type == "progress"))
            add_event(session, row, now, "progress", {"done": done, "total": total})


# --- what an attempt leaves behind ---


def finished_segments(store: Store, lease: Lease) -> dict[int, str]:
    """Digests of the proofs that earlier attempts have published, by segment."""
    with store.database.read() as session:
        rows = session.execute(select(Proof.segment, Proof.digest).where(Proof.job == lease.job)).all()
        return {int(segment): str(digest) for segment, digest in rows}


def reserve_slots(store: Store, lease: Lease, segment: int, statement: Statement) -> dict[str, int]:
    """Spends the openings of a segment's proof, durably. LeaseLost, CancelRequested, BudgetExhausted."""
    with store.database.write() as session:
        row, now = _wanted(session, store, lease)
        return reserve(session, now, row, segment, statement, lease.payload["grants"])


def take_nonce(store: Store, lease: Lease, nonce: str) -> bool:
    """Whether this job is the one that answers a request of this nonce. LeaseLost, CancelRequested."""
    with store.database.write() as session:
        _wanted(session, store, lease)
        row = session.get(Nonce, (lease.tenant, nonce))
        if row is None:
            session.add(Nonce(tenant=lease.tenant, nonce=nonce, job=lease.job))
        return row is None or row.job == lease.job


def publish_proof(
    store: Store, lease: Lease, segment: int, statement: str, made: Made, verdict: dict[str, Any]
) -> None:
    """Makes a proof visible. LeaseLost, CancelRequested: the blob is then nobody's, and is swept."""
    with store.database.write() as session:
        row, now = _wanted(session, store, lease)
        proof = Proof(
            tenant=lease.tenant,
            digest=made.digest,
            statement=statement,
            job=lease.job,
            segment=segment,
            attempt=lease.attempt,
            blob=made.blob,
            size=made.size,
            verdict=verdict,
            created=now,
        )
        session.add(proof)
        row.progress_at = now
        add_event(session, row, now, "segment", {"segment": segment, "proof": made.digest})


def finish(
    store: Store,
    lease: Lease,
    result: dict[str, Any],
    *,
    manifest: tuple[str, bytes] | None = None,
    reply: Made | None = None,
) -> None:
    """Ends the job well, and makes visible what comes with its end: the manifest of a chain, by digest, or the reply to
    an encrypted request. LeaseLost, CancelRequested: nothing is."""
    with store.database.write() as session:
        row, now = _wanted(session, store, lease)
        if manifest is not None and session.get(RunRow, (lease.tenant, manifest[0])) is None:
            digest, text = manifest
            session.add(RunRow(tenant=lease.tenant, digest=digest, manifest=text, job=lease.job, created=now))
        if reply is not None:
            _publish_reply(session, now, lease, reply)
        row.result = result
        finalize(session, now, row, SUCCEEDED)


def _publish_reply(session: Session, now: float, lease: Lease, made: Made) -> None:
    if session.get(Artifact, (lease.tenant, made.digest)) is not None:
        discard(session, now, [made.blob])
        return
    owner = new_id()
    session.add(Part(owner=owner, number=1, blob=made.blob, size=made.size, digest=made.digest))
    artifact = Artifact(
        tenant=lease.tenant,
        id=made.digest,
        parts=owner,
        kind="reply",
        secret=False,
        media_type="application/octet-stream",
        size=made.size,
        job=lease.job,
        created=now,
    )
    session.add(artifact)


def fail(store: Store, lease: Lease, why: Failure) -> bool:
    """Ends this attempt: another follows later if that can help. Whether one does. LeaseLost."""
    with store.database.write() as session:
        row, now = held(session, store, lease)
        if row.cancel_requested:
            finalize(session, now, row, CANCELLED)
            return False
        if not why.retryable or row.attempt >= row.max_attempts or row.deadline <= now:
            finalize(session, now, row, FAILED, why)
            return False
        wait = store.settings.retry_seconds * 2 ** min(row.attempt - 1, 10)
        _requeue(session, now, row, now + wait, why)
        return True


def release(store: Store, lease: Lease) -> None:
    """Gives a job back unharmed, since the worker stops: this attempt does not count. LeaseLost."""
    with store.database.write() as session:
        row, now = held(session, store, lease)
        if row.cancel_requested:
            finalize(session, now, row, CANCELLED)
            return
        row.max_attempts += 1
        _requeue(session, now, row, now, failure("internal", row.stage, "the worker was stopped"))


def cancelled(store: Store, lease: Lease) -> None:
    """Ends the job as its owner wished. LeaseLost."""
    with store.database.write() as session:
        row, now = held(session, store, lease)
        finalize(session, now, row, CANCELLED)


def _requeue(session: Session, now: float, row: JobRow, not_before: float, why: Failure) -> None:
    row.status, row.not_before, row.lease_until, row.worker = QUEUED, not_before, None, None
    add_event(session, row, now, "retry", {"failure": why.document()})


def finalize(session: Session, now: float, row: JobRow, status: str, why: Failure | None = None) -> None:
    """The end of a job, whichever it is. Its openings are deleted, unless another job that is not over needs them."""
    row.status, row.finished, row.lease_until, row.worker = status, now, None, None
    row.failure = why.document() if why is not None else None
    add_event(session, row, now, status, {"failure": row.failure} if why is not None else {})
    session.flush()
    for artifact in _openings(session, row):
        if not in_use(session, row.tenant, artifact.id):
            remove(session, now, artifact)


def _openings(session: Session, row: JobRow) -> Sequence[Artifact]:
    query = select(Artifact).join(Use, Use.artifact == Artifact.id).where(Artifact.tenant == row.tenant)
    return session.scalars(query.where(Use.job == row.id, Use.role == "openings")).all()
