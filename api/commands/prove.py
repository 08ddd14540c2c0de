"""`plan`, `check` and `prove`: what a proof will cost, whether there is anything to prove, and the proof."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

import verifier
from prover.check import check_run
from prover.commitment import Committed
from prover.errors import ProverError
from prover.files import write_atomic
from prover.plan import plan_run
from prover.proving import prove as make_proof
from prover.session import assemble
from verifier.check import LEAST_SECURITY, Verdict
from verifier.proof import MAGIC
from verifier.statement import Statement
from verifier.training import training_relation

from .. import chains, runs, slots
from ..backend import Choice, Chosen, choose_backend
from ..chains import Segment
from ..console import Json, Stages, UsageError, answer, say, seconds, size, stages
from ..manifest import MANIFEST, proof_digest
from ..reading import MAX_PROOF, read_limited
from ..timings import record_timings
from .train import cut_text

Folder = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    app.command("plan")(plan)
    app.command("check")(check)
    app.command("prove")(prove)


def plan(run: Folder, as_json: Json = False) -> None:
    """What proving this run takes and gives: segments, seconds, memory, bytes, security, integer bounds, openings."""
    drafted = (run / runs.DRAFT).exists()
    statements = chains.read_drafts(run) if drafted else [s.statement for s in chains.read_segments(run)]
    parts, samples = [s.parameters for s in statements], statements[0].samples
    found = plan_run(parts, samples, LEAST_SECURITY)
    left = slots.slots_left(run, statements)
    result = dataclasses.asdict(found) | {
        "openings_left": left,
        "samples": samples,
        "segments": [part.steps for part in parts],
    }
    worst = max(found.bounds_bits, key=lambda place: found.bounds_bits[place])
    lines = [
        f"segments  {cut_text(statements)}{_why(statements)}",
        f"time      about {seconds(found.seconds)} on two cores (estimate)",
        f"memory    about {size(found.memory_bytes)}; of a GPU about {size(found.device_bytes)} (estimates)",
        f"proof     at most {size(found.proof_bytes)}{' in all' if len(parts) > 1 else ''}",
        f"work      {sum(found.elements.values()):,} committed elements, {found.lookups:,} lookups",
        f"security  2^-{found.security_bits:.1f} in all, by term:",
        *(
            f"          {label:<28} 2^-{bits:.1f}"
            for label, bits in sorted(found.terms.items(), key=lambda t: t[1])[:8]
        ),
        "          (and the hash: 128 bits, computational)",
        f"bounds    hold: the largest integer, {worst}, stays below 2^{found.bounds_bits[worst]} (p/2 is 2^63)",
        "openings  left: " + ", ".join(f"{name} {count}" for name, count in left.items()),
    ]
    if not parts[0].zero_knowledge:
        lines.append("WARNING   transparent: the proof will give away data and weights")
    answer(result, lines, as_json)


def _why(statements: Sequence[Statement]) -> str:
    """What a single proof of a run in segments would have taken."""
    if len(statements) < 2:
        return ""
    p = chains.whole(statements).parameters
    try:
        found = plan_run([p], statements[0].samples)
        return f"; one proof of all {p.steps:,} would take about {size(found.memory_bytes)} of memory"
    except verifier.ParametersUnsafe as error:
        return f"; not one of {p.steps:,}: {error}"


def check(run: Folder, as_json: Json = False) -> None:
    """Check every constraint on the run's own integers, without a proof."""
    held: Counter[str] = Counter()
    with stages() as shown:
        shown.stage("read the run")
        segments = chains.read_segments(run)
        trainer = chains.Trainer(run, segments)
        for segment in segments:
            with _named(segment, segments):
                shown.stage("train again" if len(segments) > 1 else "read the run")
                found = trainer.run(segment, shown.counter(segment.statement.parameters.steps))
                relation = training_relation(found.statement)
                held.update(check_run(found.statement, relation, found.inputs, found.targets, found.trace, shown.stage))
    many = f" in all {len(segments)} segments" if len(segments) > 1 else ""
    counts = ", ".join(f"{n:,} {k}" for k, n in held.items())
    lines = [f"every constraint holds{many} ({seconds(shown.total())}): {counts}"]
    answer({"satisfied": True, "held": held, "seconds": shown.seconds}, lines, as_json)


