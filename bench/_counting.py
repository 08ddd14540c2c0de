"""Exact counts of what a prover asks its backend for: calls, multiplications in F, butterflies, hashed bytes.

Counts are those of the interface's definitions, from the shapes alone: a product in K counts nine multiplications, of F
by K three. They do not depend on the backend, the machine or the number of threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from prover.backends.interface import Backend, Table

Cost = Callable[..., dict[str, int]]


def _coordinates(table: Table) -> int:
    return 1 if table.ndim == 1 else 3


def _products(count: int, *tables: Table) -> dict[str, int]:
    """`count` products of one entry of each table."""
    total, left = 0, _coordinates(tables[0])
    for table in tables[1:]:
        right = _coordinates(table)
        total, left = total + left * right, max(left, right)
    return {"multiplications": count * total}


def _by_scalar(count: int, table: Table) -> dict[str, int]:
    return {"multiplications": 3 * count * _coordinates(table)}


def _transforms(rows: int, size: int, each: int) -> dict[str, int]:
    return {"butterflies": rows * each * (size // 2) * (size.bit_length() - 1)}


def _round_sums(factors: Sequence[Table]) -> dict[str, int]:
    if len(factors) == 1:
        return {}
    return _products(len(factors) * (factors[0].shape[-1] // 2), *factors)


def _leaf_round(column: Table, *_: Any) -> dict[str, int]:
    pairs = column.shape[-1] // 4
    return {"multiplications": 2 * pairs * (_coordinates(column) ** 2 + 3 * _coordinates(column))}


COSTS: dict[str, Cost] = {
    "mul": lambda a, b: _products(a.shape[-1], a, b),
    "inner": lambda a, b: _products(a.shape[-1], a, b),
    "scale": lambda a, k: _by_scalar(a.shape[-1], a),
    "fold": lambda table, r: _by_scalar(table.shape[-1] // 2, table),
    "eq_table": lambda point: {"multiplications": 9 << len(point)},
    "round_sums": _round_sums,
    "accumulate": lambda out, k, tensor: _by_scalar(tensor.size, tensor),
    "outer_accumulate": lambda out, a, b: {"multiplications": 9 * out.shape[1]},
    "combine_rows": lambda weights, rows: {"multiplications": 3 * rows.size},
    "contract_last": lambda tensor, weights: {"multiplications": 3 * tensor.size},
    "contract_middle": lambda tensor, weights: {"multiplications": 3 * tensor.size},
    "fraction_layer": lambda p, q: {"multiplications": 27 * (p.shape[1] // 2)},
    "fraction_round": lambda p, *_: {"multiplications": 2 * 36 * (p.shape[1] // 4)},
    "fraction_fold": lambda table, r: _by_scalar(table.shape[-1] // 2, table),
    "leaf_layer": lambda column, *_: _products(column.shape[-1] // 2, column, column),
    "leaf_round": _leaf_round,
    # Of four leaves: six products of numbers, then of words by constants or weights of K.
    "pairs_layer": lambda column, *_: {"multiplications": 27 * (column.size // 4)},
    "pairs_round": lambda column, *_: {"multiplications": 2 * 18 * (column.size // 8)},
    "pairs_fold": lambda column, *_: {"multiplications": 20 * (column.size // 4)},
    "interpolate": lambda rows: _transforms(len(rows), rows.shape[1], 1),
    "encode_rows": lambda rows, blinds, blowup: _transforms(len(rows), rows.shape[1], 1 + blowup),
    "encode_polynomials": lambda coeffs, size, blowup: _transforms(len(coeffs), size, blowup),
    "hash_columns": lambda codeword, prefix, salts: {
        "hash_bytes": len(codeword) * (len(prefix) + 32 + 8 * codeword.shape[1])
    },
    "merkle_levels": lambda leaves: {"hash_bytes": 65 * (len(leaves) - 1)},
}


class CountingBackend:
    """Another backend, with everything asked of it counted in `counts`, and calls by name in `calls`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.counts: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    def each(self, make: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """One after the other, so that nothing is counted twice or lost; not a call itself."""
        return [make(item) for item in items]

    def __getattr__(self, name: str) -> Any:
        method, cost = getattr(self._backend, name), COSTS.get(name)
        if not callable(method):
            return method

        def call(*args: Any) -> Any:
            self.calls[name] += 1
            if cost is not None:
                self.counts.update(cost(*args))
            return method(*args)

        return call
