"""A backend without cryptography: slots in NumPy, with levels, scales, keys and noise as the real scheme has
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fhe.analysis import fresh_deviation, rounding_deviation, switching_deviation
from fhe.errors import LevelsExhausted, MissingKey
from fhe.params import Params

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slots:
    """A simulated ciphertext: slot values (errors included), depth, scale and number of polynomials."""

    values: Array
    depth: int
    scale: float
    size: int = 2


@dataclass(frozen=True)
class Encoded:
    values: Array
    depth: int
    scale: float


class Simulator:
    """Evaluates plans on Slots and counts operations in `counts`.

    `keys`: rotation step → least depth it serves; `relin`: the same for relinearisation, None without a key.
    `noise`: a generator to draw errors from, or None for exact arithmetic.
    """

    def __init__(
        self,
        params: Params,
        keys: Mapping[int, int],
        relin: int | None,
        noise: np.random.Generator | None = None,
    ) -> None:
        self.params, self.keys, self.relin, self.noise = params, dict(keys), relin, noise
        self.counts: Counter[str] = Counter()
        self.largest_at: dict[int, float] = {}

    def _error(self, deviation: float) -> Array | float:
        return self.noise.normal(0.0, deviation, self.params.slots) if self.noise is not None else 0.0

    def _same(self, a: Slots, b: Slots | Encoded, scales: bool) -> None:
        if a.depth != b.depth or (scales and abs(a.scale / b.scale - 1) > 1e-9):
            raise LevelsExhausted(
                f"operands at depth {a.depth} and {b.depth}, scales {a.scale:g} and {b.scale:g}: "
                "a plan must bring both to one canonical scale"
            )

    def _watch(self, x: Slots) -> Slots:
        limit = float(np.prod([float(p) for p in self.params.primes[: self.params.count(x.depth)]])) / 2
        top = float(np.abs(x.values).max(initial=0.0))
        if top * x.scale > limit:
            raise LevelsExhausted(
                f"a slot of {top:g} at scale 2^{np.log2(x.scale):.0f} exceeds the modulus at depth "
                f"{x.depth}, {limit:g}"
            )
        return x

    def encrypt(self, values: Array, depth: int) -> Slots:
        noise = self._error(fresh_deviation(self.params, depth))
        return Slots(values + noise, depth, self.params.scales[depth])

    def decrypt(self, x: Slots) -> Array:
        return x.values

    def encode(self, values: Array, depth: int, scale: float) -> Encoded:
        return Encoded(values + self._error(float(np.sqrt(self.params.ring / 24)) / scale), depth, scale)

    def add(self, a: Slots, b: Slots) -> Slots:
        self._same(a, b, True)
        self.counts["add"] += 1
        return self._watch(Slots(a.values + b.values, a.depth, a.scale, max(a.size, b.size)))

    def negate(self, a: Slots) -> Slots:
        self.counts["negate"] += 1
        return Slots(-a.values, a.depth, a.scale, a.size)

    def multiply(self, a: Slots, b: Slots) -> Slots:
        self._same(a, b, False)
        if a.size != 2 or b.size != 2:
            raise LevelsExhausted(
                f"a product of ciphertexts of {a.size} and {b.size} polynomials: relinearise first"
            )
        self.counts["multiply"] += 1
        return self._watch(Slots(a.values * b.values, a.depth, a.scale * b.scale, 3))

    def multiply_plain(self, a: Slots, plaintext: Encoded) -> Slots:
        self._same(a, plaintext, False)
        self.counts["multiply_plain"] += 1
        return self._watch(Slots(a.values * plaintext.values, a.depth, a.scale * plaintext.scale, a.size))

    def add_plain(self, a: Slots, plaintext: Encoded) -> Slots:
        self._same(a, plaintext, True)
        self.counts["add_plain"] += 1
        return self._watch(Slots(a.values + plaintext.values, a.depth, a.scale, a.size))

    def relinearize(self, a: Slots) -> Slots:
        if self.relin is None or a.depth < self.relin:
            raise MissingKey(
                f"relinearisation at depth {a.depth} needs a key; the keys held start at {self.relin}"
            )
        self.counts["relinearize"] += 1
        noise = self._error(switching_deviation(self.params, a.depth) / a.scale)
        return Slots(a.values + noise, a.depth, a.scale, 2)

    def rescale(self, a: Slots) -> Slots:
        if a.depth >= self.params.depth:
            raise LevelsExhausted(f"rescaling at depth {a.depth} of {self.params.depth}: no level is left")
        self.counts["rescale"] += 1
        scale = a.scale / self.params.dropped(a.depth)
        return Slots(
            a.values + self._error(rounding_deviation(self.params) / scale), a.depth + 1, scale, a.size
        )

    def rotate(self, a: Slots, step: int) -> Slots:
        if step not in self.keys or a.depth < self.keys[step]:
            raise MissingKey(f"rotation by {step} at depth {a.depth} has no key among {len(self.keys)}")
        if a.size != 2:
            raise LevelsExhausted(f"a rotation of {a.size} polynomials: relinearise first")
        self.counts["rotate"] += 1
        noise = self._error(switching_deviation(self.params, a.depth) / a.scale)
        return Slots(np.roll(a.values, -step) + noise, a.depth, a.scale, 2)

    def drop(self, a: Slots, depth: int) -> Slots:
        self.counts["drop"] += 1
        return self._watch(Slots(a.values, depth, a.scale, a.size))