@contextlib.contextmanager
def _named(segment: Segment, segments: Sequence[Segment]) -> Iterator[None]:
    """Errors about one of several segments say which."""
    try:
        yield
    except (ProverError, verifier.VerifierError) as error:
        if len(segments) == 1:
            raise
        raise type(error)(f"segment {segment.number}: {error}") from error


def prove(
    run: Folder,
    out: Annotated[
        Path | None, typer.Option(help="Where the proof goes; - for stdout. Default: into RUN. Not for segments.")
    ] = None,
    backend: Choice = "auto",
    as_json: Json = False,
) -> None:
    """Prove a trained run in zero knowledge, check each proof, and write it; segments that are proven are kept."""
    if as_json and str(out) == "-":
        raise typer.BadParameter("--json and --out - both want stdout")
    segments = chains.read_segments(run)
    if out is not None and len(segments) > 1:
        raise UsageError("--out is for a run of one proof; this one has segments, proven in their own folders")
    if not segments[0].statement.parameters.zero_knowledge:
        say("WARNING: this run is --transparent. Its proof gives away sums over data and weights. For debugging only.")
    with stages() as shown, slots.proving(run) as ledger:
        # Read again under the lock: another process may have proven some of it since.
        segments = chains.read_segments(run)
        pending = [segment for segment in segments if not _is_proven(run, segment)]
        ledger.require([segment.statement for segment in pending])
        chosen = choose_backend(backend)
        for segment in pending:
            chosen.check(segment.statement)
        shown.stage("read the run")
        trainer = chains.Trainer(run, segments) if pending else None
        made, kept = [], dict[str, Committed]()
        for segment in pending:
            assert trainer is not None
            kept = _still_valid(kept, segment)
            made.append(_prove_segment(run, segment, segments, trainer, ledger, out, chosen, shown, kept))
    if len(segments) > 1:
        _report_chain(run, segments, made, shown, as_json)
    else:
        _report(run, segments[0], made[0], out or segments[0].proof_path, shown, as_json)


def _is_proven(run: Path, segment: Segment) -> bool:
    """Whether a segment of several has its proof; a run of one proof is proven anew each time.

    A proof that was written just before an interruption is not in run.json yet: if it is valid, it is listed now.
    """
    if segment.entry is None or not segment.proof_path.exists():
        return False
    if segment.entry.proof is not None:
        chains.read_proof(segment)
        return True
    proof = read_limited(segment.proof_path, MAX_PROOF, MAGIC)
    try:
        _verify(segment.statement, proof)
    except verifier.VerifierError as error:
        raise type(error)(
            f"segment {segment.number}: {segment.proof_path} is no proof of its statement, remove it to prove the "
            f"segment again: {error}"
        ) from error
    chains.record_proof(run, segment, proof)
    return True


def _verify(statement: Statement, proof: bytes) -> Verdict:
    hiding = statement.parameters.zero_knowledge
    return verifier.verify(statement.to_bytes(), proof, minimum_security=LEAST_SECURITY, allow_transparent=not hiding)


def _still_valid(kept: Mapping[str, Committed], segment: Segment) -> dict[str, Committed]:
    """What the proof of one segment leaves for another: the data, and its last state as the first one of the next."""
    found = {"data": kept.get("data"), "initial": kept.get("final")}
    roots = {"data": segment.statement.data_root, "initial": segment.statement.initial_root}
    return {name: group for name, group in found.items() if group is not None and group.root == roots[name]}


