"""What is secret is sealed on disk, has no name that could confirm a guess, and is never read out."""

from __future__ import annotations

import dataclasses
import hashlib
import re

import pytest

from api.service import artifacts, tenants, uploads
from api.service.contexts import create_context
from api.service.errors import KeyBurnt, NotFound, StorageUnavailable, Unauthorized, Unprocessable, WriteOnly
from api.service.sealing import CHUNK, SALT, TAG, open_vault, seal, unseal

from .engine import fresh

MARK = b"the weights of somebody" * 100


def on_disk(store) -> bytes:
    return b"".join(path.read_bytes() for path in store.settings.data.rglob("*") if path.is_file())


def test_secrets_are_sealed_at_rest_and_write_only(opened):
    store, tenant = opened
    upload = uploads.begin_upload(store, tenant, "data", digest=hashlib.sha256(MARK).hexdigest()).id
    uploads.put_part(store, tenant, upload, 1, [MARK], size=len(MARK), digest=hashlib.sha256(MARK).hexdigest())
    made = uploads.complete_upload(store, tenant, upload)
    assert made.secret and made.digest is None and hashlib.sha256(MARK).hexdigest() not in made.id
    stored = on_disk(store)
    assert MARK[:23] not in stored and hashlib.sha256(MARK).hexdigest().encode() not in stored
    with pytest.raises(WriteOnly):
        artifacts.read_artifact(store, tenant, made.id)
    assert b"".join(artifacts.open_artifact(store, tenant, made.id)) == MARK


def test_public_artifacts_are_named_by_their_digest_and_stored_once(opened):
    store, tenant = opened
    first = uploads.store_artifact(store, tenant, "proof", [MARK])
    again = uploads.store_artifact(store, tenant, "proof", [MARK[:7], MARK[7:]])
    assert first.id == again.id == hashlib.sha256(MARK).hexdigest()
    assert b"".join(artifacts.read_artifact(store, tenant, first.id, 5, 40)) == MARK[5:40]
    assert artifacts.list_artifacts(store, tenant).items == (first,)


def test_one_tenant_sees_nothing_of_another(opened):
    store, tenant = opened
    other = tenants.create_tenant(store, "somebody else").id
    made = uploads.store_artifact(store, tenant, "proof", [MARK])
    with pytest.raises(NotFound):
        artifacts.get_artifact(store, other, made.id)
    theirs = uploads.store_artifact(store, other, "proof", [MARK])
    artifacts.delete_artifact(store, tenant, made.id)
    assert b"".join(artifacts.read_artifact(store, other, theirs.id)) == MARK


def test_another_wrapping_key_opens_nothing_and_does_not_stop_the_service(tmp_path):
    store, tenant = fresh(tmp_path)
    made = uploads.store_artifact(store, tenant, "openings", [MARK])
    restored = dataclasses.replace(store, vault=open_vault(tmp_path / "another.key"))
    with pytest.raises(StorageUnavailable):
        b"".join(artifacts.open_artifact(restored, tenant, made.id))
    later = uploads.store_artifact(restored, tenant, "openings", [MARK])
    assert b"".join(artifacts.open_artifact(restored, tenant, later.id)) == MARK


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17])
def test_sealing_gives_back_what_it_took_however_it_is_cut(size):
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    sealed = b"".join(seal(b"k" * 32, "parts/a", [data[:7], data[7:]]))
    assert len(sealed) == SALT + size + TAG * max(1, -(-size // CHUNK))
    assert b"".join(unseal(b"k" * 32, "parts/a", [sealed[:40], sealed[40:]])) == data


@pytest.mark.parametrize("fault", ["flip", "cut", "drop", "swap", "name", "key", "longer"])
def test_sealed_bytes_that_were_touched_are_refused(fault):
    data = bytes(2 * CHUNK + 5)
    sealed, name, key = bytearray(b"".join(seal(b"k" * 32, "parts/a", [data]))), "parts/a", b"k" * 32
    step = CHUNK + TAG
    if fault == "flip":
        sealed[SALT + step + 3] ^= 1
    elif fault == "cut":
        del sealed[SALT + 2 * step :]
    elif fault == "drop":
        del sealed[SALT : SALT + step]
    elif fault == "swap":
        first, second = bytes(sealed[SALT : SALT + step]), bytes(sealed[SALT + step : SALT + 2 * step])
        sealed[SALT : SALT + 2 * step] = second + first
    elif fault == "name":
        name = "parts/b"
    elif fault == "key":
        key = b"l" * 32
    else:
        sealed += bytes(CHUNK)
    with pytest.raises(StorageUnavailable):
        b"".join(unseal(key, name, [bytes(sealed)]))


def test_keys_are_stored_hashed_and_end_when_they_are_told_to(opened):
    store, tenant = opened
    view, text = tenants.create_key(store, tenant, "laptop", ["prove", "read"])
    assert re.fullmatch(r"zk_[0-9a-f]{20}_[0-9a-f]{64}", text)
    assert text.split("_")[2].encode() not in on_disk(store)
    caller = tenants.authenticate(store, text)
    assert (caller.tenant, caller.scopes) == (tenant, {"prove", "read"})
    _, following = tenants.rotate_key(store, tenant, view.id)
    for ended in (text, text[:-1] + ("0" if text[-1] != "0" else "1"), "zk_a_b", "", "zk__"):
        with pytest.raises(Unauthorized):
            tenants.authenticate(store, ended)
    last = tenants.authenticate(store, following)
    tenants.revoke_key(store, tenant, last.key)
    with pytest.raises(Unauthorized):
        tenants.authenticate(store, following)
    with pytest.raises(Unprocessable):
        tenants.create_key(store, tenant, "laptop", ["everything"])


def test_an_uploaded_secret_key_is_deleted_and_called_burnt(opened):
    store, tenant = opened
    key = b'{"identity":"00","rings":[{"params":{},"secret":"00"}],"version":1}'
    made = uploads.store_artifact(store, tenant, "context", [key])
    with pytest.raises(KeyBurnt):
        create_context(store, tenant, made.id)
    with pytest.raises(NotFound):
        artifacts.get_artifact(store, tenant, made.id)
    other = uploads.store_artifact(store, tenant, "context", [b"something else"])
    with pytest.raises(Unprocessable, match="no bundle"):
        create_context(store, tenant, other.id)


def test_deleting_a_tenant_leaves_none_of_his_bytes(opened):
    from api.service.retention import empty_trash

    store, tenant = opened
    uploads.store_artifact(store, tenant, "proof", [MARK])
    upload = uploads.begin_upload(store, tenant, "other")
    uploads.put_part(store, tenant, upload.id, 1, [MARK], size=len(MARK), digest=None)
    tenants.delete_tenant(store, tenant)
    assert empty_trash(store) == 2
    assert not list(store.blobs.list())
    assert MARK[:23] not in on_disk(store)
