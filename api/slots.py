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
from collections.abc import Callable, Iterator
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
def proving(folder: Path, statement: Statement) -> Iterator[Callable[[], None]]:
    """Holds the folder's lock while a proof is made, and yields `spend`, to be called before the proof leaves
    memory.

    `spend()` durably counts one opening of each commitment. It is never given back: a proof whose file was
    lost may have been seen. BudgetExhausted, before any work, when a commitment has no opening left.
    """
    handle = os.open(require(folder), os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(f"another process is proving in {folder}") from None
        left = slots_left(folder, statement)
        empty = [name for name, count in left.items() if count < 1]
        if empty:
            raise BudgetExhausted(
                f"the commitment to the {' and the '.join(empty)} has no opening left: each proof spends "
                "one. "
                "Train or commit anew with more --data-openings or --state-openings."
            )

        def spend() -> None:
            used = _read_slots(folder)
            spent = used | {root: used.get(root, 0) + 1 for root in _budgets(statement)}
            write_atomic(folder / SLOTS, (json.dumps(spent, indent=1) + "\n").encode(), secret=True)

        yield spend
    finally:
        os.close(handle)
