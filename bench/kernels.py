"""Unit costs of the CPU kernels: the floors that other benchmarks are measured against.

Each cost is the best of several runs on all threads, in seconds per unit: what one more unit adds to a large
batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from prover.backends import cpu
from prover.backends.interface import MODULUS
from prover.backends.threads import spread, threads

# Table lengths: tables of 2^17 elements of K are 3 MB each, beyond the cache of a core, as they are in a
# proof.
_LENGTH = 1 << 17
_COPIED = 1 << 23
_ROWS, _LOG_SIZE, _BLOWUP = 32, 14, 2
_SCALAR = (3, MODULUS - 5, 1 << 40)


def _uniform(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, MODULUS, size=shape, dtype=np.uint64)


def _best(call: Callable[[], object], units: float, runs: int = 7) -> float:
    """Seconds per unit of the fastest run; one run before them compiles and touches memory."""
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) / units


def _copy(source: Any, target: Any) -> None:
    spread(source.size, 1, lambda _, start, stop: np.copyto(target[start:stop], source[start:stop]))


def unit_costs() -> dict[str, float]:
    """Seconds per unit, on all threads.

    Units: ``f_mul`` and ``k_mul`` a product written to a table; ``inner_kk`` a product added to a sum;
    ``butterfly`` one of R · N/2 · log2 N in a transform, blinds and output included; ``sha256_byte`` a
    byte of a column; ``memory_byte`` a byte read or written in a copy; ``fraction_layer_node`` a fraction
    of the next layer, ``leaf_layer_node`` one made of small numbers; ``fraction_round_pair`` an index of h's
    sum, ``leaf_round_pair`` and ``small_leaf_round_pair`` one over leaves in K and over small numbers;
    ``round_three_pair`` one of the sum over a product of three tables over K; ``fold`` an entry of the folded
    K table.
    """
    n = _LENGTH
    f, g, a, b, c = _uniform(n), _uniform(n), _uniform(3, n), _uniform(3, n), _uniform(3, n)
    p, q, small = _uniform(3, 2 * n), _uniform(3, 2 * n), _uniform(n) >> np.uint64(48)
    weights = cpu.fraction_weights([_SCALAR] * ((n // 2).bit_length() - 1))
    rows, size = _uniform(_ROWS, 1 << _LOG_SIZE), 1 << _LOG_SIZE
    coefficients, blinds = cpu.interpolate(rows), rows[:, :256].copy()
    codeword, salts = cpu.encode(coefficients, blinds, _BLOWUP), np.zeros((size * _BLOWUP, 32), dtype=np.uint8)
    columns = codeword.reshape(-1, 1024)
    source, target = np.ones(_COPIED, dtype=np.uint64), np.empty(_COPIED, dtype=np.uint64)
    butterflies = _BLOWUP * _ROWS * size // 2 * _LOG_SIZE
    return {
        "f_mul": _best(lambda: cpu.mul(f, g), n),
        "k_mul": _best(lambda: cpu.mul(a, b), n),
        "inner_kk": _best(lambda: cpu.inner(a, b), n),
        "butterfly": _best(lambda: cpu.encode(coefficients, blinds, _BLOWUP), butterflies),
        "sha256_byte": _best(lambda: cpu.hash_columns(columns, b"", salts[: len(columns)]), columns.nbytes),
        "memory_byte": _best(lambda: _copy(source, target), 2 * source.nbytes),
        "fraction_layer_node": _best(lambda: cpu.fraction_layer(p, q), n),
        "fraction_round_pair": _best(lambda: cpu.fraction_round(p, q, weights, 0, _SCALAR), n // 2),
        "leaf_layer_node": _best(lambda: cpu.leaf_layer(small, _SCALAR, _SCALAR), n // 2),
        "leaf_round_pair": _best(lambda: cpu.leaf_round(a, _SCALAR, weights, 0), n // 4),
        "small_leaf_round_pair": _best(lambda: cpu.leaf_round(small, _SCALAR, weights, 0), n // 4),
        "round_three_pair": _best(lambda: cpu.round_sums([a, b, c]), n // 2),
        "fold": _best(lambda: cpu.fold(a, _SCALAR), n // 2),
    }


def run(json: bool = False, argv: Sequence[str] = ()) -> dict[str, Any]:
    """{"threads", "seconds_a_unit"}; there are no options, and the form of the output is the caller's."""
    del json, argv
    return {"threads": threads(), "seconds_a_unit": unit_costs()}
