"""Programs of several steps, each strategy by itself, and encrypted inference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import digits
import numpy as np
import pytest
from expressions import operands, values

import fhe
from fhe.contraction import Strategy
from fhe.lowering import lower_program
from fhe.planner import smallest_scale
from fhe.polynomial import fit, largest
from fhe.simulator import Simulator

Build = Callable[[fhe.Program, Any, Any], Any]
STEPS: dict[str, tuple[Build, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "add": (lambda p, x, y: p.add(x, y), lambda x, y: x + y),
    "subtract": (lambda p, x, y: p.subtract(x, y), lambda x, y: x - y),
    "multiply": (lambda p, x, y: p.multiply(x, y), lambda x, y: x * y),
    "broadcast": (lambda p, x, y: p.add(p.sum(x, 0), y), lambda x, y: x.sum(0) + y),
    "row": (lambda p, x, y: p.subtract(y, p.slice(x, 1)), lambda x, y: y - x[1]),
    "mean": (lambda p, x, y: p.mean(p.add(x, y)), lambda x, y: (x + y).mean()),
    "mean axis": (lambda p, x, y: p.mean(p.multiply(x, y), 1), lambda x, y: (x * y).mean(1)),
    "slices": (
        lambda p, x, y: p.slice(p.add(x, y), slice(1, 4), slice(None, None, -2)),
        lambda x, y: (x + y)[1:4, ::-2],
    ),
    "reshape": (
        lambda p, x, y: p.reshape(p.transpose(p.add(x, y)), (6, 5)),
        lambda x, y: (x + y).T.reshape(6, 5),
    ),
    "matrix chain": (lambda p, x, y: p.einsum("ij,kj,kl->il", x, y, x), lambda x, y: x @ y.T @ x),
    "square": (lambda p, x, y: p.einsum("ij,ij->i", x, x), lambda x, y: (x * x).sum(1)),
    "gram": (
        lambda p, x, y: p.einsum("ij,kj->ik", p.add(x, y), p.subtract(x, y)),
        lambda x, y: (x + y) @ (x - y).T,
    ),
    "polynomial": (
        lambda p, x, y: p.polyval(p.einsum("ij,kj->ik", x, y), [1, -2, 0, 0.5, 0, 0, 0, 0.1]),
        lambda x, y: np.polynomial.Polynomial([1, -2, 0, 0.5, 0, 0, 0, 0.1])(x @ y.T),
    ),
    "scaled": (lambda p, x, y: p.multiply(p.polyval(x, [0.25, 0, 1]), 3.0), lambda x, y: 3 * (x * x + 0.25)),
    "itself": (lambda p, x, y: p.subtract(x, x), lambda x, y: x - x),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("plain", [False, True])
def test_steps_against_numpy(name: str, plain: bool) -> None:
    build, expected = STEPS[name]
    program = fhe.Program()
    x = program.encrypted("x", (5, 6), 1.0)
    y = program.operand("y", (fhe.Plain if plain else fhe.Encrypted)((5, 6), 1.0))
    plan = program.plan(build(program, x, y), precision=1e-3)
    rng = np.random.default_rng(1)
    data = {"x": rng.uniform(-1, 1, (5, 6)), "y": rng.uniform(-1, 1, (5, 6))}
    wanted = expected(data["x"], data["y"])
    used = {n: v for n, v in data.items() if isinstance(program.operands[n], fhe.Plain) or n in plan.layouts}
    got, _ = plan.simulate(seed=2, **used)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= plan.error


@pytest.mark.parametrize("name", ["matrix chain", "polynomial", "gram", "slices"])
def test_steps_on_the_real_backend(name: str) -> None:
    build, expected = STEPS[name]
    program = fhe.Program()
    x, y = program.encrypted("x", (5, 6)), program.encrypted("y", (5, 6))
    plan = program.plan(build(program, x, y), precision=1e-3)
    data = values({"x": program.operands["x"], "y": program.operands["y"]}, 4)
    client = fhe.Client.for_plans([plan])
    got = client.decrypt(plan, plan.run(fhe.Server(client.server_bundle()), **client.encrypt(plan, **data)))
    assert np.abs(got - expected(data["x"], data["y"])).max() <= plan.error


@pytest.mark.parametrize("secret", [(True, True), (True, False)])
@pytest.mark.parametrize(
    "strategy",
    [
        Strategy("product", "client", ("i", "j", "k"), ("k", "j", "i")),
        Strategy("product", "server", ("k", "j", "i"), ("k", "j", "i")),
        Strategy("product", "client", ("j", "k", "i"), ("j", "i", "k"), exact=True),
        Strategy("product", "client", ("i", "j", "k"), (), across=("k",)),
        Strategy("skew"),
        Strategy("linear"),
    ],
    ids=["client", "server", "exact", "across", "skew", "linear"],
)
def test_every_strategy_means_the_same(strategy: Strategy, secret: tuple[bool, bool]) -> None:
    if (strategy.method == "skew") != all(secret) and strategy.method in ("skew", "linear"):
        secret = (True, strategy.method == "skew")
    specs = operands([(secret[0], (7, 12)), (secret[1], (12, 5))])
    program = fhe.Program()
    node = program.einsum("ik,kj->ij", *(program.operand(n, s) for n, s in specs.items()))
    graph, result, layouts = lower_program(program, node.index, 1024, {node.index: strategy}, "all")
    found = smallest_scale(graph, 2048, 1e9)
    assert result.shape == (7, 5) and layouts
    whole = fhe.plan("ik,kj->ij", specs)
    shadow = type(whole)(
        program,
        node.index,
        whole.options,
        found[0] if found else whole.params,
        graph,
        result.layout,
        result.bound,
        layouts,
        whole.analysis,
    )
    data = values(specs, 5)
    got, _ = shadow.simulate(**data)
    assert np.abs(got - data["x0"] @ data["x1"]).max() < 1e-9


def test_simulator_refuses_what_the_scheme_would_not_forgive() -> None:
    plan = fhe.plan("ij->i", {"x": fhe.Encrypted((4, 4))})
    bare = Simulator(plan.params, {}, None)
    slots = bare.encrypt(np.zeros(plan.params.slots), 0)
    with pytest.raises(fhe.FheError, match="no key"):
        bare.rotate(slots, 1)
    with pytest.raises(fhe.FheError, match="key"):
        bare.relinearize(slots)
    with pytest.raises(fhe.FheError, match="exceeds the modulus"):
        bare.add(bare.encrypt(np.full(plan.params.slots, 1e30), 0), slots)
    with pytest.raises(fhe.FheError, match="no level"):
        bare.rescale(slots)


def test_garbage_is_masked_before_a_power() -> None:
    program = fhe.Program()
    x = program.encrypted("x", (4, 8), 1.0)
    small = program.declare(program.einsum("ij->i", x), 0.5)
    plan = program.plan(program.polyval(small, [0.1, 0, 0, 0, 1]), precision=1e-3)
    assert plan.layout.clean
    data = np.full((4, 8), 0.05)
    assert np.abs(plan.simulate(seed=1, x=data)[0] - (0.4**4 + 0.1)).max() <= plan.error


def test_fit_and_bound_of_polynomials() -> None:
    c = fit(lambda x: x**3 - x, 2.0, 5)
    assert np.allclose(c, [0, -1, 0, 1, 0, 0], atol=1e-9)
    assert largest([0, -1, 0, 1], 1.0) == pytest.approx(2 / 3 / np.sqrt(3))
    assert largest([0, -1, 0, 1], 2.0) == pytest.approx(6)


def test_several_processes_give_the_same_words() -> None:
    plan = fhe.plan("ij->ji", {"x": fhe.Encrypted((128, 64))}, rings=[4096])
    client = fhe.Client.for_plans([plan])
    server = fhe.Server(client.server_bundle())
    cts = client.encrypt(plan, x=np.eye(128, 64))
    assert len(plan.graph.outputs) == 4
    assert plan.run(server, workers=2, **cts).words == plan.run(server, **cts).words


def test_a_plan_prints_and_draws_itself() -> None:
    plan = fhe.plan("bi,ij->bj", {"x": fhe.Encrypted((4, 8)), "w": fhe.Plain((8, 2))})
    text = str(plan)
    for part in (
        "rotations",
        "levels: 1",
        "128-bit",
        "keys:",
        "upload",
        "error ≤",
        "'bi,ij->bj'",
        plan.digest[:16],
    ):
        assert part in text
    assert "#" in plan.draw() and plan.steps().count("\n") == len(plan.graph.code) - 1
    assert set(plan.svg()) == {"x", "result"} and plan.svg()["x"].startswith("<svg")
    assert fhe.plan("bi,ij->bj", {"x": fhe.Encrypted((4, 8)), "w": fhe.Plain((8, 2))}).digest == plan.digest


@pytest.mark.parametrize("seed", digits.SEEDS)
def test_digits_lose_at_most_one_point(seed: int) -> None:
    train, _, test, labels = digits.data()
    network = fhe.compile(digits.train(seed), calibration=train)
    got = network.simulate(test, seed=seed)
    assert np.abs(got - network.polynomial(test)).max() <= network.plan.error * network.scale
    assert digits.accuracy(got, labels) >= digits.accuracy(network.clear(test), labels) - 1


def test_a_small_network_on_the_real_backend(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    tensors = {
        "0.weight": rng.normal(0, 0.5, (6, 4)),
        "0.bias": rng.normal(0, 0.1, 6),
        "1.weight": rng.normal(0, 0.5, (3, 6)),
        "1.bias": rng.normal(0, 0.1, 3),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    layers = fhe.load_layers(tmp_path / "model.safetensors")
    x = rng.uniform(-1, 1, (10, 4))
    network = fhe.compile(layers, calibration=x, degree=3, batch=8)
    assert np.allclose(
        network.clear(x),
        np.maximum(x @ tensors["0.weight"].T + tensors["0.bias"], 0) @ tensors["1.weight"].T
        + tensors["1.bias"],
    )
    client = fhe.Client.for_plans([network.plan])
    got = network.infer(client, fhe.Server(client.server_bundle()), x)
    assert np.abs(got - network.polynomial(x)).max() <= network.plan.error * network.scale
