"""Runs go in as artifacts, and proofs come out of processes that see neither database nor keys."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from api.service import artifacts, jobs, landlock, leases, proofs, supervisor, uploads
from api.service.errors import NotFound
from api.service.logs import configure_logging
from api.service.replies import open_identity
from api.service.schema import Proof, Slot
from api.service.supervisor import Attempt
from prover.model_io import load_arrays, save_arrays
from verifier import verify
from verifier.chain import verify_chain

from .engine import payload, pieces, submit, work


def proof_of(store, tenant, digest) -> bytes:
    return b"".join(proofs.read_proof(store, tenant, digest))


def check_ledger(store) -> None:
    """Every published proof has spent its own slots; no slot is spent twice (the key of the table sees to that)."""
    with store.database.read() as session:
        slots = [(s.job, s.attempt, s.segment) for s in session.query(Slot)]
        for proof in session.query(Proof):
            assert slots.count((proof.job, proof.attempt, proof.segment)) == 3


def test_a_submitted_run_is_proven_and_verified_and_its_openings_are_gone(opened, run):
    store, tenant = opened
    body = payload(store, tenant, run)
    asked = jobs.submit_job(store, tenant, "prove", body, route="/v1/prove")[0]
    work(store)
    job = jobs.get_job(store, tenant, asked.id)
    assert (job.status, job.failure) == ("succeeded", None)
    [digest], [statement] = job.result["proofs"], job.result["statements"]
    text = (run / "statement.json").read_bytes()
    assert verify(text, proof_of(store, tenant, digest), minimum_security=100).statement_digest.hex() == statement
    check_ledger(store)
    with pytest.raises(NotFound):
        artifacts.get_artifact(store, tenant, body["openings"])
    stages = [e.data["name"] for e in jobs.events_since(store, tenant, job.id) if e.type == "stage"]
    assert stages[:2] == ["read inputs", "train"] and stages[-1] == "publish"
    verified = {name: ask_verify(store, tenant, statement, digest, **pins) for name, pins in {
        "unpinned": {}, "pinned": {"expect_statement": statement}, "other": {"expect_statement": "0" * 64},
        "stronger": {"min_security_bits": 128},
    }.items()}  # fmt: skip
    damaged = bytearray(proof_of(store, tenant, digest))
    damaged[len(damaged) // 2] ^= 1
    artifact = uploads.store_artifact(store, tenant, "proof", [bytes(damaged)]).id
    verified["damaged"] = ask_verify(store, tenant, statement, artifact)
    work(store)
    results = {name: jobs.get_job(store, tenant, job).result for name, job in verified.items()}
    assert results["unpinned"]["valid"] and not results["unpinned"]["pinned"]
    assert results["pinned"]["valid"] and results["pinned"]["pinned"]
    assert results["pinned"]["statement_digest"] == statement and results["pinned"]["segments"] == 1
    reasons = {name: results[name]["reason"] for name in ("other", "stronger", "damaged")}
    assert reasons["other"] == "not_expected" and reasons["stronger"] == "parameters_unsafe"
    assert reasons["damaged"] in ("proof_invalid", "malformed_proof")


def ask_verify(store, tenant, statement, proof, **more) -> str:
    body = {"segments": [{"statement": statement, "proof": proof}], "min_security_bits": 100} | more
    return jobs.submit_job(store, tenant, "verify", body, route="/v1/verify-jobs")[0].id


class StopAfter(threading.Event):
    """Kills the job's process, as the machine might, at the first message that a test names."""

    def __init__(self, monkeypatch, kind: str) -> None:
        super().__init__()
        self.killed: list[int] = []
        plain = Attempt._answer

        def answer(attempt, channel, message):
            plain(attempt, channel, message)
            if message.body["op"] == kind and not self.killed:
                self.killed.append(attempt._process.pid)
                os.kill(attempt._process.pid, signal.SIGKILL)

        monkeypatch.setattr(Attempt, "_answer", answer)


