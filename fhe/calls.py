"""The short calls: plan one expression, or evaluate it in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhe.errors import ExpressionError, LayoutError, MissingKey
from fhe.expression import parse
from fhe.plan import Plan
from fhe.program import Program
from fhe.server import Server, latest
from fhe.spec import Operand, Release
from fhe.wire import EncryptedTensor


def plan(
    expression: str,
    operands: Mapping[str, Operand],
    *,
    precision: float = 1e-4,
    replicate: str = "auto",
    objective: str = "operations",
    reveal: str = "all",
    release: Release | None = None,
    across: Sequence[str] = (),
    rings: Sequence[int] | None = None,
) -> Plan:
    """Plan one einsum of named operands, in the expression's order.

    `precision`: largest error relative to the output bound. `replicate`: who repeats operands along axes they
    lack: "client" (in its upload), "server" (by rotations, smallest upload) or "auto". `objective`:
    "operations", "time" or "upload". `reveal`: "output" masks all other slots of the result, one level more.
    `release`: size the plan for publishing results. `across`: axes that lie across ciphertexts. `rings`:
    restrict the ring dimensions. Raises ExpressionError, ShapeError, BoundError or LevelsExhausted.
    """
    program = Program()
    tensors = [program.operand(name, spec) for name, spec in operands.items()]
    return program.plan(
        program.einsum(expression, *tensors),
        precision=precision,
        replicate=replicate,
        objective=objective,
        reveal=reveal,
        release=release,
        across=across,
        rings=rings,
    )


def einsum(expression: str, *operands: Any, server: Server | None = None) -> EncryptedTensor:
    """Evaluate the plan the ciphertexts were encrypted for, after checking that it is this expression.

    For notebooks: `server` defaults to the last Server made in this process. Raises ExpressionError when the
    plan is another computation, LayoutError when ciphertexts of different plans meet, MissingKey without a
    server.
    """
    plans = {
        t.origin.digest: t.origin for t in operands if isinstance(t, EncryptedTensor) and t.origin is not None
    }
    if len(plans) != 1:
        raise LayoutError(
            f"'{expression}' got ciphertexts of {len(plans)} plans made in this process; encrypt all "
            "operands with one client.encrypt(plan, …)"
        )
    (chosen,) = plans.values()
    step = chosen.program.steps[chosen.output]
    shapes = [t.shape if isinstance(t, EncryptedTensor) else getattr(t, "shape", ()) for t in operands]
    names = [str(chosen.program.steps[a].attributes[0]) for a in step.args]
    if step.op != "einsum" or len(names) != len(operands):
        raise ExpressionError(
            f"'{expression}' has {len(operands)} operands; the plan is another computation of "
            f"{len(names)}; use plan.run"
        )
    planned = chosen.program.expression(step).canonical()
    if parse(expression, shapes).canonical() != planned:
        raise ExpressionError(f"'{expression}' is not the planned '{planned}' (plan {chosen.digest[:16]})")
    host = server or latest()
    if host is None:
        raise MissingKey("0 servers exist in this process; make one with fhe.Server(client.server_bundle())")
    return chosen.run(host, **dict(zip(names, operands, strict=True)))
