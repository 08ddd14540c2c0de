"""A worker beside the API, for as long as the API runs."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator

import anyio.to_thread
from fastapi import FastAPI
from starlette.types import Lifespan

from api.service.logs import get_logger
from api.service.settings import Settings
from api.service.worker import spawn_worker

_LOOK_SECONDS, _LONGEST, _GRACE = 0.5, 60.0, 15.0


def with_worker(settings: Settings) -> Lifespan[FastAPI]:
    """A lifespan with a worker in it: started again, after a growing pause, if it dies; ended with the API."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        keeper = asyncio.create_task(_keep(settings))
        try:
            yield
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper

    return lifespan


async def _keep(settings: Settings) -> None:
    pause, log = 1.0, get_logger("serve")
    while True:
        # From the thread of the event loop, which lives as long as the process: a worker dies with its maker's thread.
        worker = spawn_worker(settings)
        try:
            while worker.poll() is None:
                await asyncio.sleep(_LOOK_SECONDS)
        except asyncio.CancelledError:
            await asyncio.shield(anyio.to_thread.run_sync(_end, worker))
            raise
        log.error("the worker ended", status=worker.returncode)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST)


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Lets the worker give its job back; kills it if it takes too long."""
    worker.terminate()
    try:
        worker.wait(_GRACE)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
