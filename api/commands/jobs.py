"""`jobs`: runs proven by a service: submitted, watched, cancelled, downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import Json, UsageError, answer, say, size, stages
from ..extras import needs_extra

if TYPE_CHECKING:
    from ..client import Client, Event, Job

DEFAULT_SERVER = "http://127.0.0.1:8080"
MAX_KEY = 1 << 12
Server = Annotated[str | None, typer.Option(help=f"Address; else ZKGRAD_SERVER, else {DEFAULT_SERVER}.")]
KeyFile = Annotated[Path | None, typer.Option(help="File with the access key; else ZKGRAD_KEY holds it.")]
Insecure = Annotated[bool, typer.Option("--insecure-http", help="Allow http:// to another machine.")]
JobId = Annotated[str, typer.Argument(metavar="JOB")]


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file as `jobs`."""
    verbs = typer.Typer(no_args_is_help=True, help="Have a service prove runs.")
    for name, verb in (
        ("submit", submit), ("prepare", prepare), ("list", list_), ("watch", watch), ("cancel", cancel),
        ("download", download),
    ):  # fmt: skip
        verbs.command(name)(verb)
    app.add_typer(verbs, name="jobs")


@contextmanager
def _client(server: str | None, key_file: Path | None, insecure: bool) -> Iterator[Client]:
    with needs_extra("api"):
        from ..client import Client
    # A key is never an argument: arguments are visible to everybody on the machine.
    key = os.environ.get("ZKGRAD_KEY")
    if key_file is not None:
        try:
            key = key_file.read_text()[:MAX_KEY]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {key_file}: {error}") from None
    with Client(
        server or os.environ.get("ZKGRAD_SERVER") or DEFAULT_SERVER, key.strip() if key else None, insecure=insecure
    ) as client:
        yield client


def submit(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A trained run.")],
    attempts: Annotated[int, typer.Option(min=1, help="Tries of the job for which openings are granted.")] = 2,
    wait: Annotated[bool, typer.Option("--wait", help="Wait, then download the proof into the run.")] = False,
    server: Server = None,
    key_file: KeyFile = None,
    insecure_http: Insecure = False,
    as_json: Json = False,
) -> None:
    """Have a run proven. The service sees its data and weights. After an interruption, the same command goes on."""
    with _client(server, key_file, insecure_http) as client, stages(as_json) as shown:
        current = ""

        def told(file: str, done: int, total: int) -> None:
            nonlocal current
            if file != current:
                current = file
                shown.stage(f"upload {file}")
            shown.counter(total, "bytes")(done)

        job = client.prove(folder, attempts=attempts, told=told)
        result: dict[str, Any] = {"job": job.id}
        lines = [f"job {job.id}; next: zkgrad jobs watch {job.id}; zkgrad jobs download {job.id} {folder}"]
        if wait:
            _watch(job, shown)
            paths = job.download(folder)
            result["proofs"], lines = [str(path) for path in paths], _written(paths)
    answer(result, lines, as_json)


def prepare(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A trained run.")],
    attempts: Annotated[int, typer.Option(min=1, help="Tries of the job for which openings are granted.")] = 2,
    server: Server = None,
    key_file: KeyFile = None,
    insecure_http: Insecure = False,
    as_json: Json = False,
) -> None:
    """Grant a run's openings to a service and send nothing: its console in the browser can then submit the folder."""
    with _client(server, key_file, insecure_http) as client:
        job = client.prepare(folder, attempts=attempts)
    if job is not None:
        answer({"job": job.id}, [f"nothing to do: the run is submitted already, as job {job.id}"], as_json)
        return
    answer({"job": None}, [f"granted; next: choose {folder} on the console of the service"], as_json)


def list_(
    status: Annotated[str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    server: Server = None,
    key_file: KeyFile = None,
    insecure_http: Insecure = False,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    with _client(server, key_file, insecure_http) as client:
        found = client.jobs(status, limit)
    shown = ("id", "kind", "status", "stage", "done", "total", "failure", "created")
    lines = [f"{j['id']}  {j['kind']:<12}  {j['status']:<10}  {j['stage'] or ''}" for j in found]
    answer({"jobs": [{name: j[name] for name in shown} for j in found]}, lines or ["no jobs"], as_json)


def watch(
    job: JobId,
    server: Server = None,
    key_file: KeyFile = None,
    insecure_http: Insecure = False,
    as_json: Json = False,
) -> None:
    """Follow a job to its end."""
    with _client(server, key_file, insecure_http) as client, stages(as_json) as shown:
        result = _watch(client.job(job), shown)
    answer({"job": job, "result": result}, [f"job {job} succeeded"], as_json)


def cancel(
    job: JobId,
    server: Server = None,
    key_file: KeyFile = None,
    insecure_http: Insecure = False,
    as_json: Json = False,
) -> None:
    """Cancel a job. Openings that were granted to it stay spent."""
    with _client(server, key_file, insecure_http) as client:
        state = client.job(job).cancel()
    told = "will be cancelled" if state["status"] == "running" else f"is {state['status']}"
    answer({"job": job, "status": state["status"]}, [f"job {job} {told}"], as_json)


def download(
    job: JobId,
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run that the job proves.")],
    server: Server = None,
    key_file: KeyFile = None,
    insecure_http: Insecure = False,
    as_json: Json = False,
) -> None:
    """Write a job's proofs into its run folder, once they are verified here."""
    with _client(server, key_file, insecure_http) as client:
        paths = client.job(job).download(folder)
    answer({"job": job, "proofs": [str(path) for path in paths]}, _written(paths), as_json)


def _watch(job: Job, shown: Any) -> dict[str, Any]:
    def told(event: Event) -> None:
        if event.type == "stage":
            shown.stage(str(event.data["name"]))
        elif event.type == "progress":
            shown.counter(int(event.data["total"]))(int(event.data["done"]))
        elif event.type == "retry":
            say(f"tried again after: {(event.data.get('failure') or {}).get('message', 'a failure')}")

    return job.wait(told)


def _written(paths: list[Path]) -> list[str]:
    return [f"verified and wrote {path}: {size(path.stat().st_size)}" for path in paths]
