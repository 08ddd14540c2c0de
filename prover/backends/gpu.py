"""The GPU backend: tables stay on a device, and the host sees sums, digests and opened columns.

What each method computes is said in the interface module. A method takes tables of this device and host arrays
alike (which it copies over), also slices, and returns tables of the device. Kernels are in the .cuh files; here shapes
are checked, and grids and the order of launches chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prover.backends.gpu_code import MOST_BLOCKS, blocks_for
from prover.backends.gpu_device import THREADS, DeviceTable
from prover.backends.gpu_integers import Integers
from prover.backends.interface import Scalar, Triple

# Of kernels that end in sums: one more block adds up what they leave.
_MOST_PARTIALS = 1 << 10
# Up to this many variables every entry of an eq table is computed on its own, above from two shorter tables.
_SHORT_POINT = 10
# A contraction over rows is cut into parts until so many threads have work.
_WANTED_THREADS = 1 << 18


def _words(k: Scalar) -> tuple[int, int, int]:
    c0, c1, c2 = (int(c) for c in k)
    return c0, c1, c2


def _length(*tables: Any) -> int:
    lengths = {t.shape[-1] for t in tables}
    if len(lengths) != 1:
        raise ValueError(f"tables of different lengths: {[tuple(t.shape) for t in tables]}")
    return int(lengths.pop())


def _half(*tables: Any) -> int:
    """Half the common length, which must be even and positive."""
    n = _length(*tables)
    if n < 2 or n % 2:
        raise ValueError(f"a table of {n} entries has no halves")
    return n // 2


def _fours(*tables: Any) -> int:
    n = _length(*tables)
    if n < 4 or n % 4:
        raise ValueError(f"a table of {n} entries has no groups of four")
    return n


def _until(weights: Any, start: int, count: int) -> int:
    """The number of weights, of which those from `start` on must be enough."""
    n = int(weights.shape[1])
    if start + count > n:
        raise ValueError(f"weights {start} .. {start + count} of {n}")
    return n


def _planes(table: Any) -> int:
    """1 for F[n], 3 for K[3, n]: kernels reckon with no other shape."""
    if table.ndim == 1:
        return 1
    if table.ndim != 2 or table.shape[0] != 3:
        raise ValueError(f"a table of shape {tuple(table.shape)} is neither F[n] nor K[3, n]")
    return 3


def _over_k(*tables: Any, axes: int = 1) -> None:
    """Refuses a table that is not over K with so many axes besides that of the coordinates."""
    for table in tables:
        if table.ndim != axes + 1 or table.shape[0] != 3:
            raise ValueError(f"a table of shape {tuple(table.shape)} is not over K")


class GpuBackend(Integers):
    """All of the interface on one device."""

    slice_length = 1 << 26
    short_length = 1 << 9

    # -- elementwise -------------------------------------------------------------------------------

    def lift(self, a: Any) -> Any:
        x = self._ready(a)
        out = self.device.zeros((3, x.shape[0]))
        self.device.assign(out[0], x)
        return self._table(out)

    def _elementwise(self, kernel: str, a: Any, b: Any) -> Any:
        x, y = self._ready(a), self._ready(b)
        _length(x, y)
        if x.ndim != y.ndim:
            x, y = (self._ready(t if t.ndim > 1 else self.lift(t)) for t in (a, b))
        if tuple(x.shape) != tuple(y.shape):
            raise ValueError(f"tables of different shapes: {tuple(x.shape)} and {tuple(y.shape)}")
        out = self.device.empty(x.shape)
        self.device.launch(kernel, blocks_for(out.size), [x, y, out, out.size])
        return self._table(out)

    def add(self, a: Any, b: Any) -> Any:
        return self._elementwise("add_words", a, b)

    def sub(self, a: Any, b: Any) -> Any:
        return self._elementwise("sub_words", a, b)

    def mul(self, a: Any, b: Any) -> Any:
        x, y = self._ready(a), self._ready(b)
        n = _length(x, y)
        if x.ndim == y.ndim == 1:
            return self._elementwise("mul_words", a, b)
        if x.ndim > y.ndim:
            x, y = y, x
        _over_k(y)
        out = self.device.empty(y.shape)
        self.device.launch("mul_tables", blocks_for(n), [x, _planes(x), y, out, n])
        return self._table(out)

    def scale(self, a: Any, k: Scalar) -> Any:
        x = self._ready(a)
        n = _length(x)
        out = self.device.empty((3, n))
        self.device.launch("scale_table", blocks_for(n), [x, _planes(x), *_words(k), out, n])
        return self._table(out)

    # -- sums --------------------------------------------------------------------------------------

    def _sums(self, kernel: str, count: int, results: int, arguments: Sequence[Any]) -> list[Triple]:
        """`results` sums in K over `count` entries: a kernel that ends in sums, whose last argument they are."""
        blocks = min(blocks_for(count), _MOST_PARTIALS)
        out = self.device.empty((blocks, 3 * results))
        self.device.launch(kernel, blocks, [*arguments, out], shared_words=THREADS)
        if blocks > 1:
            partials, out = out, self.device.empty((1, 3 * results))
            self.device.launch("add_partials", 1, [partials, blocks, 3 * results, out], shared_words=THREADS)
        return [(int(a), int(b), int(c)) for a, b, c in self.device.download(out).reshape(results, 3)]

    def inner(self, a: Any, b: Any) -> Triple:
        x, y = self._ready(a), self._ready(b)
        n = _length(x, y)
        if x.ndim > y.ndim:
            x, y = y, x
        if y.ndim == 1:
            y = self._ready(self.lift(b))
        _over_k(y)
        return self._sums("inner_sums", n, 1, [x, _planes(x), y, n])[0]

    def total(self, a: Any) -> Triple:
        x = self._ready(a)
        _over_k(x)
        return self._sums("total_sums", x.shape[1], 1, [x, 3, x.shape[1], x.shape[1]])[0]

    def largest(self, a: Any) -> int:
        x = self._ready(a)
        blocks = min(blocks_for(x.size), _MOST_PARTIALS)
        out = self.device.empty((blocks,))
        self.device.launch("largest_words", blocks, [x, x.size, out], shared_words=THREADS)
        return int(self.device.download(out).max())

    # -- multilinear tables ------------------------------------------------------------------------

    def eq_table(self, point: Sequence[Scalar]) -> Any:
        m = len(point)
        if m > _SHORT_POINT:
            high, low = self.eq_table(point[: m // 2]), self.eq_table(point[m // 2 :])
            out = self.device.empty((3, 1 << m))
            sizes = high.shape[1], low.shape[1]
            self.device.launch("outer_table", blocks_for(1 << m), [out, high.data, sizes[0], low.data, sizes[1]])
            return self._table(out)
        words = np.array([_words(x) for x in point], dtype=np.uint64).reshape(-1)
        out = self.device.empty((3, 1 << m))
        self.device.launch("eq_entries", blocks_for(1 << m), [self.device.upload(words), m, out])
        return self._table(out)

    def fold(self, table: Any, r: Scalar) -> Any:
        x = self._ready(table)
        half = _half(x)
        out = self.device.empty((3, half))
        self.device.launch("fold_table", blocks_for(half), [x, _planes(x), half, *_words(r), out])
        return self._table(out)

    def round_sums(self, factors: Sequence[Any]) -> list[Triple]:
        if len(factors) > 3:
            raise ValueError(f"round_sums takes 1 to 3 factors, not {len(factors)}")
        # Tables over F first: the product does not mind.
        ordered = sorted(factors, key=lambda factor: int(factor.ndim))
        tables = [self._ready(factor) for factor in ordered]
        half = _half(*tables)
        planes = [_planes(table) for table in tables]
        if len(tables) == 1:
            return self._sums("total_sums", half, 1, [tables[0], planes[0], 2 * half, half])
        if tables[-1].ndim == 1:
            tables[-1] = self._ready(self.lift(ordered[-1]))
        if len(tables) == 2:
            return self._sums("round_two", half, 2, [tables[0], planes[0], tables[1], half])
        bases = sum(table.ndim == 1 for table in tables)
        return self._sums("round_three", half, 3, [*tables, bases, half])

    # -- batching ----------------------------------------------------------------------------------

    def _in_place(self, out: Any) -> Any:
        """The array of a table that is added to, which must not be a copy."""
        if not isinstance(out, DeviceTable) or not out.data.flags.c_contiguous:
            raise ValueError("only a contiguous table of this backend can be added to in place")
        return out.data

    def accumulate(self, out: Any, coefficient: Scalar, tensor: Any) -> None:
        x, y = self._in_place(out), self._ready(tensor)
        n = _length(x, y)
        _over_k(x)
        if y.ndim != 1:
            raise ValueError(f"accumulate: a tensor of shape {tuple(y.shape)} is not F[n]")
        self.device.launch("accumulate", blocks_for(n), [x, *_words(coefficient), y, n])

    def outer_accumulate(self, out: Any, a: Any, b: Any) -> None:
        z, x, y = self._in_place(out), self._ready(a), self._ready(b)
        _over_k(x, y, z)
        m, n = x.shape[1], y.shape[1]
        if z.shape[1] != m * n:
            raise ValueError(f"outer_accumulate: {m} x {n} products for a table of {z.shape[1]}")
        self.device.launch("outer_accumulate", blocks_for(m * n), [z, x, m, y, n])

    def combine_rows(self, weights: Any, rows: Any) -> Any:
        w, x = self._ready(weights), self._ready(rows)
        _over_k(w)
        count, n = x.shape
        if w.shape[1] != count:
            raise ValueError(f"combine_rows: {w.shape[1]} weights for {count} rows")
        parts = max(1, min(count // 64, _WANTED_THREADS // max(n, 1), 65535))
        chunk = -(-count // parts) if count else 1
        out = self.device.empty((parts, 3, n))
        self.device.launch("combine_rows", blocks_for(n), [w, x, count, n, chunk, out], parts=parts)
        if parts > 1:
            partial, out = out, self.device.empty((1, 3, n))
            self.device.launch("add_parts", blocks_for(3 * n), [partial, parts, 3 * n, out])
        return self._table(out[0])

    def contract_last(self, tensor: Any, weights: Any) -> Any:
        x, w = self._ready(tensor), self._ready(weights)
        _over_k(w)
        count, n = x.shape
        if w.shape[1] != n:
            raise ValueError(f"contract_last: {w.shape[1]} weights for rows of {n}")
        out = self.device.empty((3, count))
        blocks = max(1, min(count, MOST_BLOCKS))
        self.device.launch("contract_last", blocks, [x, count, n, w, out], shared_words=THREADS)
        return self._table(out)

    def contract_middle(self, tensor: Any, weights: Any) -> Any:
        x, w = self._ready(tensor), self._ready(weights)
        _over_k(w, axes=2)
        if tuple(x.shape[:2]) != tuple(w.shape[1:]):
            raise ValueError(f"contract_middle: weights {tuple(w.shape[1:])} for a tensor {tuple(x.shape)}")
        outer, middle, n = x.shape
        out = self.device.empty((3, outer, n))
        self.device.launch("contract_middle", blocks_for(outer * n), [x, outer, middle, n, w, out])
        return self._table(out)

    # -- fractional sums ---------------------------------------------------------------------------

    def fraction_layer(self, p: Any, q: Any) -> tuple[Any, Any]:
        x, y = self._ready(p), self._ready(q)
        _over_k(x, y)
        half = _half(x, y)
        p_out, q_out = (self.device.empty((3, half)) for _ in range(2))
        self.device.launch("fraction_layer", blocks_for(half), [x, y, p_out, q_out, half])
        return self._table(p_out), self._table(q_out)

    def fraction_weights(self, point: Sequence[Scalar]) -> Any:
        return self.eq_table(point)

    def fraction_round(self, p: Any, q: Any, weights: Any, start: int, lam: Scalar) -> tuple[Triple, Triple]:
        x, y, w = self._ready(p), self._ready(q), self._ready(weights)
        _over_k(x, y, w)
        count = _fours(x, y) // 4
        h0, h2 = self._sums("fraction_round", count, 2, [x, y, count, w, _until(w, start, count), start, *_words(lam)])
        return h0, h2

    def fraction_fold(self, table: Any, r: Scalar) -> Any:
        x = self._ready(table)
        half = _fours(x) // 2
        out = self.device.empty((3, half))
        self.device.launch("fraction_fold", blocks_for(half), [x, _planes(x), half, *_words(r), out])
        return self._table(out)

    def leaf_layer(self, column: Any, constant: Scalar, beta: Scalar) -> tuple[Any, Any]:
        x = self._ready(column)
        half = _half(x)
        p, q = (self.device.empty((3, half)) for _ in range(2))
        arguments = [x, _planes(x), half, *_words(constant), *_words(beta), p, q]
        self.device.launch("leaf_layer", blocks_for(half), arguments)
        return self._table(p), self._table(q)

    def leaf_round(self, column: Any, shift: Scalar, weights: Any, start: int) -> tuple[Triple, Triple]:
        x, w = self._ready(column), self._ready(weights)
        _over_k(w)
        count = _fours(x) // 4
        arguments = [x, _planes(x), count, *_words(shift), w, _until(w, start, count), start]
        h0, h2 = self._sums("leaf_round", count, 2, arguments)
        return h0, h2

    def pairs_layer(self, column: Any, constant: Scalar, beta: Scalar) -> tuple[Any, Any]:
        return self.fraction_layer(*self.leaf_layer(column, constant, beta))

    def pairs_round(
        self, column: Any, constant: Scalar, beta: Scalar, weights: Any, start: int, lam: Scalar
    ) -> tuple[Triple, Triple]:
        return self.fraction_round(*self.leaf_layer(column, constant, beta), weights, start, lam)

    def pairs_fold(self, column: Any, constant: Scalar, beta: Scalar, r: Scalar) -> tuple[Any, Any]:
        p, q = self.leaf_layer(column, constant, beta)
        return self.fraction_fold(p, r), self.fraction_fold(q, r)
