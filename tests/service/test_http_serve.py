"""zkgrad serve as a real process, and its client: a run is proven, resumed, downloaded; keys open it to others."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from api.app import run
from api.client import Client, Refused, Unreachable, uploading
from prover.errors import BudgetExhausted
from tests.service.http_run import train
from tests.service.http_support import Serving, connect
from verifier import verify


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def server(place):
    serving = Serving(place)
    yield serving
    serving.stop()


@pytest.fixture(scope="module")
def trained(place) -> Path:
    return train(place / "run")


def slots(folder: Path) -> dict[str, int]:
    return json.loads((folder / "slots.json").read_text())


def test_a_run_is_proven_downloaded_and_verified(server, trained):
    with Client(server.url) as client:
        uploaded = set()
        job = client.prove(trained, told=lambda file, done, total: uploaded.add(file))
        assert uploaded == {"data.safetensors", "initial.safetensors", "openings.safetensors"}
        kinds = []
        result = job.wait(lambda event: kinds.append(event.type))
        assert kinds[0] == "queued" and kinds[-1] == "succeeded" and {"stage", "progress", "segment"} <= set(kinds)
        assert job.download(trained) == [trained / "proof.zkp"]
        statement, proof = (trained / "statement.json").read_bytes(), (trained / "proof.zkp").read_bytes()
        digest = verify(statement, proof).statement_digest.hex()
        assert result["statements"] == [digest]
        assert client.verify(statement, proof, expect_statement=digest).valid
        flipped = bytearray(proof)
        flipped[1000] ^= 1
        verdict = client.verify(statement, bytes(flipped), expect_statement=digest)
        assert not verdict.valid and verdict.pinned and verdict.reason == "proof_invalid"
        # Asked again, there is nothing to do; openings are granted once.
        before = slots(trained)
        assert client.prove(trained).id == job.id and slots(trained) == before
        assert [found["id"] for found in client.jobs("succeeded")] == [job.id]


def test_what_was_proven_is_read_by_people_and_by_an_auditor(server, trained):
    """By whoever has the link, until it is revoked; in ranges too."""
    proof = (trained / "proof.zkp").read_bytes()
    with connect(server.url) as client:
        found = client.get("/v1/proofs").json()["items"][0]
        place = f"/v1/proofs/{found['digest']}"
        assert client.get(place).content == proof
        assert client.get(place, headers={"range": "bytes=10-19"}).content == proof[10:20]
        assert client.get(f"{place}/statement.json").content == (trained / "statement.json").read_bytes()
        new = {"statement": found["statement"], "proof": found["digest"]}
        shared = client.post("/v1/shares", json=new).headers["location"]
        assert client.get(f"{shared}/proofs/{found['digest']}").content == proof
        for report in (client.get(f"{place}/report"), client.get(f"{shared}/report")):
            assert report.status_code == 200 and found["digest"] in report.text
            assert "sandbox allow-scripts" in report.headers["content-security-policy"]
            assert "VALID" not in report.text
        share = client.get("/v1/shares").json()[0]["id"]
        assert client.delete(f"/v1/shares/{share}").json()["revoked"]
        assert client.get(f"{shared}/report").status_code == 404


@pytest.mark.parametrize("parts", [4, pytest.param(128, marks=pytest.mark.soak)])
def test_a_large_upload_takes_little_memory(server, parts):
    """Parts of 64 MiB each; the most that the server's process had in memory grows by less than one of them."""
    status = Path(f"/proc/{server.process.pid}/status")

    def most() -> int:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) << 10

    def part():
        for _ in range(64):
            yield bytes(1 << 20)

    with connect(server.url) as client:
        place = client.post("/v1/uploads", json={"kind": "other", "size": parts << 26}).headers["location"]
        before = most()
        headers = {"content-type": "application/octet-stream", "content-length": str(1 << 26)}
        for number in range(1, parts + 1):
            assert client.put(f"{place}/parts/{number}", content=part(), headers=headers).status_code == 200
        assert most() - before < 64 << 20
        assert client.delete(place).status_code == 204


