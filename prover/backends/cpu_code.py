"""Reed–Solomon codes on the CPU: interpolation on H and evaluation on the cosets 7 zeta^c H."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from prover.backends import cpu_ntt
from prover.backends.cpu_field import P
from prover.backends.interface import GENERATOR, Table
from prover.backends.memory import empty
from prover.backends.threads import spread

_WIDTH = 8  # columns of a tile


def _root(order: int) -> int:
    if order < 1 or (P - 1) % order:
        raise ValueError(f"F has no root of unity of order {order}")
    return pow(GENERATOR, (P - 1) // order, P)


def _twiddles(size: int, root: int, shift: int) -> Table:
    out = np.zeros(max(size, 1), dtype=np.uint64)
    cpu_ntt.twiddles_kernel(size, np.uint64(root), np.uint64(shift), out)
    return out


def _log(size: int) -> None:
    if size < 1 or size & (size - 1):
        raise ValueError(f"a row of {size} values: a power of two is needed")


def interpolate(rows: Table) -> Table:
    """Tiles uint64[ceil(R / 8), N, 8] of coefficients in bit-reversed order; columns beyond R are zero."""
    count, size = rows.shape
    _log(size)
    tiles = empty(-(-count // _WIDTH), size, _WIDTH)
    twiddles = _twiddles(size, pow(_root(size), -1, P), 1)
    factor = np.uint64(pow(size, -1, P))
    values = np.require(rows, requirements=["C", "W"])

    def work(part: int, start: int, stop: int) -> None:
        del part
        for k in range(start, stop):
            cpu_ntt.load_rows_kernel(values, k * _WIDTH, tiles[k])
            cpu_ntt.inverse_kernel(tiles[k], twiddles, factor)

    spread(len(tiles), 1, work)
    return tiles


def _cosets(size: int, blowup: int) -> tuple[list[int], list[Table]]:
    """The cosets' shifts 7 zeta^c, and the twiddles of a transform to each."""
    zeta, root = _root(size * blowup), _root(size)
    shifts = [GENERATOR * pow(zeta, c, P) % P for c in range(blowup)]
    return shifts, [_twiddles(size, root, shift) for shift in shifts]


def _evaluate(count: int, size: int, blowup: int, fill: Callable[[int, int, Table], None]) -> Table:
    """The codeword of the polynomials that fill(first row, 7^N zeta^cN, tile) writes for every coset."""
    _log(size)
    shifts, twiddles = _cosets(size, blowup)
    codeword = empty(size * blowup, count)

    def work(part: int, start: int, stop: int) -> None:
        del part
        tile = empty(size, _WIDTH)
        for unit in range(start, stop):
            k, c = divmod(unit, blowup)
            fill(k * _WIDTH, pow(shifts[c], size, P), tile)
            cpu_ntt.forward_kernel(tile, tile, twiddles[c], codeword, c * size, k * _WIDTH)

    spread(-(-count // _WIDTH) * blowup, 1, work)
    return codeword


def encode(coefficients: Table, blinds: Table, blowup: int) -> Table:
    size = coefficients.shape[1]
    if blinds.shape[1] > size:
        raise ValueError(f"encode: {blinds.shape[1]} blinds exceed the {size} values of a row")
    order = cpu_ntt.bit_reversal(size)
    values = np.require(blinds, requirements=["C", "W"])

    def fill(first: int, z: int, tile: Table) -> None:
        np.copyto(tile, coefficients[first // _WIDTH])
        cpu_ntt.blind_kernel(tile, values, first, order, np.uint64((z - 1) % P))

    return _evaluate(blinds.shape[0], size, blowup, fill)


def encode_rows(rows: Table, blinds: Table, blowup: int) -> Table:
    count, size = rows.shape
    _log(size)
    if blinds.shape[1] > size:
        raise ValueError(f"encode: {blinds.shape[1]} blinds exceed the {size} values of a row")
    order = cpu_ntt.bit_reversal(size)
    inverse, factor = _twiddles(size, pow(_root(size), -1, P), 1), np.uint64(pow(size, -1, P))
    shifts, twiddles = _cosets(size, blowup)
    values, random = (np.require(table, requirements=["C", "W"]) for table in (rows, blinds))
    # X^N is 1 on H and z = shift^N on a coset; from each to the next the blinds are multiplied by what is new.
    powers = [1, *(pow(shift, size, P) for shift in shifts)]
    steps = [np.uint64((z - before) % P) for before, z in pairwise(powers)]
    codeword = empty(size * blowup, count)

    def work(part: int, start: int, stop: int) -> None:
        del part
        tile, coset = empty(size, _WIDTH), empty(size, _WIDTH)
        for k in range(start, stop):
            cpu_ntt.load_rows_kernel(values, k * _WIDTH, tile)
            cpu_ntt.inverse_kernel(tile, inverse, factor)
            for c, step in enumerate(steps):
                cpu_ntt.blind_kernel(tile, random, k * _WIDTH, order, step)
                cpu_ntt.forward_kernel(tile, coset, twiddles[c], codeword, c * size, k * _WIDTH)

    spread(-(-count // _WIDTH), 1, work)
    return codeword


def encode_polynomials(coeffs: Table, size: int, blowup: int) -> Table:
    order = cpu_ntt.bit_reversal(size)
    values = np.require(coeffs, requirements=["C", "W"])

    def fill(first: int, z: int, tile: Table) -> None:
        tile.fill(0)
        cpu_ntt.wrap_kernel(values, first, order, np.uint64(z), tile)

    return _evaluate(coeffs.shape[0], size, blowup, fill)


def coefficients_natural(coefficients: Table, blinds: Table) -> Table:
    tiles, size, width = coefficients.shape
    count, extra = blinds.shape
    out = empty(count, size + extra)
    natural = coefficients[:, cpu_ntt.bit_reversal(size), :].transpose(0, 2, 1).reshape(tiles * width, size)
    out[:, :size] = natural[:count]
    low = out[:, :extra]
    out[:, :extra] = np.where(low >= blinds, low - blinds, low + (np.uint64(P) - blinds))
    # Not additions: where t' = N the two ranges meet but never overlap.
    out[:, size:] = blinds
    return out
