"""The relation of training a network, and the bounds that keep its integers from wrapping around the field."""

from __future__ import annotations

from .activations import chain, chain_bound
from .builder import Builder
from .errors import ParametersUnsafe
from .evaluation import accuracy_relation
from .field import P
from .inference import inference_relation
from .initial import bound as initial_bound
from .network import finals, forward, states, targets
from .norms import activations, changes, gradients, norms
from .opening import model_relation
from .optimizer import coefficients, spread
from .relation import Einsum, Identity, Lookup, Part, Relation, Table
from .statement import Parameters, Statement
from .tensors import Form, linear

USES = {"accuracy": accuracy_relation, "inference": inference_relation, "model": model_relation}


def training_relation(statement: Statement) -> Relation:
    """The relation of T steps of integer SGD on a network of full layers; of another task, if that is the statement's.

    Tensors per layer l: Y (rounded pre-activation), limbs of the forward remainder, those of the activation
    (`activations.py`), GA (rounded gradient at the layer's input), limbs of its remainder. A and G are derived.
    """
    if statement.parameters.task != "training":
        return USES[statement.parameters.task](statement)
    build = Builder(statement)
    p, t, b, f = build.p, build.t, build.b, build.f
    last, w = p.layers - 1, p.weight_bits
    rounding = -(1 << (w - 1))
    einsums = forward(build)
    target = targets(build)
    if p.loss == "ce":
        _cross_entropy(build, target)
    else:
        _squared_error(build, target)
    for l in range(last, 0, -1):
        ga = build.batch_tensor(f"GA{l}", f[l])
        remainder = build.limbs(f"RG{l}", "witness", w, (t, b, f[l]), checked=True)
        build.signed(ga, linear((1, ga)), p.backward_width)
        chain(build, l - 1)
        einsums.append(
            Einsum(
                f"backward:{l}",
                Form(((1 << w, (ga,)), *remainder.terms)),
                (t, b, f[l]),
                rounding,
                f"G{l}",
                f"W{l}",
                True,
                None,
            )
        )
    norms(build)
    return build.relation(einsums, states(build), finals(build))


def _squared_error(build: Builder, target: str) -> None:
    """Mean squared error: G = 2^(g-a) * (Y - 2^(a - target_bits) * target), the difference range-checked."""
    p, last = build.p, build.p.layers - 1
    up = 1 << (p.activation_bits - p.target_bits)
    build.signed("error", linear((1, f"Y{last}"), (-up, target)), p.error_width)
    gain = 1 << (p.gradient_bits - p.activation_bits)
    build.define(f"G{last}", build.f[-1], linear((gain, f"Y{last}"), (-gain * up, target)))


def exponential_top(p: Parameters) -> int:
    """The largest entry of the exponential's table: C classes add up to less than 2^table_bits."""
    return ((1 << p.table_bits) - 1) // p.widths[-1]


def _cross_entropy(build: Builder, target: str) -> None:
    """Softmax cross entropy over C classes, every quantity an integer and unique:

    top = max_j Y_j, by a one-hot choice with sum_j choice_j Y_j = top and top - Y_j in the table's domain;
    E_j = exp table of top - Y_j; sum = sum_j E_j; P_j = floor(2^g E_j / sum), by 2^g E_j = P_j sum + rest_j with rest_j
    and sum - 1 - rest_j in one range (so sum > 0); G_j = P_j - 2^g target_j. `top` and `sum` are constant along j.
    """
    p, axes, y = build.p, (build.t, build.b, build.f[-1]), f"Y{build.p.layers - 1}"
    names = ("top", "choice", "exp", "sum", "share", "rest")
    top, choice, exp, total, share, rest = (build.batch_tensor(name, build.f[-1]) for name in names)
    table = Table("exp", p.output_width, p.activation_bits, exponential_top(p))
    build.lookups.append(Lookup("exp", table, linear((1, top), (-1, y)), 0, linear((1, exp)), masked=True))
    build.range(choice, linear((1, choice)), 1, 0)
    build.range(share, linear((1, share)), p.table_bits, 0)
    build.range(rest, linear((1, rest)), p.table_bits, 0)
    build.range("slack", linear((1, total), (-1, rest)), p.table_bits, -1)
    unit = 1 << p.gradient_bits
    build.identities += [
        Identity("choice", axes, (Part(1, (choice,), True),), 1),
        Identity("top", axes, (Part(1, (choice, y), True), Part(-1, (top,), False))),
        Identity("sum", axes, (Part(1, (exp,), True), Part(-1, (total,), False))),
        Identity(
            "division", axes, (Part(unit, (exp,), False), Part(-1, (share, total), False), Part(-1, (rest,), False))
        ),
    ]
    build.define(f"G{p.layers - 1}", build.f[-1], linear((1, share), (-unit, target)))


