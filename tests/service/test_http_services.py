"""zkgrad serve and zkgrad worker with a PostgreSQL database and an S3 server: the same session over HTTP."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from api.client import Client
from tests.service.http_run import train
from tests.service.http_support import ZKGRAD, Serving, environment
from tests.service.services import postgres, s3, settings_on
from tests.service.test_http_session import type_session

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def servers():
    with postgres() as database, s3() as objects:
        yield database, objects


@pytest.fixture
def settings(servers, tmp_path) -> dict[str, str]:
    """The variables of a service with an empty database, which API and worker share."""
    chosen = settings_on(*servers) | {"wrapping_key": tmp_path / "key", "identity": tmp_path / "identity"}
    return {f"ZKGRAD_{name.upper()}": str(value) for name, value in chosen.items()}


@pytest.fixture
def ready(settings, tmp_path) -> dict[str, str]:
    """The same, the tables made."""
    assert command(tmp_path, settings, "worker", "--upgrade-database").returncode == 0
    return settings


def command(folder: Path, settings: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    variables = environment(**settings, ZKGRAD_DATA=str(folder / "data"))
    return subprocess.run([*ZKGRAD, *words], env=variables, capture_output=True, text=True, check=False)


def test_a_database_without_tables_is_refused_until_it_has_them(settings, tmp_path):
    refused = command(tmp_path, settings, "serve", "--port", "0")
    assert refused.returncode == 2 and "--upgrade-database" in refused.stderr
    assert "hush" not in refused.stdout + refused.stderr
    assert command(tmp_path, settings, "worker", "--upgrade-database").returncode == 0
    idle = command(tmp_path, settings, "worker", "--until-idle")
    assert idle.returncode == 0, idle.stderr


def test_the_session_of_the_documentation_on_services(ready, tmp_path):
    type_session(tmp_path, **ready)
    assert not (tmp_path / "zkgrad-data" / "zkgrad.sqlite").exists()
    assert not (tmp_path / "zkgrad-data" / "blobs").exists()


def test_a_worker_of_its_own_proves_what_the_api_was_asked_for(ready, tmp_path):
    """They share the services and the keys, no folder."""
    serving = Serving(tmp_path, "--no-worker", settings=ready)
    apart = environment(**ready, ZKGRAD_DATA=str(tmp_path / "worker"))
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen([*ZKGRAD, "worker"], env=apart, stderr=log)
    try:
        folder = train(tmp_path / "run")
        with Client(serving.url) as client:
            job = client.prove(folder)
            job.wait()
            assert job.download(folder) == [folder / "proof.zkp"]
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
        assert serving.stop() == 0
    assert "hush" not in (tmp_path / "worker.log").read_text() + (tmp_path / "log").read_text()
