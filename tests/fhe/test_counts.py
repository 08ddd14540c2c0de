"""The count table as a regression gate, and every expression of it on the real backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from expressions import TABLE, operands, values

import fhe


def measured(plan: fhe.Plan, data: dict[str, np.ndarray]) -> tuple[int, int, int]:
    """Rotations, ciphertext products and levels that the simulator saw."""
    _, counts = plan.simulate(**data)
    return counts["rotate"], counts["multiply"], plan.levels


@pytest.mark.parametrize(("text", "parts", "server", "client"), TABLE, ids=[row[0] for row in TABLE])
def test_counts_are_at_or_below_the_table(
    text: str, parts: Any, server: tuple[int, int, int], client: int
) -> None:
    specs = operands(parts)
    data = values(specs, 0)
    by_server = measured(fhe.plan(text, specs, replicate="server"), data)
    by_client = measured(fhe.plan(text, specs, replicate="client"), data)
    assert all(got <= limit for got, limit in zip(by_server, server, strict=True)), by_server
    assert all(got <= limit for got, limit in zip(by_client, (client, *server[1:]), strict=True)), by_client


@pytest.mark.parametrize("replicate", ["server", "client"])
@pytest.mark.parametrize(("text", "parts"), [row[:2] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_real_backend_stays_within_the_prediction(text: str, parts: Any, replicate: str) -> None:
    specs = operands(parts)
    plan = fhe.plan(text, specs, replicate=replicate)
    data = values(specs, 1)
    client = fhe.Client.for_plans([plan])
    secret = {n: v for n, v in data.items() if isinstance(specs[n], fhe.Encrypted)}
    result = plan.run(fhe.Server(client.server_bundle()), **{**data, **client.encrypt(plan, **secret)})
    error = np.abs(client.decrypt(plan, result) - np.einsum(text, *data.values())).max()
    assert error <= plan.error <= 100 * error
    assert error <= 1e-4 * plan.bound


def test_two_encrypted_matrices_replicated_by_the_client() -> None:
    specs = operands([(True, (64, 64)), (True, (64, 64))])
    plan = fhe.plan("ik,kj->ij", specs, replicate="client")
    _, counts = plan.simulate(**values(specs, 2))
    assert counts["multiply"] <= 16
    assert counts["relinearize"] <= 1
    assert counts["rotate"] <= 2


def test_two_encrypted_matrices_in_two_ciphertexts() -> None:
    specs = operands([(True, (64, 64)), (True, (64, 64))])
    plan = fhe.plan("ik,kj->ij", specs, replicate="server")
    data = values(specs, 2)
    got, _ = plan.simulate(seed=5, **data)
    assert [layout.tiles for layout in plan.layouts.values()] == [1, 1]
    assert np.abs(got - data["x0"] @ data["x1"]).max() <= plan.error


def test_keys_are_exactly_those_of_the_plan() -> None:
    plan = fhe.plan("ik,k->i", operands([(True, (16, 16)), (True, (16,))]), replicate="server")
    steps = {i.step for i in plan.graph.code if i.op == "rotate"}
    assert set(plan.rotations) == steps
    depths = {s: min(i.depth for i in plan.graph.code if i.op == "rotate" and i.step == s) for s in steps}
    assert plan.rotations == depths
    assert min(depths.values()) == 0 and max(depths.values()) == 1
