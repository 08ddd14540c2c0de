"""Lists in pages: newest first, with a cursor that names the last item seen."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.orm import Session

from .errors import Unprocessable
from .views import Page

R = TypeVar("R")
V = TypeVar("V")
MAX_LIMIT = 200


def page(
    session: Session,
    query: Select[R],
    order: tuple[Any, Any],
    cursor: str | None,
    limit: int,
    view: Callable[[R], V],
) -> Page[V]:
    """At most `limit` rows of a query ordered by two columns (time, id), both falling, after the cursor.

    Unprocessable: a cursor that was not given out, or a limit outside of 1 to MAX_LIMIT.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise Unprocessable(f"limit {limit}: give 1 to {MAX_LIMIT}", "/limit")
    time, name = order
    if cursor is not None:
        query = query.where(_after(time, name, *_read(cursor)))
    rows = session.scalars(query.order_by(time.desc(), name.desc()).limit(limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        tuple(view(row) for row in rows[:limit]),
        None if last is None else _write(getattr(last, time.key), getattr(last, name.key)),
    )


def _after(time: Any, name: Any, at: float, key: str) -> ColumnElement[bool]:
    return or_(time < at, and_(time == at, name < key))


def _write(at: float, key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([at, key]).encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[float, str]:
    try:
        at, key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not (isinstance(at, float) and isinstance(key, str) and abs(at) < 1e15):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise Unprocessable("the cursor is none that was given out; start without one", "/cursor") from None
    return at, key
