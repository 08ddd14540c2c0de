"""`verify`: the verifier of `verifier/`, with files, pins and exit codes around it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

import verifier
from verifier.chain import verify_chain
from verifier.check import Verdict
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
    paths: Annotated[
        list[Path],
        typer.Argument(help="STATEMENT PROOF, once for each segment of a run; or a run folder. - for stdin."),
    ],
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
    pairs = _paths(paths)
    if len(pairs) > 1 and params is not None:
        raise UsageError(
            "segments differ in their parameters' digests: pin a chain with --expect-statement of its last"
        )
    files = [(_read(statement, MAX_BYTES), _read(proof, MAX_PROOF, MAGIC)) for statement, proof in pairs]
    start = time.perf_counter()
    bits, last, hiding = _judge(files, security, transparent, pinned, params)
    spent = time.perf_counter() - start
    is_pinned = params is not None or pinned is not None
    length = sum(len(proof) for _, proof in files)
    result = {
        "valid": True,
        "pinned": is_pinned,
        "segments": len(files),
        "statement_digest": f"sha256:{last.statement_digest.hex()}",
        "params_digest": f"sha256:{last.parameters_digest.hex()}",
        "security_bits": bits,
        "zero_knowledge": hiding,
        "proof_bytes": length,
        "seconds": spent,
    }
    many = f"{len(files)} linked segments, " if len(files) > 1 else ""
    lines = [
        f"VALID: {many}{bits:.1f} bits, {'zero knowledge' if hiding else 'TRANSPARENT'}, "
        f"{size(length)} checked in {seconds(spent)}",
        f"  statement   {result['statement_digest']}",
        f"  parameters  {result['params_digest']}",
    ]
    if not is_pinned:
        lines.append(
            "  not pinned: this says that the statement's claim holds, not that it is the claim you want. "
            "Read it (zkgrad show) and pin it with --expect-params or --expect-statement."
        )
    answer(result, lines, as_json)


def _judge(
    files: list[tuple[bytes, bytes]], security: int, transparent: bool, statement: bytes | None, params: bytes | None
) -> tuple[float, Verdict, bool]:
    """Bits of the whole, the verdict on the last segment, and whether every segment hides its witness."""
    if len(files) == 1:
        verdict = verifier.verify(
            *files[0],
            minimum_security=security,
            allow_transparent=transparent,
            expect_statement=statement,
            expect_parameters=params,
        )
        return verdict.security_bits, verdict, verdict.zero_knowledge
    chain = verify_chain(files, minimum_security=security, allow_transparent=transparent)
    last = chain.segments[-1]
    if statement is not None and last.statement_digest != statement:
        raise verifier.StatementMismatch(
            f"the chain ends with statement {last.statement_digest.hex()}, expected {statement.hex()}"
        )
    return chain.security_bits, last, all(segment.zero_knowledge for segment in chain.segments)


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


def _paths(paths: list[Path]) -> list[tuple[Path, Path]]:
    if len(paths) == 1:
        folder = paths[0]
        if not folder.is_dir():
            raise UsageError(f"verify takes STATEMENT PROOF or a run folder; {folder} is neither")
        runs.require(folder)
        return [(folder / runs.STATEMENT, folder / runs.PROOF)]
    if len(paths) % 2 or [str(path) for path in paths].count("-") > 1:
        raise UsageError("verify takes pairs of STATEMENT PROOF, at most one file - for stdin, or one run folder")
    return list(zip(paths[::2], paths[1::2], strict=True))


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