def test_the_command_line_client(server, trained, capsys, monkeypatch):
    monkeypatch.setenv("ZKGRAD_SERVER", server.url)
    capsys.readouterr()
    assert run(["jobs", "submit", str(trained), "--wait", "--json"]) == 0
    job = json.loads(capsys.readouterr().out)["job"]
    assert run(["jobs", "watch", job, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["proofs"]
    assert run(["jobs", "download", job, str(trained)]) == 0
    assert run(["jobs", "cancel", job]) == 0
    assert "is succeeded" in capsys.readouterr().err
    assert run(["jobs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"][0]["id"] == job
    assert run(["jobs", "watch", "0123456789abcdef0123"]) == 2
    assert run(["jobs", "watch", "../v1/keys"]) == 2
    assert run(["jobs", "list", "--server", "http://example.org"]) == 2
    assert "unencrypted" in capsys.readouterr().err
    monkeypatch.setenv("ZKGRAD_SERVER", "http://127.0.0.1:9")
    assert run(["jobs", "list", "--json"]) == 69
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "unreachable"


def test_a_service_stops_when_it_is_told_to_and_comes_back(place, trained):
    serving = Serving(place, "--no-worker")
    with Client(serving.url) as client:
        assert client.jobs()
    assert serving.stop() == 0


def test_other_machines_come_in_with_a_key_only(tmp_path, capsys, monkeypatch):
    data = str(tmp_path / "data")
    assert run(["serve", "--host", "0.0.0.0", "--port", "0", "--data", data]) == 2
    assert "zkgrad keys create" in capsys.readouterr().err
    assert run(["keys", "create", "first", "--scopes", "read", "--data", data]) == 0
    key = capsys.readouterr().out.strip()
    assert re.fullmatch("zk_[0-9a-f]{20}_[0-9a-f]{64}", key)
    serving = Serving(tmp_path, "--host", "0.0.0.0", "--no-worker")
    try:
        url = f"http://127.0.0.1:{serving.url.rsplit(':', 1)[1]}"
        with Client(url) as client, pytest.raises(Refused) as refused:
            client.jobs()
        assert refused.value.code == "unauthorized"
        with Client(url, key) as client:
            assert client.jobs() == []
        assert run(["keys", "list", "--data", data, "--json"]) == 0
        name = json.loads(capsys.readouterr().out)["keys"][0]["id"]
        assert run(["keys", "revoke", name, "--data", data]) == 0
        with Client(url, key) as client, pytest.raises(Refused):
            client.jobs()
        assert run(["keys", "create", "x", "--tenant", "nobody", "--data", data]) == 2
    finally:
        serving.stop()
    log = (tmp_path / "log").read_text()
    assert key.split("_")[2] not in log and '"route": "/v1/jobs"' in log


def test_an_interrupted_submission_goes_on(server, place, monkeypatch):
    """Parts that arrived are not sent again, and the openings are those that were granted before."""
    folder = place / "interrupted"
    shutil.copytree(place / "run", folder)
    for name in ("remote.json", "proof.zkp", "slots.json"):
        (folder / name).unlink()
    monkeypatch.setattr(uploading, "PART_BYTES", 100_000)
    honest, sent = uploading._put, []

    def failing(transport, upload, path, number, start, length):
        if len(sent) == 4:
            raise Unreachable("the line is cut")
        honest(transport, upload, path, number, start, length)
        sent.append((path.name, number))

    monkeypatch.setattr(uploading, "_put", failing)
    with Client(server.url) as client:
        with pytest.raises(Unreachable):
            client.prove(folder, attempts=1)
        granted, first = slots(folder), list(sent)
        monkeypatch.setattr(uploading, "_put", lambda *a: (honest(*a), sent.append((a[2].name, a[3]))))
        # A copy of a folder grants what the original has spent already: the service does not spend it twice.
        with pytest.raises(Refused) as refused:
            client.prove(folder, attempts=1)
        assert refused.value.code == "budget_exhausted"
        assert len(sent) == len(set(sent)) > len(first) == 4
        assert slots(folder) == granted


def test_a_run_without_openings_is_not_sent(server, place):
    folder = place / "spent"
    shutil.copytree(place / "run", folder)
    (folder / "remote.json").unlink()
    (folder / "slots.json").write_text(json.dumps(dict.fromkeys(slots(folder), 8)))
    with Client(server.url) as client, pytest.raises(BudgetExhausted):
        client.prove(folder)