def _prove_segment(
    run: Path,
    segment: Segment,
    segments: Sequence[Segment],
    trainer: chains.Trainer,
    ledger: slots.Ledger,
    out: Path | None,
    chosen: Chosen,
    shown: Stages,
    kept: dict[str, Committed],
) -> tuple[Verdict, int]:
    """Proves, checks, counts and publishes one segment; its verdict and the bytes of its proof."""
    statement, before, stages_before = segment.statement, shown.total(), dict(shown.seconds)
    with _named(segment, segments):
        if len(segments) > 1:
            shown.stage("train again")
        found = trainer.run(segment, shown.counter(statement.parameters.steps), chosen.backend.integers)
        shown.stage("witness")
        opened, backend = found.blindings, chosen.backend
        job = assemble(backend, statement, found.inputs, found.targets, found.trace, opened, LEAST_SECURITY, kept)
        proof = make_proof(job, backend, progress=shown.stage)
        shown.stage("check the proof")
        try:
            verdict = _verify(statement, proof)
        except verifier.VerifierError as error:
            raise ProverError(f"the proof does not pass its own verification: {error}") from error
    shown.stage("write")
    # From here on others may see the drawn positions, so the openings count as spent, come what may.
    ledger.spend(statement)
    if str(out) == "-":
        sys.stdout.buffer.write(proof)
        sys.stdout.buffer.flush()
    else:
        write_atomic(out or segment.proof_path, proof)
    if segment.entry is not None:
        chains.record_proof(run, segment, proof)
        spent = seconds(shown.total() - before)
        say(f"segment {segment.number} of {len(segments)}: {size(len(proof))} in {spent}")
    taken = {name: value - stages_before.get(name, 0.0) for name, value in shown.seconds.items()}
    record_timings(run, proof_digest(proof), taken)
    return verdict, len(proof)


def _report(run: Path, segment: Segment, made: tuple[Verdict, int], target: Path, shown: Stages, as_json: bool) -> None:
    (verdict, length), left = made, slots.slots_left(run, [segment.statement])
    result = {
        "proof": str(target),
        "statement": str(segment.statement_path),
        "bytes": length,
        "statement_digest": f"sha256:{verdict.statement_digest.hex()}",
        "params_digest": f"sha256:{verdict.parameters_digest.hex()}",
        "security_bits": verdict.security_bits,
        "zero_knowledge": verdict.zero_knowledge,
        "openings_left": left,
        "seconds": shown.seconds,
    }
    lines = [
        f"proved in {seconds(shown.total())}: {size(length)}, {verdict.security_bits:.1f} bits, "
        + ("zero knowledge" if verdict.zero_knowledge else "NOT zero knowledge"),
        f"wrote {target}; openings left: " + ", ".join(f"{name} {count}" for name, count in left.items()),
        f"next: zkgrad verify {run} --expect-statement {result['statement_digest']}",
    ]
    answer(result, lines, as_json)


def _report_chain(
    run: Path, segments: Sequence[Segment], made: Sequence[tuple[Verdict, int]], shown: Stages, as_json: bool
) -> None:
    left = slots.slots_left(run, [segment.statement for segment in segments])
    digest = f"sha256:{segments[-1].statement.digest().hex()}"
    result = {
        "manifest": str(run / MANIFEST),
        "segments": len(segments),
        "proved": len(made),
        "bytes": sum(segment.proof_path.stat().st_size for segment in segments),
        "statement_digest": digest,
        "zero_knowledge": segments[0].statement.parameters.zero_knowledge,
        "openings_left": left,
        "seconds": shown.seconds,
    }
    kept = f", {len(segments) - len(made)} were proven before" if len(made) < len(segments) else ""
    lines = [
        f"proved {len(made)} of {len(segments)} segments{kept}, in {seconds(shown.total())}: "
        f"{size(sum(length for _, length in made))}"
        if made
        else f"nothing was left to prove: all {len(segments)} segments have valid proofs listed in {run / MANIFEST}",
        f"wrote {run / MANIFEST}; openings left: " + ", ".join(f"{name} {count}" for name, count in left.items()),
        f"next: zkgrad verify {run} --expect-statement {digest}",
    ]
    answer(result, lines, as_json)
