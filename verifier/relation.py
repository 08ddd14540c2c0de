"""A relation as data: named tensors and the claims that tie them. `training.py` writes the one of a network.

Three kinds of claim are made about committed tensors:

* lookup     every entry of a column (a linear form) stands in a public table;
* einsum     an output is a product of tensors summed over an axis, at every index;
* pointwise  a tensor is the entry-wise product of committed ones, zero outside its public size.

`tensors.py` says what they speak of.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .public import Matrix
from .statement import Parameters
from .tensors import Axis, Form, History, Masked, State, Tensor


@dataclass(frozen=True)
class Final:
    """What a history ends with, W_T or with `velocity` 2^q V_T, as a committed state: its value and remainder."""

    history: str
    velocity: bool
    state: State

    @property
    def name(self) -> str:
        """The name of the claim."""
        return f"final:{'velocity.' if self.velocity else ''}{self.history}"


KINDS = ("range", "relu", "exp", "leaky-relu", "leaky-relu-slope", "silu", "silu-slope")


@dataclass(frozen=True)
class Table:
    """A public table of 2^bits rows (u, f(u)), u in [0, 2^bits); `tables.py` gives f.

    `range` has f = 0, `relu` has f = [u > 2^(bits-1)], `exp` has f = round(top * exp(-u / 2^scale)). The others are
    activations and their slopes, functions of u - 2^(bits-1) at scale 2^scale; see `tables.py`.
    """

    kind: str
    bits: int
    scale: int = 0
    top: int = 0

    @property
    def name(self) -> str:
        """The name used in tensor names and labels."""
        return f"{self.kind}{self.bits}"

    @property
    def identity(self) -> int:
        """Distinct for distinct tables; compressed with the rows, so that no row of another table matches."""
        return 64 * KINDS.index(self.kind) + self.bits


@dataclass(frozen=True)
class Lookup:
    """(x + shift, y) stands in `table` at every entry, padding included; y is absent for range tables.

    A `masked` lookup counts only entries inside the public sizes: the others are fractions with the numerator zero.
    """

    name: str
    table: Table
    x: Form
    shift: int
    y: Form | None = None
    masked: bool = False


@dataclass(frozen=True)
class Einsum:
    """output + constant * I = sum over the contracted axis of left[t,b,.] * W[t,.,.] (+ scale * bias) at all indices.

    `transposed` contracts the columns of W ("tbj,tij->tbi") instead of its rows ("tbi,tij->tbj").
    """

    name: str
    output: Form
    axes: tuple[Axis, ...]
    constant: int
    left: str
    weights: str
    transposed: bool
    bias: str | None


@dataclass(frozen=True)
class Selection:
    """tensor[t, b, :] = data[schedule(t, b), :] for every step and sample."""

    name: str
    tensor: str
    data: str


@dataclass(frozen=True)
class Part:
    """coefficient * product of tensors at (t, b, f), or its sum over f below the public size."""

    coefficient: int
    tensors: tuple[str, ...]
    summed: bool


@dataclass(frozen=True)
class Identity:
    """At every (t, b, f), padding included, the parts add up to `constant`, times [t < T][b < B] if `masked`."""

    name: str
    axes: tuple[Axis, ...]
    parts: tuple[Part, ...]
    constant: int = 0
    masked: bool = False


@dataclass(frozen=True)
class Norm:
    """norm[t, f] = sum over b below the public size of tensor[t, b, f]^2, at every (t, f), padding included.

    With `rows` norm[t, b] is the sum over f instead. `norm` is the form of its limbs, of `width` bits in all.
    """

    name: str
    tensor: str
    norm: Form
    rows: bool
    width: int


@dataclass(frozen=True)
class Total:
    """The entries of a product of tensors, inside their public sizes, add up to a public number."""

    name: str
    tensors: tuple[str, ...]
    axes: tuple[Axis, ...]
    value: int


@dataclass(frozen=True)
class Public:
    """form = values + offset at every index inside the public sizes; nothing is said of the padding.

    Axes are (t, b, f) with one step, the values' rows then being samples; or a state's rows and columns; or a bias's
    columns, one row of values.
    """

    name: str
    form: Form
    axes: tuple[Axis, ...]
    values: Matrix
    offset: int = 0


@dataclass(frozen=True)
class Relation:
    """All tensors and claims of one statement. Claims can be removed by name, which only tests do."""

    parameters: Parameters
    tensors: dict[str, Tensor]
    masked: dict[str, Masked]
    histories: dict[str, History]
    lookups: tuple[Lookup, ...]
    einsums: tuple[Einsum, ...]
    selections: tuple[Selection, ...]
    identities: tuple[Identity, ...]
    finals: tuple[Final, ...]
    totals: tuple[Total, ...] = ()
    publics: tuple[Public, ...] = ()
    norms: tuple[Norm, ...] = ()
    removed: frozenset[str] = field(default_factory=frozenset)

    def group(self, name: str) -> list[Tensor]:
        """The tensors of one commitment, in the order of their rows."""
        return [tensor for tensor in self.tensors.values() if tensor.group == name]

    def tables(self) -> list[Table]:
        """The tables in use, largest first."""
        tables = {lookup.table for lookup in self.lookups}
        return sorted(tables, key=lambda table: (-table.bits, table.kind))

    def without(self, name: str) -> Relation:
        """The same relation with one claim dropped: `name` of a claim, `final:W0`, or `mask:A1` for an indicator."""
        return replace(
            self,
            lookups=tuple(c for c in self.lookups if c.name != name),
            einsums=tuple(c for c in self.einsums if c.name != name),
            selections=tuple(c for c in self.selections if c.name != name),
            identities=tuple(c for c in self.identities if c.name != name),
            totals=tuple(c for c in self.totals if c.name != name),
            publics=tuple(c for c in self.publics if c.name != name),
            norms=tuple(c for c in self.norms if c.name != name),
            finals=tuple(final for final in self.finals if final.name != name),
            removed=self.removed | {name},
        )
