"""How features and targets in their own units become a run's integers: an affine scaling, then fixed point.

The proof speaks of the integers. The scaling is not part of a statement: it tells of the data, and stays with the run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verifier.statement import Parameters

from .choose import one_hot, quantize
from .errors import InputInvalid
from .exact import Integers
from .model_io import Dataset, Floats

WIDE = 16  # bits of the widest range in which inputs and targets can be proven


@dataclass(frozen=True)
class Scaling:
    """(x - offsets) / scales, column by column, or one number for all; targets are divided by `target`."""

    offsets: tuple[float, ...]
    scales: tuple[float, ...]
    target: float = 1.0

    def apply(self, features: Floats) -> Floats:
        """Features [n, d] as the network takes them. InputInvalid when the scaling was made for other columns."""
        columns = max(len(self.offsets), len(self.scales))
        if columns > 1 and columns != features.shape[1]:
            raise InputInvalid(f"{features.shape[1]} features, the run's scaling has {columns} columns")
        return np.asarray((features - np.array(self.offsets)) / np.array(self.scales))

    def inputs(self, features: Floats, p: Parameters, source: str) -> Integers:
        """Features [n, d] at scale 2^a; InputInvalid for a value beyond the widest range."""
        return quantize(self.apply(features), p.activation_bits, WIDE, f"{source}: features")

    def integers(self, data: Dataset, p: Parameters) -> tuple[Integers, Integers]:
        """Inputs at scale 2^a, and targets one-hot or at scale 2^target_bits."""
        inputs = self.inputs(data.features, p, data.source)
        if p.target == "one-hot":
            return inputs, one_hot(data.labels, p.widths[-1])
        return inputs, quantize(data.values / self.target, p.target_bits, WIDE, f"{data.source}: targets")

    def describe(self) -> str:
        """What is done to the features, in words."""
        if len(self.scales) > 1:
            return "each feature less its mean, divided by its standard deviation"
        return f"features divided by {self.scales[0]:g}"


def choose_scaling(how: str | float, features: Floats) -> Scaling:
    """`auto`: divide all features by their largest magnitude, which keeps their proportions, as of pixels. `standard`:
    bring each to mean 0 and standard deviation 1, for columns in units of their own. A number: divide by it.

    InputInvalid: anything else. Columns that do not vary are left at 0 by `standard`.
    """
    if how == "standard":
        with np.errstate(over="ignore", invalid="ignore"):
            means, deviations = features.mean(axis=0), features.std(axis=0)
        # Rounding makes the deviation of equal numbers a tiny one: what does not vary is told by its extremes.
        still = features.min(axis=0) == features.max(axis=0)
        offsets, scales = np.where(still, features[0], means), np.where(still, 1.0, deviations)
        if not (np.isfinite(offsets).all() and np.isfinite(scales).all() and (scales > 0).all()):
            raise InputInvalid("scale standard: some column's values are too large or too close together for it")
        return Scaling(tuple(offsets.tolist()), tuple(scales.tolist()))
    return Scaling((0.0,), (divisor("scale", how, features, "auto, standard"),))


def divisor(name: str, how: str | float, values: Floats, others: str = "auto") -> float:
    """A positive number, or the largest magnitude for `auto`; InputInvalid, naming the option, for anything else."""
    if how == "auto":
        largest = float(np.abs(values).max()) if values.size else 0.0
        return largest if largest > 0 else 1.0
    try:
        scale = float(how)
    except ValueError:
        scale = 0.0
    if not np.isfinite(scale) or scale <= 0:
        raise InputInvalid(f"{name} {how!r}: give {others} or a positive number to divide by")
    return scale


def flattened(features: Floats, inputs: Integers) -> list[int]:
    """Columns that vary in the data and no more as integers: they are lost to the network."""
    varied = features.min(axis=0) < features.max(axis=0)
    return [int(k) for k in np.flatnonzero(varied & (inputs.min(axis=0) == inputs.max(axis=0)))]


def flattened_note(columns: list[int], features: int) -> str | None:
    """What to tell a user about `flattened` columns, if there are any."""
    if not columns:
        return None
    shown = ", ".join(map(str, columns[:8])) + (", …" if len(columns) > 8 else "")
    return (
        f"{len(columns)} of {features} feature columns (counted from 0: {shown}) vary in the data but are the same "
        "integer in every row after scaling, so the network cannot use them: scale each column on its own (standard), "
        "or use more activation bits"
    )
