"""timings.json in a run folder: where the time of each proof went, by the digest of the proof.

    {"format": "zkgrad-timings/1", "proofs": {64 hexadecimal digits: {"lookup": 6.1, ...}, ...}}

Seconds on the wall clock of the machine that proved, by stage. Nothing depends on this file; the report draws it.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prover.errors import RunFolderError
from prover.files import write_atomic

from .reading import read_limited

TIMINGS, FORMAT, MAX_BYTES = "timings.json", "zkgrad-timings/1", 1 << 22


def read_timings(folder: Path) -> dict[str, dict[str, float]]:
    """Seconds by stage by proof digest (hexadecimal); empty where there is no file, RunFolderError for another file."""
    path = folder / TIMINGS
    if not path.exists():
        return {}
    try:
        document = json.loads(read_limited(path, MAX_BYTES))
        if document["format"] != FORMAT:
            raise ValueError("another version")
        return {str(digest): _stages(found) for digest, found in document["proofs"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunFolderError(f"{path} is not of version {FORMAT}: {error}; it can be removed") from None


def _stages(found: Any) -> dict[str, float]:
    stages = {str(name): float(value) for name, value in found.items()}
    if not all(math.isfinite(value) and value >= 0 for value in stages.values()):
        raise ValueError("a time that is none")
    return stages


def record_timings(folder: Path, proof: bytes, stages: Mapping[str, float]) -> None:
    """Adds the stages of one proof, by its digest. A file that cannot be read is replaced: it is not worth a proof."""
    known: dict[str, dict[str, float]] = {}
    with contextlib.suppress(RunFolderError):
        known = read_timings(folder)
    known[proof.hex()] = {name: round(value, 3) for name, value in stages.items() if value > 0}
    text = json.dumps({"format": FORMAT, "proofs": known}, indent=1) + "\n"
    write_atomic(folder / TIMINGS, text.encode(), secret=True)
