"""Encrypted operands go in, an encrypted result comes out, signed for the very request; the server sees no key."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fhe
from api.service import artifacts, contexts, jobs, uploads
from api.service.errors import Conflict
from api.service.replies import open_identity
from fhe.exchange import accept, ask

from .engine import work


@pytest.fixture(scope="module")
def session():
    """(client, plan, x, w) of one matrix product."""
    rng = np.random.default_rng(0)
    plan = fhe.plan("bi,ij->bj", {"x": fhe.Encrypted((4, 8), 1.0), "w": fhe.Plain((8, 3), 1.0)})
    return fhe.Client.for_plans([plan]), plan, rng.uniform(-1, 1, (4, 8)), rng.uniform(-1, 1, (8, 3))


def npy(folder, values) -> bytes:
    np.save(folder / "w.npy", values)
    return (folder / "w.npy").read_bytes()


@pytest.fixture
def asked(opened, session, tmp_path):
    """(store, tenant, request, payload) of an uploaded question."""
    (store, tenant), (client, plan, x, w) = opened, session
    request, data = ask(client, plan, client.encrypt(plan, x=x))
    bundle = uploads.store_artifact(store, tenant, "context", [client.server_bundle()])
    body = {
        "context": contexts.create_context(store, tenant, bundle.id).id,
        "plan": json.loads(json.dumps({**plan.document(), "digest": plan.digest})),
        "request": uploads.store_artifact(store, tenant, "request", [data]).id,
        "plain": {"w": uploads.store_artifact(store, tenant, "plain", [npy(tmp_path, w)]).id},
    }
    return store, tenant, request, body


def run(store, tenant, body):
    job = jobs.submit_job(store, tenant, "fhe-einsum", body, route="/v1/fhe/einsum")[0]
    work(store)
    return jobs.get_job(store, tenant, job.id)


def test_a_product_of_an_encrypted_matrix(asked, session):
    (store, tenant, request, body), (client, plan, x, w) = asked, session
    job = run(store, tenant, body)
    assert (job.status, job.failure) == ("succeeded", None)
    assert job.result["inputs"] == dict(request.operands) and job.result["context"] == body["context"]
    server = bytes.fromhex(job.result["server"])
    assert server == open_identity(store.settings.identity_file).public
    reply = b"".join(artifacts.read_artifact(store, tenant, job.result["reply"]))
    assert np.abs(accept(client, plan, request, server, reply) - x @ w).max() <= plan.error
    with pytest.raises(Conflict):
        artifacts.delete_artifact(store, tenant, body["context"])


def test_what_does_not_fit_fails_with_a_code_and_a_second_answer_is_refused(asked, session, tmp_path):
    (store, tenant, _, body), (_, _, _, w) = asked, session
    damaged = b"".join(artifacts.read_artifact(store, tenant, body["request"]))
    damaged = damaged[:-9] + bytes([damaged[-9] ^ 1]) + damaged[-8:]
    wrong = {
        "digest": body | {"plan": body["plan"] | {"digest": "0" * 64}},
        "request": body | {"request": uploads.store_artifact(store, tenant, "request", [damaged]).id},
        "plain": body | {"plain": {"w": uploads.store_artifact(store, tenant, "plain", [npy(tmp_path, w.T)]).id}},
        "pickle": body | {"plain": {"w": uploads.store_artifact(store, tenant, "plain", [b"\x80\x04N."]).id}},
    }
    ids = {name: jobs.submit_job(store, tenant, "fhe-einsum", b, route="r")[0].id for name, b in wrong.items()}
    good = [jobs.submit_job(store, tenant, "fhe-einsum", body, route="r")[0].id for _ in range(2)]
    work(store)
    for name, job in ids.items():
        failure = jobs.get_job(store, tenant, job).failure
        assert failure is not None and failure["code"] == "input_invalid", name
    first, second = (jobs.get_job(store, tenant, job) for job in good)
    assert first.status == "succeeded"
    assert second.failure["code"] == "input_invalid"  # its nonce was answered
