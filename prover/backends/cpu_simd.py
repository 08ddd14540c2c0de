"""Four 64-bit lanes as a Numba value, so that kernels can say which arithmetic is done side by side.

LLVM's own vectoriser does not see through wide sums and gives up on long loop bodies; with lanes as a type
there is nothing to guess. On a machine without 256-bit vectors LLVM splits the lanes; the results are the
same.
"""

# Numba and llvmlite carry no types for what is used here.
# mypy: disable-error-code="import-untyped, no-untyped-call, attr-defined"

from __future__ import annotations

import operator
from typing import Any, ClassVar

from prover.backends.numba_cache import use_private_cache

use_private_cache()

from llvmlite import ir  # noqa: E402
from numba import types  # noqa: E402
from numba.core.datamodel import PrimitiveModel  # noqa: E402
from numba.core.typing.templates import (  # noqa: E402
    ConcreteTemplate,
    infer_global,
    signature,
)
from numba.extending import intrinsic as _intrinsic  # noqa: E402
from numba.extending import lower_builtin, register_model  # noqa: E402

intrinsic: Any = _intrinsic
LANES = 4
VECTOR = ir.VectorType(ir.IntType(64), LANES)
LOW = 2**32 - 1


class LanesType(types.Type):
    """LANES words."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


Lanes = LanesType()


@register_model(LanesType)
class _LanesModel(PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, VECTOR)


def _constant(value: int) -> Any:
    return ir.Constant(VECTOR, [value] * LANES)


def _splat(b: Any, word: Any) -> Any:
    zero = ir.IntType(32)(0)
    single = b.insert_element(ir.Constant(VECTOR, ir.Undefined), word, zero)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return b.shuffle_vector(single, ir.Constant(VECTOR, ir.Undefined), mask)


def _define_operator(symbol: Any, instruction: str) -> None:
    """Lanes op Lanes -> Lanes, one instruction."""

    class Template(ConcreteTemplate):
        cases: ClassVar[list[Any]] = [signature(Lanes, Lanes, Lanes)]

    infer_global(symbol)(Template)

    @lower_builtin(symbol, Lanes, Lanes)
    def _lower(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return getattr(b, instruction)(*args)


def _define_shift(symbol: Any, instruction: str) -> None:
    """Lanes shifted by a count that is the same for all."""

    class Template(ConcreteTemplate):
        cases: ClassVar[list[Any]] = [signature(Lanes, Lanes, types.intp)]

    infer_global(symbol)(Template)

    @lower_builtin(symbol, Lanes, types.intp)
    def _lower(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return getattr(b, instruction)(args[0], _splat(b, args[1]))


for _symbol, _instruction in (
    (operator.add, "add"),
    (operator.sub, "sub"),
    (operator.and_, "and_"),
    (operator.or_, "or_"),
    (operator.xor, "xor"),
):
    _define_operator(_symbol, _instruction)
_define_shift(operator.lshift, "shl")
_define_shift(operator.rshift, "lshr")


@intrinsic
def half_product(typingctx: Any, x: Any, y: Any) -> Any:
    """The product of the low halves (32 bits each) of the lanes."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        low = _constant(LOW)
        return b.mul(b.and_(args[0], low), b.and_(args[1], low))

    return Lanes(Lanes, Lanes), codegen


@intrinsic
def exceeds(typingctx: Any, x: Any, y: Any) -> Any:
    """All ones in the lanes where x > y as signed integers, else zero."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.sext(b.icmp_signed(">", *args), VECTOR)

    return Lanes(Lanes, Lanes), codegen


@intrinsic
def splat(typingctx: Any, word: Any) -> Any:
    """One word in every lane."""
    return Lanes(types.uint64), lambda context, b, sig, args: _splat(b, args[0])


def _shuffled(places: list[int]) -> Any:
    """The code of a choice among the eight lanes of two values."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), places)
    return lambda context, b, sig, args: b.shuffle_vector(*args, mask)


@intrinsic
def evens(typingctx: Any, x: Any, y: Any) -> Any:
    """Lanes 0, 2 of x, then of y."""
    return Lanes(Lanes, Lanes), _shuffled([0, 2, 4, 6])


@intrinsic
def odds(typingctx: Any, x: Any, y: Any) -> Any:
    """Lanes 1, 3 of x, then of y."""
    return Lanes(Lanes, Lanes), _shuffled([1, 3, 5, 7])


@intrinsic
def lows(typingctx: Any, x: Any, y: Any) -> Any:
    """Lanes 0, 1 of x, then of y."""
    return Lanes(Lanes, Lanes), _shuffled([0, 1, 4, 5])


@intrinsic
def highs(typingctx: Any, x: Any, y: Any) -> Any:
    """Lanes 2, 3 of x, then of y."""
    return Lanes(Lanes, Lanes), _shuffled([2, 3, 6, 7])


def _address(context: Any, b: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, b, array).data
    return b.bitcast(b.gep(data, [index]), VECTOR.as_pointer())


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """The lanes at a flat index of a C-contiguous uint64 array; nothing is checked."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.load(_address(context, b, sig.args[0], args[0], args[1]), align=8)

    return Lanes(array, types.uint64), codegen


@intrinsic
def store(typingctx: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Writes the lanes at a flat index of a C-contiguous uint64 array; nothing is checked."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        b.store(args[2], _address(context, b, sig.args[0], args[0], args[1]), align=8)
        return context.get_dummy_value()

    return types.none(array, types.uint64, Lanes), codegen
