"""A job as its client sees it: events as they come, the result in the end, the proofs on disk."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from api import chains, manifest
from api.client_errors import ClientError, JobCancelled, JobFailed, NotUnderstood, Unreachable
from prover.files import write_atomic
from verifier.chain import verify_chain
from verifier.check import LEAST_SECURITY, verify
from verifier.errors import VerifierError
from verifier.statement import Statement

from .transport import Transport

_ID = re.compile("[a-z0-9-]{1,80}")
_QUIET = httpx.Timeout(30.0, read=90.0)
_LOST = 5


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: queued, started, stage, progress, segment, retry, cancelling, or an end."""

    number: int
    type: str
    data: dict[str, Any]


class Job:
    """A job of a service, by its id. ClientError for what cannot be one."""

    def __init__(self, transport: Transport, job: str) -> None:
        if not _ID.fullmatch(job):
            raise ClientError(f"{job[:80]!r} is no id of a job")
        self._transport, self.id = transport, job

    def state(self) -> dict[str, Any]:
        """All that the service tells about it now."""
        found: dict[str, Any] = self._transport.json("GET", f"/v1/jobs/{self.id}")
        return found

    def events(self, after: int = 0) -> Iterator[Event]:
        """Events after the given number, until the job is over; a broken connection is taken up where it broke.

        Unreachable when it breaks several times without an event between.
        """
        lost = 0
        while True:
            try:
                headers = {"Last-Event-ID": str(after), "Accept": "text/event-stream"}
                with self._transport.stream(f"/v1/jobs/{self.id}/events", headers, _QUIET) as response:
                    if response.status_code == 204:
                        return
                    for event in _parse(response.iter_lines()):
                        after, lost = event.number, 0
                        yield event
            except Unreachable:
                lost += 1
                if lost == _LOST:
                    raise

    def wait(self, told: Callable[[Event], None] | None = None) -> dict[str, Any]:
        """The result, once there is one. JobFailed, JobCancelled; Unreachable while the job may well go on."""
        for event in self.events():
            if told is not None:
                told(event)
        state = self.state()
        if state["status"] == "succeeded":
            return dict(state["result"])
        if state["status"] == "cancelled":
            raise JobCancelled(f"job {self.id} was cancelled")
        if state["status"] == "failed":
            failure = state["failure"]
            raise JobFailed(str(failure["code"]), str(failure["message"]), bool(failure["retryable"]))
        raise NotUnderstood(f"the events of job {self.id} ended while it is {state['status']}")

    def cancel(self) -> dict[str, Any]:
        """Asks the service to end the job."""
        found: dict[str, Any] = self._transport.json("POST", f"/v1/jobs/{self.id}/cancel")
        return found

    def download(self, folder: Path) -> list[Path]:
        """Writes the proofs of a prove job into the run folder that it proves, once they are verified here.

        NotUnderstood: the job has no proofs, or they are not of this run. VerifierError: a proof is not valid; nothing
        is written then.
        """
        segments = chains.read_segments(folder)
        digests = self._proofs([segment.statement for segment in segments])
        proofs = [self._fetch(digest) for digest in digests]
        _check([segment.statement for segment in segments], proofs)
        for segment, proof in zip(segments, proofs, strict=True):
            write_atomic(segment.proof_path, proof)
        if chains.is_chain(folder):
            entries = [
                manifest.Entry(segment.statement.digest(), bytes.fromhex(digest))
                for segment, digest in zip(segments, digests, strict=True)
            ]
            write_atomic(folder / manifest.MANIFEST, manifest.to_bytes(entries))
        return [segment.proof_path for segment in segments]

    def _proofs(self, statements: list[Statement]) -> list[str]:
        result = self.state().get("result") or {}
        digests, about = result.get("proofs"), result.get("statements")
        if not isinstance(digests, list) or len(digests) != len(statements):
            raise NotUnderstood(f"job {self.id} has no proofs of a run in {len(statements)} segments")
        if about != [statement.digest().hex() for statement in statements]:
            raise NotUnderstood(f"job {self.id} has proofs of other statements than this run's")
        return [str(digest) for digest in digests]

    def _fetch(self, digest: str) -> bytes:
        proof = self._transport.request("GET", f"/v1/proofs/{digest}").content
        if hashlib.sha256(proof).hexdigest() != digest:
            raise NotUnderstood(f"the service sent other bytes than those of proof {digest}")
        return proof


def _check(statements: list[Statement], proofs: list[bytes]) -> None:
    files = [(statement.to_bytes(), proof) for statement, proof in zip(statements, proofs, strict=True)]
    transparent = not statements[0].parameters.zero_knowledge
    try:
        if len(files) > 1:
            verify_chain(files, minimum_security=LEAST_SECURITY, allow_transparent=transparent)
        else:
            verify(*files[0], minimum_security=LEAST_SECURITY, allow_transparent=transparent)
    except VerifierError as error:
        raise type(error)(f"the service's proof was not written: {error}") from error


def _parse(lines: Iterator[str]) -> Iterator[Event]:
    """Server-sent events from lines. NotUnderstood for anything but this service's."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "id" in fields:
            try:
                yield Event(int(fields["id"]), fields["event"], dict(json.loads(fields["data"])))
            except (ValueError, KeyError, TypeError) as error:
                raise NotUnderstood(f"an event that cannot be read: {error}") from None
        fields = {}
