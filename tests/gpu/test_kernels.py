"""Every method of the GPU backend on the emulated device, byte for byte as on the CPU, in any order of threads."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from prover.backends import cpu, gpu, gpu_code, reference
from prover.backends.gpu import GpuBackend
from prover.backends.gpu_device import kernel_names
from prover.backends.gpu_integers import cut_in_limbs
from prover.exact import combined, matmul_exact, on_host, round_half_up, take

from . import cases
from .cases import Case
from .emulation import EmulatedDevice

ORDERS = {"forward": 0, "backward": 1, "shuffled": 2}


def assert_equal(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


@pytest.mark.parametrize("case", cases.all_cases(), ids=lambda case: case.name)
def test_as_on_the_cpu(case: Case) -> None:
    assert_equal(case.run(GpuBackend(EmulatedDevice(2))), case.run(cpu))


@pytest.mark.parametrize("case", cases.smallest(), ids=lambda case: case.name)
def test_in_any_order_of_threads_and_blocks(case: Case) -> None:
    expected = case.run(cpu)
    for order in ORDERS.values():
        assert_equal(case.run(GpuBackend(EmulatedDevice(order))), expected)


@pytest.mark.parametrize("case", [cases.elementwise(7), cases.multilinear(4), cases.batching(2, 3), cases.layers(4),
                                  cases.rounds(2, 1, 2), cases.codes(3, 2, 1, 2), cases.hashes(3, 5), cases.tree(4),
                                  cases.counts(5), cases.eq(6)], ids=lambda case: case.name)
def test_as_in_the_reference(case: Case) -> None:
    assert_equal(case.run(GpuBackend(EmulatedDevice())), case.run(reference))


def test_grids_smaller_than_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels step through what is longer than the grid: with two blocks at most every table here is."""
    for module in (gpu, gpu_code):
        monkeypatch.setattr(module, "MOST_BLOCKS", 2)
    monkeypatch.setattr(gpu, "_MOST_PARTIALS", 2)
    for case in (cases.memory(1300), cases.elementwise(1300), cases.sums(1300), cases.multilinear(2600), cases.eq(11),
                 cases.batching(7, 300), cases.batching(300, 7), cases.layers(2600), cases.rounds(1300, 3, 11),
                 cases.codes(8, 17, 5, 2), cases.tree(4096), cases.counts(50)):
        assert_equal(case.run(GpuBackend(EmulatedDevice(1))), case.run(cpu))


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_transforms_of_many_passes(stages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_code, "_STAGES", stages)
    for case in (cases.codes(6, 17, 5, 2), cases.codes(7, 2, 1, 4)):
        assert_equal(case.run(GpuBackend(EmulatedDevice(1))), case.run(cpu))


def test_limbs_leave_room_for_their_sums() -> None:
    for left, right, inner in itertools.product((0, 1, 12, 13, 30, 45, 61), (0, 1, 12, 30, 61), (1, 2, 3, 1024, 4096)):
        (a, a_bits), (b, b_bits) = cut_in_limbs((1 << left) - 1, (1 << right) - 1, inner)
        assert inner << (a_bits + b_bits) <= 2**53 and a * a_bits >= left and b * b_bits >= right
    assert cut_in_limbs(2**12, 2**12, 1024) == ((1, 13), (1, 13))


def test_the_smallest_cases_use_every_kernel() -> None:
    device = EmulatedDevice()
    for case in cases.smallest():
        case.run(GpuBackend(device))
    assert set(device.launched) == set(kernel_names())


def test_values_outside_a_table_are_refused() -> None:
    for bad in (8, -1, 2**40):
        with pytest.raises(ValueError, match=str(bad)):
            GpuBackend(EmulatedDevice()).count_table([np.array([1, bad])], 8)


