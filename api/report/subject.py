"""What a report is about: segments with what is known of their proofs, and what an owner chose to add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from prover.exact import Integers
from prover.loss import squared_error
from verifier.chain import run_digest
from verifier.proof import MAGIC
from verifier.statement import Parameters, Statement

from .. import chains, runs
from ..chains import Segment
from ..console import UsageError
from ..manifest import proof_digest
from ..reading import MAX_PROOF, read_limited
from ..receipts import Receipt
from ..timings import read_timings


@dataclass(frozen=True)
class Part:
    """A segment. `proof_bytes` and `proof_digest` are None while there is no proof; `seconds` are by stage."""

    statement: Statement
    proof_bytes: int | None = None
    proof_digest: bytes | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Vouched:
    """Receipts that were checked: the signers of a registry, and how many had been demanded."""

    receipts: Sequence[Receipt]
    signers: Sequence[str]
    quorum: int
    registry: bytes
    day: str


@dataclass(frozen=True)
class Subject:
    """Everything a report shows. `loss` is one number a step, disclosed by the owner and not proven."""

    parts: tuple[Part, ...]
    loss: tuple[float, ...] | None = None
    vouched: Vouched | None = None
    verify_at: str | None = None

    @property
    def proven(self) -> bool:
        """Whether every segment has a proof."""
        return all(part.proof_digest is not None for part in self.parts)

    @property
    def run_digest(self) -> bytes | None:
        """The digest of a proven run of several segments: what pins it, and what receipts name."""
        if len(self.parts) < 2 or not self.proven:
            return None
        return run_digest([part.statement.digest() for part in self.parts])


def of_folder(folder: Path) -> tuple[Part, ...]:
    """The segments of a run folder; of secret files only the timings are read."""
    timings = read_timings(folder)
    return tuple(_part(segment, timings) for segment in chains.read_segments(folder))


def _part(segment: Segment, timings: Mapping[str, Mapping[str, float]]) -> Part:
    if not segment.proof_path.exists():
        return Part(segment.statement)
    if segment.entry is not None and segment.entry.proof is not None:
        proof = chains.read_proof(segment)
    else:
        proof = read_limited(segment.proof_path, MAX_PROOF, MAGIC)
    digest = proof_digest(proof)
    return Part(segment.statement, len(proof), digest, timings.get(digest.hex(), {}))


def loss_curve(folder: Path) -> tuple[float, ...]:
    """The mean loss of each step's batch, from the run's own integers; segments of a chain are trained again."""
    segments = chains.read_segments(folder)
    if segments[0].statement.parameters.task != "training":
        raise UsageError("only the run of a training has a loss curve")
    trainer, found = chains.Trainer(folder, segments), list[float]()
    for segment in segments:
        trace = trainer.run(segment).trace
        found += _losses(trace.Y[-1], trace.targets, segment.statement.parameters)
    return tuple(found)


def _losses(output: Integers, targets: Integers, p: Parameters) -> list[float]:
    """Half the sum of squares, or the softmax cross entropy, averaged over the batch; by step."""
    if p.loss == "mse":
        errors = squared_error(output, targets, p) / 2.0**p.activation_bits
        return [float(value) for value in 0.5 * (errors**2).sum(axis=-1).mean(axis=-1)]
    logits = output / 2.0**p.activation_bits
    logits -= logits.max(axis=-1, keepdims=True)
    chosen = (logits * targets).sum(axis=-1)
    return [float(value) for value in (np.log(np.exp(logits).sum(axis=-1)) - chosen).mean(axis=-1)]


def require_run(folder: Path) -> Path:
    """`folder` itself if it is one of a run; an auditor's copy of a chain has no settings."""
    return folder if chains.is_chain(folder) else runs.require(folder)
