"""Read an einsum expression against shapes: every mistake is found here, before anything is planned."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhe.errors import ExpressionError, ShapeError

_LETTERS = set(string.ascii_letters)
_MAX_TERMS = 1 << 40


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    `inputs` holds one tuple of labels per operand, `output` the result's labels, `extents` the size of every
    label after broadcasting size-1 axes. Labels of an ellipsis are named "0", "1", … from the right.
    """

    text: str
    inputs: tuple[tuple[str, ...], ...]
    output: tuple[str, ...]
    extents: Mapping[str, int]

    @property
    def shape(self) -> tuple[int, ...]:
        """The result's shape."""
        return tuple(self.extents[label] for label in self.output)

    @property
    def contracted(self) -> tuple[str, ...]:
        """Labels summed over, in order of first appearance."""
        seen = dict.fromkeys(label for labels in self.inputs for label in labels)
        return tuple(label for label in seen if label not in self.output)

    def canonical(self) -> str:
        """The expression without spaces, with explicit output: what a digest covers."""
        terms = ",".join("".join(_show(x) for x in labels) for labels in self.inputs)
        return f"{terms}->{''.join(_show(x) for x in self.output)}"


def _show(label: str) -> str:
    return label if label in _LETTERS else f"<{label}>"


def parse(text: str, shapes: Sequence[tuple[int, ...]]) -> Expression:
    """Check `text` against operand `shapes` with NumPy's meaning.

    Raises ExpressionError for text that is no einsum expression and ShapeError for shapes that contradict it.
    """
    if not isinstance(text, str):
        raise ExpressionError(f"an expression is a string such as 'ij,jk->ik', not {type(text).__name__}")
    sides = text.replace(" ", "").split("->")
    if len(sides) > 2:
        raise ExpressionError(f"'{text}': '->' appears {len(sides) - 1} times; write it at most once")
    terms = sides[0].split(",")
    if len(terms) != len(shapes):
        raise ExpressionError(
            f"'{text}' names {len(terms)} operands but {len(shapes)} were given; "
            "separate one term per operand by commas"
        )
    inputs = tuple(
        _expand(text, term, shape, index)
        for index, (term, shape) in enumerate(zip(terms, shapes, strict=True))
    )
    extents = _extents(text, inputs, shapes)
    output = _output(text, sides[1] if len(sides) == 2 else None, inputs, terms)
    size = 1
    for extent in extents.values():
        size *= extent
    if size > _MAX_TERMS:
        raise ShapeError(
            f"'{text}' multiplies {size} terms, more than the {_MAX_TERMS} this planner accepts; "
            "split the contraction into several steps with fhe.Program"
        )
    return Expression(text, inputs, output, extents)


def _expand(text: str, term: str, shape: tuple[int, ...], index: int) -> tuple[str, ...]:
    """Labels of one operand, the ellipsis replaced by numbered labels."""
    head, dots, tail = term.partition("...")
    for char in head + tail:
        if char not in _LETTERS:
            raise ExpressionError(
                f"'{text}': character '{char}' in operand {index} ('{term}') is no axis; "
                "use letters, ',', '->' and one '...'"
            )
    named = len(head) + len(tail)
    if not dots:
        if named != len(shape):
            raise ShapeError(
                f"'{text}': operand {index} ('{term}') names {named} axes but has rank {len(shape)}, "
                f"shape {shape}; write one letter per axis"
            )
        return tuple(term)
    if named > len(shape):
        raise ShapeError(
            f"'{text}': operand {index} ('{term}') names {named} axes beside '...' but has rank "
            f"{len(shape)}, shape {shape}; remove letters or add axes"
        )
    extra = len(shape) - named
    return (*head, *(str(k) for k in reversed(range(extra))), *tail)


def _extents(
    text: str, inputs: Sequence[tuple[str, ...]], shapes: Sequence[tuple[int, ...]]
) -> dict[str, int]:
    extents: dict[str, int] = {}
    for index, (labels, shape) in enumerate(zip(inputs, shapes, strict=True)):
        own: dict[str, int] = {}
        for label, size in zip(labels, shape, strict=True):
            if size == 0:
                raise ShapeError(
                    f"'{text}': axis '{_show(label)}' of operand {index} has size 0; an empty tensor "
                    "cannot be encrypted, leave it out (0 instead of at least 1)"
                )
            if own.setdefault(label, size) != size:
                raise ShapeError(
                    f"'{text}': repeated axis '{_show(label)}' of operand {index} has sizes "
                    f"{own[label]} and {size}; a diagonal needs equal sizes"
                )
        for label, size in own.items():
            known = extents.get(label, 1)
            if known != 1 and size != 1 and known != size:
                raise ShapeError(
                    f"'{text}': axis '{_show(label)}' has size {known} in an earlier operand and {size} "
                    f"in operand {index}; make them equal (or 1, to broadcast)"
                )
            extents[label] = max(known, size)
    return extents


def _output(
    text: str, wanted: str | None, inputs: Sequence[tuple[str, ...]], terms: Sequence[str]
) -> tuple[str, ...]:
    everything = [label for labels in inputs for label in labels]
    dotted = sorted({label for label in everything if label not in _LETTERS}, key=int, reverse=True)
    if wanted is None:
        return (*dotted, *sorted(x for x in set(everything) & _LETTERS if everything.count(x) == 1))
    head, dots, tail = wanted.partition("...")
    if dotted and not dots:
        raise ExpressionError(
            f"'{text}': the output drops '...', which stands for {len(dotted)} axes; "
            "write '...' in the output or name those axes and sum them"
        )
    for char in head + tail:
        if char not in _LETTERS:
            raise ExpressionError(f"'{text}': character '{char}' in the output is no axis; use letters")
        if char not in everything:
            raise ExpressionError(
                f"'{text}': output axis '{char}' is in 0 of {len(terms)} operands; "
                "an output axis must come from an operand"
            )
        if (head + tail).count(char) > 1:
            raise ExpressionError(
                f"'{text}': output axis '{char}' appears {(head + tail).count(char)} times; write it 1 time"
            )
    return (*head, *dotted, *tail) if dots else tuple(head)