@pytest.mark.parametrize(
    "call",
    [
        lambda g: g.fold(np.zeros(7, np.uint64), (1, 2, 3)),
        lambda g: g.add(np.zeros(4, np.uint64), np.zeros(8, np.uint64)),
        lambda g: g.add(np.zeros((3, 4), np.uint64), np.zeros((3, 2, 4), np.uint64)),
        lambda g: g.mul(np.zeros((2, 4), np.uint64), np.zeros((3, 4), np.uint64)),
        lambda g: g.fold(np.zeros((2, 4), np.uint64), (1, 2, 3)),
        lambda g: g.total(np.zeros((2, 4), np.uint64)),
        lambda g: g.inner(np.zeros((3, 4), np.uint64), np.zeros((2, 4), np.uint64)),
        lambda g: g.combine_rows(np.zeros((2, 4), np.uint64), np.zeros((4, 4), np.uint64)),
        lambda g: g.round_sums([np.zeros(4, np.uint64)] * 4),
        lambda g: g.combine_rows(np.zeros((3, 2), np.uint64), np.zeros((3, 4), np.uint64)),
        lambda g: g.contract_last(np.zeros((3, 4), np.uint64), np.zeros((3, 5), np.uint64)),
        lambda g: g.contract_middle(np.zeros((2, 3, 4), np.uint64), np.zeros((3, 2, 4), np.uint64)),
        lambda g: g.outer_accumulate(g.zeros(3, 7), np.zeros((3, 2), np.uint64), np.zeros((3, 3), np.uint64)),
        lambda g: g.fraction_round(*[np.zeros((3, 8), np.uint64)] * 2, g.fraction_weights([(1, 0, 0)]), 1, (1, 2, 3)),
        lambda g: g.fraction_fold(np.zeros(6, np.uint64), (1, 2, 3)),
        lambda g: g.interpolate(np.zeros((2, 6), np.uint64)),
        lambda g: g.encode(g.interpolate(np.zeros((2, 4), np.uint64)), np.zeros((2, 5), np.uint64), 2),
        lambda g: g.encode(g.interpolate(np.zeros((2, 4), np.uint64)), np.zeros((3, 2), np.uint64), 2),
        lambda g: g.coefficients_natural(g.interpolate(np.zeros((2, 4), np.uint64)), np.zeros((2, 5), np.uint64)),
        lambda g: g.columns(g.zeros(4, 2), [4]),
        lambda g: g.hash_columns(g.zeros(4, 2), b"", np.zeros((3, 32), np.uint8)),
        lambda g: g.merkle_levels(np.zeros((3, 32), dtype=np.uint8)),
        lambda g: g.fold(np.arange(8), (1, 2, 3)),
        lambda g: g.interpolate(np.zeros((0, 4), np.uint64)),
        lambda g: g.encode_polynomials(np.zeros((0, 4), np.uint64), 4, 2),
        lambda g: g.inner(np.zeros(4, np.uint64), np.zeros((3, 2, 4), np.uint64)),
        lambda g: g.accumulate(g.zeros(3, 4), (1, 2, 3), np.zeros((3, 4), np.uint64)),
        lambda g: g.integers(np.zeros((2, 3), np.int64)) + g.integers(np.zeros(2, np.int64)),
        lambda g: g.integers(np.zeros(3, np.int64)) * g.integers(np.zeros((2, 3), np.int64)),
        lambda g: g.integers(np.zeros(3, np.int64)) << 64,
        lambda g: matmul_exact(g.integers(np.zeros((2, 3), np.int64)), g.integers(np.zeros((2, 3), np.int64))),
        lambda g: round_half_up(g.integers(np.zeros(3, np.int64)), 0),
        lambda g: combined([1, 2], g.integers(np.zeros((3, 4), np.int64))),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call: Any) -> None:
    """A kernel does not know the lengths of its arrays: what would leave them never gets there."""
    with pytest.raises(ValueError, match=r"\d"):
        call(GpuBackend(EmulatedDevice()))


def test_rows_that_are_not_there_are_zeros() -> None:
    """A place beyond the rows, on either side, is not read."""
    g = GpuBackend(EmulatedDevice(1))
    rows, places = np.arange(12).reshape(4, 3) + 1, np.array([0, 3, 4, -1, 2**40])
    found = on_host(take(g.integers(rows), g.integers(places)))
    assert found.tolist() == [[1, 2, 3], [10, 11, 12], *[[0, 0, 0]] * 3]


def test_what_is_added_to_must_be_on_the_device() -> None:
    g = GpuBackend(EmulatedDevice())
    for out in (np.zeros((3, 4), np.uint64), g.zeros(3, 8)[:, :4]):
        with pytest.raises(ValueError, match="in place"):
            g.accumulate(out, (1, 2, 3), np.zeros(4, np.uint64))
