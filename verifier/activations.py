"""The claims of a hidden layer's activation: its value, its slope, and the gradient that passes through it.

ReLU needs one bit D = [Y > 0] and no rounding: A = Y D, G = GA D. Any other activation of one input is a pair of public
tables, value and slope: A = act with (Y, act) in the one, and G = grad = floor(GA slope / 2^d + 1/2) with (Y, slope) in
the other, d = SLOPE_BITS. A function is added by its two columns in `tables.py`; nothing else in the proof changes.
"""

from __future__ import annotations

from .builder import Builder
from .relation import Identity, Lookup, Part, Table
from .statement import Parameters
from .tables import SLOPE_BITS
from .tensors import Form, linear


def function_tables(p: Parameters) -> tuple[Table, Table]:
    """Value and slope of an activation other than ReLU, for Y in the activations' range, in rows Y + 2^(width-1)."""
    value, slope = p.activation, f"{p.activation}-slope"
    return tuple(Table(kind, p.activation_width, p.activation_bits) for kind in (value, slope))  # type: ignore[return-value]


def activate(build: Builder, l: int) -> None:
    """A_(l+1) from Y_l. The lookups are the range check of Y, too: row Y + 2^(width-1) of a table of 2^width rows.

    Where Y is zero in the padding, act is f(0) = 0 there, and the slope that of zero.
    """
    p, y, feature = build.p, f"Y{l}", build.f[l + 1]
    x, shift = linear((1, y)), 1 << (p.activation_width - 1)
    if p.activation == "relu":
        d = build.batch_tensor(f"D{l}", feature)
        build.lookups.append(Lookup(f"relu:{y}", Table("relu", p.activation_width), x, shift, linear((1, d))))
        build.define(f"A{l + 1}", feature, Form(((1, (y, d)),)))
        return
    act = build.batch_tensor(f"act{l}", feature)
    build.lookups.append(Lookup(f"act:{y}", function_tables(p)[0], x, shift, linear((1, act))))
    build.define(f"A{l + 1}", feature, linear((1, act)))


def chain(build: Builder, l: int) -> None:
    """G_l of a hidden layer from GA_(l+1) and the activation's slope, which only training needs.

    2^d grad + rest - 2^(d-1) = GA slope at every index, with rest in [0, 2^d). The range of grad makes this an equation
    of integers: 2^d has an inverse mod p, so that every other rest has a quotient in the field, only not a small one.
    """
    p, feature, ga = build.p, build.f[l + 1], f"GA{l + 1}"
    if p.activation == "relu":
        build.define(f"G{l}", feature, Form(((1, (ga, f"D{l}")),)))
        return
    axes = (build.t, build.b, feature)
    slope, y = build.batch_tensor(f"slope{l}", feature), linear((1, f"Y{l}"))
    shift = 1 << (p.activation_width - 1)
    build.lookups.append(Lookup(f"slope:Y{l}", function_tables(p)[1], y, shift, linear((1, slope))))
    grad = build.batch_tensor(f"grad{l}", feature)
    build.signed(grad, linear((1, grad)), p.backward_width)
    rest = build.limbs(f"rest{l}", "witness", SLOPE_BITS, axes, checked=True)
    parts = [Part(1 << SLOPE_BITS, (grad,), False), *(Part(c, limb, False) for c, limb in rest.terms)]
    product = Part(-1, (ga, slope), False)
    build.identities.append(Identity(f"chain:{l}", axes, (*parts, product), 1 << (SLOPE_BITS - 1)))
    build.define(f"G{l}", feature, linear((1, grad)))


def chain_bound(p: Parameters) -> int:
    """The largest magnitude of either side of `chain`'s equation; slopes of all tables are within +-2, so 2^(d+1)."""
    quotient = 1 << (SLOPE_BITS + p.backward_width - 1)
    return quotient + (1 << (SLOPE_BITS + 1)) + (1 << (SLOPE_BITS + 1 + p.backward_width - 1))
