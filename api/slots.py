"""The budget of openings: a commitment's randomness serves so many proofs, and spending it twice hides
nothing.

A slot is counted durably before a proof leaves memory, and is never given back. Copying a run folder copies
its unspent slots too; that cannot be detected here, and the documentation says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prover.errors import BudgetExhausted, RunFolderError
from prover.files import write_atomic
from verifier.statement import Statement

from .runs import read_file, require

SLOTS = "slots.json"


def _budgets(s: Statement) -> dict[str, tuple[str, int]]:
    """Name and budget of every commitment that outlives a proof of this statement and is opened by it."""
    p = s.parameters
    if p.task != "training":
        budgets = {s.initial_root.hex(): ("model", p.state_openings)}
        # The samples of an accuracy are committed for that proof alone; those of an inference may be the run's data.
        if p.task == "inference" and any(s.data_root):
            budgets[s.data_root.hex()] = ("data", p.data_openings)
        return budgets
    budgets = {s.data_root.hex(): ("data", p.data_openings), s.final_root.hex(): ("final state", p.state_openings)}
    if p.initial == "committed":
        budgets[s.initial_root.hex()] = ("initial state", p.state_openings)
    return budgets


def slots_left(folder: Path, statements: Sequence[Statement]) -> dict[str, int]:
    """Openings that each commitment of a run may still give, by name; of several segments' states, the fewest."""
    used = _read_slots(folder)
    left: dict[str, int] = {}
    for statement in statements:
        for root, (name, budget) in _budgets(statement).items():
            key = "states" if len(statements) > 1 and name != "data" else name
            left[key] = min(left.get(key, budget), budget - used.get(root, 0))
    return left


def _read_slots(folder: Path) -> dict[str, int]:
    path = folder / SLOTS
    if not path.exists():
        return {}
    try:
        used = json.loads(read_file(path))
        return {str(root): int(count) for root, count in used.items()}
    except (ValueError, TypeError, AttributeError):
        # Guessing here could spend an opening twice, which breaks zero knowledge silently.
        raise RunFolderError(f"{path} is damaged: it is unknown which openings are spent; commit anew") from None


@dataclass(frozen=True)
class Ledger:
    """The openings of a run's commitments, for as long as the folder's lock is held."""

    folder: Path

    def require(self, statements: Sequence[Statement]) -> None:
        """BudgetExhausted, before any work, unless a proof of each of these statements can still be counted."""
        used, needed = _read_slots(self.folder), Counter(root for s in statements for root in _budgets(s))
        budgets = {root: budget for s in statements for root, budget in _budgets(s).items()}
        left = {root: budget - used.get(root, 0) for root, (_, budget) in budgets.items()}
        short = [root for root in budgets if left[root] < needed[root]]
        if short:
            few = "no opening" if all(left[root] < 1 for root in short) else "too few openings"
            names = dict.fromkeys(budgets[root][0] for root in short)
            raise BudgetExhausted(
                f"the commitment to the {' and the '.join(names)} has {few} left: each proof spends one. "
                "Train or commit anew with more --data-openings or --state-openings."
            )

    def spend(self, statement: Statement) -> None:
        """Durably counts one opening of each commitment, to be called before a proof leaves memory.

        It is never given back: a proof whose file was lost may have been seen.
        """
        used = _read_slots(self.folder)
        total = used | {root: used.get(root, 0) + 1 for root in _budgets(statement)}
        write_atomic(self.folder / SLOTS, (json.dumps(total, indent=1) + "\n").encode(), secret=True)


@contextlib.contextmanager
def proving(folder: Path) -> Iterator[Ledger]:
    """Holds the folder's lock while proofs are made and counted; RunFolderError when another process has it."""
    handle = os.open(require(folder), os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(f"another process is proving in {folder}") from None
        yield Ledger(folder)
    finally:
        os.close(handle)
