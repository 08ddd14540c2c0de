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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prover.errors import BudgetExhausted, RunFolderError
from prover.files import write_atomic
from verifier.statement import Statement

from .runs import read_file, require

SLOTS = "slots.json"


def _budgets(s: Statement) -> dict[str, tuple[str, int]]:
    p = s.parameters
    return {
        s.data_root.hex(): ("data", p.data_openings),
        s.initial_root.hex(): ("initial state", p.state_openings),
        s.final_root.hex(): ("final state", p.state_openings),
    }


def slots_left(folder: Path, statement: Statement) -> dict[str, int]:
    """Openings that each commitment of a run may still give, by name."""
    used = _read_slots(folder)
    return {name: budget - used.get(root, 0) for root, (name, budget) in _budgets(statement).items()}


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


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder's lock, which the ledger is read and written under; RunFolderError when another process has it."""
    handle = os.open(require(folder), os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(f"another process is proving in {folder}") from None
        yield
    finally:
        os.close(handle)


def _count(folder: Path, spent: Mapping[str, int]) -> None:
    used = _read_slots(folder)
    total = used | {root: used.get(root, 0) + count for root, count in spent.items()}
    write_atomic(folder / SLOTS, (json.dumps(total, indent=1) + "\n").encode(), secret=True)


@contextlib.contextmanager
def proving(folder: Path, statement: Statement) -> Iterator[Callable[[], None]]:
    """Holds the folder's lock while a proof is made, and yields `spend`, to be called before the proof leaves memory.

    `spend()` durably counts one opening of each commitment. It is never given back: a proof whose file was lost
    may have been seen. BudgetExhausted, before any work, when a commitment has no opening left.
    """
    with _locked(folder):
        left = slots_left(folder, statement)
        empty = [name for name, count in left.items() if count < 1]
        if empty:
            raise BudgetExhausted(
                f"the commitment to the {' and the '.join(empty)} has no opening left: each proof spends one. "
                "Train or commit anew with more --data-openings or --state-openings."
            )
        yield lambda: _count(folder, dict.fromkeys(_budgets(statement), 1))


def grant(folder: Path, statement: Statement) -> dict[str, int]:
    """Gives half of the openings left of data and final state to the run that continues this one.

    They count as used here, durably, before the other run learns the secrets. Returns the ledger of the other run: what
    of each shared commitment it must *not* use. BudgetExhausted when there is nothing to give, or nothing would remain
    for this run's own first proof.
    """
    with _locked(folder):
        used, given = _read_slots(folder), {}
        unproven = used.get(statement.final_root.hex(), 0) == 0
        budgets = _budgets(statement)
        for root in (statement.data_root.hex(), statement.final_root.hex()):
            name, budget = budgets[root]
            left = budget - used.get(root, 0)
            given[root] = max(1, left // 2)
            if left < 1 or (unproven and left < 2):
                raise BudgetExhausted(
                    f"the commitment to the {name} has {left} opening(s) left: none to give to a run that continues. "
                    "Start a run that is to be continued with more --data-openings and --state-openings."
                )
        _count(folder, given)
        return {root: budgets[root][1] - count for root, count in given.items()}


def start_ledger(folder: Path, used: Mapping[str, int]) -> None:
    """The ledger of a run that was granted openings."""
    _count(folder, used)
