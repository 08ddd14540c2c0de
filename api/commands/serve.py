"""`serve`: the API and a worker, in one command."""

from __future__ import annotations

import json
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import Json, UsageError, say
from ..extras import needs_extra

if TYPE_CHECKING:
    from ..service.http.settings import HttpSettings

_BACKLOG, _CONNECTIONS, _GRACE = 128, 1000, 5

Data = Annotated[Path | None, typer.Option(help="Folder of database and blobs; else ZKGRAD_DATA, else ./zkgrad-data.")]


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("serve")(serve)


def read_settings(**options: Any) -> HttpSettings:
    """Settings from the environment and from options that are not None; UsageError names what is wrong in them."""
    with needs_extra("api"):
        from pydantic import ValidationError

        from ..service.http.settings import HttpSettings
    try:
        return HttpSettings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"setting {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen at; else ZKGRAD_HOST, else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one; else ZKGRAD_PORT, else 8080.")] = None,
    data: Data = None,
    worker: Annotated[bool, typer.Option(help="Also run a worker; without one, `zkgrad worker` elsewhere.")] = True,
    as_json: Json = False,
) -> None:
    """Serve the API, and run one worker. Without any key it listens to this machine only."""
    settings = read_settings(host=host, port=port, data=data)
    with needs_extra("api"):
        from ..service.logs import configure_logging
        from ..service.store import open_store
    configure_logging()
    store = open_store(settings, migrate=settings.database is None)
    try:
        keyless = _check_keys(store, settings)
        with _listen(settings) as listening:
            address, bound = listening.getsockname()[:2]
            shown = f"[{address}]" if ":" in address else address
            url = f"http://{shown}:{bound}"
            if as_json:
                print(json.dumps({"ok": True, "url": url}), flush=True)
            say(
                f"serving at {url}, storage in {settings.database_url.split('@')[-1]}",
                "no keys: answering this machine only (zkgrad keys create makes one)" if keyless else "keys are needed",
            )
            sys.stderr.flush()
            _run(store, settings, listening, worker)
    finally:
        store.close()


def _check_keys(store: Any, settings: HttpSettings) -> bool:
    """Whether there are no keys; UsageError when others than this machine could then come in."""
    from ..service.http.settings import is_loopback
    from ..service.tenants import any_key

    if any_key(store):
        return False
    if not is_loopback(settings.host):
        raise UsageError(
            f"--host {settings.host} lets other machines in, and there is no key yet: make one with "
            "`zkgrad keys create NAME`, or listen at 127.0.0.1"
        )
    return True


def _listen(settings: HttpSettings) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise UsageError(f"cannot listen at {settings.host}:{settings.port}: {error.strerror or error}") from None
    return listening


def _run(store: Any, settings: HttpSettings, listening: socket.socket, worker: bool) -> None:
    import uvicorn

    from ..service.http.app import create_app
    from ..service.http.workers import with_worker

    app = create_app(store, settings, with_worker(settings) if worker else None)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE,
    )
    # The server ends well on SIGTERM, then raises it again, for whoever was there before: nobody else is.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])
