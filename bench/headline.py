"""The headline benchmark: 3072-1024x8-10 (10.5 million parameters), batch 64, proven in one proof.

Options: --steps T (default 16), --backend cpu|gpu, --width, --depth, --batch, --features, --blowup 2|4|8, --runs N,
--no-floors, --out FOLDER (statement and proof, for any verifier). The data are random points around ten random centres,
so that there is something to learn. Everything after training counts as proving: the final state's commitment, the
witness, the proof and the prover's own check of it. Of several runs, each trained anew in the same process as the
segments of a long training are, the fastest counts, and the seconds of all are listed.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prover.backends.interface import Backend
from prover.backends.threads import threads
from prover.choose import choose_parameters, choose_rows, draft_parameters, initial_state, one_hot, quantize
from prover.commitment import Blinding, Committed
from prover.proving import Job, prove
from prover.session import assemble, commit_final, commit_start
from prover.trainer import State, train
from verifier import verify
from verifier.statement import Statement

from . import _floors
from ._stages import Stages
from .kernels import unit_costs

CLASSES, FEATURES = 10, 3072
BEFORE = ("data", "parameters", "first commitments", "training")  # stages that are not proving
RATE = 2.0**-6


@dataclass(frozen=True)
class Network:
    """What is trained: `depth` hidden layers of `width`, on rows of `features` values."""

    width: int = 1024
    depth: int = 8
    batch: int = 64
    features: int = FEATURES
    blowup: int = 4  # positions of a codeword for each value of a row
    layers: tuple[int, ...] | None = None  # other widths altogether

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons by layer."""
        return self.layers or (self.features, *[self.width] * self.depth, CLASSES)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(a * b + b for a, b in zip(self.widths, self.widths[1:], strict=False))


@dataclass(frozen=True)
class Run:
    """A trained network: its statement, what opens it, and what it was trained on."""

    statement: Statement
    inputs: Any
    targets: Any
    final: State
    blinding: Blinding  # of the final state
    job: Job


