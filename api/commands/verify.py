"""`verify`: the verifier of `verifier/`, with files, pins and exit codes around it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

import verifier
from verifier.proof import HEADER_BYTES, MAGIC
from verifier.statement import MAX_BYTES

from .. import runs
from ..console import Json, LimitError, UsageError, answer, seconds, size

MAX_PROOF = 1 << 28
Pin = Annotated[str | None, typer.Option(metavar="sha256:HEX")]


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("verify")(verify)


def verify(
    paths: Annotated[list[Path], typer.Argument(help="STATEMENT PROOF, or a run folder. - for stdin.")],
    expect_params: Pin = None,
    expect_statement: Pin = None,
    security: Annotated[int, typer.Option(help="Bits of security required: 128 or 100.")] = 128,
    transparent: Annotated[bool, typer.Option("--transparent", help="Accept a proof that hides nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Check a proof. Exit 0: valid; 1: invalid; 3: malformed; 5: not the expected parameters or statement."""
    if security not in (100, 128):
        raise UsageError(f"--security {security}: 128 or 100")
    params, pinned = read_pin("--expect-params", expect_params), read_pin("--expect-statement", expect_statement)
    statement_path, proof_path = _paths(paths)
    statement, proof = _read(statement_path, MAX_BYTES), _read(proof_path, MAX_PROOF, MAGIC)
    start = time.perf_counter()
    verdict = verifier.verify(
        statement,
        proof,
        minimum_security=security,
        allow_transparent=transparent,
        expect_statement=pinned,
        expect_parameters=params,
    )
    spent = time.perf_counter() - start
    is_pinned = params is not None or pinned is not None
    result = {
        "valid": True,
        "pinned": is_pinned,
        "statement_digest": f"sha256:{verdict.statement_digest.hex()}",
        "params_digest": f"sha256:{verdict.parameters_digest.hex()}",
        "security_bits": verdict.security_bits,
        "zero_knowledge": verdict.zero_knowledge,
        "proof_bytes": len(proof),
        "seconds": spent,
    }
    lines = [
        f"VALID: {verdict.security_bits:.1f} bits, "
        f"{'zero knowledge' if verdict.zero_knowledge else 'TRANSPARENT'}, "
        f"{size(len(proof))} checked in {seconds(spent)}",
        f"  statement   {result['statement_digest']}",
        f"  parameters  {result['params_digest']}",
    ]
    if not is_pinned:
        lines.append(
            "  not pinned: this says that the statement's claim holds, not that it is the claim you want. "
            "Read it (zkgrad show) and pin it with --expect-params or --expect-statement."
        )
    answer(result, lines, as_json)


def read_pin(option: str, text: str | None) -> bytes | None:
    """64 hexadecimal digits, with or without sha256: before them, as bytes."""
    if text is None:
        return None
    digits = text.removeprefix("sha256:")
    try:
        digest = bytes.fromhex(digits)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise UsageError(f"{option} {text!r}: expected sha256: and 64 hexadecimal digits")
    return digest


def _paths(paths: list[Path]) -> tuple[Path, Path]:
    if len(paths) == 1:
        folder = runs.require(paths[0]) if paths[0].is_dir() else paths[0]
        if not folder.is_dir():
            raise UsageError(f"verify takes STATEMENT PROOF or a run folder; {folder} is neither")
        return folder / runs.STATEMENT, folder / runs.PROOF
    if len(paths) != 2 or str(paths[0]) == str(paths[1]) == "-":
        raise UsageError("verify takes STATEMENT PROOF, at most one of them - for stdin, or one run folder")
    return paths[0], paths[1]


def _read(path: Path, limit: int, magic: bytes = b"") -> bytes:
    """A hostile file: its first bytes are judged before the rest is read, and never more than `limit` bytes
    are."""
    try:
        if str(path) == "-":
            head = sys.stdin.buffer.read(HEADER_BYTES)
            rest = sys.stdin.buffer.read(limit + 1 - len(head)) if head.startswith(magic) else b""
        else:
            with path.open("rb") as stream:
                head = stream.read(HEADER_BYTES)
                rest = stream.read(limit + 1 - len(head)) if head.startswith(magic) else b""
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(head) + len(rest) > limit:
        raise LimitError(f"{path} has more than {limit} bytes")
    return head + rest
