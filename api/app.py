"""The Typer application: all verbs, and one place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import importlib

import typer
import typer.main

from .commands import (
    accuracy,
    demo,
    doctor,
    jobs,
    keys,
    prove,
    receipt,
    report,
    serve,
    show,
    train,
    use,
    verify,
    worker,
)
from .console import UsageError, fail
from .exits import INTERNAL, INTERRUPTED, OK, USAGE

app = typer.Typer(
    name="zkgrad",
    help="Prove how a neural network was trained, without showing the data or the model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (train, prove, verify, show, report, use, accuracy, demo, doctor, serve, worker, jobs, keys):
    module.register(app)
app.add_typer(receipt.app, name="receipt")
# The room of encrypted computation brings its own verbs, where its libraries are installed.
with contextlib.suppress(ModuleNotFoundError):
    app.add_typer(importlib.import_module("api.fhe_cli").app, name="fhe")


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code; never raises, whatever happens inside."""
    as_json = "--json" in arguments
    command = typer.main.get_command(app)
    try:
        result = command.main(args=arguments, prog_name="zkgrad", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return fail("interrupted", "interrupted; nothing half-written was kept", INTERRUPTED, as_json)
    except typer.Exit as leaving:
        return int(leaving.exit_code)
    except UsageError as error:
        return fail("usage", str(error), USAGE, as_json)
    except Exception as error:
        return _explain(error, as_json)
    return result if isinstance(result, int) else OK


def _explain(error: Exception, as_json: bool) -> int:
    from .exits import classify

    if _is_click_usage(error):
        message = str(error.format_message()) if hasattr(error, "format_message") else str(error)
        context = getattr(error, "ctx", None)
        # Without any verb the message is the help text itself.
        if context is not None and not message.lstrip().startswith("Usage:"):
            message += f" (see {context.command_path} --help)"
        return fail("usage", message, USAGE, as_json)
    code, status = classify(error)
    if status == INTERNAL:
        message = f"{type(error).__name__}: {error}. This is a fault in zkgrad; please report it."
        return fail(code, message, status, as_json, error)
    return fail(code, str(error), status, as_json)


def _is_click_usage(error: Exception) -> bool:
    """Typer carries its own copy of Click, whose exceptions are known by their exit code and message
    method."""
    return hasattr(error, "exit_code") and hasattr(error, "format_message")