def data(network: Network, samples: int) -> tuple[Any, Any]:
    """Features [n, features], each class around a centre of its own, and labels [n]."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(-0.5, 0.5, (CLASSES, network.widths[0]))
    labels = rng.integers(0, CLASSES, samples)
    return centres[labels] + rng.uniform(-0.5, 0.5, (samples, network.widths[0])), labels


def build_run(network: Network, steps: int, backend: Backend, stages: Callable[[str], None]) -> Run:
    """Trains and assembles the job of one proof at 128 bits."""
    samples = max(1024, network.batch)
    stages("data")
    features, labels = data(network, samples)
    stages("parameters")
    draft = draft_parameters(
        widths=network.widths, batch=network.batch, steps=steps, rate=RATE, target="one-hot", table_bits=16,
        row_bits=14, blowup_bits=network.blowup.bit_length() - 1, data_openings=4, state_openings=4, security_bits=128,
        zero_knowledge=True,
    )  # fmt: skip
    inputs = quantize(features, draft.activation_bits, 16, "features")
    targets = one_hot(labels, CLASSES)
    initial = initial_state(network.widths, draft.weight_bits)
    chosen, _ = choose_parameters(draft, initial, inputs, targets)
    parameters = choose_rows(chosen, samples)
    stages("first commitments")
    keep: dict[str, Committed] = {}
    statement, blindings = commit_start(backend, parameters, inputs, targets, initial, keep=keep)
    stages("training")
    trace = train(parameters, initial, inputs, targets, statement.batches(), load=backend.integers)
    stages("final commitment")
    statement, final = commit_final(backend, statement, trace.final, keep=keep)
    stages("witness")
    job = assemble(backend, statement, inputs, targets, trace, {**blindings, "final": final}, 128, keep)
    stages("")
    return Run(statement, inputs, targets, trace.final, final, job)


@dataclass(frozen=True)
class Made:
    """A proof, what it took, and what it is counted from; not the job, which is gigabytes."""

    statement: Statement
    proof: bytes
    stages: Stages
    counts: dict[str, float]

    @property
    def seconds(self) -> float:
        """All proving."""
        return sum(_proving(self.stages.seconds).values())


def measure(network: Network, steps: int, backend: Backend, runs: int) -> tuple[dict[str, Any], Made]:
    """The figures of one network, of the fastest of several runs; without floors."""
    tried = [_run(network, steps, backend) for _ in range(runs)]
    best = min(tried, key=lambda made: made.seconds)
    start = time.perf_counter(), time.process_time()
    verdict = verify(best.statement.to_bytes(), best.proof)
    verifier = time.perf_counter() - start[0], time.process_time() - start[1]
    processor = _proving(best.stages.processor)
    return {
        "network": "-".join(map(str, network.widths)),
        "parameters": network.parameters,
        "batch": network.batch,
        "steps": steps,
        "threads": threads(),
        "security_bits": round(verdict.security_bits, 2),
        "blowup": network.blowup,
        "row_bits": best.statement.parameters.row_bits,
        "seconds": best.seconds,
        "seconds_per_step": best.seconds / steps,
        "seconds_of_runs": [made.seconds for made in tried],
        "training_seconds_per_step": best.stages.seconds["training"] / steps,
        "stages": _proving(best.stages.seconds),
        "processor_seconds": processor,
        "processor_seconds_per_step": sum(processor.values()) / steps,
        "before": {name: best.stages.seconds[name] for name in BEFORE},
        "proof_bytes": len(best.proof),
        "proof_bytes_per_step": len(best.proof) / steps,
        "verifier_seconds": verifier[0],
        "verifier_processor_seconds": verifier[1],
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }, best


def _run(network: Network, steps: int, backend: Backend) -> Made:
    stages = Stages()
    job = build_run(network, steps, backend, stages).job
    proof = prove(job, backend, progress=stages)
    stages("")
    return Made(job.statement, proof, stages, _floors.counts(job))


def _proving(stages: dict[str, float]) -> dict[str, float]:
    """The stages that count as proving."""
    return {name: seconds for name, seconds in stages.items() if name not in BEFORE}


def run(json: bool = False, argv: Sequence[str] = ()) -> dict[str, Any]:
    """The figures, by name; times in seconds, sizes in bytes."""
    options = _parse(argv)
    backend = backend_of(options.backend)
    network = Network(options.width, options.depth, options.batch, options.features, options.blowup)
    figures, best = measure(network, options.steps, backend, options.runs)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "statement.json").write_bytes(best.statement.to_bytes())
        (options.out / "proof.zkp").write_bytes(best.proof)
    if options.no_floors or options.backend != "cpu":  # unit costs are those of the CPU's kernels
        return {"backend": options.backend, **figures}
    floors = _floors.seconds(best.counts, unit_costs())
    floor = sum(floors.values())
    return {
        "backend": options.backend,
        **figures,
        "floors": floors,
        "floor_seconds": floor,
        "ratio_to_floor": figures["seconds"] / floor,
        "counts": best.counts,
    }


def backend_of(name: str) -> Backend:
    """The backend of that name; on the command line's words."""
    if name == "cpu":
        from prover.backends import cpu

        return cpu.BACKEND
    from prover.backends.gpu_cupy import open_backend

    return open_backend()


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench headline")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--backend", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--depth", type=int, default=8, help="hidden layers")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--features", type=int, default=FEATURES, help="values a row of data")
    parser.add_argument("--blowup", type=int, choices=(2, 4, 8), default=4, help="codeword length over row length")
    parser.add_argument("--no-floors", action="store_true", help="leave out the floors and their unit costs")
    parser.add_argument("--out", type=Path, help="folder for statement.json and proof.zkp")
    parser.add_argument("--runs", type=int, default=1, help="runs, of which the fastest counts")
    return parser.parse_args(argv)
