"""Jobs as their owners see them: submitted once however often they ask, watched, cancelled, deleted."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from verifier.chain import check_links
from verifier.errors import VerifierError
from verifier.statement import Statement, parse_statement

from .artifacts import require_artifact
from .contexts import require_context
from .errors import Conflict, IdempotencyMismatch, NotFound, TooMany, Unprocessable
from .ledger import check_grants
from .paging import page
from .payloads import PROVE, VERIFY, check_payload
from .proofs import require_proof
from .schema import Event, JobRow, Use
from .statements import require_statement
from .store import Store
from .tenants import new_id, require_tenant
from .views import CANCELLED, QUEUED, RUNNING, EventView, JobView, Page

DEVICES = ("cpu",)
_LOOK_SECONDS = 0.2


def submit_job(
    store: Store,
    tenant: str,
    kind: str,
    payload: dict[str, Any],
    *,
    route: str,
    idempotency_key: str | None = None,
    device: str = "cpu",
    deadline_seconds: float | None = None,
) -> tuple[JobView, bool]:
    """A job, and whether it is new: a key that this route has seen from this tenant gives the job of then.

    Key and job come into being in one transaction. Errors: Unprocessable with a pointer into the payload,
    IdempotencyMismatch, BudgetExhausted, TooMany.
    """
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= 255:
        raise Unprocessable("an idempotency key has 1 to 255 characters")
    if device not in DEVICES:
        raise Unprocessable(f"device {device!r}: one of {', '.join(DEVICES)}", "/device")
    limit = store.settings.job_seconds
    seconds = limit if deadline_seconds is None else deadline_seconds
    if not 0 < seconds <= limit:
        raise Unprocessable(f"a deadline of {seconds} s: more than 0, at most {limit:g}", "/deadline_seconds")
    full = check_payload(kind, payload)
    text = json.dumps([kind, device, deadline_seconds, full], sort_keys=True)
    if len(text) > store.settings.max_payload_bytes:
        raise Unprocessable(f"a payload of {len(text)} bytes; at most {store.settings.max_payload_bytes}")
    row = JobRow(
        id=new_id(),
        tenant=tenant,
        route=route,
        idempotency_key=idempotency_key,
        payload_digest=hashlib.sha256(text.encode()).hexdigest(),
        kind=kind,
        device=device,
        payload=full,
        status=QUEUED,
        attempt=0,
        max_attempts=store.settings.max_attempts,
        cancel_requested=False,
        done=0,
        total=0,
        last_event=0,
    )
    for _ in range(2):
        known = _replayed(store, row)
        if known is not None:
            return known, False
        try:
            return _insert(store, row, seconds)
        except IntegrityError:
            continue  # the same key came in at the same moment
    raise Conflict("this idempotency key is being used at this moment; ask again")


def _replayed(store: Store, row: JobRow) -> JobView | None:
    if row.idempotency_key is None:
        return None
    with store.database.read() as session:
        known = _with_key(session, row)
        return None if known is None else _same(known, row)


def _with_key(session: Session, row: JobRow) -> JobRow | None:
    query = select(JobRow).where(JobRow.tenant == row.tenant, JobRow.route == row.route)
    return session.scalars(query.where(JobRow.idempotency_key == row.idempotency_key)).one_or_none()


def _same(known: JobRow, row: JobRow) -> JobView:
    if known.payload_digest != row.payload_digest:
        raise IdempotencyMismatch(f"this idempotency key belongs to job {known.id}, with another payload")
    return view(known)


def _insert(store: Store, row: JobRow, seconds: float) -> tuple[JobView, bool]:
    with store.database.write() as session:
        require_tenant(session, row.tenant)
        known = _with_key(session, row) if row.idempotency_key is not None else None
        if known is not None:
            return _same(known, row), False
        active = select(func.count()).where(JobRow.tenant == row.tenant, JobRow.status.in_((QUEUED, RUNNING)))
        if (session.scalar(active) or 0) >= store.settings.max_active_jobs:
            raise TooMany(f"{store.settings.max_active_jobs} jobs are not over yet; wait for one or cancel some", 10.0)
        uses = _references(session, row)
        now = store.database.now(session)
        fresh = JobRow(**{c.key: getattr(row, c.key) for c in JobRow.__table__.columns})
        fresh.created = fresh.not_before = now
        fresh.deadline = now + seconds
        session.add(fresh)
        session.flush()
        session.add_all(Use(job=fresh.id, artifact=artifact, role=role) for role, artifact in uses)
        add_event(session, fresh, now, QUEUED)
        return view(fresh), True


# --- what a payload refers to ---


def _references(session: Session, row: JobRow) -> list[tuple[str, str]]:
    """(role, artifact) of everything that the job needs; Unprocessable when something is missing or does not fit."""
    payload, tenant = row.payload, row.tenant
    if row.kind == PROVE:
        statements = _statements(session, tenant, payload["statements"], "/statements")
        _check_provable(statements, payload)
        check_grants(session, statements, payload["grants"])
        roles = [(f"statement-{k}", f"statement-{digest}") for k, digest in enumerate(payload["statements"])]
        for name in ("data", "initial", "openings"):
            if payload[name] is not None:
                _artifact(session, tenant, payload[name], name, f"/{name}")
                roles.append((name, payload[name]))
        return roles
    if row.kind == VERIFY:
        segments = payload["segments"]
        _statements(session, tenant, [segment["statement"] for segment in segments], "/segments")
        roles = []
        for k, segment in enumerate(segments):
            _proof(session, tenant, segment["proof"], f"/segments/{k}/proof")
            roles += [(f"statement-{k}", f"statement-{segment['statement']}"), (f"proof-{k}", segment["proof"])]
        return roles
    return _encrypted(session, tenant, payload)


def _encrypted(session: Session, tenant: str, payload: dict[str, Any]) -> list[tuple[str, str]]:
    if not isinstance(payload["plan"].get("digest"), str):
        raise Unprocessable("the plan has no digest; send the file of `zkgrad fhe plan`", "/plan")
    try:
        require_context(session, tenant, payload["context"])
    except NotFound as error:
        raise Unprocessable(str(error), "/context") from None
    roles = [("context", payload["context"]), ("request", payload["request"])]
    _artifact(session, tenant, payload["request"], "request", "/request")
    for name, artifact in payload["plain"].items():
        _artifact(session, tenant, artifact, "plain", f"/plain/{name}")
        roles.append((f"plain-{name}", artifact))
    return roles


def _statements(session: Session, tenant: str, digests: Sequence[str], pointer: str) -> list[Statement]:
    found = []
    for k, digest in enumerate(digests):
        try:
            found.append(parse_statement(require_statement(session, tenant, digest).text))
        except NotFound as error:
            raise Unprocessable(str(error), f"{pointer}/{k}") from None
    if len(found) > 1:
        try:
            check_links(found)
        except VerifierError as error:
            raise Unprocessable(str(error), pointer) from None
    return found


def _check_provable(statements: Sequence[Statement], payload: dict[str, Any]) -> None:
    first = statements[0].parameters
    if any(s.parameters.task != "training" for s in statements):
        raise Unprocessable("only statements about training are proven here", "/statements")
    if any(s.final_root == bytes(32) for s in statements):
        raise Unprocessable("this is a draft: its final state is not committed yet", "/statements")
    if len(statements) == 1 and first.first_step:
        raise Unprocessable("a segment is proven with those before it: name all, from step 0 on", "/statements")
    if (payload["initial"] is None) != (first.initial == "public-seed"):
        raise Unprocessable("the initial state is needed, unless it comes from a public seed", "/initial")


def _artifact(session: Session, tenant: str, artifact: str, kind: str, pointer: str) -> None:
    try:
        row = require_artifact(session, tenant, artifact)
    except NotFound as error:
        raise Unprocessable(str(error), pointer) from None
    if row.kind != kind:
        raise Unprocessable(f"artifact {artifact} was uploaded as {row.kind!r}, not as {kind!r}", pointer)


def _proof(session: Session, tenant: str, name: str, pointer: str) -> None:
    try:
        require_proof(session, tenant, name)
    except NotFound:
        _artifact(session, tenant, name, "proof", pointer)


# --- watching ---


def get_job(store: Store, tenant: str, job: str) -> JobView:
    """NotFound."""
    with store.database.read() as session:
        return view(_require(session, tenant, job))


def list_jobs(
    store: Store, tenant: str, cursor: str | None = None, limit: int = 50, status: str | None = None
) -> Page[JobView]:
    """Jobs of a tenant, newest first."""
    query = select(JobRow).where(JobRow.tenant == tenant)
    if status is not None:
        query = query.where(JobRow.status == status)
    with store.database.read() as session:
        return page(session, query, (JobRow.created, JobRow.id), cursor, limit, view)


def events_since(store: Store, tenant: str, job: str, after: int = 0, limit: int = 100) -> tuple[EventView, ...]:
    """What happened to a job after event number `after`, oldest first. NotFound."""
    with store.database.read() as session:
        _require(session, tenant, job)
        query = select(Event).where(Event.job == job, Event.number > after).order_by(Event.number).limit(limit)
        return tuple(EventView(row.number, row.at, row.type, row.data) for row in session.scalars(query))


async def wait_for_change(store: Store, tenant: str, job: str, after_event: int, seconds: float) -> JobView:
    """The job once it has an event after number `after_event`, is over, or `seconds` have passed. NotFound."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        found = await asyncio.to_thread(get_job, store, tenant, job)
        left = end - asyncio.get_running_loop().time()
        if found.over or found.last_event > after_event or left <= 0:
            return found
        await asyncio.sleep(min(_LOOK_SECONDS, left))


