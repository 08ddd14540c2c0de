"""The resources over HTTP, without a worker: bytes in and out, statements, jobs and their events, receipts."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading

import httpx
import pytest

from api import bls, receipts, registry
from api.service import jobs, leases, tenants
from api.verdict import judge
from tests.service.http_run import proven_files
from tests.service.http_support import problem, service
from verifier.statement import parse_statement

BYTES = {"content-type": "application/octet-stream"}
ROOT = "ab" * 32


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with service(tmp_path_factory.mktemp("service"), max_part_bytes=1 << 16, max_wait_seconds=20) as both:
        yield both


@pytest.fixture
def client(opened) -> httpx.Client:
    return opened[0]


@pytest.fixture
def store(opened):
    return opened[1]


def repr_digest(data: bytes) -> dict[str, str]:
    return {"repr-digest": f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"}


def put(client, kind: str, data: bytes) -> str:
    answer = client.post("/v1/artifacts", params={"kind": kind}, content=data, headers=BYTES)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


# --- bytes ---


def test_an_upload_is_resumed_part_by_part(client):
    parts = [bytes([k]) * 1000 for k in range(3)]
    whole = b"".join(parts)
    digest = hashlib.sha256(whole).hexdigest()
    made = client.post("/v1/uploads", json={"kind": "other", "size": 3000, "digest": digest})
    assert made.status_code == 201
    place = made.headers["location"]
    for number in (3, 1):
        part = parts[number - 1]
        stored = client.put(f"{place}/parts/{number}", content=part, headers=BYTES | repr_digest(part))
        assert stored.json() == {"number": number, "size": 1000}
    problem(client.post(f"{place}/complete"), 422, "input_invalid")
    assert [part["number"] for part in client.get(place).json()["parts"]] == [1, 3]
    assert client.put(f"{place}/parts/2", content=parts[1], headers=BYTES).status_code == 200
    done = client.post(f"{place}/complete")
    assert done.status_code == 201 and done.json()["id"] == digest
    assert client.post(f"{place}/complete").json() == done.json()
    assert client.get(done.headers["location"]).content == whole
    problem(client.put(f"{place}/parts/1", content=b"x", headers=BYTES), 409, "conflict")


def test_what_a_part_is_refused_for(client):
    place = client.post("/v1/uploads", json={"kind": "other"}).headers["location"] + "/parts/1"
    problem(client.put(place, content=b"ab", headers=BYTES | repr_digest(b"xy")), 400, "digest_mismatch")
    problem(client.put(place, content=b"ab", headers=BYTES | {"repr-digest": "md5=:abc:"}), 400, "malformed_request")
    problem(client.put(place, content=iter([b"ab"]), headers=BYTES), 411, "length_required")
    problem(client.put(place, content=bytes((1 << 16) + 1), headers=BYTES), 413, "too_large")
    other = {"content-type": "application/json"}
    problem(client.put(place, content=b"{}", headers=other), 415, "unsupported_media_type")
    problem(client.put(place, content=b"", headers=BYTES), 422, "input_invalid")
    missing = "/v1/uploads/0123456789abcdef0123/parts/1"
    problem(client.put(missing, content=b"x", headers=BYTES), 404, "not_found")
    problem(client.post("/v1/uploads", json={"kind": "other", "digest": "zz"}), 422, "input_invalid")


def test_an_aborted_upload_is_gone(client):
    place = client.post("/v1/uploads", json={"kind": "other"}).headers["location"]
    assert client.delete(place).status_code == 204
    problem(client.get(place), 404, "not_found")


def test_ranges_and_conditions(client):
    data = bytes(range(200))
    place = f"/v1/artifacts/{put(client, 'other', data)}"
    whole = client.get(place)
    etag = whole.headers["etag"]
    assert whole.content == data and whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["repr-digest"] == repr_digest(data)["repr-digest"]
    assert "sandbox" in whole.headers["content-security-policy"]
    for asked, first, last in (("0-9", 0, 9), ("190-", 190, 199), ("-5", 195, 199), ("150-999", 150, 199)):
        part = client.get(place, headers={"range": f"bytes={asked}"})
        assert part.status_code == 206 and part.content == data[first : last + 1]
        assert part.headers["content-range"] == f"bytes {first}-{last}/200"
    for outside in ("200-", "500-600", "-0", "9-3"):
        refused = client.get(place, headers={"range": f"bytes={outside}"})
        problem(refused, 416, "range_invalid")
        assert refused.headers["content-range"] == "bytes */200"
    for ignored in ("bytes=0-1,4-5", "lines=0-1", "bytes=-", "bytes=a-b"):
        assert client.get(place, headers={"range": ignored}).status_code == 200
    assert client.get(place, headers={"range": "bytes=0-9", "if-range": '"other"'}).status_code == 200
    assert client.get(place, headers={"if-none-match": etag}).status_code == 304
    head = client.head(place)
    assert head.status_code == 200 and head.content == b"" and head.headers["content-length"] == "200"


def test_secrets_are_write_only_and_their_digests_are_not_told(client):
    data = b"a secret of the owner"
    digest = hashlib.sha256(data).hexdigest()
    upload = client.post("/v1/uploads", json={"kind": "data", "digest": digest, "size": len(data)})
    place = upload.headers["location"]
    assert upload.json()["secret"] and digest not in upload.text
    part = client.put(f"{place}/parts/1", content=data, headers=BYTES | repr_digest(data))
    answers = [part, client.get(place), client.post(f"{place}/complete")]
    artifact = answers[-1].json()["id"]
    answers += [client.get(f"/v1/artifacts/{artifact}/about"), client.get("/v1/artifacts", params={"kind": "data"})]
    for answer in answers:
        assert answer.is_success and digest not in answer.text, answer.text
    problem(client.get(f"/v1/artifacts/{artifact}"), 403, "write_only")
    assert client.head(f"/v1/artifacts/{artifact}").status_code == 403
    assert client.delete(f"/v1/artifacts/{artifact}").status_code == 204
    problem(client.get(f"/v1/artifacts/{artifact}"), 404, "not_found")


def test_a_client_that_goes_away_leaves_nothing(client, store):
    place = client.post("/v1/uploads", json={"kind": "other"}).headers["location"]
    url = client.base_url
    with socket.create_connection((url.host, url.port)) as connection:
        head = f"PUT {place}/parts/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
        connection.sendall(head.encode() + b"Content-Length: 50000\r\n\r\n" + bytes(40_000))
    part = bytes([7]) * 50_000
    assert client.put(f"{place}/parts/1", content=part, headers=BYTES).status_code == 200
    digest = client.post(f"{place}/complete").json()["id"]
    assert digest == hashlib.sha256(part).hexdigest()


# --- statements ---


def test_a_statement_with_its_bounds_and_estimate(client):
    text = proven_files()[0]
    headers = {"content-type": "application/json"}
    made = client.post("/v1/statements", content=text, headers=headers)
    assert made.status_code == 201
    digest = parse_statement(text).digest().hex()
    assert made.json()["digest"] == digest and made.json()["bounds"] and made.json()["estimate"]["proof_bytes"] > 0
    assert client.get(made.headers["location"]).json() == made.json()
    assert client.get(made.headers["location"] + "/statement.json").content == text
    problem(client.post("/v1/statements", content=text + b" ", headers=headers), 422, "input_invalid")
    problem(client.post("/v1/statements", content=b"[" * 50_000, headers=headers), 422, "input_invalid")
    problem(client.post("/v1/statements", content=text), 415, "unsupported_media_type")


# --- jobs ---


def verify_payload(client) -> dict:
    statement, proof = proven_files()
    client.post("/v1/statements", content=statement, headers={"content-type": "application/json"})
    upload = client.post("/v1/uploads", json={"kind": "proof"}).headers["location"]
    for number, start in enumerate(range(0, len(proof), 1 << 16), 1):
        client.put(f"{upload}/parts/{number}", content=proof[start : start + (1 << 16)], headers=BYTES)
    artifact = client.post(f"{upload}/complete").json()["id"]
    return {"segments": [{"statement": parse_statement(statement).digest().hex(), "proof": artifact}]}


def test_the_same_key_makes_one_job(client):
    payload, headers = verify_payload(client), {"idempotency-key": "order-1"}
    first = client.post("/v1/verify-jobs", json=payload, headers=headers)
    again = client.post("/v1/verify-jobs", json=payload, headers=headers)
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"] and again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    other = payload | {"min_security_bits": 100}
    problem(client.post("/v1/verify-jobs", json=other, headers=headers), 422, "idempotency_mismatch")
    unkeyed = client.post("/v1/verify-jobs", json=payload)
    assert unkeyed.json()["id"] != first.json()["id"]


def test_payloads_are_refused_with_the_place(client):
    payload = verify_payload(client)
    payload["segments"][0]["proof"] = "0123456789abcdef0123"
    refused = problem(client.post("/v1/verify-jobs", json=payload), 422, "input_invalid")
    assert refused["errors"][0]["pointer"] == "/segments/0/proof"
    refused = problem(client.post("/v1/prove", json={"colour": 1}), 422, "input_invalid")
    assert {"/colour", "/data", "/statements"} <= {fault["pointer"] for fault in refused["errors"]}
    refused = problem(client.post("/v1/prove", content=b"{", headers={"content-type": "application/json"}), 422,
                      "input_invalid")  # fmt: skip
    problem(client.post("/v1/prove", content=b"[" * 100_000, headers={"content-type": "application/json"}), 400,
            "malformed_request")  # fmt: skip
    problem(client.post("/v1/prove", content=bytes(1 << 21)), 413, "too_large")


def test_a_job_is_cancelled_and_its_events_end(client):
    job = client.post("/v1/verify-jobs", json=verify_payload(client)).headers["location"]
    problem(client.delete(job), 409, "conflict")
    cancelled = client.post(f"{job}/cancel")
    assert cancelled.status_code == 202 and cancelled.json()["status"] == "cancelled"
    stream = client.get(f"{job}/events")
    assert stream.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in stream.text.strip().split("\n\n")]
    assert [lines[1] for lines in events] == ["event: queued", "event: cancelled"]
    assert [lines[0] for lines in events] == ["id: 1", "id: 2"] and json.loads(events[0][2].removeprefix("data: "))
    rest = client.get(f"{job}/events", headers={"last-event-id": "1"})
    assert "event: cancelled" in rest.text and "queued" not in rest.text
    assert client.get(f"{job}/events", headers={"last-event-id": "2"}).status_code == 204
    assert client.delete(job).status_code == 204
    problem(client.get(job), 404, "not_found")


def test_a_long_poll_answers_at_the_change(client, store):
    made = client.post("/v1/verify-jobs", json=verify_payload(client)).json()
    tenant, seen = tenants.local_tenant(store).id, {}

    def poll() -> None:
        headers = {"prefer": "respond-async, wait=600"}
        seen["answer"] = client.get(f"/v1/jobs/{made['id']}", params={"after": made["last_event"]}, headers=headers)

    waiting = threading.Thread(target=poll)
    waiting.start()
    jobs.cancel_job(store, tenant, made["id"])
    waiting.join(30)
    assert seen["answer"].json()["status"] == "cancelled"
    assert client.get(f"/v1/jobs/{made['id']}").json()["status"] == "cancelled"
    assert seen["answer"].headers.get("preference-applied", "wait=20") == "wait=20"


def test_a_stream_follows_a_job_that_runs(client, store):
    job = client.post("/v1/verify-jobs", json=verify_payload(client)).json()["id"]
    lines: list[str] = []
    came = threading.Semaphore(0)

    def follow() -> None:
        with client.stream("GET", f"/v1/jobs/{job}/events") as response:
            for line in response.iter_lines():
                lines.append(line)
                if not line:
                    came.release()

    following = threading.Thread(target=follow)
    following.start()
    assert came.acquire(timeout=30) and "event: queued" in lines
    # Jobs that other tests left are claimed first: they are older.
    while (lease := leases.claim(store, "a test")) is not None and lease.job != job:
        pass
    assert came.acquire(timeout=30) and "event: started" in lines
    client.post(f"/v1/jobs/{job}/cancel")
    leases.cancelled(store, lease)
    following.join(30)
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert kinds == ["queued", "started", "cancelling", "cancelled"]


def test_lists_come_in_pages(client):
    for k in range(5):
        put(client, "plain", b"page" + bytes([k]))
    seen, cursor = [], None
    while True:
        params = {"kind": "plain", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/artifacts", params=params).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 5
    problem(client.get("/v1/artifacts", params={"limit": 0}), 422, "input_invalid")
    problem(client.get("/v1/artifacts", params={"cursor": "nonsense"}), 422, "input_invalid")


# --- receipts ---


@pytest.fixture(scope="module")
def signing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signing")
    registry.new_key(folder / "receipt.key", "the service")
    with service(folder, receipt_key=folder / "receipt.key") as (client, _):
        yield client


def test_a_valid_proof_is_signed_and_an_invalid_one_is_not(signing):
    statement, proof = proven_files()
    headers = {"content-type": "application/json"}
    digest = signing.post("/v1/statements", content=statement, headers=headers).json()["digest"]
    made = signing.post("/v1/receipts", json={"statement": digest, "proof": put(signing, "proof", proof)})
    assert made.status_code == 201, made.text
    text = signing.get(made.headers["location"] + "/receipt.json").content
    receipt = receipts.parse_receipt(text)
    assert receipt.verdict.subject.digest.hex() == digest and receipt.verdict.zero_knowledge
    assert bls.holds(receipt.keys, receipts.message(receipt.verdict), receipt.signature)
    spoiled = put(signing, "proof", proof[:-1] + bytes([proof[-1] ^ 1]))
    refused = problem(signing.post("/v1/receipts", json={"statement": digest, "proof": spoiled}), 422, "input_invalid")
    assert "not signed" in refused["detail"]
    assert [item["id"] for item in signing.get("/v1/receipts").json()["items"]] == [made.json()["id"]]


def test_a_receipt_that_is_brought_must_hold(signing, client):
    statement, proof = proven_files()
    headers = {"content-type": "application/json"}
    digest = client.post("/v1/statements", content=statement, headers=headers).json()["digest"]
    problem(client.post("/v1/receipts", json={"statement": digest, "proof": "00"}), 409, "conflict")
    secret = bls.new_secret()
    document = json.loads(receipts.sign(judge([(statement, proof)]), secret).to_bytes())
    kept = client.post("/v1/receipts", json={"statement": digest, "receipt": document})
    assert kept.status_code == 201
    share = client.post("/v1/shares", json={"statement": digest}).headers["location"]
    assert [found["document"] for found in client.get(share).json()["receipts"]] == [document]
    for changed, place in (({"security_bits": 100}, "/receipt/signature"), ({"digest": ROOT}, "/receipt/digest"),
                           ({"format": "x"}, "/receipt")):  # fmt: skip
        wrong = {"statement": digest, "receipt": document | changed}
        refused = problem(client.post("/v1/receipts", json=wrong), 422, "input_invalid")
        assert refused["errors"][0]["pointer"] == place
    problem(client.post("/v1/receipts", json={"statement": digest}), 422, "input_invalid")
    assert client.delete(kept.headers["location"]).status_code == 204


# --- encrypted computation ---


def test_a_secret_key_is_deleted_and_called_burnt(client):
    artifact = put(client, "context", b'{"version": 1, "identity": "00", "secret": "11"}')
    refused = problem(client.post("/v1/contexts", json={"artifact": artifact}), 422, "key_burnt")
    assert "do not use that key" in refused["detail"]
    problem(client.get(f"/v1/artifacts/{artifact}"), 404, "not_found")
    junk = put(client, "context", b"junk")
    problem(client.post("/v1/contexts", json={"artifact": junk}), 422, "input_invalid")
