"""POST /v1/verify: verdicts as `python -m verifier` gives them, and hostile requests refused early and in order."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import httpx
import pytest

from api import verification
from api.service.http.verify import VerifyLimits
from api.service.http.verify_only import limits_from, verify_only_app
from api.verification import Limits, Pins, VerificationStopped, judge, spool
from tests.service.http_run import proven_files
from tests.service.http_support import ROOT, problem, served
from verifier.statement import parse_statement

LIMITS = VerifyLimits(proof_bytes=4 << 20)


@pytest.fixture(scope="module")
def client():
    with served(verify_only_app(LIMITS)) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield client


def ask(client, statement: bytes, proof: bytes, **fields: str) -> httpx.Response:
    middle = [(name, (None, value)) for name, value in fields.items()]
    parts = [("statement", ("s", statement)), *middle, ("proof", ("p", proof))]
    return client.post("/v1/verify", files=parts)


def test_a_valid_proof_pinned_and_not(client):
    statement, proof = proven_files()
    digest = parse_statement(statement).digest().hex()
    answer = ask(client, statement, proof).json()
    assert answer["valid"] and not answer["pinned"] and answer["statement_digest"] == digest
    assert answer["reason"] is None and answer["security_bits"] >= 128 and answer["zero_knowledge"]
    for pin in (digest, f"sha256:{digest}"):
        pinned = ask(client, statement, proof, expect_statement=pin).json()
        assert pinned["valid"] and pinned["pinned"]


def test_pins_of_an_auditor_are_complete_with_both_roots_and_the_nonce(client):
    statement, proof = proven_files()
    claim = parse_statement(statement)
    fields = {f"expect_{name}": getattr(claim, name).hex() for name in ("data_root", "initial_root", "nonce")}
    assert ask(client, statement, proof, **fields).json()["pinned"]
    params = claim.parameters.digest().hex()
    answer = ask(client, statement, proof, expect_params=params).json()
    assert answer["valid"] and not answer["pinned"] and answer["params_digest"] == params
    wrong = ask(client, statement, proof, **(fields | {"expect_nonce": "ab" * 32})).json()
    assert not wrong["valid"] and wrong["reason"] == "not_expected"


@pytest.mark.parametrize("place", [8, 20, 60, 4000, -1])
def test_a_flipped_bit_is_invalid_and_not_an_error(client, place):
    statement, proof = proven_files()
    spoiled = bytearray(proof)
    spoiled[place] ^= 1
    answer = ask(client, statement, bytes(spoiled))
    assert answer.status_code == 200 and answer.json()["valid"] is False
    assert answer.json()["reason"] in ("proof_invalid", "malformed_proof", "not_expected")


def test_what_is_malformed_is_named(client):
    statement, proof = proven_files()
    assert ask(client, b"{}", proof).json()["reason"] == "malformed_statement"
    assert ask(client, statement + b" ", proof).json()["reason"] == "malformed_statement"
    assert ask(client, b"[" * 100_000, proof).json()["reason"] == "malformed_statement"
    assert ask(client, statement, proof[:-1]).json()["reason"] == "malformed_proof"
    assert ask(client, statement, b"").json()["reason"] == "malformed_proof"
    assert ask(client, statement, proof, expect_statement="00" * 32).json()["reason"] == "not_expected"


def test_junk_is_refused_after_its_header(client):
    """Three megabytes are announced; the answer comes when a thousand bytes of the proof were sent, and no more."""
    disposition = b"--x\r\nContent-Disposition: form-data; name="
    body = disposition + b'"statement"\r\n\r\n' + proven_files()[0] + b"\r\n"
    body += disposition + b'"proof"; filename="p"\r\n\r\n' + bytes(1000)
    head = b"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    head += b"Content-Length: %d\r\n\r\n" % (3 << 20)
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as connection:
        connection.sendall(head + body)
        answer = b""
        while chunk := connection.recv(1 << 16):
            answer += chunk
    assert b"200 OK" in answer and b'"malformed_proof"' in answer and b"connection: close" in answer.lower()


def test_too_many_bytes_are_refused_as_they_come(client):
    statement, _ = proven_files()
    problem(ask(client, statement, bytes(LIMITS.body_bytes)), 413, "too_large")

    def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="statement"\r\n\r\n'
        for _ in range(80):
            yield bytes(1 << 16)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    refused = problem(client.post("/v1/verify", content=endless(), headers=headers), 413, "too_large")
    assert "statement has more than" in refused["detail"]


def test_forms_that_are_none(client):
    statement, proof = proven_files()
    problem(client.post("/v1/verify", json={}), 415, "unsupported_media_type")
    problem(client.post("/v1/verify"), 415, "unsupported_media_type")
    headers = {"content-type": "multipart/form-data"}
    problem(client.post("/v1/verify", content=b"x", headers=headers), 400, "malformed_request")
    headers = {"content-type": "multipart/form-data; boundary=x"}
    problem(client.post("/v1/verify", content=b"nothing", headers=headers), 400, "malformed_request")
    problem(client.post("/v1/verify", content=b"", headers=headers), 400, "malformed_request")
    cut = b'--x\r\nContent-Disposition: form-data; name="statement"\r\n\r\n' + statement
    problem(client.post("/v1/verify", content=cut, headers=headers), 400, "malformed_request")
    problem(client.post("/v1/verify", files=[("statement", statement)]), 422, "input_invalid")
    wrong = problem(client.post("/v1/verify", files=[("proof", proof), ("statement", statement)]), 422, "input_invalid")
    assert wrong["errors"][0]["pointer"] == "/statement"
    many = [(f"f{k}", (None, "x")) for k in range(30)]
    problem(client.post("/v1/verify", files=many), 400, "malformed_request")


def test_every_wrong_pin_is_named(client):
    statement, proof = proven_files()
    refused = problem(
        ask(client, statement, proof, expect_params="xyz", min_security_bits="99", require_zk="maybe", colour="red"),
        422,
        "input_invalid",
    )
    pointers = {fault["pointer"] for fault in refused["errors"]}
    assert pointers == {"/expect_params", "/min_security_bits", "/require_zk", "/colour"}


def test_no_more_at_once_than_allowed():
    statement, proof = proven_files()
    with served(verify_only_app(VerifyLimits(at_once=0))) as url:
        refused = httpx.post(f"{url}/v1/verify", files=[("statement", statement), ("proof", proof)], trust_env=False)
    problem(refused, 429, "too_many")
    assert int(refused.headers["retry-after"]) > 0


def test_every_error_is_a_problem_and_every_answer_has_the_headers(client):
    lost = client.get("/nothing")
    problem(lost, 404, "not_found")
    wrong = client.delete("/v1/verify")
    problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    for answer in (lost, wrong, client.get("/healthz"), client.get("/openapi.json")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.get("/docs").status_code == 404
    assert client.get("/version").json()["proof_versions"] == [1]


def test_limits_come_from_the_environment():
    assert limits_from({"ZKGRAD_VERIFY_NOW_SECONDS": "7", "PATH": "/bin"}) == VerifyLimits(seconds=7)
    for wrong in ("0", "-1", "many", ""):
        with pytest.raises(ValueError, match="ZKGRAD_VERIFY_NOW_AT_ONCE"):
            limits_from({"ZKGRAD_VERIFY_NOW_AT_ONCE": wrong})


def test_the_small_application_imports_nothing_of_the_large_one():
    script = (
        "import sys, api.service.http.verify_only; "
        "print([m for m in ('numpy', 'numba', 'sqlalchemy', 'prover', 'fhe', 'httpx', 'typer', 'tenseal') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the child ---


def verdict(proof: bytes, limits: Limits):
    files = (spool(proven_files()[0]), spool(proof))
    try:
        return judge([files], Pins(), limits)
    finally:
        for handle in files:
            os.close(handle)


def test_limits_end_the_child_without_a_verdict():
    with pytest.raises(VerificationStopped) as stopped:
        verdict(proven_files()[1], Limits(60, 24 << 20))
    assert stopped.value.code == "limit"


@pytest.fixture
def instead(monkeypatch, tmp_path):
    """Puts a piece of code in the verifier's place, in the child."""

    def put(code: str) -> None:
        folder = tmp_path / "verifier"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "__main__.py").write_text("import json, os, resource\n\ndef main(arguments):\n" + code)
        monkeypatch.setattr(verification, "_FOLDER", folder)

    return put


