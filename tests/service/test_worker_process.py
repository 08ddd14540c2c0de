"""Workers as processes: told to stop they give their job back, and none outlives whoever started it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from api.service import jobs
from api.service.worker import spawn_worker

from .engine import submit
from .test_faults_kills import assert_gone, descendants, zombie

ROOT = Path(__file__).parents[2]


def until(ready) -> None:
    end = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_worker_that_is_told_to_stop_gives_its_job_back(opened, run):
    store, tenant = opened
    job = submit(store, tenant, run).id
    worker = spawn_worker(store.settings)
    until(lambda: descendants(worker.pid))
    children = descendants(worker.pid)
    worker.terminate()
    assert worker.wait() == 0
    assert_gone(children)
    seen = jobs.get_job(store, tenant, job)
    assert (seen.status, seen.attempt) == ("queued", 1)
    assert seen.max_attempts == store.settings.max_attempts + 1


STARTER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from api.service.settings import Settings
from api.service.worker import spawn_worker
print(spawn_worker(Settings(**json.loads(sys.argv[2]))).pid, flush=True)
time.sleep(1000)
"""


def test_a_worker_dies_with_whoever_started_it(opened):
    store, _ = opened
    settings = json.dumps(store.settings.plain())
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(ROOT), settings], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert starter.stdout is not None
    worker = int(starter.stdout.readline())
    assert not zombie(worker)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    assert_gone([worker])


def test_the_command_ends_when_nothing_waits_and_refuses_an_empty_database(opened):
    store, _ = opened
    environment = {f"ZKGRAD_{name.upper()}": str(value) for name, value in store.settings.plain().items() if value}
    environment.pop("ZKGRAD_JOB_TRACEBACKS")
    command = [sys.executable, "-m", "api.cli", "worker", "--until-idle"]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)} | environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    missing = {"PYTHONPATH": str(ROOT), "ZKGRAD_DATA": str(store.settings.data / "nothing")}
    refused = subprocess.run(command, cwd=ROOT, env=missing, capture_output=True)
    assert refused.returncode == 2 and b"--upgrade-database" in refused.stderr
