"""A verdict by pipe: proofs judged by the verifier in a child process that has nothing else, not even an environment.

The child runs in a folder that holds the verifier's package and copies of the files, so nobody can exchange them
between the look and the verdict.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import verifier
from verifier import errors
from verifier.proof import VERSION
from verifier.statement import parse_statement

from . import manifest


class NoVerdict(Exception):
    """The verifier's process ended without saying valid or invalid."""


@dataclass(frozen=True)
class Subject:
    """What a verdict is about: a statement, or a run of several segments, by its digest."""

    kind: str
    digest: bytes
    parameters: bytes


@dataclass(frozen=True)
class Valid:
    """A verdict of the verifier, which is always that all proofs are valid.

    `security_bits` is what the verifier was told to demand: the same for everybody who demands the same.
    """

    subject: Subject
    protocol: int
    security_bits: int
    zero_knowledge: bool


def run_digest(entries: Sequence[manifest.Entry]) -> bytes:
    """The digest of a run in segments: of the canonical text of run.json, with every proof listed."""
    return hashlib.sha256(b"zkgrad run v1\0" + manifest.to_bytes(entries)).digest()


def judge(
    segments: Iterable[tuple[bytes, bytes]],
    security: int = 128,
    transparent: bool = False,
    expect_statement: bytes | None = None,
) -> Valid:
    """The verdict on (statement, proof) files, one pair or the segments of a run in order; returns only if all are
    valid. Errors: those of `verifier.verify` and `verifier.verify_chain`; NoVerdict.
    """
    with tempfile.TemporaryDirectory(prefix="zkgrad-verdict-") as name:
        folder = Path(name)
        (folder / "verifier").symlink_to(Path(verifier.__file__).parent, target_is_directory=True)
        files: list[str] = []
        entries: list[manifest.Entry] = []
        text = b""
        for number, (text, proof) in enumerate(segments):
            pair = [f"statement-{number:03}.json", f"proof-{number:03}.zkp"]
            for file, content in zip(pair, (text, proof), strict=True):
                (folder / file).write_bytes(content)
            files += pair
            entries.append(manifest.Entry(parse_statement(text).digest(), manifest.proof_digest(proof)))
        answer = _ask(folder, files, security, transparent, expect_statement)
    last = parse_statement(text)
    subject = Subject("statement", last.digest(), last.parameters.digest())
    if len(entries) > 1:
        subject = Subject("run", run_digest(entries), last.parameters.digest())
    wanted = (last.digest().hex(), last.parameters.digest().hex(), len(entries))
    if (answer.get("statement_digest"), answer.get("params_digest"), answer.get("segments")) != wanted:
        raise NoVerdict(f"the verifier answered about other files: {str(answer)[:200]}")
    return Valid(subject, VERSION, security, answer.get("zero_knowledge") is True)


def _ask(folder: Path, files: list[str], security: int, transparent: bool, expected: bytes | None) -> dict[str, Any]:
    """Spawns the verifier; its answer when it says valid, else the error that it named."""
    command = [sys.executable, "-S", "-E", "-s", "-m", "verifier", *files, "--json", "--security", str(security)]
    command += ["--transparent"] if transparent else []
    command += ["--expect-statement", f"sha256:{expected.hex()}"] if expected else []
    done = subprocess.run(
        command, cwd=folder, env={}, stdin=subprocess.DEVNULL, capture_output=True, check=False, start_new_session=True
    )
    try:
        answer = json.loads(done.stdout)
        valid = answer["valid"]
    except (ValueError, TypeError, KeyError):
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise NoVerdict(f"the verifier ended with status {done.returncode} and said: {said[0][:300]}") from None
    if valid is True and done.returncode == 0:
        return dict(answer)
    kind = getattr(errors, str(answer.get("error")), None)
    if valid is False and isinstance(kind, type) and issubclass(kind, errors.VerifierError):
        raise kind(str(answer.get("reason")))
    raise NoVerdict(f"the verifier ended with status {done.returncode} and answered {str(answer)[:200]}")