def test_the_child_has_given_up_what_it_can(instead, monkeypatch):
    monkeypatch.setenv("SECRET", "visible")
    seen: dict = {}
    monkeypatch.setattr(verification, "_read", lambda output, *_: seen.update(json.loads(output)))
    instead(
        """
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    limits = (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_AS)
    found = []
    for name in ("api", "numpy", "prover"):
        try:
            found.append(__import__(name).__name__)
        except ImportError:
            pass
    print(json.dumps({
        "environment": sorted(set(os.environ) - {"LC_CTYPE"}),
        "found": found,
        "leads_its_group": os.getpgid(0) == os.getpid(),
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "limits": [resource.getrlimit(limit)[0] for limit in limits],
        "open": sorted(int(name) for name in os.listdir("/proc/self/fd")),
    }))
    return 0
"""
    )
    secret = os.open(ROOT / "README.md", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        verdict(b"x", Limits(5, 1 << 30))
    finally:
        os.close(secret)
    assert seen["environment"] == [] and seen["found"] == [] and secret not in seen["open"]
    assert seen["leads_its_group"] and seen["no_new_privileges"] == "1"
    assert seen["limits"] == [0, 0, 5, 1 << 30]


def test_a_child_that_never_ends_is_ended(instead):
    instead("    while True:\n        pass\n")
    with pytest.raises(VerificationStopped) as stopped:
        verdict(b"x", Limits(1, 1 << 30))
    assert stopped.value.code == "deadline"


def test_a_child_cannot_talk_without_end_nor_lie_with_its_last_words(instead):
    instead("    print('x' * (1 << 17))\n    return 0\n")
    with pytest.raises(VerificationStopped):
        verdict(b"x", Limits(5, 1 << 30))


def test_valid_counts_only_with_a_good_end(instead):
    words = dict.fromkeys(("statement_digest", "params_digest"), "00") | {"valid": True, "security_bits": 128.0}
    words |= {"zero_knowledge": True, "segments": 1, "first_step": 0, "steps": 1}
    instead(f"    print({json.dumps(words)!r})\n    return 1\n")
    with pytest.raises(VerificationStopped):
        verdict(b"x", Limits(5, 1 << 30))
