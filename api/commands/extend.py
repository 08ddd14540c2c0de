"""`continue`: the next segment of a run, linked to it by the commitment to the state between them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import runs, slots, training
from ..backend import default_backend
from ..console import Json, UsageError, stages
from .train import Out, Replace, Steps, report


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("continue")(continue_run)


def continue_run(
    run: Annotated[Path, typer.Argument(help="The run folder to continue from.", metavar="RUN")],
    steps: Steps = 32,
    lr: Annotated[str | None, typer.Option("--lr", help="Rate or schedule. Default: the last one of RUN.")] = None,
    out: Out = None,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Train on from a run's final state, as the next segment of the same run; openings are shared between them."""
    if out is None or out.resolve() == run.resolve():
        raise UsageError("--out is needed: another folder, for the next segment")
    before = runs.read_run(run)
    settings = runs.read_settings(run)
    statement = training.following(before, steps, lr)
    blindings = {"data": before.blindings["data"], "initial": before.blindings["final"]}
    start = training.Committed(statement, settings, before.inputs, before.targets, before.trace.final, blindings)
    with stages() as shown, runs.new_folder(out, replace) as folder:
        ledger = slots.grant(run, before.statement)
        training.write_committed(folder, start, draft=False)
        slots.start_ledger(folder, ledger)
        found = training.finish(folder, start, statement.nonce, default_backend(), shown)
    report(out, found, settings, shown, as_json)
