"""The fencing token: an attempt that was overtaken changes nothing, publishes nothing and spends nothing."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import text

from api.service import artifacts, jobs, leases, proofs
from api.service.errors import BudgetExhausted, CancelRequested, LeaseLost, NotFound
from api.service.failures import failure
from api.service.leases import Made
from api.service.schema import JobRow, Slot
from verifier.statement import parse_statement

from .engine import payload, submit


class Clock:
    """The database's clock, which stands still until a test moves it."""

    def __init__(self, store) -> None:
        self.now = 1e9
        store.database.now = lambda session: self.now


@pytest.fixture
def held(make_store, run):
    """(store, tenant, clock, run): short leases, and time in the test's hands."""
    store, tenant = make_store(lease_seconds=10, max_attempts=3, retry_seconds=4, job_seconds=1000)
    return store, tenant, Clock(store), run


def statement_of(run):
    return parse_statement((run / "statement.json").read_bytes())


def spent(store) -> list[tuple[str, int, int]]:
    with store.database.read() as session:
        return sorted((row.root, row.slot, row.attempt) for row in session.query(Slot))


def elsewhere(store, job: str) -> str:
    """Makes a job ask for a device that no worker of the test has."""
    with store.database.write() as session:
        session.get_one(JobRow, job).device = "another"
    return job


