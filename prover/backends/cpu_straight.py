"""Straight-line helpers of kernels: functions without loops or branches, written into the kernels that call them.

Numba compiles every function by itself, types and optimises it, and does so again where it was inlined: with dozens
of small helpers under each kernel that took longer than the kernels. A function marked ``straight`` is run on stand-ins
for its arguments instead, and every operation on them writes an instruction where it is called. It may use words and
lanes, with + - * & | ^ and shifts by constants; tuples of them; arrays, for what cpu_simd takes from them and their
shape; U(x); loops over a fixed range; and other straight functions.
"""

# Numba and llvmlite carry no types for what is used here.
# mypy: disable-error-code="import-untyped, no-untyped-call, attr-defined, misc, no-any-unimported"

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from contextlib import contextmanager
from types import FunctionType
from typing import Any, ClassVar

from prover.backends.numba_cache import use_private_cache

use_private_cache()

from llvmlite import ir  # noqa: E402
from numba import types  # noqa: E402
from numba.core import cgutils  # noqa: E402
from numba.core.datamodel import PrimitiveModel  # noqa: E402
from numba.core.extending import _Intrinsic  # noqa: E402
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature  # noqa: E402
from numba.extending import lower_builtin, register_model  # noqa: E402

LANES = 4
WORD = ir.IntType(64)
VECTOR = ir.VectorType(WORD, LANES)


