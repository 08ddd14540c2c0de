"""`worker`: proves, verifies and computes what a service was asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from ..console import say
from ..extras import needs_extra
from .serve import Data, read_settings


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("worker")(worker)


def worker(
    data: Data = None,
    upgrade_database: Annotated[
        bool, typer.Option("--upgrade-database", help="Bring the database's tables to this version, and end.")
    ] = False,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when no job is waiting.")] = False,
) -> None:
    """Work on a service's jobs, one at a time, until interrupted. Places and limits come from ZKGRAD_* variables."""
    settings = read_settings(data=data)
    with needs_extra("api"):
        from ..service.logs import configure_logging
        from ..service.store import upgrade_database as upgrade
        from ..service.worker import serve_until_terminated
    configure_logging()
    if upgrade_database:
        upgrade(settings)
        say("the database is at this version's revision")
        return
    serve_until_terminated(settings, until_idle)
