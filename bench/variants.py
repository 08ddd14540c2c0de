"""What cross entropy and momentum cost over mean squared error and plain steps: proofs of the demo's run, in turn.

Options: --steps N (default 32), --runs N (default 3). Runs of all variants alternate, and the least time of each
counts, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from prover.backends import cpu
from prover.proving import prove

from ._stages import Stages
from .demo import build

VARIANTS: dict[str, tuple[str, float]] = {
    "mse": ("mse", 0.0),
    "ce": ("ce", 0.0),
    "mse, momentum": ("mse", 0.9),
    "ce, momentum": ("ce", 0.9),
}


def run(json: bool = False, argv: Sequence[str] = ()) -> dict[str, Any]:
    """Seconds of proving, of the clock and of the processor, and their ratio to plain steps on mean squared error."""
    parser = argparse.ArgumentParser(prog="python -m bench variants")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(argv)
    steps = options.steps
    jobs = {name: build(steps, loss, lambda _: None, momentum) for name, (loss, momentum) in VARIANTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    processor: dict[str, list[float]] = {name: [] for name in jobs}
    sizes: dict[str, int] = {}
    for _ in range(options.runs + 1):
        for name, job in jobs.items():
            stages = Stages()
            sizes[name] = len(prove(job, cpu.BACKEND, progress=stages))
            stages("")
            seconds[name].append(sum(stages.seconds.values()))
            processor[name].append(sum(stages.processor.values()))
    # The first round of each loads kernels.
    least = {name: min(times[1:]) for name, times in seconds.items()}
    return {
        "steps": options.steps,
        "norms": {name: bool(job.statement.parameters.activation_norm_width) for name, job in jobs.items()},
        "seconds": least,
        "processor_seconds": {name: min(times[1:]) for name, times in processor.items()},
        "over_plain": {name: time / least["mse"] - 1 for name, time in least.items()},
        "proof_bytes": sizes,
    }