def test_an_overtaken_attempt_can_do_nothing(held):
    store, tenant, clock, run = held
    submit(store, tenant, run, attempts=3)
    first = leases.claim(store, "a")
    assert leases.claim(store, "b") is None
    clock.now += 9
    assert leases.heartbeat(store, first)[0] is False
    clock.now += 9
    assert leases.claim(store, "b") is None  # the heartbeat counts
    clock.now += 1
    second = leases.claim(store, "b")
    assert (second.job, second.attempt) == (first.job, 2)
    made = Made("attempts/x", 1, "0" * 64)
    for write in (
        lambda: leases.heartbeat(store, first),
        lambda: leases.report(store, first, "stage"),
        lambda: leases.reserve_slots(store, first, 0, statement_of(run)),
        lambda: leases.publish_proof(store, first, 0, "0" * 64, made, {}),
        lambda: leases.finish(store, first, {}),
        lambda: leases.fail(store, first, failure("internal")),
        lambda: leases.release(store, first),
        lambda: leases.cancelled(store, first),
        lambda: leases.take_nonce(store, first, "00"),
        lambda: leases.heartbeat(store, dataclasses.replace(second, attempt=3)),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert spent(store) == [] and proofs.list_proofs(store, tenant).items == ()
    leases.finish(store, second, {"proofs": []})
    assert jobs.get_job(store, tenant, first.job).status == "succeeded"


def test_a_lease_that_ran_out_is_lost_even_if_nobody_else_took_it(held):
    store, tenant, clock, run = held
    submit(store, tenant, run)
    lease = leases.claim(store, "a")
    clock.now += 10
    with pytest.raises(LeaseLost):
        leases.heartbeat(store, lease)


def test_a_lease_is_kept_without_waiting_for_the_disk(opened):
    """Nothing else is: whatever is acknowledged or spent must survive a loss of power."""
    database = opened[0].database
    question = "pragma synchronous" if database.sqlite else "show synchronous_commit"
    on_disk, soon = (2, 1) if database.sqlite else ("on", "off")
    for transaction, wanted in ((database.write, on_disk), (database.write_soon, soon), (database.write, on_disk)):
        with transaction() as session:
            assert session.scalar(text(question)) == wanted


def test_slots_are_spent_once_and_for_good(held):
    store, tenant, clock, run = held
    statement, roots = statement_of(run), set()
    submit(store, tenant, run, attempts=2)
    first = leases.claim(store, "a")
    slots = leases.reserve_slots(store, first, 0, statement)
    roots |= set(slots)
    clock.now += 10
    second = leases.claim(store, "b")
    assert leases.reserve_slots(store, second, 0, statement) == {root: slot + 1 for root, slot in slots.items()}
    with pytest.raises(BudgetExhausted):
        leases.reserve_slots(store, second, 0, statement)
    assert len(spent(store)) == 6 and len(roots) == 3
    leases.fail(store, second, failure("input_invalid"))
    assert len(spent(store)) == 6  # a failure gives nothing back


def test_a_second_grant_of_the_same_folder_does_not_overlap(held):
    store, tenant, _, run = held
    statement = statement_of(run)
    seen = []
    for _ in range(3):
        submit(store, tenant, run)
        seen.append(leases.reserve_slots(store, leases.claim(store, "a"), 0, statement))
    assert [set(slots.values()) for slots in seen] == [{0}, {1}, {2}]


def test_a_grant_that_is_spent_admits_no_further_job(held):
    store, tenant, _, run = held
    body = payload(store, tenant, run)
    jobs.submit_job(store, tenant, "prove", body, route="/v1/prove")
    leases.reserve_slots(store, leases.claim(store, "a"), 0, statement_of(run))
    with pytest.raises(BudgetExhausted):
        jobs.submit_job(store, tenant, "prove", body, route="/v1/prove")


def test_retries_wait_longer_each_time_and_end(held):
    store, tenant, clock, run = held
    job = submit(store, tenant, run).id
    for wait in (4, 8):
        assert leases.fail(store, leases.claim(store, "a"), failure("storage_unavailable")) is True
        assert leases.claim(store, "a") is None
        clock.now += wait - 1
        assert leases.claim(store, "a") is None
        clock.now += 1
    assert leases.fail(store, leases.claim(store, "a"), failure("storage_unavailable")) is False
    seen = jobs.get_job(store, tenant, job)
    assert (seen.status, seen.failure["code"], seen.attempt) == ("failed", "storage_unavailable", 3)


def test_what_cannot_help_is_not_tried_again(held):
    store, tenant, _, run = held
    body = payload(store, tenant, run)
    job = jobs.submit_job(store, tenant, "prove", body, route="/v1/prove")[0].id
    assert leases.fail(store, leases.claim(store, "a"), failure("out_of_range")) is False
    assert jobs.get_job(store, tenant, job).failure["retryable"] is False
    with pytest.raises(NotFound):
        artifacts.get_artifact(store, tenant, body["openings"])


def test_workers_that_die_again_and_again_end_a_job(held):
    store, tenant, clock, run = held
    job = submit(store, tenant, run).id
    for attempt in (1, 2, 3):
        assert leases.claim(store, "a").attempt == attempt
        clock.now += 10
    assert leases.claim(store, "a") is None
    seen = jobs.get_job(store, tenant, job)
    assert (seen.status, seen.failure["code"], seen.failure["retryable"]) == ("failed", "internal", False)


def test_a_job_given_back_has_lost_no_attempt(held):
    store, tenant, _, run = held
    job = submit(store, tenant, run).id
    for _ in range(5):
        leases.release(store, leases.claim(store, "a"))
    seen = jobs.get_job(store, tenant, job)
    assert (seen.status, seen.max_attempts - seen.attempt) == ("queued", 3)


def test_deadlines_and_wishes_to_end_are_heeded_when_a_worker_is_gone(held):
    store, tenant, clock, run = held
    late, ended = (submit(store, tenant, run, deadline_seconds=100).id for _ in range(2))
    other = elsewhere(store, submit(store, tenant, run, deadline_seconds=100).id)
    assert {leases.claim(store, name).job for name in ("a", "b")} == {late, ended}
    jobs.cancel_job(store, tenant, ended)
    assert jobs.get_job(store, tenant, ended).status == "running"
    clock.now += 101
    assert leases.claim(store, "a") is None
    seen = {job: jobs.get_job(store, tenant, job) for job in (late, ended, other)}
    assert seen[ended].status == "cancelled"
    assert [seen[job].failure["code"] for job in (late, other)] == ["deadline", "deadline"]


def test_a_job_that_is_to_end_publishes_and_spends_nothing_more(held):
    store, tenant, _, run = held
    job = submit(store, tenant, run).id
    lease = leases.claim(store, "a")
    jobs.cancel_job(store, tenant, job)
    assert leases.heartbeat(store, lease)[0] is True
    for write in (
        lambda: leases.report(store, lease, "stage"),
        lambda: leases.reserve_slots(store, lease, 0, statement_of(run)),
        lambda: leases.publish_proof(store, lease, 0, "0" * 64, Made("attempts/x", 1, "0" * 64), {}),
        lambda: leases.take_nonce(store, lease, "00"),
        lambda: leases.finish(store, lease, {}),
    ):
        with pytest.raises(CancelRequested):
            write()
    assert spent(store) == [] and proofs.list_proofs(store, tenant).items == ()
    assert jobs.get_job(store, tenant, job).status == "running"


@pytest.mark.parametrize("ending", ["cancelled", "fail", "release"])
def test_however_an_attempt_ends_the_owners_wish_counts(held, ending):
    store, tenant, _, run = held
    job = submit(store, tenant, run).id
    lease = leases.claim(store, "a")
    jobs.cancel_job(store, tenant, job)
    {
        "cancelled": lambda: leases.cancelled(store, lease),
        "fail": lambda: leases.fail(store, lease, failure("internal")),
        "release": lambda: leases.release(store, lease),
    }[ending]()
    seen = jobs.get_job(store, tenant, job)
    assert (seen.status, seen.failure, seen.result) == ("cancelled", None, None)


def test_a_worker_takes_only_jobs_for_its_device(held):
    store, tenant, _, run = held
    elsewhere(store, submit(store, tenant, run).id)
    assert leases.claim(store, "a") is None


def test_a_nonce_is_answered_by_one_job(held):
    store, tenant, _, run = held
    submit(store, tenant, run)
    submit(store, tenant, run)
    first = leases.claim(store, "a")
    assert leases.take_nonce(store, first, "ab") and leases.take_nonce(store, first, "ab")
    second = leases.claim(store, "b")
    assert not leases.take_nonce(store, second, "ab")
