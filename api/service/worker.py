"""The worker: claims one job at a time, and between jobs removes what nobody needs any more."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from . import leases
from .errors import ServiceError
from .logs import configure_logging, get_logger
from .process import die_with_parent
from .replies import open_identity
from .retention import empty_trash, sweep
from .settings import Settings
from .store import Store, open_store
from .supervisor import Attempt
from .tenants import new_id

_ROOT = Path(__file__).parents[2]
_START = "import sys; sys.path.insert(0, sys.argv[1]); from api.service.worker import main; main()"


class Worker:
    """Works until it is told to stop. Any number of workers, on any number of hosts, can share one database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.name = f"{socket.gethostname()}-{os.getpid()}-{new_id()[:8]}"
        self._log = get_logger("worker").bind(worker=self.name)
        self._next_sweep = time.monotonic() + settings.sweep_seconds

    def run(self, stop: threading.Event, until_idle: bool = False) -> None:
        """Claims and runs jobs until `stop` is set, or with `until_idle` until there is none to claim.

        SchemaMismatch, StorageUnavailable: at the start only; later, the worker waits until storage is back.
        """
        store = open_store(self._settings)
        identity = open_identity(self._settings.identity_file)
        self._log.info("worker started")
        try:
            while not stop.is_set():
                try:
                    lease = leases.claim(store, self.name)
                    if lease is not None:
                        Attempt(store, identity, lease, stop).run()
                    self._tidy(store)
                except ServiceError as error:
                    self._log.warning("storage is not available", code=error.code)
                    lease = None
                if lease is None and until_idle:
                    return
                if lease is None:
                    stop.wait(self._settings.poll_seconds)
        finally:
            store.close()
            self._log.info("worker stopped")

    def _tidy(self, store: Store) -> None:
        empty_trash(store)
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + self._settings.sweep_seconds
            sweep(store)


def spawn_worker(settings: Settings) -> subprocess.Popen[bytes]:
    """A worker in a process of its own, which ends when the calling thread does; SIGTERM has it give its job back.

    The settings travel by pipe: they may hold passwords.
    """
    read, write = os.pipe()
    with open(read, "rb"), open(write, "wb") as pipe:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(_ROOT), str(read), str(os.getpid())],
            pass_fds=[read],
            stdin=subprocess.DEVNULL,
        )
        pipe.write(json.dumps(settings.plain()).encode())
    return process


def serve_until_terminated(settings: Settings, until_idle: bool = False) -> None:
    """A worker in this process, until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Worker(settings).run(stop, until_idle)


def main() -> None:
    """The process that `spawn_worker` starts."""
    descriptor, parent = (int(argument) for argument in sys.argv[2:])
    die_with_parent(parent)
    with open(descriptor, "rb") as pipe:
        settings = Settings(**json.load(pipe))
    configure_logging()
    serve_until_terminated(settings)
