"""A run in segments over HTTP: proven as one job, downloaded, and verified as one chain."""

from __future__ import annotations

import pytest

from api.app import run
from api.client import Client
from tests.service.http_run import train
from tests.service.http_support import Serving, connect, problem


@pytest.fixture
def server(tmp_path):
    serving = Serving(tmp_path)
    yield serving
    serving.stop()


def test_a_run_in_segments_is_proven_as_one_job(server, tmp_path):
    folder = train(tmp_path / "segments", "--segment-steps", "1")
    with Client(server.url) as client, connect(server.url) as http:
        job = client.prove(folder)
        result = job.wait()
        assert len(job.download(folder)) == 2
        assert run(["verify", str(folder)]) == 0
        found = http.get(f"/v1/runs/{result['run']}").json()
        assert [segment["proof"] for segment in found["segments"]] == result["proofs"]
        assert http.get(f"/v1/runs/{result['run']}/run.json").content == (folder / "run.json").read_bytes()
        assert http.get(f"/v1/runs/{result['run']}/report").status_code == 200
        segments = [{"statement": s["statement"], "proof": s["proof"]} for s in found["segments"]]
        payload = {"segments": segments, "expect_statement": result["statements"][-1]}
        verdict = client.job(http.post("/v1/verify-jobs", json=payload).json()["id"]).wait()
        assert verdict["valid"] and verdict["pinned"]
        payload["segments"] = segments[::-1]
        problem(http.post("/v1/verify-jobs", json=payload), 422, "input_invalid")
