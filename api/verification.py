"""Verdicts from a child process: hostile files go in by descriptor, one line of JSON comes back by pipe.

The child has an empty environment, no descriptor but the files and the pipe, its own process group, limits of memory
and processor time, no new privileges, and can import `verifier/` and the standard library alone. Where the operating
system does not enforce a limit it is not enforced: on Linux all of them are.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import verifier

_SCRIPT = Path(__file__).with_name("verifier_child.py")
_FOLDER = Path(verifier.__file__).parent
_OUTPUT = 1 << 16
REASONS: Mapping[str, str] = {
    "RejectedProof": "proof_invalid",
    "ParametersUnsafe": "parameters_unsafe",
    "MalformedStatement": "malformed_statement",
    "MalformedProof": "malformed_proof",
    "StatementMismatch": "not_expected",
}


@dataclass(frozen=True)
class Pins:
    """What the caller expects to be proven; digests and commitments are 32 bytes.

    `fields` are those that a statement can be pinned by one by one: data_root, initial_root, final_root, nonce.
    """

    statement: bytes | None = None
    params: bytes | None = None
    fields: Mapping[str, bytes] = field(default_factory=dict)
    security: int = 128
    transparent: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing of the claim is left to the prover: the statement, or all that its batch order hangs on."""
        return self.statement is not None or {"data_root", "initial_root", "nonce"} <= set(self.fields)

    def arguments(self) -> list[str]:
        """As options of `python -m verifier`."""
        options = ["--security", str(self.security)]
        if self.transparent:
            options.append("--transparent")
        if self.statement is not None:
            options += ["--expect-statement", self.statement.hex()]
        if self.params is not None:
            options += ["--expect-params", self.params.hex()]
        for name, value in sorted(self.fields.items()):
            options += ["--expect", f"{name}={value.hex()}"]
        return options


@dataclass(frozen=True)
class Limits:
    """Of one verification: processor seconds (the wall clock gets twice as many) and bytes of address space."""

    seconds: int = 60
    memory: int = 2 << 30


@dataclass(frozen=True)
class Judgement:
    """A verdict. `reason` is one of REASONS' values when invalid; digests are hexadecimal, of the last segment."""

    valid: bool
    reason: str | None = None
    message: str | None = None
    statement_digest: str | None = None
    params_digest: str | None = None
    security_bits: float | None = None
    zero_knowledge: bool | None = None
    segments: int | None = None
    first_step: int | None = None
    steps: int | None = None


class VerificationStopped(Exception):
    """No verdict: the child ran into a limit or died. `code` is deadline, limit or internal."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def spool(data: bytes = b"") -> int:
    """A descriptor of a file without a name: in memory where there is a memfd, else on disk."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("zkgrad", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as stream:
            handle = os.dup(stream.fileno())
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, handle)
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        undo.pop_all()
    return handle


def judge(segments: Sequence[tuple[int, int]], pins: Pins, limits: Limits) -> Judgement:
    """Verifies (statement, proof) of each segment, given as descriptors, in a child; blocks until there is a verdict.

    The child dies with the thread that calls this, so that it does not outlive a killed process.
    VerificationStopped when a limit ended the child: that says nothing about the proof.
    """
    handles = [handle for pair in segments for handle in pair]
    files = [f"/dev/fd/{handle}" for handle in handles]
    command = [sys.executable, "-I", "-S", "-B", str(_SCRIPT), str(_FOLDER), str(limits.seconds), str(limits.memory)]
    with subprocess.Popen(
        [*command, "--json", *pins.arguments(), "--", *files],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},
        pass_fds=handles,
        start_new_session=True,
    ) as child:
        late = threading.Event()
        timer = threading.Timer(2 * limits.seconds, _end, (child, late))
        timer.start()
        try:
            assert child.stdout is not None
            output = child.stdout.read(_OUTPUT + 1)
            if len(output) > _OUTPUT:
                _kill(child)
            status = child.wait()
        except BaseException:
            _kill(child)
            raise
        finally:
            timer.cancel()
    return _read(output, status, limits, late.is_set())


def _end(child: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _kill(child)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Ends the child's process group, unless the child has been waited for."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def _read(output: bytes, status: int, limits: Limits, late: bool) -> Judgement:
    if late or status == -signal.SIGXCPU:
        raise VerificationStopped("deadline", f"no verdict within {limits.seconds} s of processor time")
    try:
        answer: dict[str, Any] = json.loads(output) if output else {}
    except ValueError:
        answer = {}
    if answer.get("valid") is True and status == 0:
        fields = (
            "statement_digest", "params_digest", "security_bits", "zero_knowledge", "segments", "first_step", "steps"
        )  # fmt: skip
        return Judgement(True, **{name: answer[name] for name in fields})
    if answer.get("valid") is False and answer.get("error") in REASONS:
        return Judgement(False, REASONS[answer["error"]], str(answer["reason"]))
    raise VerificationStopped(
        "limit", f"no verdict: the verifier ended with status {status}; it has {limits.memory:,} bytes of memory"
    )
