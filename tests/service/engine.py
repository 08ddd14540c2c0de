"""A tiny run, trained once, and the steps from its folder to a job; used by the tests of the service."""

from __future__ import annotations

import gzip
import itertools
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api import chains, slots
from api.app import run as zkgrad
from api.service import jobs, statements, tenants, uploads
from api.service.settings import Settings
from api.service.store import Store, open_store
from api.service.views import JobView
from api.service.worker import Worker

DIGITS = Path(__file__).parents[2] / "examples" / "data" / "digits.csv.gz"
ROWS = 60
NETWORK = ("--layers", "64-16-10", "--loss", "mse", "--batch", "16", "--lr", "0.0009765625",
           "--security", "100", "--data-openings", "64", "--state-openings", "64")  # fmt: skip
FAST: dict[str, Any] = {
    "lease_seconds": 30, "poll_seconds": 0.02, "retry_seconds": 0, "disk_floor_bytes": 0,
}  # fmt: skip


def trained(folder: Path, *more: str) -> Path:
    """A run of 8 steps on the first digits, in `folder`."""
    table = folder.with_suffix(".csv")
    with gzip.open(DIGITS, "rt") as digits:
        table.write_text("".join(itertools.islice(digits, ROWS + 1)))
    assert zkgrad(["train", "--data", str(table), *NETWORK, "--steps", "8", "--out", str(folder), *more]) == 0
    return folder


def settings(folder: Path, **changes: Any) -> Settings:
    """Settings with everything below `folder` and short times."""
    return Settings(data=folder / "data", **(FAST | changes))


def fresh(folder: Path, **changes: Any) -> tuple[Store, str]:
    """An empty store with one tenant."""
    store = open_store(settings(folder, **changes), migrate=True)
    return store, tenants.create_tenant(store, "somebody").id


def pieces(path: Path, size: int = 1 << 20) -> Iterator[bytes]:
    """A file in chunks."""
    with path.open("rb") as stream:
        while chunk := stream.read(size):
            yield chunk


def payload(store: Store, tenant: str, run: Path, attempts: int = 1) -> dict[str, Any]:
    """Grants openings of a run folder, uploads what proving needs, and says what to submit."""
    segments = chains.read_segments(run)
    claims = [segment.statement for segment in segments]
    with slots.proving(run) as ledger:
        grants = ledger.grant(claims, attempts)
    for claim in claims:
        statements.put_statement(store, tenant, claim.to_bytes())
    first = chains.place(run, 0, len(segments))
    files = {"data": run / "data.safetensors", "openings": run / "openings.safetensors"}
    files["initial"] = first / "initial.safetensors"
    made = {kind: uploads.store_artifact(store, tenant, kind, pieces(path)).id for kind, path in files.items()}
    granted = {root: {"first": first, "count": count} for root, (first, count) in grants.items()}
    return made | {"statements": [claim.digest().hex() for claim in claims], "grants": granted}


def submit(store: Store, tenant: str, run: Path, attempts: int = 1, **more: Any) -> JobView:
    """A prove job of a run folder."""
    asked = payload(store, tenant, run, attempts)
    return jobs.submit_job(store, tenant, "prove", asked, route="/v1/prove", **more)[0]


def work(store: Store) -> None:
    """Runs jobs in this process until none is waiting."""
    Worker(store.settings).run(threading.Event(), until_idle=True)


def copied(run: Path, folder: Path) -> Path:
    """A run folder of its own, whose openings are new to the store it is used with."""
    shutil.copytree(run, folder)
    return folder