def test_a_chain_goes_on_at_its_last_finished_segment(opened, chain, monkeypatch):
    store, tenant = opened
    asked = submit(store, tenant, chain, attempts=2)
    killed = StopAfter(monkeypatch, "proof")
    work(store)
    assert len(killed.killed) == 1
    job = jobs.get_job(store, tenant, asked.id)
    assert (job.status, job.attempt) == ("succeeded", 2)
    events = [e for e in jobs.events_since(store, tenant, job.id) if e.type == "segment"]
    assert [e.data["proof"] for e in events] == job.result["proofs"]
    texts = [(chain / "segments" / f"{k:03}" / "statement.json").read_bytes() for k in range(2)]
    pairs = [(t, proof_of(store, tenant, p)) for t, p in zip(texts, job.result["proofs"], strict=True)]
    assert verify_chain(pairs, minimum_security=100).steps == 8
    found = proofs.get_run(store, tenant, job.result["run"])
    assert [proof for _, proof in found.segments] == job.result["proofs"]
    attempts = {proof.segment: proof.verdict for proof in proofs.list_proofs(store, tenant, job=job.id).items}
    assert set(attempts) == {0, 1}
    check_ledger(store)
    both = [{"statement": s, "proof": p} for s, p in found.segments]
    whole = {"segments": both, "expect_statement": found.segments[1][0], "min_security_bits": 100}
    swapped = whole | {"segments": [{**both[0], "proof": both[1]["proof"]}, both[1]]}
    ids = [jobs.submit_job(store, tenant, "verify", b, route="r")[0].id for b in (whole, swapped)]
    work(store)
    good, bad = (jobs.get_job(store, tenant, i).result for i in ids)
    assert good["valid"] and good["pinned"] and (good["segments"], good["steps"]) == (2, 8)
    assert not bad["valid"] and bad["segment"] == 0


@pytest.mark.parametrize(("moment", "made"), [("stage", 0), ("reserve", 0), ("proof", 1)])
def test_a_job_that_is_cancelled_while_it_runs_never_succeeds(opened, run, monkeypatch, moment, made):
    """Not even if nothing but its end is left to be done; a proof that is published by then stays, and is paid for."""
    store, tenant = opened
    body = payload(store, tenant, run)
    asked = jobs.submit_job(store, tenant, "prove", body, route="/v1/prove")[0]
    plain = Attempt._answer

    def answer(attempt, channel, message):
        plain(attempt, channel, message)
        if message.body["op"] == moment:
            jobs.cancel_job(store, tenant, asked.id)

    monkeypatch.setattr(Attempt, "_answer", answer)
    work(store)
    seen = jobs.get_job(store, tenant, asked.id)
    assert (seen.status, seen.failure, seen.result) == ("cancelled", None, None)
    assert len(proofs.list_proofs(store, tenant, job=asked.id).items) == made
    check_ledger(store)
    with pytest.raises(NotFound):
        artifacts.get_artifact(store, tenant, body["openings"])


def altered(store, tenant, body, run: Path, kind: str, change) -> dict:
    """The payload with one artifact whose arrays were changed."""
    path = run / f"{kind}.safetensors"
    arrays = {name: np.array(values) for name, values in load_arrays(path).items()}
    change(arrays)
    save_arrays(path, arrays, {})
    return body | {kind: uploads.store_artifact(store, tenant, kind, pieces(path)).id}


def test_inputs_that_do_not_fit_end_in_typed_failures_that_quote_nothing(opened, run, capfd):
    configure_logging()
    store, tenant = opened
    body = payload(store, tenant, run, attempts=4)

    def flip(name, at):
        def change(arrays):
            arrays[name].reshape(-1)[at] ^= 1

        return change

    garbage = uploads.store_artifact(store, tenant, "data", [b"no safetensors"]).id
    bodies = {
        "input_invalid": body | {"data": garbage},
        "commitment_mismatch": altered(store, tenant, body, run, "openings", flip("data.salts", 3)),
    }
    ids = {code: jobs.submit_job(store, tenant, "prove", b, route="r")[0].id for code, b in bodies.items()}
    work(store)
    for code, job in ids.items():
        seen = jobs.get_job(store, tenant, job)
        assert (seen.status, seen.failure["code"], seen.attempt) == ("failed", code, 1)
        assert json.dumps(seen.failure).count("0x") == 0 and "/proc" not in seen.failure["message"]
    logged = [line for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert logged and all(set(json.loads(line)) <= {"source", "job", "attempt", "kind", "worker", "event", "level",
        "timestamp", "code", "again", "segment", "bytes", "reason", "status", "blobs"} for line in logged)  # fmt: skip
    with store.database.read() as session:
        assert not session.query(Slot).count()


GREEDY = """
import sys
sys.path.insert(0, sys.argv[1])
from api.service import child
child.confine(*map(int, sys.argv[3:6]))
from api.service.runners import prove, serve
prove.run = lambda link, job: bytearray(int(sys.argv[4]))
serve.serve(int(sys.argv[2]))
"""


def test_a_process_that_needs_too_much_memory_fails_for_that(make_store, tmp_path, run, monkeypatch):
    script = tmp_path / "greedy.py"
    script.write_text(GREEDY)
    monkeypatch.setattr(supervisor, "_CHILD", script)
    store, tenant = make_store(worker_memory_bytes=3 << 30)
    job = submit(store, tenant, run).id
    work(store)
    seen = jobs.get_job(store, tenant, job)
    assert (seen.status, seen.failure["code"]) == ("failed", "out_of_memory")


SLEEPER = "import os, socket, sys, time; s = socket.socket(fileno=int(sys.argv[2])); s.recv(10); time.sleep(1000)"


@pytest.fixture
def sleeping(tmp_path, monkeypatch):
    """Processes that do nothing but hold their channel."""
    script = tmp_path / "sleeper.py"
    script.write_text(SLEEPER)
    monkeypatch.setattr(supervisor, "_CHILD", script)


def attempt(store, stop=None) -> Attempt:
    lease = leases.claim(store, "here")
    return Attempt(store, open_identity(store.settings.identity_file), lease, stop or threading.Event())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("ending", "status", "code"),
    [("cancel", "cancelled", None), ("deadline", "failed", "deadline"), ("stall", "queued", None),
     ("stop", "queued", None), ("lost", "running", None)],
)  # fmt: skip
def test_an_attempt_is_ended_from_outside(make_store, run, sleeping, ending, status, code):
    limits = {"lease_seconds": 0.6} | ({"stall_seconds": 0.5} if ending == "stall" else {})
    store, tenant = make_store(**limits)
    job = submit(store, tenant, run, deadline_seconds=0.5 if ending == "deadline" else None).id
    stop = threading.Event()
    running = attempt(store, stop)
    thread = threading.Thread(target=running.run)
    thread.start()
    while running._process is None:
        time.sleep(0.01)
    if ending == "cancel":
        jobs.cancel_job(store, tenant, job)
    elif ending == "stop":
        stop.set()
    elif ending == "lost":
        with store.database.write() as session:
            from api.service.schema import JobRow

            session.get_one(JobRow, job).attempt += 1
    thread.join()
    assert not alive(running._process.pid)
    seen = jobs.get_job(store, tenant, job)
    assert seen.status == status and (seen.failure or {}).get("code") == code
    assert (ending == "stop") == (seen.max_attempts > store.settings.max_attempts)


