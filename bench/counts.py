"""Exact operation counts of the demo's proof: what a change of the prover costs, as a diff of bench/counts.json.

Options: --write stores what was counted. A test compares the file with a fresh count.
"""

from __future__ import annotations

import argparse
import dataclasses
import json as text
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from prover.backends import cpu
from prover.backends.interface import Backend
from prover.choose import draft_parameters, initial_state, one_hot, quantize
from prover.model_io import load_data
from prover.proving import prove
from prover.randomness import SeededRandomness
from prover.session import assemble, commit_final, commit_start
from prover.trainer import train

from ._counting import CountingBackend
from ._launches import launches
from .demo import BATCH, DIGITS, WIDTHS

STORED = Path(__file__).parent / "counts.json"
STEPS, RATE = 32, 2.0**-8  # a rate so low that values stay far inside the ranges below, whatever the batches
RANGES = {
    "input_width": 10, "activation_width": 13, "output_width": 13, "backward_width": 13, "error_width": 13,
    "weight_width": 36,
}  # fmt: skip


def count() -> dict[str, Any]:
    """Counts of one proof of the demo's network and length, parameters fixed: shapes are all that matters."""
    counting = CountingBackend(cpu.BACKEND)
    backend, randomness = cast(Backend, counting), SeededRandomness(b"counts")
    loaded = load_data(DIGITS, "one-hot", "label", WIDTHS[-1], None, None)
    parameters = draft_parameters(
        widths=WIDTHS, batch=BATCH, steps=STEPS, rate=RATE, target="one-hot", table_bits=16, row_bits=14, blowup_bits=2,
        data_openings=4, state_openings=4, security_bits=128, zero_knowledge=True,
    )  # fmt: skip
    parameters = dataclasses.replace(parameters, **RANGES)
    inputs = quantize(loaded.features / 16, parameters.activation_bits, 16, "features")
    targets = one_hot(loaded.labels, WIDTHS[-1])
    initial = initial_state(WIDTHS, parameters.weight_bits, randomness.read)
    statement, blindings = commit_start(cpu.BACKEND, parameters, inputs, targets, initial, randomness)
    trace = train(parameters, initial, inputs, targets, statement.batches())
    statement, final = commit_final(cpu.BACKEND, statement, trace.final, randomness)
    job = assemble(cpu.BACKEND, statement, inputs, targets, trace, {**blindings, "final": final}, 128)
    prove(job, backend, randomness)
    return {
        "steps": STEPS,
        "lookups": sum(1 << job.relation.tensors[lookup.x.terms[0][1][0]].bits for lookup in job.relation.lookups),
        "elements_committed": sum(1 << tensor.bits for tensor in job.relation.tensors.values()),
        "proof_bytes_at_most": job.shape.max_bytes,
        **dict(sorted(counting.counts.items())),
        "calls": dict(sorted(counting.calls.items())),
        **launches(job),
    }


def run(json: bool = False, argv: Sequence[str] = ()) -> dict[str, Any]:
    """The counts; with --write they are stored."""
    del json
    parser = argparse.ArgumentParser(prog="python -m bench counts")
    parser.add_argument("--write", action="store_true", help="store the counts in bench/counts.json")
    options, counts = parser.parse_args(argv), count()
    if options.write:
        STORED.write_text(text.dumps(counts, indent=1) + "\n")
    return counts
