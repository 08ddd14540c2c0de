"""A run folder on its way to a service: grants, uploads and the job, remembered so that an interruption costs nothing.

`remote.json` in the run folder (mode 0600) holds what is under way. Openings are granted, and counted as spent here,
before anything is uploaded; the same grant is used until its job is made.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api import chains, runs, slots
from api.chains import Segment
from api.client_errors import Refused
from prover.files import write_atomic

from . import uploading
from .transport import Transport

REMOTE = "remote.json"
FORMAT = "zkgrad-remote/1"
Told = Callable[[str, int, int], None]


@dataclass
class _Remote:
    """What a folder has sent to a service: by role, the upload and then the artifact."""

    server: str
    idempotency: str
    grants: dict[str, Any]
    uploads: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    job: str | None = None

    def save(self, folder: Path) -> None:
        text = json.dumps({"format": FORMAT} | self.__dict__, indent=1) + "\n"
        write_atomic(folder / REMOTE, text.encode(), secret=True)


def submit(transport: Transport, folder: Path, attempts: int, told: Told | None = None) -> str:
    """The id of a job that proves a trained run; the same one as long as it is under way or has succeeded.

    `attempts`: how many tries of the job the grant pays for. `told(file, done, total)` tells of bytes uploaded.
    BudgetExhausted, RunFolderError, ClientError.
    """
    with slots.proving(folder) as ledger:
        segments = chains.read_segments(folder)
        remote = _granted(transport, folder, ledger, segments, attempts)
        if remote.job is not None:
            return remote.job
        for role, path in _files(folder, segments).items():
            _upload(transport, folder, remote, role, path, told)
        return _make_job(transport, folder, remote, segments)


def prepare(transport: Transport, folder: Path, attempts: int) -> str | None:
    """Grants the openings and uploads nothing: the folder can then be submitted from the service's console.

    The id of the job that is under way, or has succeeded, instead, if there is one. BudgetExhausted, RunFolderError,
    ClientError.
    """
    with slots.proving(folder) as ledger:
        return _granted(transport, folder, ledger, chains.read_segments(folder), attempts).job


def _granted(
    transport: Transport, folder: Path, ledger: slots.Ledger, segments: tuple[Segment, ...], attempts: int
) -> _Remote:
    """What is under way with this server; a new grant where nothing is, or its job came to nothing."""
    remote = _load(folder, transport.url)
    if remote is not None and (remote.job is None or _alive(transport, remote.job)):
        return remote
    granted = ledger.grant([segment.statement for segment in segments], attempts)
    grants = {root: {"first": first, "count": count} for root, (first, count) in granted.items()}
    remote = _Remote(transport.url, secrets.token_hex(16), grants)
    remote.save(folder)
    return remote


def _files(folder: Path, segments: tuple[Segment, ...]) -> dict[str, Path]:
    files = {"data": folder / runs.DATA, "openings": folder / runs.OPENINGS}
    if segments[0].statement.parameters.initial == "committed":
        files["initial"] = segments[0].folder / runs.INITIAL
    return files


def _upload(transport: Transport, folder: Path, remote: _Remote, role: str, path: Path, told: Told | None) -> None:
    if role in remote.artifacts:
        return
    if role not in remote.uploads or not uploading.is_open(transport, remote.uploads[role]):
        remote.uploads[role] = uploading.begin(transport, path, role)
        remote.save(folder)

    def sent(done: int, total: int) -> None:
        if told is not None:
            told(path.name, done, total)

    remote.artifacts[role] = uploading.finish(transport, remote.uploads[role], path, sent)
    remote.save(folder)


def _make_job(transport: Transport, folder: Path, remote: _Remote, segments: tuple[Segment, ...]) -> str:
    digests = [_store_statement(transport, segment.statement.to_bytes()) for segment in segments]
    payload = {"statements": digests, "grants": remote.grants, **remote.artifacts}
    made = transport.json("POST", "/v1/prove", document=payload, headers={"Idempotency-Key": remote.idempotency})
    remote.job = str(made["id"])
    remote.save(folder)
    return remote.job


def _store_statement(transport: Transport, text: bytes) -> str:
    headers = {"Content-Type": "application/json"}
    return str(transport.json("POST", "/v1/statements", body=lambda: text, headers=headers)["digest"])


def _alive(transport: Transport, job: str) -> bool:
    try:
        return transport.json("GET", f"/v1/jobs/{job}")["status"] not in ("failed", "cancelled")
    except Refused as refusal:
        if refusal.status == 404:
            return False
        raise


def _load(folder: Path, server: str) -> _Remote | None:
    """What is under way with this server; None when there is nothing, or it cannot be read: a new grant is safe."""
    try:
        document = json.loads((folder / REMOTE).read_bytes())
        if document.pop("format") != FORMAT or document["server"] != server:
            return None
        return _Remote(**document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
