"""Runs where PyTorch is installed, and nothing of this project: the same run in floating point, by torch.optim.SGD.

Usage: python reference.py RUN.npz OUT.npz. RUN holds W0, b0, W1, ... (float64, [d_in, d_out] and [d_out]), inputs,
labels, schedule [steps, batch], rates [steps], and momentum, nesterov, weight_decay. OUT gets the last weights by the
same names.
"""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import torch


def main(source: str, target: str) -> None:
    given = np.load(source)
    layers = sum(name.startswith("W") for name in given.files)
    widths = [given["W0"].shape[0], *(given[f"b{l}"].shape[0] for l in range(layers))]
    parts: list[torch.nn.Module] = []
    for l, (d_in, d_out) in enumerate(pairwise(widths)):
        linear = torch.nn.Linear(d_in, d_out, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(given[f"W{l}"].T.copy()))
            linear.bias.copy_(torch.from_numpy(given[f"b{l}"]))
        parts += [linear, torch.nn.ReLU()]
    network = torch.nn.Sequential(*parts[:-1])
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=1.0,
        momentum=float(given["momentum"]),
        nesterov=bool(given["nesterov"]),
        weight_decay=float(given["weight_decay"]),
    )
    inputs, labels = torch.from_numpy(given["inputs"]), torch.from_numpy(given["labels"])
    for rate, batch in zip(given["rates"], given["schedule"], strict=True):
        optimizer.param_groups[0]["lr"] = float(rate)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs[batch]), labels[batch]).backward()
        optimizer.step()
    linears = [part for part in network if isinstance(part, torch.nn.Linear)]
    out = {f"W{l}": part.weight.detach().numpy().T for l, part in enumerate(linears)}
    np.savez(target, **out, **{f"b{l}": part.bias.detach().numpy() for l, part in enumerate(linears)})


main(*sys.argv[1:])
