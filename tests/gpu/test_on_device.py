"""The same comparisons on a real device: `pytest -m gpu`, on a machine that has one."""

from __future__ import annotations

from typing import Any

import pytest

from prover import prove as proving
from prover.backends import cpu
from prover.backends.gpu import GpuBackend
from prover.backends.gpu_cupy import open_backend
from prover.randomness import SeededRandomness
from prover.selftest import small_proof
from tests import support
from tests.support import forge, preset

from . import cases
from .cases import Case
from .test_kernels import assert_equal
from .test_proof import SIZES, WIDER

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def backend() -> GpuBackend:
    """All rounds of small proofs are computed there."""
    backend = open_backend()
    backend.short_length = 0
    return backend


@pytest.mark.parametrize("case", [*cases.all_cases(), *cases.on_device()], ids=lambda case: case.name)
def test_as_on_the_cpu(case: Case, backend: GpuBackend) -> None:
    assert_equal(case.run(backend), case.run(cpu))


@pytest.mark.parametrize("size", [*SIZES.values(), WIDER])
def test_same_bytes_as_the_cpu(size: dict[str, Any], backend: GpuBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = forge(preset(**size))
    monkeypatch.setattr(support, "cpu", backend)
    assert forge(preset(**size)).proof == expected.proof


def test_a_proof_at_full_security(backend: GpuBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digits, a step of the demo's network: large tables, many passes, many blocks; short tables on the host."""
    monkeypatch.setattr(backend, "short_length", GpuBackend.short_length)
    from bench.demo import build

    job = build(4, "mse", lambda stage: None)
    proofs = [proving.prove(job, chosen, SeededRandomness(b"digits")) for chosen in (cpu, backend)]
    assert proofs[0] == proofs[1]


def test_the_self_test(backend: GpuBackend) -> None:
    assert small_proof(backend) == small_proof(cpu)
