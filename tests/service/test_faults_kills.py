"""SIGKILL at any moment, of workers and of jobs' processes: no job is lost, none done twice, no slot spent twice."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from api.service import jobs, proofs
from api.service.schema import JobRow, Proof, Slot
from api.service.worker import spawn_worker
from verifier import verify

from .engine import payload, trained

WORKERS = 2
ATTEMPT_SECONDS = 7.0  # of processor time, a little more than an attempt takes that nobody interrupts on two idle cores


def descendants(pid: int) -> list[int]:
    """The processes that a worker has started, and theirs."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(status.parent.name)
            found += [child, *descendants(child)]
    return found


def processor_seconds(pid: int) -> float:
    """What a process has used, infinite once it is gone: moments of a job are counted in it, whatever the load."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.inf
    return math.inf if fields[0] == "Z" else (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(store, more: Callable[[], None]) -> float:
    """Processor time of an attempt on this machine as busy as it is: that of one job more, which is left alone."""
    more()
    seconds, worker = 0.0, spawn_worker(store.settings)
    try:
        while unfinished(store):
            seconds = max([seconds, *filter(math.isfinite, map(processor_seconds, descendants(worker.pid)[:1]))])
            time.sleep(0.05)
    finally:
        worker.kill()
        worker.wait()
    return seconds


def kill_while_working(
    store, seed: int, kills: int, at_once: int, more: Callable[[], None], seconds: float = ATTEMPT_SECONDS
) -> Counter[str]:
    """Kills a worker or its job's process, once an attempt has used between 0 and `seconds`; how often which.

    `more` submits another job, whenever fewer than `at_once` are not over.
    """
    rng, running, struck = random.Random(seed), [], Counter[str]()
    try:
        while struck.total() < kills:
            while len(running) < WORKERS:
                running.append(spawn_worker(store.settings))
            while unfinished(store) < at_once:
                more()
            working = [(worker, child) for worker in running for child in descendants(worker.pid)[:1]]
            if not working:
                time.sleep(0.05)
                continue
            worker, child = rng.choice(working)
            moment = rng.uniform(0, seconds)
            while processor_seconds(child) < moment:
                time.sleep(0.02)
            struck[strike(rng.choice(["worker", "job"]), worker, child, running)] += 1
        finish(store, running)
    finally:
        for worker in running:
            worker.kill()
            worker.wait()
    return struck


def strike(what: str, worker: subprocess.Popen[bytes], child: int, running: list[subprocess.Popen[bytes]]) -> str:
    """Kills a worker, or its job's process if that is still there."""
    if what == "job" and child in descendants(worker.pid):
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself a moment ago
            os.kill(child, signal.SIGKILL)
            return what
    children = descendants(worker.pid)
    running.remove(worker)
    worker.kill()
    worker.wait()
    assert_gone(children)
    return "worker"


def assert_gone(children: list[int]) -> None:
    """What a killed worker had started dies with it."""
    end = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() and not zombie(pid) for pid in children):
        assert time.monotonic() < end, "a job's process outlived its worker"
        time.sleep(0.05)


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def unfinished(store) -> int:
    """How many jobs are not over."""
    counts = jobs.counts(store)
    return counts.get("queued", 0) + counts.get("running", 0)


def finish(store, running: list[subprocess.Popen[bytes]]) -> None:
    """Leaves the workers alone until all jobs are over."""
    end = time.monotonic() + 1800
    while unfinished(store):
        assert time.monotonic() < end, jobs.counts(store)
        while len(running) < WORKERS:
            running.append(spawn_worker(store.settings))
        time.sleep(0.2)


def check_all(store, tenant, asked, texts) -> None:
    """Every job has succeeded once, with valid proofs, each paid for by slots of its own attempt."""
    for job in asked:
        seen = jobs.get_job(store, tenant, job)
        assert (seen.status, seen.failure) == ("succeeded", None)
        kinds = Counter(event.type for event in jobs.events_since(store, tenant, job, limit=10**6))
        assert kinds["succeeded"] == 1 and kinds["segment"] == len(texts)
        for text, digest in zip(texts, seen.result["proofs"], strict=True):
            verify(text, b"".join(proofs.read_proof(store, tenant, digest)), minimum_security=100)
    with store.database.read() as session:
        assert session.query(JobRow).count() == len(asked)
        made = session.query(Proof).all()
        assert len(made) == len(asked) * len(texts)
        slots = session.query(Slot).all()
        assert len({(slot.root, slot.slot) for slot in slots}) == len(slots)
        paid = Counter((slot.job, slot.attempt, slot.segment) for slot in slots)
        assert all(paid[proof.job, proof.attempt, proof.segment] == 3 for proof in made)
        assert set(paid.values()) == {3}


@pytest.fixture
def killing(make_store):
    """(store, tenant) in which a job is tried as often as it takes. The lease outlasts what a busy machine does not
    give its workers; the job of a killed one waits for its end."""
    return make_store(lease_seconds=10, max_attempts=1000, poll_seconds=0.1)


class Queue:
    """Submits jobs of a chain, as many as are asked for. A kill between paying for a proof and publishing it costs an
    opening, and a job is granted enough for `attempts`."""

    def __init__(self, store, tenant, chain, attempts: int) -> None:
        self.store, self.tenant, self.chain, self.attempts = store, tenant, chain, attempts
        self.asked: list[str] = []

    def __call__(self) -> None:
        body = payload(self.store, self.tenant, self.chain, self.attempts)
        self.asked.append(jobs.submit_job(self.store, self.tenant, "prove", body, route="/v1/prove")[0].id)

    def check(self) -> None:
        texts = [path.read_bytes() for path in sorted(self.chain.glob("segments/*/statement.json"))]
        check_all(self.store, self.tenant, self.asked, texts)


def test_a_few_kills(killing, chain):
    store, tenant = killing
    queue = Queue(store, tenant, chain, attempts=6)
    struck = kill_while_working(store, 1, 4, 1, queue)
    assert struck.total() == 4
    queue.check()


@pytest.mark.soak
def test_a_hundred_kills(killing, tmp_path):
    store, tenant = killing
    many = ("--segment-steps", "4", "--data-openings", "512", "--state-openings", "512")
    queue = Queue(store, tenant, trained(tmp_path / "chain", *many), attempts=8)
    struck = kill_while_working(store, 2, 100, WORKERS, queue, 1.1 * measured(store, queue))
    assert min(struck["worker"], struck["job"]) > 20
    queue.check()
