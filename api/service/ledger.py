"""The openings that owners granted to this service, and the slots that its proofs have spent.

A slot is reserved, durably and under the job's fencing token, before a proof leaves the process that made it. It is
never given back, and the primary key (root, slot) makes it impossible to reserve it twice, by whichever worker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.slots import budgets
from verifier.statement import Statement

from .errors import BudgetExhausted
from .schema import Commitment, JobRow, Slot

Grants = Mapping[str, Mapping[str, Any]]


def check_grants(session: Session, statements: Sequence[Statement], grants: Grants) -> None:
    """BudgetExhausted unless every statement can be proven once with what is granted and not spent."""
    needed = Counter(root for statement in statements for root in budgets(statement))
    for statement in statements:
        for root, (name, budget) in budgets(statement).items():
            pointer = f"/grants/{root}"
            if root not in grants:
                raise BudgetExhausted(f"no opening of the {name} is granted", "/grants")
            first, count = grants[root]["first"], grants[root]["count"]
            if first + count > budget:
                raise BudgetExhausted(
                    f"slots {first} to {first + count - 1} of the {name} are granted, it has {budget} in all", pointer
                )
            left = count - _spent(session, root, first, count)
            if left < needed[root]:
                raise BudgetExhausted(
                    f"{left} of the granted openings of the {name} are left, {needed[root]} are needed: grant others",
                    pointer,
                )


def reserve(
    session: Session, now: float, job: JobRow, segment: int, statement: Statement, grants: Grants
) -> dict[str, int]:
    """Spends one opening of each commitment of a segment; the slots by root. To be committed before anything is shown.

    BudgetExhausted when a grant is used up.
    """
    slots = {}
    for root, (name, budget) in sorted(budgets(statement).items()):
        _know(session, root, budget, now)
        session.get_one(Commitment, root, with_for_update=True)
        first, count = int(grants[root]["first"]), int(grants[root]["count"])
        taken = set(session.scalars(select(Slot.slot).where(Slot.root == root, Slot.slot >= first)))
        free = next((slot for slot in range(first, first + count) if slot not in taken), None)
        if free is None:
            raise BudgetExhausted(f"all {count} granted openings of the {name} are spent")
        session.add(Slot(root=root, slot=free, job=job.id, attempt=job.attempt, segment=segment, at=now))
        session.flush()
        slots[root] = free
    return slots


def _know(session: Session, root: str, budget: int, now: float) -> None:
    """Makes the row of a commitment, unless there is one, also if another worker does so at this moment."""
    if session.get(Commitment, root) is None:
        try:
            with session.begin_nested():
                session.add(Commitment(root=root, budget=budget, created=now))
        except IntegrityError:
            session.expire_all()


def _spent(session: Session, root: str, first: int, count: int) -> int:
    query = select(func.count()).where(Slot.root == root, Slot.slot >= first, Slot.slot < first + count)
    return session.scalar(query) or 0
