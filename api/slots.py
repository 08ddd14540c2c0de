"""The budget of openings: a commitment's randomness serves so many proofs, and spending it twice hides
nothing.

A slot is counted durably before a proof leaves memory, or before it is granted to a service, and is never given back.
Copying a run folder copies its unspent slots too; that cannot be detected here, and the documentation says so.
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


def budgets(s: Statement) -> dict[str, tuple[str, int]]:
    """Name and budget of every commitment that outlives a proof of this statement and is opened by it."""
    p = s.parameters
    if p.task == "accuracy":
        # Its samples are committed for this proof alone, and their secrets are not kept.
        return {s.initial_root.hex(): ("model", p.state_openings)}
    found = {s.data_root.hex(): ("data", p.data_openings), s.final_root.hex(): ("final state", p.state_openings)}
    if p.initial == "committed":
        found[s.initial_root.hex()] = ("initial state", p.state_openings)
    return found


def slots_left(folder: Path, statements: Sequence[Statement]) -> dict[str, int]:
    """Openings that each commitment of a run may still give, by name; of several segments' states, the fewest."""
    used = _read_slots(folder)
    left: dict[str, int] = {}
    for statement in statements:
        for root, (name, budget) in budgets(statement).items():
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
        used, needed = _read_slots(self.folder), Counter(root for s in statements for root in budgets(s))
        known = {root: budget for s in statements for root, budget in budgets(s).items()}
        left = {root: budget - used.get(root, 0) for root, (_, budget) in known.items()}
        short = [root for root in known if left[root] < needed[root]]
        if short:
            few = "no opening" if all(left[root] < 1 for root in short) else "too few openings"
            names = dict.fromkeys(known[root][0] for root in short)
            raise BudgetExhausted(
                f"the commitment to the {' and the '.join(names)} has {few} left: each proof spends one. "
                "Train or commit anew with more --data-openings or --state-openings."
            )

    def spend(self, statement: Statement) -> None:
        """Durably counts one opening of each commitment, to be called before a proof leaves memory.

        It is never given back: a proof whose file was lost may have been seen.
        """
        used = _read_slots(self.folder)
        self._write(used | {root: used.get(root, 0) + 1 for root in budgets(statement)})

    def grant(self, statements: Sequence[Statement], attempts: int = 1) -> dict[str, tuple[int, int]]:
        """Hands openings over to a service: a range (first, count) for every commitment, by root in hexadecimal.

        A range has as many openings as proofs of these statements, each tried up to `attempts` times, may spend, or all
        that are left if those are fewer. It counts as spent here, durably, before this returns: ranges that were
        granted never overlap. BudgetExhausted unless each statement can be proven once.
        """
        if attempts < 1:
            raise ValueError(f"{attempts} attempts: at least 1")
        self.require(statements)
        used, needed = _read_slots(self.folder), Counter(root for s in statements for root in budgets(s))
        left = {root: budget - used.get(root, 0) for s in statements for root, (_, budget) in budgets(s).items()}
        ranges = {root: (used.get(root, 0), min(count * attempts, left[root])) for root, count in needed.items()}
        self._write(used | {root: first + count for root, (first, count) in ranges.items()})
        return ranges

    def _write(self, used: dict[str, int]) -> None:
        write_atomic(self.folder / SLOTS, (json.dumps(used, indent=1) + "\n").encode(), secret=True)


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
