"""One attempt at a job: a process of its own, served, watched, and ended.

The process computes and asks; this side holds the lease, the database, the blobs and the keys. A second thread keeps
the lease alive and ends the process when the lease is lost, the owner cancels, the deadline passes, no progress is
told for too long, or the worker is to stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fhe.errors import RejectedMessage
from fhe.signing import Identity
from verifier.statement import Statement, parse_statement

from . import leases
from .artifacts import open_artifact
from .channel import Channel, Message, contents, in_memory, pair
from .errors import CancelRequested, DiskFull, LeaseLost, NotFound, ServiceError, StorageUnavailable
from .failures import Failure, failure, failure_from, failure_of
from .leases import Lease, Made
from .logs import get_logger
from .payloads import PROVE, VERIFY
from .proofs import read_proof
from .replies import read_header, signed
from .statements import statement_text
from .store import Store
from .streams import Meter
from .tenants import new_id

_CHILD = Path(__file__).with_name("child.py")
_ROOT = Path(__file__).parents[2]
_TICK_SECONDS = 0.1
LOST, CANCELLED, DEADLINE, STALLED, STOPPED = "lost", "cancelled", "deadline", "stalled", "stopped"


class Attempt:
    """A claimed job and its process. `ending` says why the process was ended from here, if it was."""

    def __init__(self, store: Store, identity: Identity, lease: Lease, stop: threading.Event) -> None:
        self._store, self._identity, self._lease, self._stop = store, identity, lease, stop
        self._log = get_logger("supervisor").bind(job=lease.job, attempt=lease.attempt, kind=lease.kind)
        self._statements: list[Statement] = []
        self._result: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = time.monotonic()
        self._over = threading.Event()
        self._ending_lock = threading.Lock()
        self.ending: str | None = None

    def run(self) -> None:
        """From process to outcome. Returns when nothing of this attempt is left but what it has published."""
        self._log.info("attempt started")
        watcher = threading.Thread(target=self._watch, name="lease", daemon=True)
        watcher.start()
        try:
            outcome = self._serve()
        except LeaseLost:
            self._end(LOST)
            outcome = None
        except CancelRequested:
            self._end(CANCELLED)
            outcome = None
        except ConnectionError:
            outcome = self._died()
        except Exception as error:
            # Whatever a job's process says must not end the worker.
            self._log.warning("attempt failed", error=type(error).__name__)
            if self._store.settings.job_tracebacks:
                traceback.print_exception(error, file=sys.stderr)
            outcome = failure_of(error)
        finally:
            self._kill()
        try:
            self._conclude(outcome)
        finally:
            self._over.set()
            watcher.join()

    # --- the process ---

    def _spawn(self) -> Channel:
        """Starts the process: empty environment, own session, no descriptor but its channel and the standard three."""
        settings = self._store.settings
        here, there = pair()
        output = max(settings.max_reply_bytes, settings.max_proof_bytes)
        cache = settings.numba_cache.absolute() if settings.numba_cache else ""
        arguments = [_ROOT, there.fileno(), os.getpid(), settings.worker_memory_bytes, output, cache]
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_CHILD), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if settings.job_tracebacks else subprocess.DEVNULL,
                cwd="/",
                env={},
                pass_fds=[there.fileno()],
                start_new_session=True,
            )
        return Channel(here)

    def _kill(self) -> None:
        """Ends the process and everything that it started, and waits for it."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _end(self, reason: str) -> None:
        """Ends the process from here; the first reason counts."""
        with self._ending_lock:
            if self.ending is None:
                self.ending = reason
                self._log.info("ending", reason=reason)
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    # --- the watch ---

    def _watch(self) -> None:
        """Keeps the lease until the attempt is over; the thread of `run` never waits for it while it serves."""
        settings = self._store.settings
        held_until = time.monotonic() + settings.lease_seconds
        beat = time.monotonic()
        while not self._over.wait(_TICK_SECONDS):
            now = time.monotonic()
            if now >= beat:
                beat = now + settings.lease_seconds / 3
                held_until = self._beat(now, held_until)
            if now >= held_until:
                self._end(LOST)
            elif now - self._heard > settings.stall_seconds:
                self._end(STALLED)
            elif self._stop.is_set():
                self._end(STOPPED)

    def _beat(self, now: float, held_until: float) -> float:
        try:
            cancelled, left = leases.heartbeat(self._store, self._lease)
        except LeaseLost:
            return now if not self._over.is_set() else held_until
        except Exception as error:
            # A watch that ended would leave the process unwatched.
            self._log.warning("heartbeat failed", error=type(error).__name__)
            return held_until
        if cancelled:
            self._end(CANCELLED)
        elif left <= 0:
            self._end(DEADLINE)
        return now + self._store.settings.lease_seconds

    # --- what the process asks ---

    def _serve(self) -> Failure | Callable[[], None] | None:
        """Answers the process until it tells its outcome: a failure, or what is to be done to finish well."""
        self._statements = self._read_statements()
        channel = self._spawn()
        with channel.socket:
            document = in_memory("job", [json.dumps(self._job()).encode()])
            with open(document, "rb"):
                channel.send({"op": "job"}, document)
            while (message := channel.receive()) is not None:
                self._heard = time.monotonic()
                with contextlib.ExitStack() as undo:
                    if message.handle >= 0:
                        undo.callback(os.close, message.handle)
                    if message.body["op"] == "failed":
                        return failure_from(message.body["failure"], message.body["failure"].get("stage"))
                    if message.body["op"] == "done":
                        return self._finishing(message)
                    self._answer(channel, message)
        return self._died()

    def _answer(self, channel: Channel, message: Message) -> None:
        body = message.body
        if body["op"] == "stage":
            self._report(stage=str(body["name"]))
        elif body["op"] == "progress":
            self._report(done=int(body["done"]), total=int(body["total"]))
        elif body["op"] == "input":
            handle = in_memory("input", self._input(str(body["name"])))
            with open(handle, "rb"):
                channel.send({"ok": True}, handle)
        elif body["op"] == "result":
            self._result = json.loads(b"".join(contents(message.handle)))
        elif body["op"] == "reserve":
            segment = int(body["segment"])
            channel.send(self._decided(lambda: self._reserve(segment)))
        elif body["op"] == "proof":
            self._publish(int(body["segment"]), body["verdict"], message.handle)
            channel.send({"ok": True})
        else:
            raise StorageUnavailable(f"the job's process asked for {str(body['op'])[:40]!r}")

    def _report(self, **told: Any) -> None:
        # Hours of work are not thrown away because a line about them could not be written.
        with contextlib.suppress(StorageUnavailable, DiskFull):
            leases.report(self._store, self._lease, **told)

    def _decided(self, action: Callable[[], None]) -> dict[str, Any]:
        try:
            action()
        except (LeaseLost, CancelRequested, StorageUnavailable):
            raise
        except ServiceError as error:
            return {"failure": failure_of(error).document()}
        return {"ok": True}

    def _reserve(self, segment: int) -> None:
        leases.reserve_slots(self._store, self._lease, segment, self._statements[segment])

    def _publish(self, segment: int, verdict: dict[str, Any], handle: int) -> None:
        made = self._keep(contents(handle), self._store.settings.max_proof_bytes)
        statement = self._statements[segment].digest().hex()
        leases.publish_proof(self._store, self._lease, segment, statement, made, verdict)
        self._log.info("segment published", segment=segment, bytes=made.size)

    def _keep(self, chunks: Iterable[bytes], limit: int) -> Made:
        """Stores what the attempt made under a key that no other attempt writes to, and nobody reads yet."""
        self._store.blobs.admit(0)
        meter, blob = Meter(limit), f"attempts/{self._lease.job}-{self._lease.attempt}-{new_id()}"
        self._store.blobs.write(blob, meter.watch(chunks))
        return Made(blob, meter.size, meter.digest)

    def _finishing(self, message: Message) -> Callable[[], None]:
        result = dict(self._result)
        manifest: tuple[str, bytes] | None = None
        reply: Made | None = None
        if self._lease.kind == PROVE and message.handle >= 0:
            manifest = (str(result["run"]), b"".join(contents(message.handle)))
        elif self._lease.kind not in (PROVE, VERIFY):
            reply = self._reply(message.handle)
            result |= {"reply": reply.digest, "server": self._identity.public.hex()}
        return lambda: leases.finish(self._store, self._lease, result, manifest=manifest, reply=reply)

    def _reply(self, handle: int) -> Made:
        request = read_header(self._input("request"))
        if request.plan != self._lease.payload["plan"]["digest"]:
            raise RejectedMessage("the request is for another plan")
        if not leases.take_nonce(self._store, self._lease, request.nonce.hex()):
            raise RejectedMessage("the request was answered before")
        return self._keep(signed(self._identity, request, handle), self._store.settings.max_reply_bytes)

    # --- what the process needs ---

    def _job(self) -> dict[str, Any]:
        settings = self._store.settings
        return {
            "kind": self._lease.kind,
            "payload": self._lease.payload,
            "statements": [s.to_bytes().decode("ascii") for s in self._statements],
            "finished": leases.finished_segments(self._store, self._lease),
            "verify_seconds": settings.verify_seconds,
            "verify_memory": settings.verify_memory_bytes,
            "seconds": settings.job_seconds,
        }

    def _read_statements(self) -> list[Statement]:
        payload, tenant = self._lease.payload, self._lease.tenant
        digests = [s["statement"] for s in payload["segments"]] if self._lease.kind == VERIFY else None
        digests = payload.get("statements", []) if digests is None else digests
        return [parse_statement(statement_text(self._store, tenant, digest)) for digest in digests]

    def _input(self, name: str) -> Iterable[bytes]:
        payload, tenant = self._lease.payload, self._lease.tenant
        kind, _, rest = name.partition("-")
        if kind == "proof" and self._lease.kind == VERIFY:
            digest = payload["segments"][int(rest)]["proof"]
            try:
                return read_proof(self._store, tenant, digest)
            except NotFound:
                return open_artifact(self._store, tenant, digest)
        artifact = payload["plain"][rest] if kind == "plain" else payload[name]
        return open_artifact(self._store, tenant, artifact)

    # --- the outcome ---

    def _died(self) -> Failure:
        self._kill()
        status = self._process.returncode if self._process else None
        self._log.warning("process died", status=status)
        return failure("internal", message=f"the job's process ended with status {status} before it told a result")

    def _conclude(self, outcome: Failure | Callable[[], None] | None) -> None:
        """Writes the outcome down, for as long as the lease allows; if that fails, the lease runs out."""
        end = time.monotonic() + self._store.settings.lease_seconds
        while True:
            try:
                self._write_outcome(outcome)
                return
            except LeaseLost:
                self._log.info("lease lost")
                return
            except CancelRequested:
                self._end(CANCELLED)
            except ServiceError as error:
                self._log.warning("outcome not written", code=error.code)
                if time.monotonic() > end:
                    return
                time.sleep(_TICK_SECONDS)

    def _write_outcome(self, outcome: Failure | Callable[[], None] | None) -> None:
        store, lease, ending = self._store, self._lease, self.ending
        if callable(outcome) and ending not in (LOST, CANCELLED):
            outcome()
            self._log.info("succeeded")
        elif ending == CANCELLED:
            leases.cancelled(store, lease)
            self._log.info("cancelled")
        elif ending == LOST or outcome is None:
            self._log.info("lease lost")
        elif ending == STOPPED:
            leases.release(store, lease)
        elif not callable(outcome):
            words = f"no progress for {store.settings.stall_seconds:g} s"
            why = {DEADLINE: failure("deadline", outcome.stage), STALLED: failure("internal", message=words)}
            found = why.get(ending or "", outcome)
            again = leases.fail(store, lease, found)
            self._log.info("failed", code=found.code, again=again)
