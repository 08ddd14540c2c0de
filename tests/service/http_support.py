"""Services for tests: an application served on loopback by a thread, or zkgrad serve as a process; and requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from api.service.http.app import create_app
from api.service.http.settings import HttpSettings
from api.service.store import Store, open_store

ROOT = Path(__file__).resolve().parents[2]
ZKGRAD = (sys.executable, "-m", "api.cli")


def environment(**more: str) -> dict[str, str]:
    """That of a process of this checkout, without the settings of whoever runs the tests."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ZKGRAD_")}
    return clean | {"PYTHONPATH": str(ROOT), "ZKGRAD_DISK_FLOOR_BYTES": "0"} | more


class Serving:
    """A service in a process of its own; its address once it listens."""

    def __init__(self, folder: Path, *options: str, settings: Mapping[str, str] | None = None) -> None:
        command = [*ZKGRAD, "serve", "--port", "0", "--data", str(folder / "data"), "--json", *options]
        self.log = (folder / "log").open("w+")
        variables = environment(**(settings or {}))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, env=variables, text=True)
        line = self.process.stdout.readline()
        assert line, (folder / "log").read_text()
        self.url = json.loads(line)["url"]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.process.stdout.close()
        self.log.close()
        return status


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address at which an application answers while the block runs."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    ready = threading.Event()
    started = server.startup

    async def startup(*arguments: Any, **options: Any) -> None:
        await started(*arguments, **options)
        ready.set()

    server.startup = startup
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def connect(url: str) -> httpx.Client:
    """A client that asks no proxy of the environment."""
    return httpx.Client(base_url=url, trust_env=False, timeout=60)


@contextmanager
def service(folder: Path, **settings: Any) -> Iterator[tuple[httpx.Client, Store]]:
    """A client and the store of a service without keys, on a new store."""
    chosen = HttpSettings(data=folder / "data", disk_floor_bytes=0, **settings)
    store = open_store(chosen, migrate=True)
    try:
        with served(create_app(store, chosen)) as url, connect(url) as client:
            yield client, store
    finally:
        store.close()


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that a response must be."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["code"] == code and document["status"] == status, document
    return document
