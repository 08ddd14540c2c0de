"""Blobs on their way out: noted in the transaction that stops referring to them, removed by a worker afterwards."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from .schema import Garbage


def discard(session: Session, now: float, blobs: Iterable[str]) -> None:
    """Nothing in the database refers to these blobs once the transaction is done."""
    for blob in blobs:
        session.merge(Garbage(blob=blob, at=now))
