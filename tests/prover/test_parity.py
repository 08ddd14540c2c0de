"""The CPU backend gives the reference's proof, byte for byte, from the same test seed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from prover import leaves, proving
from prover.backends import cpu, cpu_shapes, reference
from prover.randomness import SeededRandomness
from tests.support import Forged, forge, preset

SIZES: dict[str, dict[str, Any]] = {
    "5-7-3, batch 3, two steps": {},
    "one layer": {"widths": (5, 3)},
    "one step": {"steps": 1},
    "batch 1": {"batch": 1, "steps": 1},
    "widths 1": {"widths": (1, 1, 1), "batch": 1, "steps": 1},
    "three layers": {"widths": (1, 2, 2, 1), "batch": 1, "steps": 1},
    "transparent": {"widths": (2, 2), "zero_knowledge": False, "batch": 2, "steps": 1},
    "regression": {"widths": (2, 2), "target": "values", "target_bits": 3, "target_width": 3, "steps": 3},
    "several rows a tensor": {"widths": (3, 9), "batch": 1, "steps": 1},
    "two openings": {"widths": (2, 2), "data_openings": 2, "row_bits": 5, "batch": 1, "steps": 1},
    "cross entropy": {"widths": (2, 3), "loss": "ce", "error_width": 2, "batch": 1, "steps": 1, "rates": (3,)},
}


def proofs(forged: Forged, backend: Any) -> bytes:
    return proving.prove(forged.job, backend, SeededRandomness(b"parity"))


@pytest.mark.parametrize("size", SIZES)
def test_same_bytes(size: str) -> None:
    forged = forge(preset(**SIZES[size]))
    assert proofs(forged, cpu) == proofs(forged, reference)
    dataclasses.replace(forged, proof=proofs(forged, cpu)).verify()


def test_same_bytes_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    forged = forge(preset(steps=3))
    monkeypatch.setattr(cpu_shapes, "GRAIN", 1)
    made = set()
    for threads in (1, 2):
        cpu.set_threads(threads)
        made.add(proofs(forged, cpu))
    cpu.set_threads(2)
    assert len(made) == 1


@pytest.mark.parametrize("size, apart", [
    ("5-7-3, batch 3, two steps", 8),
    *((size, apart) for size in ("cross entropy", "transparent") for apart in (2, 8, 16)),
])  # fmt: skip
def test_same_bytes_however_many_columns_stand_apart(size: str, apart: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = forge(preset(**SIZES[size]))
    together = proofs(forged, cpu)
    monkeypatch.setattr(leaves, "APART_BITS", 3)
    monkeypatch.setattr(leaves, "APART_LENGTH", apart)
    monkeypatch.setattr(leaves, "UNIT", 4)
    for backend in (cpu, reference):
        monkeypatch.setattr(backend, "slice_length", 16)
    assert proofs(forged, cpu) == proofs(forged, reference) == together
