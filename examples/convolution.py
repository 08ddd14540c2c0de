"""A relation beside the product's own: a convolution, then a full layer, classify k of n committed images correctly.

Images, kernels and weights stay hidden; the count is shown. `docs/relations.md` walks through this file. Run it from
the root of the checkout: python examples/convolution.py
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prover.backends.cpu import BACKEND
from prover.choose import draft_parameters, initial_state
from prover.evaluation import accuracy_draft, evaluation_job, needed_widths, use_parameters
from prover.exact import Integers
from prover.model_io import load_data
from prover.proving import Job, commit_group, prepare, prove
from prover.scaling import Scaling
from prover.trainer import State, forward_pass, run, unbounded
from prover.witness import limbs, pad, to_field
from verifier.check import Verdict, verify_relation
from verifier.commitment import code_of
from verifier.errors import StatementMismatch
from verifier.evaluation import accuracy_relation
from verifier.relation import Relation
from verifier.schedule import batches
from verifier.statement import Parameters, Statement, parse_statement
from verifier.tensors import Sharing

DIGITS = Path("examples/data/digits.csv.gz")

@dataclass(frozen=True)
class Convolution:
    """`channels` kernels of `size` (rows, columns) at every place of an `image` (rows, columns) where they fit.

    Pixels are numbered row by row, outputs place by place and then by channel. An image or kernel of one row makes it a
    convolution in one dimension.
    """

    image: tuple[int, int]
    size: tuple[int, int]
    channels: int

    @property
    def places(self) -> list[tuple[int, int]]:
        """The upper left pixel of every place where a kernel fits."""
        (height, width), (rows, columns) = self.image, self.size
        return [(y, x) for y in range(height - rows + 1) for x in range(width - columns + 1)]

    @property
    def outputs(self) -> int:
        """Neurons of the layer."""
        return len(self.places) * self.channels

    def kernels(self) -> Sharing:
        """The weight from a pixel to an output is the entry of the kernels, [rows, columns, channels], lying there."""
        rows, columns = self.size
        entries = [
            ((y + dy) * self.image[1] + x + dx, place * self.channels + c, (dy * columns + dx) * self.channels + c)
            for place, (y, x) in enumerate(self.places)
            for dy in range(rows)
            for dx in range(columns)
            for c in range(self.channels)
        ]
        return Sharing(rows * columns * self.channels, tuple(entries))

    def biases(self) -> Sharing:
        """One bias a channel, at every place."""
        return Sharing(self.channels, tuple((0, j, j % self.channels) for j in range(self.outputs)))

    def relation(self, statement: Statement) -> Relation:
        """What is proven: an accuracy whose first layer has few numbers in many places."""
        widths = statement.parameters.widths
        if statement.parameters.task != "accuracy" or widths[:2] != (self.image[0] * self.image[1], self.outputs):
            raise StatementMismatch(f"task {statement.parameters.task}, widths {widths}: not this convolution's")
        shared = {"W0": self.kernels()} | ({"b0": self.biases()} if statement.parameters.bias else {})
        return accuracy_relation(statement, shared)


@dataclass(frozen=True)
class Model:
    """Integers at scale 2^w: kernels [rows * columns * channels], one shift a channel, and the full layers after it."""

    kernels: Integers
    shifts: Integers
    rest: State

    def dense(self, layer: Convolution) -> State:
        """The same network with the convolution written out as a full layer, as the trainer computes it."""
        weights = np.zeros((layer.image[0] * layer.image[1], layer.outputs), dtype=np.int64)
        for row, column, k in layer.kernels().entries:
            weights[row, column] = self.kernels[k]
        shifts = np.array([self.shifts[k] for _, _, k in layer.biases().entries])
        return State((weights, *self.rest.weights), (shifts, *self.rest.biases))


def convolution_job(layer: Convolution, model: Model, p: Parameters, images: Integers, targets: Integers) -> Job:
    """The job of proving how many images [n, pixels] of classes [n, C], one-hot, the model gets right.

    Model and images are committed afresh, with randomness that is not kept: the proof uses up their only opening.
    """
    dense = model.dense(layer)
    forward = forward_pass(dense, p, images)
    parameters = use_parameters(p, "accuracy", len(images), needed_widths(p, images, forward.Y))
    draft = accuracy_draft(parameters, bytes(32), forward, targets)
    relation, shape = prepare(draft, parameters.security_bits, layer.relation)
    committed = _model_integers(model, relation)
    tables = {name: to_field(values) for name, values in committed.items()}
    group = commit_group(BACKEND, relation, code_of(parameters), "initial", tables)
    draft = dataclasses.replace(draft, initial_root=group.root, origin_root=group.root)
    return evaluation_job(BACKEND, draft, relation, shape, committed, group.blinding, forward, targets)


def _model_integers(model: Model, relation: Relation) -> dict[str, Integers]:
    """The model's committed tensors: limbs in offset binary, padded and flat."""
    p, out = relation.parameters, {}
    named = {"W0": model.kernels, "b0": model.shifts}
    named |= {f"W{l}": weights for l, weights in enumerate(model.rest.weights, 1)}
    named |= {f"b{l}": biases for l, biases in enumerate(model.rest.biases, 1)}
    for name, values in named.items():
        for k, limb in enumerate(limbs(values + (1 << (p.weight_width - 1)), p.weight_width, p)):
            tensor = relation.tensors[f"initial.{name}.{k}"]
            out[tensor.name] = pad(limb, tensor.axes)
    return out


