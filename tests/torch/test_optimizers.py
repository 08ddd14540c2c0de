"""1,000 steps in exact integers beside the same steps of torch.optim.SGD in float64, on the same batches."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prover.choose import choose_parameters, draft_parameters, initial_state, one_hot, quantize
from prover.model_io import load_data
from prover.plan import plan_segments
from prover.rates import scheduled
from prover.trainer import State, predict, run
from verifier.schedule import batches

pytestmark = pytest.mark.services
DIGITS = Path(__file__).parents[2] / "examples" / "data" / "digits.csv.gz"
STEPS, SEED, WIDTHS = 1000, bytes(range(32)), (64, 128, 64, 10)
RUNS: dict[str, dict[str, Any]] = {
    "plain": {"rate": 0.1},
    "cosine": {"rate": scheduled(0.1, STEPS, "cosine", warmup=50)},
    "momentum": {"rate": 0.02, "momentum": 0.9},
    "nesterov": {"rate": 0.02, "momentum": 0.9, "nesterov": True},
    "decay": {"rate": 0.1, "weight_decay": 1e-3},
    "momentum and decay": {"rate": 0.02, "momentum": 0.9, "weight_decay": 1e-3},
}


@pytest.mark.parametrize("name", RUNS)
def test_integers_train_as_floats_do(name: str, torch_python: Path, tmp_path: Path) -> None:
    """Accuracy on the third of the digits that neither saw: within half a point."""
    data = load_data(DIGITS)
    seen = np.arange(len(data.features)) % 3 != 0
    draft = draft_parameters(
        widths=WIDTHS, batch=64, steps=STEPS, target="one-hot", table_bits=16, row_bits=14, blowup_bits=2,
        data_openings=1, state_openings=4, security_bits=128, zero_knowledge=True, loss="ce", **RUNS[name],
    )  # fmt: skip
    features = data.features / 16
    inputs, targets = quantize(features, draft.activation_bits, 16, "digits"), one_hot(data.labels, 10)
    first = initial_state(WIDTHS, draft.state_bits, np.random.default_rng(1).bytes)
    chosen, _ = choose_parameters(draft, first, inputs[seen], targets[seen], seed=SEED)
    parts = plan_segments(chosen, int(seen.sum()))
    state = first
    for part in parts:
        schedule = batches(SEED, int(seen.sum()), part.batch, part.first_step, part.steps)
        state, _ = run(part, state, inputs[seen], targets[seen], schedule)
    theirs = _torch(torch_python, tmp_path, draft, first, features[seen], data.labels[seen])
    hits = predict(state, chosen, inputs[~seen]) == data.labels[~seen]
    values = features[~seen]
    for l in range(3):
        values = values @ theirs[f"W{l}"] + theirs[f"b{l}"]
        values = values if l == 2 else np.maximum(values, 0)
    wanted = values.argmax(axis=1) == data.labels[~seen]
    ours = _floats(draft, state)
    gap = sum(((ours[k] - theirs[k]) ** 2).sum() for k in ours) / sum((theirs[k] ** 2).sum() for k in ours)
    print(
        f"{name}: {len(parts)} segments; accuracy {hits.mean():.4f} in integers, {wanted.mean():.4f} in floats; "
        f"weights apart by {gap**0.5:.2e} of their length"
    )
    assert wanted.mean() > 0.94 and abs(hits.mean() - wanted.mean()) <= 0.005
    assert gap**0.5 < 0.1


def _floats(p: Any, state: State) -> dict[str, Any]:
    whole = [*zip("WWW", range(3), state.weights, strict=True), *zip("bbb", range(3), state.biases, strict=True)]
    return {f"{kind}{layer}": values / 2.0**p.state_bits for kind, layer, values in whole}


def _torch(python: Path, folder: Path, p: Any, first: State, features: Any, labels: Any) -> dict[str, Any]:
    """The last weights of the run in floating point, with the learning rates that the integers stand for."""
    source, target = folder / "run.npz", folder / "out.npz"
    np.savez(
        source,
        **_floats(p, first),
        inputs=features,
        labels=labels,
        schedule=np.array(batches(SEED, len(features), p.batch, 0, p.steps)),
        rates=[p.batch * p.rate(t) / 2.0**p.rate_bits for t in range(p.steps)],
        momentum=p.momentum / 10**9,
        nesterov=p.nesterov,
        weight_decay=p.weight_decay / 10**9,
    )
    script = Path(__file__).with_name("reference.py")
    done = subprocess.run([python, script, source, target], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(np.load(target))
