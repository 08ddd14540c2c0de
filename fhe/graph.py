"""The straight-line program of a plan: one instruction per homomorphic operation, plaintexts as recipes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from fhe.layout import ZERO, Map, Where


class Inapplicable(Exception):
    """A strategy does not suit this program, or costs more than one already found; the planner tries another.
    """


OPS = (
    "input",
    "rotate",
    "add",
    "negate",
    "multiply",
    "multiply_plain",
    "add_plain",
    "relinearize",
    "rescale",
    "drop",
)


@dataclass(frozen=True)
class Instruction:
    """`op` on earlier values `args`.

    `step`: left rotation; `plaintext`: index of a Gather; `depth`: rescalings since encryption of the result;
    `source`: (operand name, ciphertext number) of an input.
    """

    op: str
    args: tuple[int, ...]
    depth: int
    step: int = 0
    plaintext: int = -1
    source: tuple[str, int] | None = None


@dataclass(frozen=True)
class PlainNode:
    """A tensor the server computes in the clear: an operand, a constant, or an einsum of earlier nodes."""

    kind: str
    shape: tuple[int, ...]
    bound: float
    name: str = ""
    args: tuple[int, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Gather:
    """A plaintext: slot s holds entry `index[s]` of plain tensor `node`, or 0 where the index is ZERO."""

    node: int
    index: Map
    bound: float


@dataclass
class Graph:
    """Instructions in order of evaluation, with what is known about each value.

    bound[v]: magnitude over all slots of value v. degree[v]: polynomials of the ciphertext (2, or 3 before
    relinearisation). squared[v]: whether the scale is that of a product awaiting its rescaling.
    budget: products a contraction may take before the planner prefers what it already has.
    """

    slots: int
    budget: float = math.inf
    code: list[Instruction] = field(default_factory=list)
    bound: list[float] = field(default_factory=list)
    degree: list[int] = field(default_factory=list)
    squared: list[bool] = field(default_factory=list)
    plain: list[PlainNode] = field(default_factory=list)
    plaintexts: list[Gather] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    _known: dict[tuple[object, ...], int] = field(default_factory=dict, repr=False)
    _gathers: dict[tuple[int, bytes], int] = field(default_factory=dict, repr=False)
    _used: set[int] = field(default_factory=set, repr=False)

    def _emit(self, instruction: Instruction, bound: float, degree: int, squared: bool) -> int:
        key = (
            instruction.op,
            instruction.args,
            instruction.depth,
            instruction.step,
            instruction.plaintext,
            instruction.source,
        )
        if key in self._known:
            return self._known[key]
        self.code.append(instruction)
        self.bound.append(bound)
        self.degree.append(degree)
        self.squared.append(squared)
        self._used.update(instruction.args)
        self._known[key] = len(self.code) - 1
        return len(self.code) - 1

    def depth(self, a: int) -> int:
        return self.code[a].depth

    def input(self, name: str, tile: int, bound: float) -> int:
        return self._emit(Instruction("input", (), 0, source=(name, tile)), bound, 2, False)

    def rotate(self, a: int, step: int) -> int:
        """Slot s of the result is slot s + step of `a`, cyclically."""
        step %= self.slots
        if step == 0:
            return a
        if self.degree[a] != 2:
            a = self.relinearize(a)
        return self._emit(Instruction("rotate", (a,), self.depth(a), step), self.bound[a], 2, self.squared[a])

    def add(self, a: int, b: int) -> int:
        """Sum at the deeper of the two depths."""
        if self.squared[a] != self.squared[b]:
            a, b = self.rescale(a), self.rescale(b)
        a, b = self.align(a, self.depth(b)), self.align(b, self.depth(a))
        return self._emit(
            Instruction("add", (a, b), self.depth(a)),
            self.bound[a] + self.bound[b],
            max(self.degree[a], self.degree[b]),
            self.squared[a],
        )

    def negate(self, a: int) -> int:
        return self._emit(
            Instruction("negate", (a,), self.depth(a)), self.bound[a], self.degree[a], self.squared[a]
        )

    def multiply(self, a: int, b: int) -> int:
        a, b = self.settle(a), self.settle(b)
        a, b = self.align(a, self.depth(b)), self.align(b, self.depth(a))
        return self._emit(
            Instruction("multiply", (a, b), self.depth(a)), self.bound[a] * self.bound[b], 3, True
        )

    def multiply_plain(self, a: int, plaintext: int) -> int:
        a = self.settle(a)
        bound = self.bound[a] * self.plaintexts[plaintext].bound
        return self._emit(
            Instruction("multiply_plain", (a,), self.depth(a), plaintext=plaintext), bound, 2, True
        )

    def add_plain(self, a: int, plaintext: int) -> int:
        a = self.settle(a)
        bound = self.bound[a] + self.plaintexts[plaintext].bound
        return self._emit(Instruction("add_plain", (a,), self.depth(a), plaintext=plaintext), bound, 2, False)

    def relinearize(self, a: int) -> int:
        if self.degree[a] == 2:
            return a
        return self._emit(Instruction("relinearize", (a,), self.depth(a)), self.bound[a], 2, self.squared[a])

    def rescale(self, a: int) -> int:
        if not self.squared[a]:
            return a
        return self._emit(
            Instruction("rescale", (a,), self.depth(a) + 1), self.bound[a], self.degree[a], False
        )

    def settle(self, a: int) -> int:
        """`a` relinearised and at a canonical scale."""
        return self.rescale(self.relinearize(a))

    def align(self, a: int, depth: int) -> int:
        """`a` brought down to `depth` at that depth's canonical scale, by a multiplication with 1.

        An input nobody has used yet is encrypted at that depth instead.
        """
        if self.depth(a) >= depth:
            return a
        old = self.code[a]
        if old.op == "input" and a not in self._used:
            del self._known[(old.op, old.args, old.depth, old.step, old.plaintext, old.source)]
            self.code[a] = Instruction(old.op, old.args, depth, source=old.source)
            self._known[(old.op, old.args, depth, old.step, old.plaintext, old.source)] = a
            return a
        a = self.settle(a)
        if self.depth(a) < depth - 1:
            a = self._emit(Instruction("drop", (a,), depth - 1), self.bound[a], 2, False)
        return self.rescale(self.multiply_plain(a, self.constant(1.0)))

    def limit(self, a: int, bound: float) -> int:
        """Record that every slot of `a` is at most `bound`, when that is less than was known."""
        self.bound[a] = min(self.bound[a], bound)
        return a

    def plain_node(self, node: PlainNode) -> int:
        if node in self.plain:
            return self.plain.index(node)
        self.plain.append(node)
        return len(self.plain) - 1

    def gather(self, node: int, index: Map) -> int:
        key = (node, index.tobytes())
        if key not in self._gathers:
            self.plaintexts.append(Gather(node, index, self.plain[node].bound))
            self._gathers[key] = len(self.plaintexts) - 1
        return self._gathers[key]

    def constant(self, value: float, where: Where | None = None) -> int:
        """A plaintext of `value` at the slots where `where` is true (everywhere by default), 0 elsewhere."""
        node = self.plain_node(PlainNode("constant", (1,), abs(value), values=(float(value),)))
        index = np.zeros(self.slots, np.int64) if where is None else np.where(where, 0, ZERO)
        return self.gather(node, index.astype(np.int64))

    def counts(self) -> Counter[str]:
        return Counter(instruction.op for instruction in self.code)

    def levels(self) -> int:
        return max((instruction.depth for instruction in self.code), default=0)

    def magnitude_bits(self, scale_bits: int) -> int:
        """Bits the last prime must hold above the scale so that no value wraps, whatever its depth."""
        levels, needed = self.levels(), 0.0
        for v, instruction in enumerate(self.code):
            extra = scale_bits if self.squared[v] else 0
            needed = max(
                needed,
                math.log2(max(self.bound[v], 1e-300)) + extra - (levels - instruction.depth) * scale_bits,
            )
        return math.ceil(needed)

    def prune(self) -> None:
        """Drop instructions no output depends on, and renumber."""
        live, stack = set(), list(self.outputs)
        while stack:
            v = stack.pop()
            if v not in live:
                live.add(v)
                stack.extend(self.code[v].args)
        order = sorted(live)
        number = {old: new for new, old in enumerate(order)}
        self.code = [
            Instruction(i.op, tuple(number[a] for a in i.args), i.depth, i.step, i.plaintext, i.source)
            for i in (self.code[v] for v in order)
        ]
        self.bound = [self.bound[v] for v in order]
        self.degree = [self.degree[v] for v in order]
        self.squared = [self.squared[v] for v in order]
        self.outputs = [number[v] for v in self.outputs]
        self._known.clear()
        self._used.clear()