def verify_convolution(layer: Convolution, statement: bytes, proof: bytes, minimum_security: int = 128) -> Verdict:
    """Checks a proof about a network that starts with this very convolution; errors as of `verifier.verify`."""
    return verify_relation(parse_statement(statement), layer.relation, proof, minimum_security=minimum_security)


EDGES = np.array([
    [[1, 1, 1], [0, 0, 0], [-1, -1, -1]],
    [[1, 0, -1], [1, 0, -1], [1, 0, -1]],
    [[0, 1, 1], [-1, 0, 1], [-1, -1, 0]],
    [[1, 1, 0], [1, 0, -1], [0, -1, -1]],
])  # fmt: skip


def edge_model(layer: Convolution, p: Parameters, images: Integers, targets: Integers, steps: int) -> Model:
    """Four kernels that see edges, and a full layer trained on what they see; that training is not proven here."""
    kernels = (EDGES.transpose(1, 2, 0).reshape(-1) << p.weight_bits) // 4
    blank = Model(kernels, np.zeros(layer.channels, dtype=np.int64), initial_state(p.widths[1:], p.weight_bits))
    seen = forward_pass(blank.dense(layer), p, images).A[1]
    last = dataclasses.replace(p, widths=p.widths[1:], steps=steps)
    order = batches(bytes(32), len(images), p.batch, 0, steps)
    return dataclasses.replace(blank, rest=run(unbounded(last), blank.rest, seen, targets, order)[0])


def main() -> None:
    """Trains on 1,500 images of digits and proves how many of 100 others are classified correctly."""
    layer = Convolution((8, 8), (3, 3), 4)
    p = draft_parameters(
        widths=(64, layer.outputs, 10), batch=32, steps=1, rate=0.0625, loss="mse", target="one-hot", table_bits=16,
        row_bits=13, blowup_bits=2, data_openings=1, state_openings=1, security_bits=128, zero_knowledge=True,
    )  # fmt: skip
    p = dataclasses.replace(p, weight_width=32)
    inputs, targets = Scaling((0.0,), (16.0,)).integers(load_data(DIGITS, label="label"), p)
    model = edge_model(layer, p, inputs[:1500], targets[:1500], steps=200)
    job = convolution_job(layer, model, p, inputs[1500:1600], targets[1500:1600])
    statement, proof = job.statement.to_bytes(), prove(job, BACKEND)
    print(f"statement of {len(statement):,} bytes, proof of {len(proof):,} bytes")
    print(verify_convolution(layer, statement, proof))


if __name__ == "__main__":
    main()
