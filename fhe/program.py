"""Programs: named operands and steps on tensors, checked as they are written and planned together."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fhe.errors import BoundError, ExpressionError, ShapeError
from fhe.expression import Expression, parse
from fhe.polynomial import largest
from fhe.spec import Encrypted, Operand, Plain, Release

if TYPE_CHECKING:
    from fhe.plan import Plan

Attribute = str | int | float | bool | None | tuple["Attribute", ...]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MAX_DEGREE = 63


@dataclass(frozen=True)
class Step:
    """One tensor of a program: its operation, arguments (earlier steps), shape, bound and whether it is
    encrypted.
    """

    op: str
    args: tuple[int, ...]
    shape: tuple[int, ...]
    bound: float
    secret: bool
    attributes: tuple[Attribute, ...] = ()


class Tensor:
    """A tensor of a program, before any value exists."""

    def __init__(self, program: Program, index: int) -> None:
        self.program, self.index = program, index

    @property
    def step(self) -> Step:
        return self.program.steps[self.index]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.step.shape

    @property
    def bound(self) -> float:
        return self.step.bound


class Program:
    """Several steps on encrypted and plain tensors; every method checks shapes and bounds at once.

    Bounds are worst cases from the declared ones; `declare` replaces one by a smaller, calibrated figure.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.operands: dict[str, Operand] = {}

    def _new(
        self,
        op: str,
        args: Sequence[Tensor],
        shape: tuple[int, ...],
        bound: float,
        *attributes: Attribute,
        secret: bool | None = None,
    ) -> Tensor:
        for a in args:
            if a.program is not self:
                raise ExpressionError(
                    f"step '{op}' mixes tensors of two programs; build all steps on 1 program"
                )
        if not math.isfinite(bound):
            raise BoundError(f"step '{op}': the bound grows to {bound}; declare a smaller one")
        hidden = any(a.step.secret for a in args) if secret is None else secret
        self.steps.append(Step(op, tuple(a.index for a in args), shape, bound, hidden, attributes))
        return Tensor(self, len(self.steps) - 1)

    def operand(self, name: str, spec: Operand) -> Tensor:
        """A named operand, Encrypted or Plain."""
        if not _NAME.fullmatch(name):
            raise ExpressionError(
                f"operand name '{name}': use letters, digits and '_', at most 64, a letter first"
            )
        if name in self.operands:
            raise ExpressionError(f"operand name '{name}' is used 2 times; names are unique")
        self.operands[name] = spec
        return self._new(
            "operand", (), spec.shape, float(spec.bound), name, secret=isinstance(spec, Encrypted)
        )

    def encrypted(self, name: str, shape: tuple[int, ...], bound: float = 1.0) -> Tensor:
        return self.operand(name, Encrypted(shape, bound))

    def plain(self, name: str, shape: tuple[int, ...], bound: float = 1.0) -> Tensor:
        return self.operand(name, Plain(shape, bound))

    def constant(self, value: float) -> Tensor:
        """A public number written into the plan."""
        if not math.isfinite(value):
            raise BoundError(f"constant {value} is not finite; use a finite number")
        return self._new("constant", (), (), max(abs(float(value)), 1e-12), float(value), secret=False)

    def einsum(self, expression: str, *args: Tensor) -> Tensor:
        """NumPy's einsum; the bound is the number of summed products times the operands' bounds."""
        parsed = parse(expression, [a.shape for a in args])
        summed = math.prod(parsed.extents[x] for x in parsed.contracted)
        return self._new("einsum", args, parsed.shape, summed * math.prod(a.bound for a in args), expression)

    def expression(self, step: Step) -> Expression:
        return parse(str(step.attributes[0]), [self.steps[a].shape for a in step.args])

    def _broadcast(self, op: str, a: Tensor, b: Tensor) -> tuple[int, ...]:
        try:
            return np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            raise ShapeError(
                f"'{op}' of shapes {a.shape} and {b.shape}: axes must be equal or 1 to broadcast"
            ) from None

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """a + b with NumPy's broadcasting."""
        return self._new("add", (a, b), self._broadcast("add", a, b), a.bound + b.bound)

    def subtract(self, a: Tensor, b: Tensor) -> Tensor:
        """a − b with NumPy's broadcasting."""
        return self._new("subtract", (a, b), self._broadcast("subtract", a, b), a.bound + b.bound)

    def multiply(self, a: Tensor, b: Tensor | float) -> Tensor:
        """a · b entry by entry, with NumPy's broadcasting."""
        b = b if isinstance(b, Tensor) else self.constant(b)
        shape = self._broadcast("multiply", a, b)
        letters = "abcdefghijklmnopqrstuvwxyz"[: len(shape)]
        tails = [letters[len(letters) - len(t.shape) :] for t in (a, b)]
        return self.einsum(f"{tails[0]},{tails[1]}->{letters}", a, b)

    def sum(self, a: Tensor, axis: int | None = None) -> Tensor:
        """Sum over one axis, or over all."""
        letters = "abcdefghijklmnopqrstuvwxyz"[: len(a.shape)]
        if axis is None:
            return self.einsum(f"{letters}->", a)
        if not -len(a.shape) <= axis < len(a.shape):
            raise ShapeError(f"sum over axis {axis} of shape {a.shape}: the rank is {len(a.shape)}")
        axis %= len(a.shape)
        return self.einsum(f"{letters}->{letters[:axis]}{letters[axis + 1:]}", a)

    def mean(self, a: Tensor, axis: int | None = None) -> Tensor:
        """Mean over one axis, or over all; one level for the division."""
        total = self.sum(a, axis)
        return self.multiply(total, math.prod(total.shape) / math.prod(a.shape))

    def slice(self, a: Tensor, *index: int | slice) -> Tensor:
        """Basic indexing, one integer or slice an axis; costs nothing, entries left out become garbage."""
        if len(index) > len(a.shape):
            raise ShapeError(
                f"slice with {len(index)} indices of shape {a.shape}: the rank is {len(a.shape)}"
            )
        stored: list[Attribute] = []
        for k, i in enumerate(index):
            if isinstance(i, int):
                if not -a.shape[k] <= i < a.shape[k]:
                    raise ShapeError(f"slice: index {i} on axis {k} of size {a.shape[k]}")
                stored.append(i % a.shape[k])
            else:
                stored.append(i.indices(a.shape[k]))
        shape = np.empty(a.shape, np.bool_)[_index(stored)].shape
        if 0 in shape:
            raise ShapeError(f"slice {index} of shape {a.shape} has 0 entries; keep at least 1")
        return self._new("slice", (a,), shape, a.bound, *stored)

    def transpose(self, a: Tensor) -> Tensor:
        """Axes reversed; a relabelling that costs nothing."""
        letters = "abcdefghijklmnopqrstuvwxyz"[: len(a.shape)]
        return self.einsum(f"{letters}->{letters[::-1]}", a)

    def reshape(self, a: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The same entries in C order under another shape; a relabelling that costs nothing."""
        if math.prod(shape) != math.prod(a.shape) or any(s < 1 for s in shape):
            raise ShapeError(
                f"reshape of {math.prod(a.shape)} entries {a.shape} to {math.prod(shape)} entries {shape}"
            )
        return self._new("reshape", (a,), tuple(shape), a.bound, *shape)

    def polyval(self, a: Tensor, coefficients: Sequence[float]) -> Tensor:
        """Σ coefficients[k]·a^k, rising order, in ⌊log₂ degree⌋ + 1 levels; a's bound is the interval."""
        c = [float(x) for x in coefficients]
        while len(c) > 1 and c[-1] == 0.0:
            c.pop()
        if not all(math.isfinite(x) for x in c):
            raise BoundError(f"polyval: coefficients {c} must be finite")
        if not 2 <= len(c) <= _MAX_DEGREE + 1:
            raise ExpressionError(f"polyval of degree {len(c) - 1}: use a degree of 1 to {_MAX_DEGREE}")
        if not a.step.secret:
            raise ExpressionError(
                "polyval of a plain tensor: compute it in NumPy and pass the result as an operand"
            )
        return self._new("polyval", (a,), a.shape, largest(c, a.bound), *c)

    def declare(self, a: Tensor, bound: float) -> Tensor:
        """Promise that every entry of `a` is at most `bound`, from calibration on public data."""
        if not (math.isfinite(bound) and bound > 0):
            raise BoundError(f"declared bound {bound} must be a finite number above 0")
        return self._new("declare", (a,), a.shape, min(float(bound), a.bound), float(bound))

    def plan(
        self,
        output: Tensor,
        *,
        precision: float = 1e-4,
        replicate: str = "auto",
        objective: str = "operations",
        reveal: str = "all",
        release: Release | None = None,
        across: Sequence[str] = (),
        rings: Sequence[int] | None = None,
    ) -> Plan:
        """Plan all steps together; see fhe.plan for the options."""
        from fhe.planner import Options, plan_program

        options = Options(
            float(precision),
            replicate,
            objective,
            reveal,
            release,
            tuple(across),
            tuple(rings) if rings is not None else None,
        )
        return plan_program(self, output.index, options)


def _index(stored: Sequence[Attribute]) -> tuple[int | slice, ...]:
    """A NumPy index from stored integers and (start, stop, step) triples."""
    out: list[int | slice] = []
    for i in stored:
        if isinstance(i, tuple):
            start, stop, step = (int(str(x)) for x in i)
            out.append(slice(start, None if stop < 0 else stop, step))
        else:
            out.append(int(str(i)))
    return tuple(out)
