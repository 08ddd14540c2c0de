"""How often a tenant may ask, counted in the database so that all servers share the count."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from .errors import TooMany
from .schema import Rate
from .store import Store


def count_request(store: Store, tenant: str, bucket: str = "all") -> None:
    """Counts one request; TooMany beyond the limit of a minute."""
    limit = store.settings.requests_per_minute
    try:
        count, now = _count(store, tenant, bucket)
    except IntegrityError:  # somebody else began this minute's count
        count, now = _count(store, tenant, bucket)
    if count > limit:
        raise TooMany(f"more than {limit} requests in a minute", 60 - now % 60)


def _count(store: Store, tenant: str, bucket: str) -> tuple[int, float]:
    with store.database.write() as session:
        now = store.database.now(session)
        minute = int(now // 60)
        row = session.get(Rate, (tenant, bucket, minute), with_for_update=True)
        if row is None:
            session.execute(delete(Rate).where(Rate.tenant == tenant, Rate.minute < minute))
            row = Rate(tenant=tenant, bucket=bucket, minute=minute, count=0)
            session.add(row)
        row.count += 1
        return row.count, now
