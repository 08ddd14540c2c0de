"""`plan`, `check` and `prove`: what a proof will cost, whether there is anything to prove, and the proof."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

import verifier
from prover.check import check_run
from prover.errors import ProverError
from prover.files import write_atomic
from prover.plan import plan as make_plan
from prover.prove import prove as make_proof
from prover.session import assemble
from verifier.check import LEAST_SECURITY
from verifier.training import training_relation

from .. import runs, slots
from ..backend import default_backend
from ..console import Json, answer, say, seconds, size, stages

Folder = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    app.command("plan")(plan)
    app.command("check")(check)
    app.command("prove")(prove)


def plan(run: Folder, as_json: Json = False) -> None:
    """What a proof of this run takes and gives: seconds, memory, bytes, security, integer bounds,
    openings."""
    statement = runs.read_draft(run) if (run / runs.DRAFT).exists() else runs.read_statement(run)
    found = make_plan(statement.parameters, statement.samples, LEAST_SECURITY)
    left = slots.slots_left(run, statement)
    result = dataclasses.asdict(found) | {"openings_left": left, "samples": statement.samples}
    worst = max(found.bounds_bits, key=lambda place: found.bounds_bits[place])
    lines = [
        f"time      about {seconds(found.seconds)} on two cores (estimate)",
        f"memory    about {size(found.memory_bytes)} (estimate)",
        f"proof     at most {size(found.proof_bytes)}",
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
    if not statement.parameters.zero_knowledge:
        lines.append("WARNING   transparent: the proof will give away data and weights")
    answer(result, lines, as_json)


def check(run: Folder, as_json: Json = False) -> None:
    """Check every constraint on the run's own integers, without a proof."""
    with stages() as shown:
        shown.stage("read the run")
        found = runs.read_run(run)
        relation = training_relation(found.statement)
        held = check_run(found.statement, relation, found.inputs, found.targets, found.trace, shown.stage)
    lines = [f"every constraint holds ({seconds(shown.total())}): " + ", ".join(f"{n:,} {k}" for k, n in held.items())]
    answer({"satisfied": True, "held": held, "seconds": shown.seconds}, lines, as_json)


def prove(
    run: Folder,
    out: Annotated[
        Path | None, typer.Option(help="Where the proof goes; - for stdout. Default: RUN/proof.zkp.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove a trained run in zero knowledge, check the proof, and write it."""
    if as_json and str(out) == "-":
        raise typer.BadParameter("--json and --out - both want stdout")
    statement = runs.read_statement(run)
    hiding = statement.parameters.zero_knowledge
    if not hiding:
        say("WARNING: this run is --transparent. Its proof gives away sums over data and weights. For debugging only.")
    with stages() as shown, slots.proving(run, statement) as spend:
        shown.stage("read the run")
        found = runs.read_run(run)
        backend = default_backend()
        shown.stage("witness")
        job = assemble(backend, statement, found.inputs, found.targets, found.trace, found.blindings, LEAST_SECURITY)
        proof = make_proof(job, backend, progress=shown.stage)
        shown.stage("check the proof")
        try:
            verdict = verifier.verify(
                statement.to_bytes(), proof, minimum_security=LEAST_SECURITY, allow_transparent=not hiding
            )
        except verifier.VerifierError as error:
            raise ProverError(f"the proof does not pass its own verification: {error}") from error
        shown.stage("write")
        # From here on others may see the drawn positions, so the openings count as spent, come what may.
        spend()
        target = out if out is not None else run / runs.PROOF
        if str(target) == "-":
            sys.stdout.buffer.write(proof)
            sys.stdout.buffer.flush()
        else:
            write_atomic(target, proof)
    left = slots.slots_left(run, statement)
    result = {
        "proof": str(target),
        "statement": str(run / runs.STATEMENT),
        "bytes": len(proof),
        "statement_digest": f"sha256:{verdict.statement_digest.hex()}",
        "params_digest": f"sha256:{verdict.parameters_digest.hex()}",
        "security_bits": verdict.security_bits,
        "zero_knowledge": verdict.zero_knowledge,
        "openings_left": left,
        "seconds": shown.seconds,
    }
    lines = [
        f"proved in {seconds(shown.total())}: {size(len(proof))}, {verdict.security_bits:.1f} bits, "
        + ("zero knowledge" if hiding else "NOT zero knowledge"),
        f"wrote {target}; openings left: " + ", ".join(f"{name} {count}" for name, count in left.items()),
        f"next: zkgrad verify {run} --expect-params {result['params_digest']}",
    ]
    answer(result, lines, as_json)
