"""Random expressions, shapes and encrypted sets against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from expressions import operands, problems, values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fhe

SETTINGS: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


def reference(text: str, data: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(np.einsum(text, *data.values()))


@settings(max_examples=250, **SETTINGS)
@given(problems(), st.sampled_from(["auto", "client", "server"]), st.integers(0, 1000), st.booleans())
def test_simulator_agrees_with_numpy(
    problem: tuple[str, Any], replicate: str, seed: int, masked: bool
) -> None:
    text, parts = problem
    specs = operands(parts)
    plan = fhe.plan(text, specs, replicate=replicate, reveal="output" if masked else "all")
    data = values(specs, seed)
    exact, counts = plan.simulate(**data)
    noisy, _ = plan.simulate(seed=seed, **data)
    expected = reference(text, data)
    assert exact.shape == expected.shape
    assert np.abs(exact - expected).max() <= 1e-9 * plan.bound
    assert np.abs(noisy - expected).max() <= plan.error <= 1e-4 * plan.bound
    assert counts == {op: n for op, n in plan.counts.items() if op != "input"}
    assert not masked or plan.layout.clean


@settings(max_examples=200, **SETTINGS)
@given(problems(512), st.sampled_from(["client", "server"]), st.integers(0, 1000))
def test_real_backend_agrees_with_numpy(problem: tuple[str, Any], replicate: str, seed: int) -> None:
    text, parts = problem
    specs = operands(parts)
    plan = fhe.plan(text, specs, replicate=replicate)
    data = values(specs, seed)
    client = fhe.Client.for_plans([plan])
    server = fhe.Server(client.server_bundle())
    secret = {n: v for n, v in data.items() if isinstance(specs[n], fhe.Encrypted)}
    got = client.decrypt(plan, plan.run(server, **{**data, **client.encrypt(plan, **secret)}))
    expected = reference(text, data)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= plan.error


def test_labels_summed_in_plain_operands_alone_do_not_enter_the_index_space() -> None:
    text, parts = "ab,ab,->", [(True, (1, 1)), (False, (1, 2)), (True, ())]
    specs = operands(parts)
    data = values(specs, 0)
    for replicate in ("client", "server"):
        got, _ = fhe.plan(text, specs, replicate=replicate).simulate(**data)
        assert np.abs(got - reference(text, data)).max() <= 1e-9


def test_what_the_server_replicates_is_zero_elsewhere_first() -> None:
    text, parts = "b...,eea,->...a", [(True, (2, 1)), (False, (4, 4, 4)), (True, ())]
    specs = operands(parts)
    data = values(specs, 32)
    for replicate in ("client", "server"):
        got, _ = fhe.plan(text, specs, replicate=replicate, reveal="output").simulate(**data)
        assert np.abs(got - reference(text, data)).max() <= 1e-9


@pytest.mark.parametrize("shape", [(40, 60, 30), (129, 17, 65)])
@pytest.mark.parametrize("exponent", [4096, 8192])
def test_operands_beyond_one_ciphertext(shape: tuple[int, int, int], exponent: int) -> None:
    i, k, j = shape
    specs = {"x": fhe.Encrypted((i, k)), "y": fhe.Encrypted((k, j))}
    plan = fhe.plan("ik,kj->ij", specs, rings=[exponent * 2])
    data = values(specs, 3)
    got, _ = plan.simulate(seed=1, **data)
    assert plan.layouts["x"].tiles > 1
    assert np.abs(got - data["x"] @ data["y"]).max() <= plan.error
