"""A job comes into being once, or not at all, with a reason that points at the fault."""

from __future__ import annotations

import asyncio
import copy
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.service import artifacts, jobs, statements, tenants, uploads
from api.service.errors import (
    BudgetExhausted,
    Conflict,
    IdempotencyMismatch,
    NotFound,
    TooMany,
    Unprocessable,
)
from verifier.statement import parse_statement

from .engine import payload


def ask(store, tenant, body, **more):
    return jobs.submit_job(store, tenant, "prove", body, route="/v1/prove", **more)


def test_a_hundred_identical_submissions_at_once_are_one_job(opened, run):
    store, tenant = opened
    body = payload(store, tenant, run)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: ask(store, tenant, body, idempotency_key="once"), range(100)))
    assert len({job.id for job, _ in answers}) == 1
    assert sum(new for _, new in answers) == 1
    assert all(job == answers[0][0] for job, _ in answers)
    assert len(jobs.list_jobs(store, tenant).items) == 1


def test_a_key_means_one_payload_of_one_tenant_on_one_route(opened, run):
    store, tenant = opened
    body = payload(store, tenant, run)
    first, _ = ask(store, tenant, body, idempotency_key="k")
    with pytest.raises(IdempotencyMismatch, match=first.id):
        ask(store, tenant, body, idempotency_key="k", deadline_seconds=5)
    elsewhere = jobs.submit_job(store, tenant, "prove", body, route="/v1/other", idempotency_key="k")
    assert elsewhere[1] and elsewhere[0].id != first.id
    assert ask(store, tenant, body)[1] and ask(store, tenant, body)[1]


def refused(store, tenant, body, error=Unprocessable):
    with pytest.raises(error) as raised:
        ask(store, tenant, body)
    assert jobs.list_jobs(store, tenant).items == ()
    return raised.value.pointer


def test_every_fault_of_a_payload_has_a_pointer(opened, run):
    store, tenant = opened
    body = payload(store, tenant, run)
    other = uploads.store_artifact(store, tenant, "other", [b"x"]).id

    def changed(**fields):
        return copy.deepcopy(body) | fields

    assert refused(store, tenant, changed(extra=1)) == "/extra"
    assert refused(store, tenant, changed(statements=["0" * 64])) == "/statements/0"
    assert refused(store, tenant, changed(statements=["zz"])) == "/statements/0"
    assert refused(store, tenant, changed(statements=body["statements"] * 2)) == "/statements"
    assert refused(store, tenant, changed(data="0" * 20)) == "/data"
    assert refused(store, tenant, changed(data=other)) == "/data"
    assert refused(store, tenant, changed(initial=None)) == "/initial"
    assert refused(store, tenant, changed(openings=body["data"])) == "/openings"
    with pytest.raises(Unprocessable):
        jobs.submit_job(store, tenant, "nonsense", body, route="/v1/prove")
    foreign = tenants.create_tenant(store, "another").id
    assert refused(store, foreign, body) == "/statements/0"


def test_openings_must_be_granted_within_the_budget(opened, run):
    store, tenant = opened
    body = payload(store, tenant, run)
    statement = parse_statement((run / "statement.json").read_bytes())
    data, final = statement.data_root.hex(), statement.final_root.hex()
    without = {root: grant for root, grant in body["grants"].items() if root != final}
    assert refused(store, tenant, body | {"grants": without}, BudgetExhausted) == "/grants"
    beyond = body["grants"] | {data: {"first": 63, "count": 2}}
    assert refused(store, tenant, body | {"grants": beyond}, BudgetExhausted) == f"/grants/{data}"


def test_segments_of_different_runs_make_no_chain(opened, run, chain):
    store, tenant = opened
    of_run, of_chain = payload(store, tenant, run), payload(store, tenant, chain)
    mixed = of_chain | {"statements": [of_chain["statements"][0], of_run["statements"][0]]}
    assert refused(store, tenant, mixed) == "/statements"
    assert refused(store, tenant, of_chain | {"statements": of_chain["statements"][1:]}) == "/statements"


def test_a_tenant_has_only_so_many_jobs_at_a_time(make_store, run):
    store, tenant = make_store(max_active_jobs=2)
    body = payload(store, tenant, run, attempts=3)
    first, _ = ask(store, tenant, body)
    ask(store, tenant, body)
    with pytest.raises(TooMany):
        ask(store, tenant, body)
    jobs.cancel_job(store, tenant, first.id)
    assert ask(store, tenant, body)[1]


def test_what_a_job_needs_cannot_be_deleted_under_it(opened, run):
    store, tenant = opened
    body = payload(store, tenant, run)
    job, _ = ask(store, tenant, body)
    for delete in (
        lambda: artifacts.delete_artifact(store, tenant, body["data"]),
        lambda: statements.delete_statement(store, tenant, body["statements"][0]),
        lambda: jobs.delete_job(store, tenant, job.id),
        lambda: tenants.delete_tenant(store, tenant),
    ):
        with pytest.raises(Conflict):
            delete()
    jobs.cancel_job(store, tenant, job.id)
    artifacts.delete_artifact(store, tenant, body["data"])
    jobs.delete_job(store, tenant, job.id)
    with pytest.raises(NotFound):
        jobs.get_job(store, tenant, job.id)
    with pytest.raises(NotFound):
        artifacts.get_artifact(store, tenant, body["openings"])  # gone with the end of its only job


def test_openings_stay_while_another_job_needs_them(opened, run):
    store, tenant = opened
    body = payload(store, tenant, run, attempts=2)
    first, second = ask(store, tenant, body)[0], ask(store, tenant, body)[0]
    jobs.cancel_job(store, tenant, first.id)
    assert artifacts.get_artifact(store, tenant, body["openings"]).secret
    jobs.cancel_job(store, tenant, second.id)
    with pytest.raises(NotFound):
        artifacts.get_artifact(store, tenant, body["openings"])


def test_lists_come_in_pages_and_waiting_ends_with_a_change(opened, run):
    store, tenant = opened
    body = payload(store, tenant, run)
    made = [ask(store, tenant, body)[0].id for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = jobs.list_jobs(store, tenant, cursor, limit=2)
        seen += [job.id for job in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(made) and len(seen) == 5
    with pytest.raises(Unprocessable):
        jobs.list_jobs(store, tenant, "nonsense")

    async def watch():
        waiting = asyncio.create_task(jobs.wait_for_change(store, tenant, made[0], 1, 60))
        await asyncio.to_thread(jobs.cancel_job, store, tenant, made[0])
        return await waiting

    assert asyncio.run(watch()).status == "cancelled"
    assert [event.type for event in jobs.events_since(store, tenant, made[0])] == ["queued", "cancelled"]
    assert [event.number for event in jobs.events_since(store, tenant, made[0], after=1)] == [2]
