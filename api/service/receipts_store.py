"""Signed verdicts, kept beside the statements they are about. Whoever reads one checks its signature himself."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from .errors import NotFound, Unprocessable
from .paging import page
from .schema import Receipt
from .statements import require_statement
from .store import Store
from .tenants import new_id
from .views import Page, ReceiptView

MAX_BYTES = 1 << 16


def put_receipt(store: Store, tenant: str, statement: str, document: dict[str, Any]) -> ReceiptView:
    """Stores a receipt about a stored statement. NotFound; Unprocessable: too large."""
    size = len(json.dumps(document))
    if size > MAX_BYTES:
        raise Unprocessable(f"a receipt of {size} bytes; at most {MAX_BYTES}")
    with store.database.write() as session:
        require_statement(session, tenant, statement)
        now = store.database.now(session)
        row = Receipt(tenant=tenant, id=new_id(), statement=statement, document=document, created=now)
        session.add(row)
        return _view(row)


def get_receipt(store: Store, tenant: str, receipt: str) -> ReceiptView:
    """NotFound."""
    with store.database.read() as session:
        return _view(_require(session, tenant, receipt))


def list_receipts(
    store: Store, tenant: str, cursor: str | None = None, limit: int = 50, *, statement: str | None = None
) -> Page[ReceiptView]:
    """Receipts of a tenant, of a statement if that is given, newest first."""
    query = select(Receipt).where(Receipt.tenant == tenant)
    if statement is not None:
        query = query.where(Receipt.statement == statement)
    with store.database.read() as session:
        return page(session, query, (Receipt.created, Receipt.id), cursor, limit, _view)


def delete_receipt(store: Store, tenant: str, receipt: str) -> None:
    """NotFound."""
    with store.database.write() as session:
        session.delete(_require(session, tenant, receipt))


def _require(session: Session, tenant: str, receipt: str) -> Receipt:
    row = session.get(Receipt, (tenant, receipt))
    if row is None:
        raise NotFound(f"there is no receipt {receipt}")
    return row


def _view(row: Receipt) -> ReceiptView:
    return ReceiptView(row.id, row.statement, row.document, row.created)
