"""Work that is split over threads: order, errors, and work inside work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from prover.backends.threads import each, set_threads, spread, threads


@pytest.fixture(params=[1, 2, 5], autouse=True)
def count(request: pytest.FixtureRequest) -> Iterator[int]:
    before = threads()
    set_threads(request.param)
    yield request.param
    set_threads(before)


@pytest.mark.parametrize("items", [0, 1, 3, 100])
def test_each_keeps_the_order(items: int) -> None:
    assert each(lambda k: k * k, range(items)) == [k * k for k in range(items)]


def test_ranges_cover_everything_once() -> None:
    seen: list[int] = []
    spread(1000, 1, lambda _, start, stop: seen.extend(range(start, stop)))
    assert sorted(seen) == list(range(1000))


def test_work_inside_work_is_not_spread_again(count: int) -> None:
    def inner(_: int) -> list[tuple[int, int]]:
        ranges: list[tuple[int, int]] = []
        spread(100, 1, lambda _, start, stop: ranges.append((start, stop)))
        return ranges

    assert each(inner, range(20)) == [[(0, 100)]] * 20
    outside: list[tuple[int, int]] = []
    spread(100, 1, lambda _, start, stop: outside.append((start, stop)))
    assert len(outside) == count


@pytest.mark.parametrize("bad", [0, 57, 99])
def test_an_error_reaches_the_caller_and_the_threads_go_on(bad: int) -> None:
    def make(k: int) -> int:
        if k == bad:
            raise ValueError(f"item {k}")
        return k

    with pytest.raises(ValueError, match=f"item {bad}"):
        each(make, range(100))
    assert each(lambda k: k, range(100)) == list(range(100))