class LanesType(types.Type):
    """LANES words."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


Lanes = LanesType()


@register_model(LanesType)
class _LanesModel(PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, VECTOR)


class _Code:
    """Where instructions are written to, the innermost last. Numba compiles one kernel at a time."""

    stack: ClassVar[list[tuple[Any, Any]]] = []


def builder() -> Any:
    """Of the code that is being written."""
    return _Code.stack[-1][1]


@contextmanager
def _writing(context: Any, b: Any) -> Any:
    _Code.stack.append((context, b))
    try:
        yield
    finally:
        _Code.stack.pop()


def _instruction(name: str, swapped: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        x, y = self.value, self.operand(other)
        return type(self)(getattr(builder(), name)(*((y, x) if swapped else (x, y))))

    return method


class _Value:
    """What stands for a value of the code: operations on it write instructions."""

    __array_ufunc__ = None  # so that a NumPy scalar leaves an operation to this class

    def __init__(self, value: Any) -> None:
        self.value = value

    __add__ = __radd__ = _instruction("add")
    __sub__ = _instruction("sub")
    __rsub__ = _instruction("sub", swapped=True)
    __mul__ = __rmul__ = _instruction("mul")
    __and__ = __rand__ = _instruction("and_")
    __or__ = __ror__ = _instruction("or_")
    __xor__ = __rxor__ = _instruction("xor")
    __lshift__ = _instruction("shl")
    __rshift__ = _instruction("lshr")


class WordValue(_Value):
    """A 64-bit word."""

    def operand(self, other: Any) -> Any:
        """The value itself, or a constant."""
        return other.value if isinstance(other, _Value) else ir.Constant(WORD, int(other))


class LanesValue(_Value):
    """Lanes."""

    def operand(self, other: Any) -> Any:
        """The value itself; a word, or a constant, in every lane."""
        if isinstance(other, LanesValue):
            return other.value
        if not isinstance(other, WordValue):
            return ir.Constant(VECTOR, [int(other)] * LANES)
        undefined, b = ir.Constant(VECTOR, ir.Undefined), builder()
        first = b.insert_element(undefined, other.value, ir.IntType(32)(0))
        return b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


class ArrayValue:
    """An array of the code."""

    def __init__(self, array_type: Any, value: Any) -> None:
        self._type, self._value = array_type, value

    def _struct(self) -> Any:
        context, b = _Code.stack[-1]
        return context.make_array(self._type)(context, b, self._value)

    @property
    def shape(self) -> list[WordValue]:
        """The lengths as words."""
        if self._value is None:
            return [WordValue(ir.Constant(WORD, ir.Undefined))] * int(self._type.ndim)
        lengths = cgutils.unpack_tuple(builder(), self._struct().shape, self._type.ndim)
        return [WordValue(length) for length in lengths]

    def place(self, index: Any, form: Any = VECTOR) -> Any:
        """A pointer to the lanes, or the word, at a flat index."""
        if self._value is None:
            return ir.Constant(form.as_pointer(), ir.Undefined)
        b, i = builder(), WordValue(None).operand(index)
        return b.bitcast(b.gep(self._struct().data, [i]), form.as_pointer())


def _word(x: Any) -> Any:
    """What U(x) is in straight code."""
    return x if isinstance(x, WordValue) else int(x)


def _stand_in(kind: Any, value: Any) -> Any:
    """For an argument of a Numba type; value None stands for one that is only typed."""
    if isinstance(kind, types.IntegerLiteral):
        return kind.literal_value
    if isinstance(kind, types.Array):
        return ArrayValue(kind, value)
    if isinstance(kind, types.BaseTuple):
        kinds: Any = kind
        values = [None] * len(kinds) if value is None else cgutils.unpack_tuple(builder(), value, len(kinds))
        return tuple(_stand_in(entry, own) for entry, own in zip(kinds, values, strict=True))
    form, made = (VECTOR, LanesValue) if kind is Lanes else (WORD, WordValue)
    return made(ir.Constant(form, ir.Undefined) if value is None else value)


def _type_of(result: Any) -> Any:
    if result is None:
        return types.none
    if isinstance(result, tuple):
        kinds = [_type_of(entry) for entry in result]
        same = all(kind == kinds[0] for kind in kinds)
        return types.UniTuple(kinds[0], len(kinds)) if same else types.Tuple(kinds)
    return Lanes if isinstance(result, LanesValue) else types.uint64


def _value_of(kind: Any, result: Any) -> Any:
    context, b = _Code.stack[-1]
    if result is None:
        return context.get_dummy_value()
    if isinstance(result, tuple):
        return context.make_tuple(b, kind, [_value_of(k, entry) for k, entry in zip(kind, result, strict=True)])
    return WordValue(None).operand(result)


class _Straight(_Intrinsic):
    """A function for kernels, called by straight functions as what it is."""

    def __init__(self, name: str, defn: Any, **options: Any) -> None:
        super().__init__(name, defn, **options)
        self.function: Any = None
        self._written: Any = None

    def __call__(self, *args: Any) -> Any:
        if self._written is None:
            # Late, when all that the module defines is there.
            own = self.function
            names = {**own.__globals__, "U": _word}
            self._written = FunctionType(own.__code__, names, own.__name__, own.__defaults__, own.__closure__)
        return self._written(*args)


def _kind_of(written: Callable[..., Any], kinds: Any) -> Any:
    """The type of what a straight function returns: it is run once where nothing is kept."""
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), []), "typed")
    with _writing(None, ir.IRBuilder(function.append_basic_block())):
        return _type_of(written(*(_stand_in(kind, None) for kind in kinds)))


def straight(function: Any) -> Any:
    """Marks a function without loops and branches: see the module."""

    def define(typingctx: Any, *kinds: Any) -> Any:
        def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            with _writing(context, b):
                result = made(*map(_stand_in, sig.args, args))
                return _value_of(sig.return_type, result)

        return signature(_kind_of(made, kinds), *kinds), codegen

    own = inspect.signature(function).parameters.values()
    first = inspect.Parameter("typingctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    define.__signature__ = inspect.Signature([first, *(p.replace(annotation=p.empty) for p in own)])
    define.__name__, define.__doc__ = function.__name__, function.__doc__
    made = _Straight(function.__name__, define, prefer_literal=True)
    made.function = function
    made._register()
    return made


def _define_operator(symbol: Any) -> None:
    """An operation on lanes outside of straight functions."""
    class Template(ConcreteTemplate):
        cases: ClassVar[list[Any]] = [signature(Lanes, Lanes, Lanes), signature(Lanes, Lanes, types.intp)]

    infer_global(symbol)(Template)

    for other in (Lanes, types.intp):

        @lower_builtin(symbol, Lanes, other)
        def _lower(context: Any, b: Any, sig: Any, args: Any) -> Any:
            with _writing(context, b):
                return symbol(*map(_stand_in, sig.args, args)).value


for _name in ("add", "sub", "and_", "or_", "xor", "lshift", "rshift"):
    _define_operator(getattr(operator, _name))
