"""Arithmetic of F and K inside Numba kernels, on machine words.

A word is *loose* if it is any uint64, standing for itself mod p, and *canonical* if it is < p. An element of K is a
tuple of three words. With e = 2^32 - 1: 2^64 = e, 2^96 = -1, 2^128 = -2^32 (mod p), so that a wide sum is reduced
by shifts and additions.

Products are added up before they are reduced: a *wide* sum is 192 bits, kept in kernels as three words (a sum in K as
nine). Numba has no integers beyond 64 bits, so these functions are written as LLVM instructions; LLVM turns a 192-bit
addition into add, adc, adc.
"""

from __future__ import annotations

from typing import Any

from prover.backends.numba_cache import use_private_cache

use_private_cache()

from llvmlite import ir  # noqa: E402
from numba import types  # noqa: E402
from numba.core import cgutils  # noqa: E402
from numba.extending import intrinsic as _intrinsic  # noqa: E402

P = 2**64 - 2**32 + 1
E = 2**32 - 1
WORD = ir.IntType(64)
DOUBLE = ir.IntType(128)
WIDE = ir.IntType(192)
intrinsic: Any = _intrinsic
ELEMENT = types.UniTuple(types.uint64, 3)
SUM = types.UniTuple(types.uint64, 9)

# -- LLVM instructions: b is the builder, x and y are values ---------------------------------------


def _word(value: int) -> Any:
    return ir.Constant(WORD, value)


def _unpack(b: Any, packed: Any) -> list[Any]:
    return list(cgutils.unpack_tuple(b, packed))


def _product(b: Any, x: Any, y: Any) -> Any:
    return b.zext(b.mul(b.zext(x, DOUBLE), b.zext(y, DOUBLE)), WIDE)


def _mask(b: Any, flag: Any) -> Any:
    """e if the flag is set, else 0; through 32 bits, since that becomes a single sbb."""
    return b.zext(b.sext(flag, ir.IntType(32)), WORD)


def _plus(b: Any, x: Any, y: Any) -> Any:
    """x + y, loose; x loose, y <= 2^64 - 2^32, so that the carry, worth e, cannot carry again."""
    total = b.add(x, y)
    return b.add(total, _mask(b, b.icmp_unsigned("<", total, x)))


def _minus(b: Any, x: Any, y: Any) -> Any:
    """x - y, loose; x loose, y <= 2^64 - 2^32 + 1, so that the borrow cannot borrow again."""
    return b.sub(b.sub(x, y), _mask(b, b.icmp_unsigned("<", x, y)))


def _canonical(b: Any, x: Any) -> Any:
    return b.select(b.icmp_unsigned(">=", x, _word(P)), b.sub(x, _word(P)), x)


def _part(b: Any, wide: Any, shift: int) -> Any:
    return b.trunc(b.lshr(wide, ir.Constant(WIDE, shift)), WORD)


def _reduce(b: Any, wide: Any) -> Any:
    """lo + 2^64 (m0 + 2^32 m1) + 2^128 hi = lo - m1 + e m0 - 2^32 hi, loose; hi < 2^32."""
    lo, mid, hi = _part(b, wide, 0), _part(b, wide, 64), _part(b, wide, 128)
    m0, m1 = b.and_(mid, _word(E)), b.lshr(mid, _word(32))
    r = _minus(b, lo, m1)
    r = _plus(b, r, b.sub(b.shl(m0, _word(32)), m0))
    return _minus(b, r, b.shl(hi, _word(32)))


def _ext_product(b: Any, x: list[Any], y: list[Any]) -> list[Any]:
    """The three wide coordinates of a product in K, where X^3 = 2; each is below 5 · 2^128."""
    m = [[_product(b, xi, yj) for yj in y] for xi in x]
    one = ir.Constant(WIDE, 1)
    return [
        b.add(m[0][0], b.shl(b.add(m[1][2], m[2][1]), one)),
        b.add(b.add(m[0][1], m[1][0]), b.shl(m[2][2], one)),
        b.add(b.add(m[0][2], m[1][1]), m[2][0]),
    ]


def _join(b: Any, words: list[Any]) -> Any:
    wide = b.zext(words[0], WIDE)
    for k in (1, 2):
        wide = b.or_(wide, b.shl(b.zext(words[k], WIDE), ir.Constant(WIDE, 64 * k)))
    return wide


def _accumulate(b: Any, total: Any, addends: list[Any]) -> Any:
    """A nine-word sum plus three wide coordinates."""
    words = _unpack(b, total)
    out = []
    for k in range(3):
        wide = b.add(_join(b, words[3 * k : 3 * k + 3]), addends[k])
        out += [_part(b, wide, shift) for shift in (0, 64, 128)]
    return cgutils.pack_array(b, out)


# -- functions for kernels -------------------------------------------------------------------------


@intrinsic
def canonical(typingctx: Any, x: Any) -> Any:
    """A loose word -> the canonical one."""
    return types.uint64(types.uint64), lambda context, b, signature, args: _canonical(b, args[0])


@intrinsic
def plus(typingctx: Any, x: Any, y: Any) -> Any:
    """x + y: loose + canonical -> loose."""
    return types.uint64(types.uint64, types.uint64), lambda context, b, signature, args: _plus(b, *args)


@intrinsic
def minus(typingctx: Any, x: Any, y: Any) -> Any:
    """x - y: loose - canonical -> loose."""
    return types.uint64(types.uint64, types.uint64), lambda context, b, signature, args: _minus(b, *args)


@intrinsic
def times(typingctx: Any, x: Any, y: Any) -> Any:
    """x · y: loose · loose -> loose."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return _reduce(b, _product(b, *args))

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def ext_times(typingctx: Any, x: Any, y: Any) -> Any:
    """x · y in K: loose · loose -> loose."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        product = _ext_product(b, _unpack(b, args[0]), _unpack(b, args[1]))
        return cgutils.pack_array(b, [_reduce(b, c) for c in product])

    return ELEMENT(ELEMENT, ELEMENT), codegen