def test_the_process_of_a_job_sees_no_environment_and_no_other_descriptor(make_store, tmp_path, run, monkeypatch):
    script = tmp_path / "looker.py"
    script.write_text(
        "import os, sys\n"
        "seen = f'{dict(os.environ)} {sorted(map(int, os.listdir(\"/proc/self/fd\")))} {sys.argv[2]}'\n"
        f"open({str(tmp_path / 'seen')!r}, 'w').write(seen)\n"
    )
    monkeypatch.setattr(supervisor, "_CHILD", script)
    monkeypatch.setenv("ZKGRAD_S3_SECRET_KEY", "hush")
    store, tenant = make_store(max_attempts=1)
    submit(store, tenant, run)
    work(store)
    environment, rest = (tmp_path / "seen").read_text().split("} ")
    handles, channel = json.loads(rest.rpartition(" ")[0]), int(rest.rpartition(" ")[2])
    assert "hush" not in environment and "ZKGRAD" not in environment
    assert len(set(handles) - {0, 1, 2, channel}) == 1  # the one that lists the folder


PRISONER = """
import json, os, socket, sys
sys.path.insert(0, sys.argv[1])
from api.service import child
child.confine(*map(int, sys.argv[3:6]))
child.enclose(sys.argv[1], sys.argv[6])
from api.service.runners import prove, serve

def attempt(action):
    try:
        action()
        return None
    except OSError as error:
        return type(error).__name__

def run(link, job):
    link.done({
        "database": attempt(lambda: open(DATABASE)),
        "key": attempt(lambda: open(KEY)),
        "environment": attempt(lambda: open(f"/proc/{os.getppid()}/environ").read()),
        "memory": attempt(lambda: open(f"/proc/{os.getppid()}/mem")),
        "listing": attempt(lambda: os.listdir("/")),
        "writing": attempt(lambda: open("/tmp/zkgrad-escaped", "w")),
        "network": attempt(lambda: socket.create_connection(("127.0.0.1", PORT))),
        "killing": attempt(lambda: os.kill(os.getppid(), 0)),
        "own files": attempt(lambda: open(child.__file__)),
    })

prove.run = run
serve.serve(int(sys.argv[2]))
"""


@pytest.mark.services
def test_the_process_of_a_job_reaches_no_file_no_network_and_no_other_process(make_store, tmp_path, run, monkeypatch):
    if not landlock.version():
        pytest.fail("this kernel has no Landlock (5.13 and newer have it); jobs run without it, this test cannot")
    store, tenant = make_store()
    script = tmp_path / "prisoner.py"
    with socket.create_server(("127.0.0.1", 0)) as server:
        values = {"DATABASE": str(store.settings.data / "zkgrad.sqlite"), "PORT": server.getsockname()[1]}
        values["KEY"] = str(store.settings.wrapping_key_file)
        script.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()) + PRISONER)
        monkeypatch.setattr(supervisor, "_CHILD", script)
        job = submit(store, tenant, run).id
        work(store)
    found = jobs.get_job(store, tenant, job).result
    assert found.pop("own files") is None
    assert found == dict.fromkeys(found, "PermissionError")
