"""Arithmetic of F inside Numba kernels, one word at a time.

A word is *loose* if it is any uint64, standing for itself mod p, and *canonical* if it is < p. With e = 2^32
- 1: 2^64 = e and 2^96 = -1 (mod p), so that a product is reduced by shifts and additions.

Numba has no integers beyond 64 bits, so these functions are written as LLVM instructions. Four words at a
time are in cpu_lanes; here is what twiddles, edges and constants need.
"""

# Numba and llvmlite carry no types for what is used here.
# mypy: disable-error-code="import-untyped, no-untyped-call"

from __future__ import annotations

from typing import Any

from prover.backends.numba_cache import use_private_cache

use_private_cache()

from llvmlite import ir  # noqa: E402
from numba import types  # noqa: E402
from numba.extending import intrinsic as _intrinsic  # noqa: E402

P = 2**64 - 2**32 + 1
E = 2**32 - 1
WORD = ir.IntType(64)
DOUBLE = ir.IntType(128)
intrinsic: Any = _intrinsic
UNARY = types.uint64(types.uint64)
BINARY = types.uint64(types.uint64, types.uint64)

# -- LLVM instructions: b is the builder, x and y are values -----------------------------------------


def _word(value: int) -> Any:
    return ir.Constant(WORD, value)


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


def _times(b: Any, x: Any, y: Any) -> Any:
    """The product lo + 2^64 (m0 + 2^32 m1) = lo - m1 + e m0, loose."""
    product = b.mul(b.zext(x, DOUBLE), b.zext(y, DOUBLE))
    lo, hi = b.trunc(product, WORD), b.trunc(b.lshr(product, ir.Constant(DOUBLE, 64)), WORD)
    m0, m1 = b.and_(hi, _word(E)), b.lshr(hi, _word(32))
    return _plus(b, _minus(b, lo, m1), b.sub(b.shl(m0, _word(32)), m0))


def _canonical(b: Any, x: Any) -> Any:
    return b.select(b.icmp_unsigned(">=", x, _word(P)), b.sub(x, _word(P)), x)


# -- functions for kernels ----------------------------------------------------------------------------


@intrinsic
def canonical(typingctx: Any, x: Any) -> Any:
    """A loose word -> the canonical one."""
    return UNARY, lambda context, b, signature, args: _canonical(b, *args)


@intrinsic
def plus(typingctx: Any, x: Any, y: Any) -> Any:
    """x + y: loose + canonical -> loose."""
    return BINARY, lambda context, b, signature, args: _plus(b, *args)


@intrinsic
def times(typingctx: Any, x: Any, y: Any) -> Any:
    """x · y: loose · loose -> loose."""
    return BINARY, lambda context, b, signature, args: _times(b, *args)
