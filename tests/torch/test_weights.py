"""Weights go to PyTorch and come back: `load_state_dict` of the float file, and a state_dict as first weights."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from prover.model_io import load_state, save_weights
from prover.trainer import predict
from tests.digits import digits

pytestmark = pytest.mark.services

SCRIPT = """
import json, sys
import torch
from safetensors.torch import load_file, save_file

mode, activation, bias, folder = sys.argv[1], sys.argv[2], sys.argv[3] == "True", sys.argv[4]
data = load_file(folder + "/data.safetensors")
between = {"relu": torch.nn.ReLU, "leaky-relu": lambda: torch.nn.LeakyReLU(0.125), "silu": torch.nn.SiLU}[activation]
torch.manual_seed(1)
widths = (64, 32, 16, 10)
parts = []
for d_in, d_out in zip(widths, widths[1:]):
    parts += [torch.nn.Linear(d_in, d_out, bias=bias), between()]
model = torch.nn.Sequential(*parts[:-1])
if mode == "load":
    model.load_state_dict(load_file(folder + "/weights.safetensors"))
else:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(data["features"]), data["labels"]).backward()
        optimizer.step()
    save_file(model.state_dict(), folder + "/state_dict.safetensors")
print(json.dumps(model(data["features"]).argmax(dim=1).tolist()))
"""


def classes_in_torch(torch_python: Path, folder: Path, mode: str, activation: str, bias: bool) -> np.ndarray:
    """What the network of PyTorch makes of every image; `folder` holds the files that the script reads and writes."""
    task = digits(activation, bias)
    arrays = {"features": task.features.astype(np.float32), "labels": task.labels}
    safetensors.numpy.save_file(arrays, folder / "data.safetensors")
    command = [torch_python, "-c", SCRIPT, mode, activation, str(bias), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout))


NETWORKS = [("relu", True), ("leaky-relu", False), ("silu", True)]


@pytest.mark.parametrize(("activation", "bias"), NETWORKS)
def test_final_weights_load_into_sequential(
    torch_python: Path, tmp_path: Path, activation: str, bias: bool
) -> None:
    task = digits(activation, bias)
    state = task.trained()
    save_weights(tmp_path, state, task.parameters.weight_bits, bias)
    found = classes_in_torch(torch_python, tmp_path, "load", activation, bias)
    exact = predict(state, task.parameters, task.inputs)
    assert task.accuracy(state) > 0.9 and (found == exact).mean() > 0.995
    assert abs((found == task.labels).mean() - task.accuracy(state)) < 0.005


@pytest.mark.parametrize(("activation", "bias"), NETWORKS)
def test_a_state_dict_as_first_weights(torch_python: Path, tmp_path: Path, activation: str, bias: bool) -> None:
    task = digits(activation, bias)
    found = classes_in_torch(torch_python, tmp_path, "save", activation, bias)
    state = load_state(tmp_path / "state_dict.safetensors", task.parameters)
    exact = predict(state, task.parameters, task.inputs)
    assert task.accuracy(state) > 0.9 and (found == exact).mean() > 0.995
    assert abs((found == task.labels).mean() - task.accuracy(state)) < 0.005
