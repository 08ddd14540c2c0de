"""Encrypted tensors over HTTP: keys go in as a context, ciphertexts as artifacts, a signed reply comes out."""

from __future__ import annotations

import io

import numpy as np
import pytest

import fhe
from api.app import run
from api.client import Client
from fhe.exchange import accept, ask
from tests.service.http_support import Serving, connect, problem

BYTES = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    serving = Serving(tmp_path_factory.mktemp("serve"))
    yield serving
    serving.stop()


@pytest.fixture
def http(server):
    with connect(server.url) as client:
        yield client


def put(http, kind: str, data: bytes) -> str:
    answer = http.post("/v1/artifacts", params={"kind": kind}, content=data, headers=BYTES)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def npy(values: np.ndarray) -> bytes:
    """The bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def evaluate(server, http, route: str, plan: fhe.Plan, plain, **encrypted) -> tuple[np.ndarray, str]:
    """What a plan gives on operands that the server sees encrypted, but for `plain`; and the context it was sent."""
    owner = fhe.Client.for_plans([plan])
    request, data = ask(owner, plan, owner.encrypt(plan, **encrypted))
    made = http.post("/v1/contexts", json={"artifact": put(http, "context", owner.server_bundle())})
    assert made.status_code == 201, made.text
    context = made.json()["id"]
    assert http.get(f"/v1/contexts/{context}").json() == made.json()
    payload = {
        "context": context,
        "plan": {**plan.document(), "digest": plan.digest},
        "request": put(http, "request", data),
        "plain": {name: put(http, "plain", npy(values)) for name, values in plain.items()},
    }
    job = http.post(route, json=payload, headers={"idempotency-key": plan.digest})
    assert job.status_code == 202, job.text
    with Client(server.url) as client:
        result = client.job(job.json()["id"]).wait()
    reply = http.get(f"/v1/artifacts/{result['reply']}").content
    return accept(owner, plan, request, bytes.fromhex(result["server"]), reply), context


def test_a_product_of_an_encrypted_matrix(server, http):
    rng = np.random.default_rng(0)
    x, w = rng.uniform(-1, 1, (4, 8)), rng.uniform(-1, 1, (8, 3))
    plan = fhe.plan("bi,ij->bj", {"x": fhe.Encrypted((4, 8), 1.0), "w": fhe.Plain((8, 3), 1.0)})
    found, context = evaluate(server, http, "/v1/fhe/einsum", plan, {"w": w}, x=x)
    assert np.abs(found - x @ w).max() <= plan.error
    problem(http.delete(f"/v1/artifacts/{context}"), 409, "conflict")
    assert http.delete(f"/v1/contexts/{context}").status_code == 204
    problem(http.get(f"/v1/artifacts/{context}"), 404, "not_found")


def test_a_program_of_several_steps(server, http):
    """Two products with a square between them, on an encrypted matrix and an encrypted vector."""
    rng = np.random.default_rng(1)
    x, v, w = rng.uniform(-1, 1, (2, 4)), rng.uniform(-1, 1, 3), rng.uniform(-0.5, 0.5, (4, 3))
    program = fhe.Program()
    hidden = program.einsum("bi,ij->bj", program.encrypted("x", x.shape, 1.0), program.plain("w", w.shape, 0.5))
    squared = program.multiply(hidden, hidden)
    plan = program.plan(program.einsum("bj,j->b", squared, program.encrypted("v", v.shape, 1.0)))
    found, _ = evaluate(server, http, "/v1/fhe/program", plan, {"w": w}, x=x, v=v)
    assert np.abs(found - (x @ w) ** 2 @ v).max() <= plan.error


def test_a_secret_key_file_is_deleted_and_called_burnt(http, tmp_path):
    plan, key, bundle = tmp_path / "plan.json", tmp_path / "key.json", tmp_path / "bundle"
    operands = ("--operand", "x=encrypted:4:1.0", "--operand", "w=plain:4:1.0")
    assert run(["fhe", "plan", "i,i->i", *operands, "--out", str(plan)]) == 0
    assert run(["fhe", "keygen", str(plan), "--key", str(key), "--bundle", str(bundle)]) == 0
    artifact = put(http, "context", key.read_bytes())
    refused = problem(http.post("/v1/contexts", json={"artifact": artifact}), 422, "key_burnt")
    assert "do not use that key" in refused["detail"]
    problem(http.get(f"/v1/artifacts/{artifact}"), 404, "not_found")
    assert http.post("/v1/contexts", json={"artifact": put(http, "context", bundle.read_bytes())}).status_code == 201


@pytest.mark.parametrize("route", ["/v1/fhe/einsum", "/v1/fhe/program"])
def test_what_is_no_plan_is_refused_with_its_place(http, route):
    answer = http.post(route, json={"context": "00", "plan": {}, "request": "00"})
    assert problem(answer, 422, "input_invalid")["errors"][0]["pointer"] in ("/plan", "/context")
