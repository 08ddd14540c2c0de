"""SIGKILL at any moment, of workers and of jobs' processes: no job is lost, none done twice, no slot spent twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from api.service import jobs, proofs
from api.service.schema import JobRow, Proof, Slot
from api.service.worker import spawn_worker
from verifier import verify

from .engine import payload


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


def kill_while_working(store, seed: int, kills: int, workers: int = 2) -> int:
    """Keeps `workers` workers busy and kills them, or what they started, `kills` times; how many were the latter."""
    rng, running, inner = random.Random(seed), [], 0
    try:
        for _ in range(kills):
            while len(running) < workers:
                running.append(spawn_worker(store.settings))
            time.sleep(rng.uniform(0.5, 6))
            victim = rng.choice(running)
            children = descendants(victim.pid)
            if children and rng.random() < 0.5:
                inner += 1
                victims = [rng.choice(children)]
            else:
                running.remove(victim)
                victims = [victim.pid]
            for pid in victims:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if victims == [victim.pid]:
                victim.wait()
                assert_gone(children)
        finish(store, running)
    finally:
        for worker in running:
            worker.kill()
            worker.wait()
    return inner


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


def finish(store, running: list[subprocess.Popen[bytes]]) -> None:
    """Leaves the workers alone until all jobs are over."""
    end = time.monotonic() + 900
    while any(status in jobs.counts(store) for status in ("queued", "running")):
        assert time.monotonic() < end, jobs.counts(store)
        while len(running) < 2:
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
    return make_store(lease_seconds=3, max_attempts=1000, poll_seconds=0.1)


def submitted(store, tenant, run, count: int, attempts: int) -> list[str]:
    made = []
    for _ in range(count):
        asked = payload(store, tenant, run, attempts)
        made.append(jobs.submit_job(store, tenant, "prove", asked, route="/v1/prove")[0].id)
    return made


def test_a_few_kills(killing, chain):
    store, tenant = killing
    asked = submitted(store, tenant, chain, 1, 8)
    kill_while_working(store, seed=1, kills=3)
    check_all(store, tenant, asked, [p.read_bytes() for p in sorted(chain.glob("segments/*/statement.json"))])


@pytest.mark.soak
def test_a_hundred_kills(killing, chain):
    store, tenant = killing
    asked = submitted(store, tenant, chain, 4, 8)
    inner = kill_while_working(store, seed=2, kills=110)
    assert 20 < inner < 90
    check_all(store, tenant, asked, [p.read_bytes() for p in sorted(chain.glob("segments/*/statement.json"))])
