"""A disk that fills up at any write: a typed failure each time, nothing half there, and work goes on with more room."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.service import artifacts, jobs, uploads
from api.service import blobs as blob_files
from api.service.errors import DiskFull, StorageUnavailable
from api.service.retention import empty_trash
from verifier import verify

from .engine import submit, work
from .test_worker_prove import check_ledger, proof_of

POINTS = ("_write_all", "os.fsync", "os.replace", "_sync", "os.open")


class Full:
    """Makes one of the calls that writing a blob consists of fail as a full disk does, for the n-th time it is made."""

    def __init__(self, monkeypatch, point: str, fail_at: int = 1) -> None:
        self.calls, self.fail_at = 0, fail_at
        owner, _, name = point.rpartition(".")
        place = blob_files.os if owner else blob_files
        plain = getattr(place, name)

        def call(*arguments, **more):
            if name == "open" and not arguments[1] & os.O_CREAT:
                return plain(*arguments, **more)
            self.calls += 1
            if self.calls == self.fail_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return plain(*arguments, **more)

        monkeypatch.setattr(place, name, call)


@pytest.mark.parametrize("point", POINTS)
def test_a_part_that_does_not_fit_leaves_nothing(opened, monkeypatch, point):
    store, tenant = opened
    upload = uploads.begin_upload(store, tenant, "data").id
    uploads.put_part(store, tenant, upload, 1, [b"first"], size=5, digest=None)
    before = {blob.key for blob in store.blobs.list()}
    with monkeypatch.context() as patched:
        full = Full(patched, point)
        with pytest.raises(DiskFull):
            uploads.put_part(store, tenant, upload, 2, [b"second"], size=6, digest=None)
        assert full.calls >= 1
    left = {blob.key for blob in store.blobs.list()} - before
    assert not left or point == "_sync"  # named, but perhaps not for good: nothing refers to it, and it is swept
    uploads.put_part(store, tenant, upload, 2, [b"second"], size=6, digest=None)
    made = uploads.complete_upload(store, tenant, upload)
    assert b"".join(artifacts.open_artifact(store, tenant, made.id)) == b"firstsecond"


def test_a_proof_that_does_not_fit_is_made_again_with_other_slots(opened, run, monkeypatch):
    store, tenant = opened
    job = submit(store, tenant, run, attempts=2).id
    with monkeypatch.context() as patched:
        full = Full(patched, "os.replace")
        work(store)
        assert full.calls == 2
    seen = jobs.get_job(store, tenant, job)
    assert (seen.status, seen.attempt) == ("succeeded", 2)
    retries = [e.data["failure"]["code"] for e in jobs.events_since(store, tenant, job) if e.type == "retry"]
    assert retries == ["disk_full"]
    proof = proof_of(store, tenant, seen.result["proofs"][0])
    verify((run / "statement.json").read_bytes(), proof, minimum_security=100)
    check_ledger(store)
    empty_trash(store)


SMALL_DISK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from api.service import artifacts, jobs, tenants, uploads
from api.service.errors import DiskFull, ServiceError, StorageUnavailable
from api.service.settings import Settings
from api.service.store import open_store

folder = Path(sys.argv[2])
settings = Settings(data=folder / "data", disk_floor_bytes=0, wrapping_key=folder.parent / "key")
store = open_store(settings, migrate=True)
tenant = tenants.create_tenant(store, "somebody").id
kept, refused = [], 0
for number in range(400):
    data = bytes([number % 256]) * 40_000
    try:
        kept.append((uploads.store_artifact(store, tenant, "data", [data]).id, data))
    except (DiskFull, StorageUnavailable) as error:
        refused += 1
        print(type(error).__name__, flush=True)
        if refused > 20:
            break
assert refused, "the disk was never full"
store.close()
# Whatever was acknowledged is whole, after opening everything again.
(folder / "ballast").unlink()
store = open_store(settings)
for name, data in kept:
    assert b"".join(artifacts.open_artifact(store, tenant, name)) == data
with store.database.read() as session:
    from sqlalchemy import text
    assert session.scalar(text("pragma integrity_check")) == "ok"
made = uploads.store_artifact(store, tenant, "data", [b"there is room again"])
print("kept", len(kept))
"""


@pytest.mark.services
def test_a_small_disk_that_is_really_full_corrupts_nothing(tmp_path):
    """A tmpfs in a namespace of its own, database and blobs on it; every write may be the one that does not fit."""
    script, disk = tmp_path / "fill.py", tmp_path / "disk"
    script.write_text(SMALL_DISK)
    disk.mkdir()
    steps = (
        f"mount -t tmpfs -o size=6m tmpfs {disk} && head -c 300000 /dev/zero > {disk}/ballast && "
        f"exec {sys.executable} {script} {Path(__file__).parents[2]} {disk}"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", steps], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "DiskFull" in done.stdout and int(done.stdout.split()[-1]) > 10


def test_storage_that_fails_otherwise_is_unavailable(opened, monkeypatch):
    store, tenant = opened

    def broken(*_):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(blob_files, "_write_all", broken)
    with pytest.raises(StorageUnavailable):
        uploads.store_artifact(store, tenant, "proof", [b"x"])
    assert not list(store.blobs.list())
