"""Hooks for `forge`: single lies in an otherwise honest run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.simulate import Arrays, Tamper, split
from tests.support import PRESET
from verifier.field import P
from verifier.tensors import limb_widths

W = PRESET.weight_bits
BATCH = PRESET.batch


def strongest(values: Any) -> tuple[int, int]:
    """The real sample and neuron with the largest value."""
    return np.unravel_index(int(np.argmax(values[:BATCH].astype(np.int64))), values[:BATCH].shape)  # type: ignore


def at(stage: str, step: int, change: Callable[[Arrays], None]) -> Tamper:
    """A tamper hook that acts at one stage of one step."""
    def tamper(now: str, t: int, x: Arrays) -> None:
        if (now, t) == (stage, step):
            change(x)
    return tamper


def both(*tampers: Tamper) -> Tamper:
    """Several tamper hooks in turn."""
    def tamper(now: str, t: int, x: Arrays) -> None:
        for one in tampers:
            one(now, t, x)
    return tamper


def add(name: str, by: int = 1, where: Callable[[Arrays], Any] | None = None) -> Callable[[Arrays], None]:
    """Adds to one entry of a step's array: the first, or where a function says."""
    def change(x: Arrays) -> None:
        x[name][where(x) if where else (0, 0)] += by
    return change


def strongest_of(name: str) -> Callable[[Arrays], Any]:
    """The entry where an array is largest."""
    return lambda x: strongest(x[name])


def active(x: Arrays) -> Any:
    """An entry of the hidden layer that is switched on."""
    return strongest(x["D0"])


def shifted(value: str, remainder: str, limb: int, stage: str, where: Callable[[Arrays], Any], by: int = -1,
            step: int = 0) -> Tamper:
    """value + by, and the remainder's limb takes the difference: the product sum is the same."""
    place: list[Any] = []

    def shift(x: Arrays) -> None:
        place[:] = [where(x)]
        x[value][place[0]] += by

    def compensate(x: Arrays) -> None:
        x[f"{remainder}.{limb}"][place[0]] -= by << (W - 6 * limb)
    return both(at(stage, step, shift), at("end", step, compensate))


def wrapped(value: str, remainder: str, stage: str, where: Callable[[Arrays], Any], step: int) -> Tamper:
    """remainder + 1 and value - 2^-w mod p: equal mod p, and far from equal as integers."""
    def change(x: Arrays) -> None:
        place = where(x)
        assert x[remainder][place] < (1 << W) - 1
        x[remainder][place] += 1
        x[value][place] -= pow(1 << W, -1, P)
    return at(stage, step, change)


def set_state(name: str, index: Any, value: int, width: int, prefix: str = "initial",
              limb: int | None = None) -> Callable[[Arrays], None]:
    """Sets one entry of a state; with `limb`, the digits above are as large as allowed, and that one takes the rest."""
    def change(start: Arrays) -> None:
        raw, bits = value + (1 << (width - 1)), limb_widths(width, 6)
        digits = [int(d) for d in split(np.asarray(raw, dtype=object), width, 6)]
        if limb is not None:
            digits[limb + 1:] = [(1 << b) - 1 for b in bits[limb + 1:]]
            rest = raw - sum(d << (6 * k) for k, d in enumerate(digits) if k != limb)
            assert rest % (1 << (6 * limb)) == 0
            digits[limb] = rest >> (6 * limb)
        for k, digit in enumerate(digits):
            start[f"{prefix}.{name}.{k}"][index] = digit
    return change


def put(name: str, index: Any, value: Any) -> Callable[[Arrays], None]:
    """Overwrites entries of a tensor."""
    def change(start: Arrays) -> None:
        start[name][index] = value
    return change


def plus(name: str, index: Any, by: int) -> Callable[[Arrays], None]:
    """Adds to entries of a tensor."""
    def change(start: Arrays) -> None:
        start[name][index] = start[name][index] + by
    return change


def chain(*hooks: Callable[[Arrays], None]) -> Callable[[Arrays], None]:
    """Several hooks in turn."""
    def change(start: Arrays) -> None:
        for hook in hooks:
            hook(start)
    return change
