"""Proves a run: trains again, exactly, and proves segment by segment from the first that has no proof yet.

The inputs are the owner's committed integers, first state and openings, held in memory only. Each segment's proof is
verified here before its openings are reserved, and reserved before it leaves this process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from api import runs
from api.backend import default_backend
from api.chains import blindings_of
from api.manifest import Entry, to_bytes
from api.service.channel import path_of
from api.service.failures import failure
from prover.backends.interface import Backend
from prover.commitment import Blinding
from prover.errors import InputInvalid
from prover.exact import Integers, on_host
from prover.model_io import load_state
from prover.proving import prove as make_proof
from prover.session import assemble
from prover.trainer import State, Trace, public_state, train
from prover.trainer import run as train_on
from verifier import verify
from verifier.check import LEAST_SECURITY, Verdict
from verifier.errors import VerifierError
from verifier.statement import Statement, parse_statement

from .link import Link, Refused


def run(link: Link, job: Mapping[str, Any]) -> None:
    """Publishes the proof of every segment that has none, and tells the digests of all."""
    statements = [parse_statement(text.encode("ascii")) for text in job["statements"]]
    finished: dict[int, str] = {int(segment): digest for segment, digest in job["finished"].items()}
    if len(finished) < len(statements):
        _prove_rest(link, statements, finished)
    proofs = [finished[segment] for segment in range(len(statements))]
    entries = [Entry(s.digest(), bytes.fromhex(digest)) for s, digest in zip(statements, proofs, strict=True)]
    result = {"proofs": proofs, "statements": [s.digest().hex() for s in statements], "run": None}
    if len(entries) == 1:
        link.done(result)
        return
    manifest = to_bytes(entries)
    link.done(result | {"run": hashlib.sha256(manifest).hexdigest()}, manifest)


def _prove_rest(link: Link, statements: Sequence[Statement], finished: dict[int, str]) -> None:
    link.stage("read inputs")
    backend = default_backend()
    inputs, targets = _data(link, statements[0])
    state, openings = _initial(link, statements[0]), _openings(link)
    for segment, statement in enumerate(statements):
        p = statement.parameters

        def count(done: int, total: int = p.steps) -> None:
            link.progress(done, total)

        link.stage("train")
        if segment in finished:
            state, _ = train_on(p, state, inputs, targets, statement.batches(), count, backend.integers)
            continue
        trace = train(p, state, inputs, targets, statement.batches(), count, backend.integers)
        blindings = blindings_of(openings, statement, segment, len(statements))
        proof, verdict = _prove(link, backend, statement, inputs, targets, trace, blindings)
        link.stage("publish")
        link.reserve(segment)
        link.publish(segment, proof, verdict)
        finished[segment], state = hashlib.sha256(proof).hexdigest(), trace.final.moved(on_host)


def _prove(
    link: Link,
    backend: Backend,
    statement: Statement,
    inputs: Integers,
    targets: Integers,
    trace: Trace,
    blindings: Mapping[str, Blinding],
) -> tuple[bytes, dict[str, Any]]:
    """A proof that has passed the verifier, and its verdict."""
    link.stage("witness")
    job = assemble(backend, statement, inputs, targets, trace, blindings, LEAST_SECURITY)
    proof = make_proof(job, backend, progress=link.stage)
    link.stage("check the proof")
    hiding = statement.parameters.zero_knowledge
    try:
        verdict = verify(statement.to_bytes(), proof, minimum_security=LEAST_SECURITY, allow_transparent=not hiding)
    except VerifierError as error:
        # The text names public things only: places and positions of a proof.
        raise Refused(failure("self_check_failed", "check the proof").document()) from error
    return proof, _document(verdict)


def _document(verdict: Verdict) -> dict[str, Any]:
    return {
        "statement_digest": verdict.statement_digest.hex(),
        "params_digest": verdict.parameters_digest.hex(),
        "security_bits": round(verdict.security_bits, 2),
        "zero_knowledge": verdict.zero_knowledge,
    }


def _data(link: Link, statement: Statement) -> tuple[Integers, Integers]:
    with link.input("data") as handle:
        inputs, targets = runs.data_of(path_of(handle))
    if len(inputs) != statement.samples:
        raise InputInvalid(f"the data have {len(inputs)} rows, the statement speaks of {statement.samples}")
    return inputs, targets


def _initial(link: Link, statement: Statement) -> State:
    p = statement.parameters
    if p.initial == "public-seed":
        return public_state(p, statement.initial_root)
    with link.input("initial") as handle:
        return load_state(path_of(handle), p)


def _openings(link: Link) -> dict[str, Blinding]:
    with link.input("openings") as handle:
        return runs.openings_of(path_of(handle))
