"""The demo's network on the digits, proven in one proof: seconds a stage beside their floors, cold and warm.

Options: --steps N (default 256), --loss mse|ce, --momentum M. The cold run is a process of its own with an empty kernel
cache.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prover.backends import cpu
from prover.backends.threads import threads
from prover.choose import choose_parameters, choose_rows, draft_parameters, initial_state, one_hot, quantize
from prover.model_io import load_data
from prover.proving import Job, prove
from prover.session import assemble, commit_final, commit_start
from prover.trainer import train
from verifier import verify

from . import _floors
from ._stages import Stages
from .kernels import unit_costs

DIGITS = Path(__file__).parent.parent / "examples" / "data" / "digits.csv.gz"
WIDTHS, BATCH, RATE = (64, 128, 64, 10), 64, 0.0625


def build(steps: int, loss: str, stages: Callable[[str], None], momentum: float = 0.0) -> Job:
    """Trains on the digits and assembles the job of one proof at 128 bits."""
    data = load_data(DIGITS, "one-hot", "label", WIDTHS[-1], None, None)
    stages("parameters")
    draft = draft_parameters(
        widths=WIDTHS, batch=BATCH, steps=steps, rate=RATE, target="one-hot", table_bits=16, row_bits=14,
        blowup_bits=2, data_openings=4, state_openings=4, security_bits=128, zero_knowledge=True, loss=loss,
        momentum=momentum,
    )  # fmt: skip
    inputs = quantize(data.features / 16, draft.activation_bits, 16, "features")
    targets = one_hot(data.labels, WIDTHS[-1])
    initial = initial_state(WIDTHS, draft.state_bits)
    chosen, _ = choose_parameters(draft, initial, inputs, targets)
    parameters = choose_rows(chosen, len(inputs))
    stages("standing commitments, first time")
    statement, blindings = commit_start(cpu.BACKEND, parameters, inputs, targets, initial)
    stages("training")
    trace = train(parameters, initial, inputs, targets, statement.batches())
    stages("standing commitments, first time")
    statement, final = commit_final(cpu.BACKEND, statement, trace.final)
    stages("witness")
    job = assemble(cpu.BACKEND, statement, inputs, targets, trace, {**blindings, "final": final}, 128)
    stages("")
    return job


def run(json: bool = False, argv: Sequence[str] = ()) -> dict[str, Any]:
    """The figures, by name; times in seconds, sizes in bytes."""
    options = _parse(argv)
    before = Stages()
    job = build(options.steps, options.loss, before, options.momentum)
    warm = [_prove(job) for _ in range(options.runs)]
    stages, proof = min(warm, key=lambda entry: sum(entry[0].values()))
    start = time.perf_counter()
    verdict = verify(job.statement.to_bytes(), proof)
    verifier_seconds = time.perf_counter() - start
    floors = _floors.seconds(_floors.counts(job), unit_costs())
    total, floor = sum(stages.values()), sum(floors.values())
    lookups = sum(len(job.witness.tensors[lookup.x.terms[0][1][0]]) for lookup in job.relation.lookups)
    committed = sum(table.size for table in job.witness.tensors.values())
    return {
        "steps": options.steps,
        "loss": options.loss,
        "backend": "cpu",
        "threads": threads(),
        "security_bits": round(verdict.security_bits, 2),
        "seconds": total,
        "seconds_per_step": total / options.steps,
        "training_seconds_per_step": before.seconds["training"] / options.steps,
        "stages": stages,
        "before": before.seconds,
        "floors": floors,
        "floor_seconds": floor,
        "ratio_to_floor": total / floor,
        "lookups": lookups,
        "lookups_per_second": lookups / stages["lookup"],
        "elements_committed": committed,
        "elements_committed_per_second": committed / stages["commit"],
        "proof_bytes": len(proof),
        "verifier_seconds": verifier_seconds,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        **_cold(options),
    }


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench demo")
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--loss", choices=("mse", "ce"), default="mse")
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--runs", type=int, default=2, help="warm runs, of which the fastest counts")
    parser.add_argument("--no-cold", action="store_true", help="leave out the run with an empty kernel cache")
    return parser.parse_args(argv)


def _prove(job: Job) -> tuple[dict[str, float], bytes]:
    stages = Stages()
    proof = prove(job, cpu.BACKEND, progress=stages)
    stages("")
    return stages.seconds, proof


def _cold(options: argparse.Namespace) -> dict[str, float]:
    """Whole-process seconds of a 32-step proof, training included, with an empty and then a filled kernel cache."""
    if options.no_cold:
        return {}
    code = f"from bench.demo import _prove, build; _prove(build(32, {options.loss!r}, lambda stage: None))"
    taken = []
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=DIGITS.parent.parent.parent)
            taken.append(time.perf_counter() - start)
    return {"cold_start_seconds": taken[0], "warm_start_seconds": taken[1]}
