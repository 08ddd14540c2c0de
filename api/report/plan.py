"""The report of a plan for encrypted tensors: where values lie in ciphertexts, what is done with them, at what cost."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

import fhe
from fhe.layout import GARBAGE, ZERO, Layout

from ..console import size
from . import figures
from .page import environment

_CELLS, _ROWS = 128, 32
_SHOWN_STEPS = 400
_NAMES = {
    "rotate": "rotations",
    "multiply": "products of ciphertexts",
    "multiply_plain": "products with plaintexts",
    "relinearize": "relinearisations",
    "rescale": "rescalings",
    "add": "additions",
    "add_plain": "additions of plaintexts",
    "drop": "level drops",
    "negate": "negations",
    "input": "inputs",
}


def render_plan(plan: fhe.Plan, title: str) -> str:
    """The report of a plan as HTML; `title` is the expression as it was asked for."""
    steps = plan.steps().splitlines()
    counts = sorted(plan.counts.items(), key=lambda item: -item[1])
    layouts = [(name, layout) for name, layout in plan.layouts.items()] + [("result", plan.layout)]
    upload = sorted(plan.upload.items())
    moved = [(f"upload of {name}", count) for name, count in upload]
    moved += [("download of the result", plan.download), ("keys, once", plan.key_bytes)]
    return environment().get_template("plan.html.jinja").render(
        title=title,
        plan=plan,
        facts=_facts(plan),
        layouts=[(name, str(layout.shape), layout.text, _slots(name, layout)) for name, layout in layouts],
        counts=figures.bars((_NAMES.get(op, op), n, f"{n:,}") for op, n in counts),
        moved=figures.bars((name, n, size(n)) for name, n in moved),
        steps=steps[:_SHOWN_STEPS],
        left_out=len(steps) - _SHOWN_STEPS,
    )


def _facts(plan: fhe.Plan) -> list[tuple[str, str]]:
    rows = [
        (name, f"{'encrypted' if isinstance(spec, fhe.Encrypted) else 'plain'} {spec.shape}, |entry| ≤ {spec.bound:g}")
        for name, spec in plan.operands.items()
    ]
    clean = "hold zeros" if plan.layout.clean else "hold partial sums"
    return [
        *rows,
        ("Result", f"{plan.shape}, |entry| ≤ {plan.bound:g}"),
        ("Largest error, predicted", f"{plan.error:.2g}"),
        ("Time on one core, predicted", f"{plan.seconds:.3g} s"),
        ("Levels", str(plan.levels)),
        ("Ring", f"{plan.params.ring:,}, scale 2^{plan.params.scale_bits}"),
        ("Rotation keys", str(len(plan.rotations))),
        ("Other slots of the result", clean),
    ]


def _slots(name: str, layout: Layout) -> Markup:
    """The same picture as `Layout.draw`: at most 128 cells a ciphertext and 32 ciphertexts."""
    step = max(1, layout.slots // _CELLS)
    rows = []
    for tile in layout.maps[:_ROWS]:
        parts = tile[: step * _CELLS].reshape(-1, step)
        rest, empty = (parts == GARBAGE).any(axis=1), (parts == ZERO).all(axis=1)
        rows.append("".join(np.where(rest, "~", np.where(empty, ".", "#"))))
    return figures.slots(rows, f"Slots of {name}")
