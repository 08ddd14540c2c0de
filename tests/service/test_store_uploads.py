"""Uploads in parts: resumed, checked, limited, and never half there."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest

from api.service import artifacts, uploads
from api.service.errors import (
    Conflict,
    DigestMismatch,
    DiskFull,
    NotFound,
    RangeInvalid,
    SchemaMismatch,
    TooLarge,
    TooMany,
    Unprocessable,
)
from api.service.retention import empty_trash, sweep
from api.service.store import open_store

from .engine import fresh, settings

PARTS = [bytes([k]) * (1000 + k) for k in range(4)]
WHOLE = b"".join(PARTS)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(store, tenant, upload, number, data, **more):
    return uploads.put_part(store, tenant, upload, number, [data], size=len(data), digest=digest(data), **more)


def blobs(store) -> list[str]:
    return sorted(blob.key for blob in store.blobs.list())


@pytest.mark.parametrize("secret", [False, True])
def test_an_upload_goes_on_where_it_was_interrupted(opened, secret):
    store, tenant = opened
    upload = uploads.begin_upload(
        store, tenant, "other", secret=secret, size=len(WHOLE), digest=digest(WHOLE)
    ).id
    for number in (3, 1):
        put(store, tenant, upload, number, PARTS[number - 1])
    seen = uploads.get_upload(store, tenant, upload)
    told = [(1, digest(PARTS[0])), (3, digest(PARTS[2]))]
    assert [(part.number, part.digest) for part in seen.parts] == [(n, None if secret else d) for n, d in told]
    with pytest.raises(Unprocessable, match="part 2 is missing"):
        uploads.complete_upload(store, tenant, upload)
    put(store, tenant, upload, 2, b"something else that will be replaced")
    put(store, tenant, upload, 2, PARTS[1])
    put(store, tenant, upload, 4, PARTS[3])
    made = uploads.complete_upload(store, tenant, upload)
    assert uploads.complete_upload(store, tenant, upload) == made
    assert b"".join(artifacts.open_artifact(store, tenant, made.id)) == WHOLE
    with pytest.raises(Conflict):
        put(store, tenant, upload, 5, b"late")
    empty_trash(store)
    assert len(blobs(store)) == 4


def test_a_part_that_fails_leaves_nothing(opened):
    store, tenant = opened
    upload = uploads.begin_upload(store, tenant, "other").id

    def broken():
        yield b"some bytes"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        uploads.put_part(store, tenant, upload, 1, broken(), size=100, digest=None)
    with pytest.raises(DigestMismatch):
        uploads.put_part(store, tenant, upload, 1, [b"short"], size=6, digest=None)
    with pytest.raises(DigestMismatch):
        uploads.put_part(store, tenant, upload, 1, [b"wrong"], size=5, digest=digest(b"right"))
    with pytest.raises(TooLarge):
        uploads.put_part(store, tenant, upload, 1, [b"longer"], size=5, digest=None)
    assert blobs(store) == [] and uploads.get_upload(store, tenant, upload).parts == ()


def test_the_announced_digest_of_the_whole_is_checked(opened):
    store, tenant = opened
    upload = uploads.begin_upload(store, tenant, "data", digest=digest(b"another")).id
    put(store, tenant, upload, 1, PARTS[0])
    put(store, tenant, upload, 2, PARTS[1])
    with pytest.raises(DigestMismatch):
        uploads.complete_upload(store, tenant, upload)


def test_limits_are_those_of_the_settings(make_store):
    store, tenant = make_store(
        max_part_bytes=2000, max_artifact_bytes=3000, max_tenant_bytes=5000, max_open_uploads=2, max_parts=3
    )
    upload = uploads.begin_upload(store, tenant, "other").id
    with pytest.raises(TooLarge):
        uploads.put_part(store, tenant, upload, 1, iter(()), size=2001, digest=None)
    with pytest.raises(Unprocessable):
        uploads.put_part(store, tenant, upload, 4, iter(()), size=1, digest=None)
    put(store, tenant, upload, 1, bytes(2000))
    with pytest.raises(TooLarge, match="3001 bytes"):
        put(store, tenant, upload, 2, bytes(1001))
    second = uploads.begin_upload(store, tenant, "other").id
    with pytest.raises(TooMany):
        uploads.begin_upload(store, tenant, "other")
    put(store, tenant, second, 1, bytes(2000))
    with pytest.raises(TooLarge, match="may store 5000"):
        put(store, tenant, second, 2, bytes(1001))
    assert len(blobs(store)) == 2


def test_nothing_is_admitted_below_the_disk_floor(tmp_path):
    store, tenant = fresh(tmp_path, disk_floor_bytes=1 << 60)
    with pytest.raises(DiskFull, match="are kept free"):
        uploads.begin_upload(store, tenant, "other", size=1)


def test_ranges(opened):
    store, tenant = opened
    upload = uploads.begin_upload(store, tenant, "other").id
    for number, part in enumerate(PARTS, 1):
        put(store, tenant, upload, number, part)
    made = uploads.complete_upload(store, tenant, upload)
    for start, stop in ((0, None), (0, 1), (999, 1002), (1500, 10**9), (len(WHOLE) - 1, None)):
        assert b"".join(artifacts.read_artifact(store, tenant, made.id, start, stop)) == WHOLE[start:stop]
    for start, stop in ((len(WHOLE), None), (-1, 5), (7, 7), (9, 3)):
        with pytest.raises(RangeInvalid):
            artifacts.read_artifact(store, tenant, made.id, start, stop)


def test_a_large_part_takes_little_memory(opened):
    store, tenant = opened
    size = 64 << 20
    upload = uploads.begin_upload(store, tenant, "data", size=size).id
    tracemalloc.start()
    uploads.put_part(store, tenant, upload, 1, (bytes(1 << 16) for _ in range(size >> 16)), size=size, digest=None)
    made = uploads.complete_upload(store, tenant, upload)
    assert sum(map(len, artifacts.open_artifact(store, tenant, made.id))) == size
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_abandoned_uploads_and_lost_blobs_are_swept(make_store):
    store, tenant = make_store(upload_seconds=1e-6, sweep_grace_seconds=1e-6)
    uploads.begin_upload(store, tenant, "other")
    store.blobs.write("parts/lost", [b"nobody knows me"])
    kept, other = make_store(sweep_grace_seconds=1e-6)
    part = uploads.begin_upload(kept, other, "other")
    put(kept, other, part.id, 1, PARTS[0])
    made = uploads.complete_upload(kept, other, part.id)
    sweep(store)
    sweep(kept)
    assert blobs(store) == []
    assert b"".join(artifacts.read_artifact(kept, other, made.id)) == PARTS[0]
    with pytest.raises(NotFound):
        uploads.get_upload(store, tenant, "0" * 20)


def test_a_database_of_another_revision_is_refused(tmp_path):
    with pytest.raises(SchemaMismatch, match="no tables"):
        open_store(settings(tmp_path))
    store, _ = fresh(tmp_path)
    with store.database.write() as session:
        from sqlalchemy import text

        session.execute(text("update alembic_version set version_num = '9999'"))
    for migrate in (False, True):
        with pytest.raises(SchemaMismatch, match="revision 9999"):
            open_store(settings(tmp_path), migrate=migrate)


def test_the_migrations_make_the_tables_of_the_program(opened):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    from api.service.schema import Base

    store, _ = opened
    with create_engine(store.settings.database_url).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
