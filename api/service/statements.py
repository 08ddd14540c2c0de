"""Statements by digest, with the estimate of what their proofs take."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from prover.plan import plan
from verifier.check import LEAST_SECURITY, MAX_SCHEDULE
from verifier.errors import VerifierError
from verifier.schedule import work
from verifier.statement import Statement, parse_statement

from .artifacts import in_use
from .errors import Conflict, NotFound, Unprocessable
from .paging import page
from .schema import StatementRow
from .store import Store
from .tenants import require_tenant
from .views import Page, StatementView


def put_statement(store: Store, tenant: str, text: bytes) -> StatementView:
    """Stores a statement; again is the same. Unprocessable: not canonical, unsafe, or too much work to verify."""
    if len(text) > store.settings.max_statement_bytes:
        raise Unprocessable(f"a statement of {len(text)} bytes; at most {store.settings.max_statement_bytes}")
    statement = _parse(text)
    _consequences(text)
    with store.database.write() as session:
        require_tenant(session, tenant)
        digest = statement.digest().hex()
        row = session.get(StatementRow, (tenant, digest))
        if row is None:
            row = StatementRow(
                tenant=tenant,
                digest=digest,
                parameters=statement.parameters.digest().hex(),
                text=statement.to_bytes(),
                created=store.database.now(session),
            )
            session.add(row)
        return _view(row)


def get_statement(store: Store, tenant: str, digest: str) -> StatementView:
    """NotFound."""
    with store.database.read() as session:
        return _view(require_statement(session, tenant, digest))


def statement_text(store: Store, tenant: str, digest: str) -> bytes:
    """The canonical bytes. NotFound."""
    with store.database.read() as session:
        return require_statement(session, tenant, digest).text


def list_statements(store: Store, tenant: str, cursor: str | None = None, limit: int = 50) -> Page[StatementView]:
    """Statements of a tenant, newest first."""
    query = select(StatementRow).where(StatementRow.tenant == tenant)
    with store.database.read() as session:
        return page(session, query, (StatementRow.created, StatementRow.digest), cursor, limit, _view)


def delete_statement(store: Store, tenant: str, digest: str) -> None:
    """NotFound; Conflict while a job that is not over is about it."""
    with store.database.write() as session:
        row = require_statement(session, tenant, digest)
        if in_use(session, tenant, f"statement-{digest}"):
            raise Conflict(f"a job that is not over is about statement {digest}; cancel it first")
        session.delete(row)


def require_statement(session: Session, tenant: str, digest: str) -> StatementRow:
    """The row; NotFound."""
    row = session.get(StatementRow, (tenant, digest))
    if row is None:
        raise NotFound(f"there is no statement {digest}")
    return row


def _parse(text: bytes) -> Statement:
    try:
        return parse_statement(text)
    except VerifierError as error:
        raise Unprocessable(str(error)) from None


@lru_cache(maxsize=256)
def _consequences(text: bytes) -> tuple[dict[str, Any], dict[str, int]]:
    """Estimate and bounds; Unprocessable when no verifier would accept a proof of this statement."""
    statement = _parse(text)
    p = statement.parameters
    if p.task != "training":
        return {}, {}
    drawn = work(statement.samples, p.batch, p.first_step, p.steps)
    if drawn > MAX_SCHEDULE:
        raise Unprocessable(f"the schedule has {drawn} indices to draw, at most {MAX_SCHEDULE} are verified")
    try:
        found = plan(p, statement.samples, LEAST_SECURITY)
    except VerifierError as error:
        raise Unprocessable(str(error)) from None
    estimate = {
        "seconds": found.seconds,
        "memory_bytes": found.memory_bytes,
        "proof_bytes": found.proof_bytes,
        "security_bits": found.security_bits,
    }
    return estimate, found.bounds_bits


def _view(row: StatementRow) -> StatementView:
    estimate, bounds = _consequences(row.text)
    return StatementView(row.digest, row.parameters, json.loads(row.text), dict(estimate), dict(bounds), row.created)
