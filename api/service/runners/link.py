"""A job's process speaking with its supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

from api.service.channel import Channel, Message, contents, in_memory

_PROGRESS_SECONDS = 1.0


class Refused(Exception):
    """The supervisor said no, and why: `failure` is the document of a failure."""

    def __init__(self, failure: dict[str, Any]) -> None:
        super().__init__(str(failure.get("code")))
        self.failure = failure


class Link:
    """The requests that a job's process can make. Whatever it receives by descriptor lies in memory only."""

    def __init__(self, descriptor: int) -> None:
        self._channel = Channel(socket.socket(fileno=descriptor))
        self._told = 0.0

    def job(self) -> dict[str, Any]:
        """What is to be done, sent by the supervisor at the start."""
        message = self._receive()
        with open(message.handle, "rb") as stream:
            stream.seek(0)
            document: dict[str, Any] = json.load(stream)
        return document

    @contextlib.contextmanager
    def input(self, name: str) -> Iterator[int]:
        """The descriptor of an input, for as long as the block lasts."""
        handle = self._ask({"op": "input", "name": name}).handle
        try:
            yield handle
        finally:
            os.close(handle)

    def read(self, name: str) -> bytes:
        """The whole of an input."""
        with self.input(name) as handle:
            return b"".join(contents(handle))

    def stage(self, name: str) -> None:
        """Tells what is being done now."""
        self._channel.send({"op": "stage", "name": name})

    def progress(self, done: int, total: int) -> None:
        """Tells how far the stage is; at most once a second, and at its end."""
        now = time.monotonic()
        if done == total or now - self._told >= _PROGRESS_SECONDS:
            self._told = now
            self._channel.send({"op": "progress", "done": done, "total": total})

    def reserve(self, segment: int) -> None:
        """Spends the openings of a segment's proof; Refused. To be called before the proof leaves this process."""
        self._ask({"op": "reserve", "segment": segment})

    def publish(self, segment: int, proof: bytes, verdict: dict[str, Any]) -> None:
        """Hands a proof over, whose openings are reserved; it is published when this returns."""
        handle = in_memory("proof", [proof])
        try:
            self._ask({"op": "proof", "segment": segment, "verdict": verdict}, handle)
        finally:
            os.close(handle)

    def done(self, result: dict[str, Any], output: bytes | None = None) -> None:
        """Tells the result, with the job's output, if it has one. Both may be long: they travel as files."""
        self._channel.send({"op": "result"}, in_memory("result", [json.dumps(result).encode()]))
        self._channel.send({"op": "done"}, -1 if output is None else in_memory("output", [output]))

    def failed(self, failure: dict[str, Any]) -> None:
        """Tells that this attempt is over."""
        self._channel.send({"op": "failed", "failure": failure})

    def _ask(self, body: dict[str, Any], handle: int = -1) -> Message:
        self._channel.send(body, handle)
        answer = self._receive()
        if "failure" in answer.body:
            raise Refused(answer.body["failure"])
        return answer

    def _receive(self) -> Message:
        message = self._channel.receive()
        if message is None:
            os._exit(1)  # without a supervisor there is nobody to work for
        return message
