"""What claims speak of: committed tensors, the forms made of them, and the weights that follow from them.

Weights of the T steps are not committed: they are a public linear function of committed tensors (`History`).
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ParametersUnsafe

# The commitments that a tensor may belong to.
GROUPS = ("witness", "initial", "final", "data")


@dataclass(frozen=True)
class Axis:
    """A tensor axis. `kind` names the random point it shares: t step, b sample of a batch, f feature, n data row."""

    kind: str
    size: int

    @property
    def bits(self) -> int:
        """Variables of the axis: it is padded to 2^bits entries."""
        return (self.size - 1).bit_length()


@dataclass(frozen=True)
class Tensor:
    """A committed tensor, row-major over its axes, each padded to a power of two."""

    name: str
    group: str
    axes: tuple[Axis, ...]

    @property
    def bits(self) -> int:
        """Variables of the flat tensor."""
        return sum(axis.bits for axis in self.axes)


@dataclass(frozen=True)
class Form:
    """A linear form over products of committed tensors: sum of coefficient * (T1 * T2 * ...), entry-wise."""

    terms: tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Masked:
    """A derived tensor: `form` inside the public size of `axes`, zero in the padding (the indicator I)."""

    name: str
    axes: tuple[Axis, ...]
    form: Form


@dataclass(frozen=True)
class Sharing:
    """A weight matrix (or a bias, of one row 0) whose entries are those of a shorter committed list, by a public map.

    `entries` are (row, column, k): the weight there is the list's entry k < size. A place that does not appear is zero.
    ParametersUnsafe: a place that appears twice, whose weight could be larger than the list's range, or another k.
    """

    size: int
    entries: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        places: set[tuple[int, int]] = set()
        for row, column, k in self.entries:
            if (row, column) in places or not 0 <= k < self.size:
                raise ParametersUnsafe(
                    f"weight ({row}, {column}) is entry {k} of {self.size}: k must be below, and each weight given once"
                )
            places.add((row, column))


@dataclass(frozen=True)
class State:
    """A committed number of every entry of a weight tensor: form - offset * [inside the public size].

    With `sharing` the form is of the list that is mapped to the entries; only weights that do not move can be shared.
    """

    form: Form
    offset: int
    sharing: Sharing | None = None


@dataclass(frozen=True)
class History:
    """A derived tensor over (t, i, j): W_t as `optimizer.py` has it, of the gradients scale * A_tau^T G_tau.

    `activations` is None for a bias, whose gradient is `scale` * sum_b G. `initial` is None for a public first state,
    which the verifier evaluates itself as that of `layer`, and `velocity` for a first velocity of zero; `gradients` is
    None for weights that stay as they are.
    """

    name: str
    rows: Axis | None
    columns: Axis
    initial: State | None
    velocity: State | None
    activations: str | None
    gradients: str | None
    scale: int
    layer: int


def linear(*terms: tuple[int, str]) -> Form:
    """A form that is linear in committed tensors."""
    return Form(tuple((coefficient, (name,)) for coefficient, name in terms))


def limb_widths(width: int, table_bits: int) -> list[int]:
    """Widths of the limbs of a `width`-bit number, lowest first: full ones of table_bits, then what remains."""
    full, rest = divmod(width, table_bits)
    return [table_bits] * full + ([rest] if rest else [])
