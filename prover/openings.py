"""The budget of openings: a commitment's randomness serves so many proofs, and spending it twice hides nothing."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from verifier.statement import Statement

from .errors import BudgetExhausted

Used = Mapping[str, int]


def budgets(s: Statement) -> dict[str, tuple[str, int]]:
    """Name and budget, by root, of every commitment that outlives a proof of this statement and is opened by it."""
    p = s.parameters
    if p.task != "training":
        named = {s.initial_root.hex(): ("model", p.state_openings)}
        # The samples of an accuracy are committed for that proof alone; those of an inference may be the run's data.
        if p.task == "inference" and any(s.data_root):
            named[s.data_root.hex()] = ("data", p.data_openings)
        return named
    named = {s.data_root.hex(): ("data", p.data_openings), s.final_root.hex(): ("final state", p.state_openings)}
    if p.initial == "committed":
        named[s.initial_root.hex()] = ("initial state", p.state_openings)
    return named


def openings_left(used: Used, statements: Sequence[Statement]) -> dict[str, int]:
    """Openings that each commitment of a run may still give, by name; of several segments' states, the fewest."""
    left: dict[str, int] = {}
    for statement in statements:
        for root, (name, budget) in budgets(statement).items():
            key = "states" if len(statements) > 1 and name != "data" else name
            left[key] = min(left.get(key, budget), budget - used.get(root, 0))
    return left


def require_openings(used: Used, statements: Sequence[Statement]) -> None:
    """BudgetExhausted unless a proof of each of these statements can still be counted."""
    needed = Counter(root for s in statements for root in budgets(s))
    named = {root: budget for s in statements for root, budget in budgets(s).items()}
    left = {root: budget - used.get(root, 0) for root, (_, budget) in named.items()}
    short = [root for root in named if left[root] < needed[root]]
    if short:
        few = "no opening" if all(left[root] < 1 for root in short) else "too few openings"
        names = dict.fromkeys(named[root][0] for root in short)
        raise BudgetExhausted(
            f"the commitment to the {' and the '.join(names)} has {few} left: each proof spends one. "
            "Train or commit anew with more --data-openings or --state-openings."
        )


def spent(used: Used, statement: Statement) -> dict[str, int]:
    """The counts after one more proof of a statement."""
    return {**used, **{root: used.get(root, 0) + 1 for root in budgets(statement)}}


class Openings:
    """The counts of a run that lives in memory. It cannot be copied or pickled: a copy would open the same again."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}
        self._place: str | None = None
        self._lock = threading.Lock()

    def left(self, statements: Sequence[Statement]) -> dict[str, int]:
        """Openings left, by name."""
        return openings_left(self._used, statements)

    @contextlib.contextmanager
    def proving(self, statements: Sequence[Statement]) -> Iterator[Callable[[Statement], None]]:
        """Gives a function that counts a proof, to be called before it is handed out. BudgetExhausted before any work
        when not all of these statements can be proven, or when the run was moved to a folder."""
        with self._lock:
            if self._place is not None:
                raise BudgetExhausted(f"this run was moved to {self._place}, which counts its openings: prove it there")
            require_openings(self._used, statements)
            yield self._spend

    def _spend(self, statement: Statement) -> None:
        self._used = spent(self._used, statement)

    @contextlib.contextmanager
    def moving(self, place: str) -> Iterator[dict[str, int]]:
        """Gives the counts to a keeper at `place`; from then on, if that went well, nothing is proven from here."""
        with self._lock:
            if self._place is not None:
                raise BudgetExhausted(f"this run was moved to {self._place} already, which counts its openings")
            yield dict(self._used)
            self._place = place
