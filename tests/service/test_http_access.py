"""Who may do what over HTTP: a service without keys, scopes, tenants, keys, links for auditors, and how often."""

from __future__ import annotations

import pytest

from api.service import tenants
from tests.service.http_run import proven_files
from tests.service.http_support import problem, service

BYTES = {"content-type": "application/octet-stream"}
OTHER = "ab" * 32


def test_a_service_without_keys_answers_this_machine_and_no_web_page(tmp_path):
    proxied = ({"host": "attacker.example"}, {"x-forwarded-for": "192.0.2.1"}, {"forwarded": "for=192.0.2.1"})
    with service(tmp_path) as (client, _):
        assert client.get("/v1/jobs").status_code == 200
        for header in (*proxied, {"authorization": "Bearer zk_00_00"}):
            problem(client.get("/v1/jobs", headers=header), 401, "unauthorized")
        page = {"origin": "https://attacker.example"}
        problem(client.post("/v1/uploads", json={"kind": "other"}, headers=page), 403, "forbidden")


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """A service with keys: by scope, of one tenant; and one with all scopes of another."""
    with service(tmp_path_factory.mktemp("keyed"), requests_per_minute=60) as (client, store):
        mine, other = tenants.create_tenant(store, "mine").id, tenants.create_tenant(store, "other").id
        texts = {scope: tenants.create_key(store, mine, scope, [scope])[1] for scope in tenants.SCOPES}
        texts["other"] = tenants.create_key(store, other, "all", tenants.SCOPES)[1]
        yield client, {name: {"authorization": f"Bearer {text}"} for name, text in texts.items()}


def test_every_scope_opens_its_operations_only(keyed):
    client, keys = keyed
    problem(client.get("/v1/jobs"), 401, "unauthorized")
    assert "Bearer" in client.get("/v1/jobs").headers["www-authenticate"]
    for scope in ("prove", "verify", "admin"):
        problem(client.get("/v1/jobs", headers=keys[scope]), 403, "forbidden")
    assert client.get("/v1/jobs", headers=keys["read"]).status_code == 200
    problem(client.post("/v1/uploads", json={"kind": "other"}, headers=keys["read"]), 403, "forbidden")
    assert client.post("/v1/uploads", json={"kind": "other"}, headers=keys["verify"]).status_code == 201
    problem(client.post("/v1/prove", json={}, headers=keys["verify"]), 403, "forbidden")
    problem(client.post("/v1/prove", json={}, headers=keys["prove"]), 422, "input_invalid")
    problem(client.post("/v1/keys", json={}, headers=keys["prove"]), 403, "forbidden")
    problem(client.post("/v1/verify", headers=keys["read"]), 403, "forbidden")
    problem(client.post("/v1/verify", headers=keys["verify"]), 415, "unsupported_media_type")
    problem(client.get("/metrics", headers=keys["read"]), 403, "forbidden")
    assert 'route="/v1/jobs",status="403"' in client.get("/metrics", headers=keys["admin"]).text
    for path in ("/healthz", "/readyz", "/version", "/openapi.json"):
        assert client.get(path).status_code == 200


def test_what_is_another_tenants_does_not_exist(keyed):
    client, keys = keyed
    both = keys["prove"]
    made = client.post("/v1/artifacts", params={"kind": "plain"}, content=b"mine", headers=BYTES | both)
    place = made.headers["location"]
    assert client.get(place, headers=keys["read"]).content == b"mine"
    problem(client.get(place, headers=keys["other"]), 404, "not_found")
    problem(client.delete(place, headers=keys["other"]), 404, "not_found")


def test_keys_are_made_rotated_and_revoked(keyed):
    client, keys = keyed
    made = client.post("/v1/keys", json={"name": "auditor", "scopes": ["read"]}, headers=keys["admin"])
    assert made.status_code == 201
    text, key = made.json()["text"], made.json()["key"]["id"]
    header = {"authorization": f"Bearer {text}"}
    assert client.get("/v1/jobs", headers=header).status_code == 200
    assert text.split("_")[2] not in client.get("/v1/keys", headers=keys["admin"]).text
    rotated = client.post(f"/v1/keys/{key}/rotate", headers=keys["admin"]).json()
    problem(client.get("/v1/jobs", headers=header), 401, "unauthorized")
    new = {"authorization": f"Bearer {rotated['text']}"}
    assert client.get("/v1/jobs", headers=new).status_code == 200
    assert client.delete(f"/v1/keys/{rotated['key']['id']}", headers=keys["admin"]).json()["revoked"]
    problem(client.get("/v1/jobs", headers=new), 401, "unauthorized")
    problem(client.post(f"/v1/keys/{key}/rotate", headers=keys["other"]), 404, "not_found")


def test_a_share_opens_one_statement_until_it_is_revoked(keyed):
    client, keys = keyed
    text = proven_files()[0]
    headers = {"content-type": "application/json"} | keys["prove"]
    digest = client.post("/v1/statements", content=text, headers=headers).json()["digest"]
    made = client.post("/v1/shares", json={"statement": digest}, headers=keys["prove"])
    assert made.status_code == 201
    path, share = made.headers["location"], made.json()["share"]["id"]
    assert client.get(path).json() == {
        "statement": digest, "proof": None, "run": None, "receipts": [], "expires": None
    }  # fmt: skip
    assert client.get(f"{path}/statements/{digest}").content == text
    problem(client.get(f"{path}/proofs/{digest}"), 404, "not_found")
    problem(client.get(f"{path}/statements/{OTHER}"), 404, "not_found")
    problem(client.get(path[:-1] + ("0" if path[-1] != "0" else "1")), 404, "not_found")
    token = made.json()["token"]
    assert token not in client.get("/metrics", headers=keys["admin"]).text
    assert client.delete(f"/v1/shares/{share}", headers=keys["prove"]).json()["revoked"]
    problem(client.get(path), 404, "not_found")


def test_requests_are_counted(tmp_path):
    with service(tmp_path, requests_per_minute=3) as (client, _):
        answers = [client.post("/v1/uploads", json={"kind": "other"}) for _ in range(8)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 2  # a minute may end in between
    assert 1 <= int(refused[0].headers["retry-after"]) <= 60 and problem(refused[0], 429, "too_many")["retryable"]
