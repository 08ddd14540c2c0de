"""The tests of the store, of jobs and of leases once more, on PostgreSQL and S3; and what only those can show."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from api.service import artifacts, jobs, leases, uploads
from api.service.errors import StorageUnavailable
from api.service.schema import Slot

from . import test_jobs_leases, test_jobs_submit, test_store_uploads
from .engine import fresh, payload, submit
from .services import postgres, s3, settings_on
from .test_faults_kills import killing, test_a_few_kills  # noqa: F401
from .test_jobs_leases import held, statement_of  # noqa: F401
from .test_worker_prove import test_a_submitted_run_is_proven_and_verified_and_its_openings_are_gone  # noqa: F401

pytestmark = pytest.mark.services


def _again(module, *names: str) -> None:
    for name in names or [name for name in vars(module) if name.startswith("test_")]:
        globals()[name] = getattr(module, name)


_again(test_jobs_leases)
_again(test_jobs_submit)
_again(
    test_store_uploads,
    "test_an_upload_goes_on_where_it_was_interrupted",
    "test_a_part_that_fails_leaves_nothing",
    "test_limits_are_those_of_the_settings",
    "test_ranges",
    "test_abandoned_uploads_and_lost_blobs_are_swept",
    "test_the_migrations_make_the_tables_of_the_program",
)


@pytest.fixture(scope="session")
def database_server():
    with postgres() as url:
        yield url


@pytest.fixture(scope="session")
def object_server():
    with s3() as address:
        yield address


@pytest.fixture
def make_store(tmp_path, database_server, object_server):
    """Makes (store, tenant) on a database and a prefix of their own."""
    made = []

    def make(**changes):
        made.append(fresh(tmp_path / f"store{len(made)}", **settings_on(database_server, object_server), **changes))
        return made[-1]

    yield make
    for store, _ in made:
        store.close()


def test_workers_that_claim_at_once_get_different_jobs(opened, run):
    store, tenant = opened
    asked = {submit(store, tenant, run).id for _ in range(12)}
    with ThreadPoolExecutor(12) as pool:
        claimed = list(pool.map(lambda k: leases.claim(store, f"w{k}"), range(16)))
    got = [lease.job for lease in claimed if lease is not None]
    rest = iter(lambda: leases.claim(store, "late"), None)
    got += [lease.job for lease in rest]
    assert sorted(got) == sorted(asked)


def test_jobs_that_reserve_at_once_get_different_slots(opened, run):
    store, tenant = opened
    body = payload(store, tenant, run, attempts=8)
    for _ in range(8):
        jobs.submit_job(store, tenant, "prove", body, route="r")
    claimed = [leases.claim(store, "w") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        slots = list(pool.map(lambda lease: leases.reserve_slots(store, lease, 0, statement_of(run)), claimed))
    for root in slots[0]:
        assert sorted(found[root] for found in slots) == list(range(8))
    with store.database.read() as session:
        assert session.query(Slot).count() == 24


def test_large_objects_stream(opened):
    store, tenant = opened
    size = 20 << 20
    upload = uploads.begin_upload(store, tenant, "data", size=size).id
    uploads.put_part(store, tenant, upload, 1, (bytes(1 << 16) for _ in range(size >> 16)), size=size, digest=None)
    made = uploads.complete_upload(store, tenant, upload)
    assert sum(map(len, artifacts.open_artifact(store, tenant, made.id))) == size


def test_a_server_that_is_gone_is_storage_unavailable(tmp_path):
    with postgres() as url, s3() as address:
        services = {"database": f"{url}/postgres", "blobs": "s3://zkgrad", "s3_endpoint": address}
        secrets = {"s3_access_key": "hush-hush", "s3_secret_key": "hush-hush", "s3_allow_http": True}
        store, tenant = fresh(tmp_path, **services, **secrets)
        made = uploads.store_artifact(store, tenant, "proof", [b"x"])
        store.ready()
    with pytest.raises(StorageUnavailable) as raised:
        artifacts.get_artifact(store, tenant, made.id)
    with pytest.raises(StorageUnavailable) as other:
        store.blobs.write("parts/x", [b"x"])
    assert "hush" not in str(raised.value) + str(other.value)