def integer_bounds(p: Parameters) -> dict[str, int]:
    """The largest magnitude each integer of the relation can have, given the proven ranges and the number of steps.

    |W_t| by the optimiser's coefficients (`optimizer.py`) on |W_0| <= 2^(bW-1), |V_0| <= 2^(bV-1) and what one step
    adds; then |Z| <= max sum|A| max|W_t| + 2^a max|bias|, and the same backward. `norms.py` bounds both sums.
    """
    last, bounds = p.layers - 1, {}
    training = p.task == "training"
    for l in range(p.layers):
        a, change, shift = activations(p, l), 0, 0
        if training:
            g = gradients(p, l)
            change, shift = changes(p, a, g)
        weight, bias = _state_bound(p, change), _state_bound(p, shift) if p.bias else 0
        y_width = p.output_width if l == last else p.activation_width
        output = (1 << (p.weight_bits + y_width)) + (1 << p.weight_bits)
        bounds[f"weights of layer {l}"] = max(weight, bias, _rounded_bound(p))
        if training and p.momentum:
            bounds[f"velocities of layer {l}"] = max(_velocity_bound(p, change), _velocity_bound(p, shift))
        bounds[f"forward sums of layer {l}"] = a.total * weight + (bias << p.activation_bits) + output
        if l and training:
            back = (1 << (p.weight_bits + p.backward_width)) + (1 << p.weight_bits)
            bounds[f"backward sums of layer {l}"] = g.total * weight + back
            if p.activation != "relu":
                bounds[f"slope products of layer {l}"] = chain_bound(p)
    return bounds


def _state_bound(p: Parameters, change: int) -> int:
    """The largest |W_t| when a gradient is at most `change`."""
    largest = 1 << (p.weight_width - 1)
    if p.task != "training":
        return largest << p.state_shift
    state, velocity, moves = spread(p)
    start = 1 << (p.velocity_width - 1) if p.starts_moving else 0
    return state * largest + velocity * start + moves * change


def _rounded_bound(p: Parameters) -> int:
    """The largest 2^q W_T + remainder, for a last state W_T that is rounded."""
    return 1 << (p.weight_width + p.kernel_bits) if p.state_shift and p.task == "training" else 0


def _velocity_bound(p: Parameters, change: int) -> int:
    """The same of 2^q V_T."""
    found = coefficients(p)
    start = 1 << (p.velocity_width - 1) if p.starts_moving else 0
    sides = abs(found.last[0]) * (1 << (p.weight_width - 1)) + abs(found.last[1]) * start
    return max(sides + sum(map(abs, found.last_gradients)) * change, 1 << (p.velocity_width + p.kernel_bits))


def check_bounds(p: Parameters) -> None:
    """Refuses parameters for which equality mod p would not be equality of integers."""
    if p.initial == "public-seed":
        for layer in range(p.layers):
            if initial_bound(p, layer) >= 1 << (p.weight_width - 1):
                raise ParametersUnsafe(
                    f"first weights of layer {layer} may reach {initial_bound(p, layer)}, more than weight_width = "
                    f"{p.weight_width} bits hold"
                )
    for place, bound in integer_bounds(p).items():
        if bound >= P // 2:
            raise ParametersUnsafe(
                f"{place} may reach 2^{bound.bit_length()}, which wraps around the field (p/2 is "
                "2^63): use fewer steps a proof or narrower ranges"
            )
