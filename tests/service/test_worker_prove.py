"""A run goes in as artifacts, and its proof comes out of a process that saw neither database nor keys."""

from __future__ import annotations

from api.service import jobs, proofs
from verifier import verify

from .engine import submit, work


def test_a_submitted_run_is_proven_and_its_openings_are_gone(opened, run):
    store, tenant = opened
    asked = submit(store, tenant, run)
    work(store)
    job = jobs.get_job(store, tenant, asked.id)
    assert (job.status, job.failure) == ("succeeded", None)
    [digest] = job.result["proofs"]
    proof = b"".join(proofs.read_proof(store, tenant, digest))
    verdict = verify((run / "statement.json").read_bytes(), proof, minimum_security=100)
    assert verdict.statement_digest.hex() == job.result["statements"][0]
