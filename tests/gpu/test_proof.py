"""Whole proofs on the emulated device: the CPU's bytes from the same seed, with tables that never leave it unasked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from prover import leaves, proving
from prover.backends import cpu
from prover.backends.gpu import GpuBackend
from prover.plan import device_bytes, plan
from prover.randomness import SeededRandomness
from tests import support
from tests.support import Forged, forge, preset
from verifier.parameters import Parameters
from verifier.statement import Statement
from verifier.training import training_relation

from .emulation import EmulatedDevice

SIZES: dict[str, dict[str, Any]] = {
    "5-7-3, batch 3, two steps": {},
    "one layer, one step, batch 1": {"widths": (5, 3), "batch": 1, "steps": 1},
    "three layers": {"widths": (2, 3, 3, 2), "steps": 3},
    "transparent": {"zero_knowledge": False},
    "regression": {"widths": (2, 2), "target": "values", "target_bits": 3, "target_width": 3, "steps": 3},
    "cross entropy": {"widths": (2, 3), "loss": "ce", "error_width": 2, "batch": 1, "steps": 1, "rates": (3,)},
}
WIDER: dict[str, Any] = {"widths": (9, 17, 4), "batch": 9, "steps": 3, "row_bits": 6}
# So large that tables, not paths and pads, are most of what there is.
LARGER: dict[str, Any] = {"widths": (9, 33, 4), "batch": 17, "steps": 5, "row_bits": 6, "zero_knowledge": False}


@pytest.fixture(autouse=True, scope="module")
def every_round() -> Iterator[None]:
    """Short tables stay on the device too: all that is small here would leave it."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(GpuBackend, "short_length", 0)
        yield


@pytest.fixture
def device() -> EmulatedDevice:
    return EmulatedDevice(2)


@pytest.mark.parametrize("size", SIZES)
def test_same_bytes_as_the_cpu(size: str, device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commitments, witness and proof are all made on the device."""
    expected = forge(preset(**SIZES[size]))
    monkeypatch.setattr(support, "cpu", GpuBackend(device))
    found = forge(preset(**SIZES[size]))
    assert found.statement == expected.statement
    assert found.proof == expected.proof
    found.verify()


def test_same_bytes_at_several_blocks(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """So wide a network leaves the preset's ranges: the proof is of a lie, which is no matter here."""
    expected = forge(preset(**WIDER))
    monkeypatch.setattr(support, "cpu", GpuBackend(device))
    assert forge(preset(**WIDER)).proof == expected.proof


def test_last_rounds_on_the_host(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """From eight entries on: the same bytes with fewer launches."""
    forged = forge(preset())
    found = []
    for length in (0, 8):
        backend = GpuBackend(device)
        monkeypatch.setattr(backend, "short_length", length)
        proof = proving.prove(forged.job, backend, SeededRandomness(b"tail"))
        found.append((proof, dict(device.launched)))
        device.launched.clear()
    (whole, all_launches), (tail, fewer) = found
    assert tail == whole
    assert all(0 < fewer[name] < all_launches[name] for name in ("fold_table", "fraction_round"))


def test_same_bytes_with_leaves_as_columns(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """As larger proofs have them: parts of their own, worked on in slices."""
    forged = forge(preset())
    expected = proving.prove(forged.job, cpu, SeededRandomness(b"slices"))
    monkeypatch.setattr(leaves, "APART_BITS", 3)
    monkeypatch.setattr(leaves, "APART_LENGTH", 8)
    monkeypatch.setattr(leaves, "UNIT", 4)
    backend = GpuBackend(device)
    monkeypatch.setattr(backend, "slice_length", 16)
    assert proving.prove(forged.job, backend, SeededRandomness(b"slices")) == expected
    assert {"leaf_layer", "leaf_round"} <= set(device.launched)


@pytest.fixture(scope="module")
def larger() -> tuple[EmulatedDevice, Forged]:
    """A proof of LARGER on a device of its own."""
    device = EmulatedDevice(2)
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(support, "cpu", GpuBackend(device))
        return device, forge(preset(**LARGER))


def test_the_plan_of_memory_holds(larger: tuple[EmulatedDevice, Forged]) -> None:
    """The tables of a proof take at most what is planned, and not much less."""
    p = preset(**LARGER)
    found = plan(p, 10)
    leaves = found.lookups + sum(1 << table.bits for table in training_relation(_statement(p)).tables())
    planned = device_bytes(sum(found.elements.values()), leaves, p.blowup_bits)
    assert planned / 4 < larger[0].peak <= planned


def _statement(p: Parameters) -> Statement:
    return Statement(p, 10, *[bytes(32)] * 5)


def test_little_is_read_back(larger: tuple[EmulatedDevice, Forged]) -> None:
    """Sums of rounds, digests, opened columns and combined rows: far less than the tables."""
    device, forged = larger
    device.downloaded = 0
    proof = proving.prove(forged.job, GpuBackend(device), SeededRandomness(b"read back"), strict=False)
    tables = 8 * sum(table.size for table in forged.job.witness.tensors.values())
    digests = 2 * 32 * 4 * forged.job.shape.code.positions
    assert device.downloaded < len(proof) + digests + 20_000 < tables
