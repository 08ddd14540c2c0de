"""A network trained on the digits in integers, the same on every machine: for tests of files that others read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prover.choose import draft_parameters, initial_state, one_hot, quantize
from prover.model_io import load_data
from prover.randomness import SeededRandomness
from prover.trainer import State, predict, run, unbounded
from verifier.schedule import batches
from verifier.statement import Parameters

FILE = Path(__file__).parents[1] / "examples" / "data" / "digits.csv.gz"
SCALE = 16.0  # the largest pixel


@dataclass(frozen=True)
class Digits:
    """1,797 images in [0, 1], their labels, and the parameters of a run on them."""

    parameters: Parameters
    features: Any
    labels: Any

    @property
    def inputs(self) -> Any:
        """The images as integers."""
        return quantize(self.features, self.parameters.activation_bits, 16, "digits")

    def accuracy(self, state: State) -> float:
        """The share of images that the integer model classifies correctly."""
        return float((predict(state, self.parameters, self.inputs) == self.labels).mean())

    def trained(self) -> State:
        """The state after all steps, from seeded weights."""
        p = self.parameters
        first = initial_state(p.widths, p.weight_bits, SeededRandomness(b"digits").read)
        order = batches(b"order", len(self.labels), p.batch, 0, p.steps)
        return run(unbounded(p), first, self.inputs, one_hot(self.labels, 10), order)[0]


def digits(activation: str = "relu", bias: bool = True, steps: int = 300) -> Digits:
    """Layers 64-32-16-10, batches of 32, cross entropy."""
    data = load_data(FILE, outputs=10)
    p = draft_parameters(
        widths=(64, 32, 16, 10), batch=32, steps=steps, rate=0.25, loss="ce", target="one-hot", table_bits=16,
        row_bits=10, blowup_bits=2, data_openings=1, state_openings=1, security_bits=100, zero_knowledge=True,
        activation=activation, bias=bias,
    )  # fmt: skip
    return Digits(p, data.features / SCALE, data.labels)
