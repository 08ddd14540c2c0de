"""`zkgrad worker`: proves, verifies and computes what a service was asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from ..console import say


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("worker")(worker)


def worker(
    upgrade_database: Annotated[
        bool, typer.Option("--upgrade-database", help="Bring the database's tables to this version, and end.")
    ] = False,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when no job is waiting.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines as JSON.")] = False,
) -> None:
    """Work on a service's jobs, one at a time, until interrupted. Places and limits come from ZKGRAD_* variables."""
    # Most installations have the command line without the service's packages.
    from ..service.database import Database
    from ..service.logs import configure_logging
    from ..service.settings import Settings
    from ..service.worker import serve_until_terminated

    settings = Settings()
    configure_logging(log_json)
    if upgrade_database:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = Database(settings.database_url)
        database.upgrade()
        database.close()
        say("the database is at this version's revision")
        return
    serve_until_terminated(settings, until_idle)