def counts(store: Store) -> dict[str, int]:
    """How many jobs of all tenants are in each status."""
    with store.database.read() as session:
        rows = session.execute(select(JobRow.status, func.count()).group_by(JobRow.status)).all()
        return {str(status): int(count) for status, count in rows}


# --- ending ---


def cancel_job(store: Store, tenant: str, job: str) -> JobView:
    """Asks for a job's end: a queued one is cancelled now, a running one soon and whatever it does until then, one that
    is over stays as it is. NotFound."""
    from .leases import finalize

    with store.database.write() as session:
        row = _require(session, tenant, job, lock=True)
        now = store.database.now(session)
        if row.status == QUEUED:
            row.cancel_requested = True
            finalize(session, now, row, CANCELLED)
        elif row.status == RUNNING and not row.cancel_requested:
            row.cancel_requested = True
            add_event(session, row, now, "cancelling")
        return view(row)


def delete_job(store: Store, tenant: str, job: str) -> None:
    """Removes a job that is over, and its events; what it published stays. NotFound, Conflict."""
    with store.database.write() as session:
        row = _require(session, tenant, job, lock=True)
        if not view(row).over:
            raise Conflict(f"job {job} is not over; cancel it first")
        session.delete(row)


def add_event(session: Session, row: JobRow, now: float, kind: str, data: dict[str, Any] | None = None) -> None:
    """Numbers and stores what happened, in the transaction in which it happens."""
    row.last_event += 1
    session.add(Event(job=row.id, number=row.last_event, at=now, type=kind, data=data or {}))


def view(row: JobRow) -> JobView:
    """A row as its owner sees it."""
    return JobView(
        id=row.id,
        kind=row.kind,
        device=row.device,
        status=row.status,
        stage=row.stage,
        done=row.done,
        total=row.total,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        cancel_requested=row.cancel_requested,
        failure=row.failure,
        result=row.result,
        payload=row.payload,
        idempotency_key=row.idempotency_key,
        created=row.created,
        started=row.started,
        finished=row.finished,
        deadline=row.deadline,
        last_event=row.last_event,
    )


def _require(session: Session, tenant: str, job: str, lock: bool = False) -> JobRow:
    row = session.get(JobRow, job, with_for_update=lock or None)
    if row is None or row.tenant != tenant:
        raise NotFound(f"there is no job {job}")
    return row
