"""`verify`: the verifier of `verifier/`, with files, pins and exit codes around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, overload

import typer

import verifier
from verifier.chain import verify_chain
from verifier.check import Verdict
from verifier.proof import MAGIC
from verifier.statement import MAX_BYTES

from .. import chains, runs
from ..console import Json, UsageError, answer, seconds, size
from ..reading import MAX_PROOF, read_limited

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
    fast: Annotated[bool, typer.Option("--fast", help="Compute with the prover's kernels: the same verdict.")] = False,
    as_json: Json = False,
) -> None:
    """Check a proof. Exit 0: valid; 1: invalid; 3: malformed; 5: not the expected parameters or statement."""
    if security not in (100, 128):
        raise UsageError(f"--security {security}: 128 or 100")
    params, pinned = read_pin("--expect-params", expect_params), read_pin("--expect-statement", expect_statement)
    files = _files(paths)
    if len(files) > 1 and params is not None:
        raise UsageError(
            "segments differ in their parameters' digests: pin a chain with --expect-statement of its last"
        )
    start = time.perf_counter()
    bits, last, hiding, steps = _judge(files, security, transparent, pinned, params, fast)
    spent = time.perf_counter() - start
    # Parameters alone leave data, first state and nonce, and with them the batch order, to the prover.
    is_pinned = pinned is not None
    result = {
        "valid": True,
        "pinned": is_pinned,
        "segments": len(files),
        "steps": steps,
        "statement_digest": f"sha256:{last.statement_digest.hex()}",
        "params_digest": f"sha256:{last.parameters_digest.hex()}",
        "security_bits": bits,
        "zero_knowledge": hiding,
        "proof_bytes": files.proof_bytes,
        "seconds": spent,
    }
    many = f"{len(files)} linked segments, {steps} steps from the first on, " if len(files) > 1 else ""
    lines = [
        f"VALID: {many}{bits:.1f} bits, {'zero knowledge' if hiding else 'TRANSPARENT'}, "
        f"{size(files.proof_bytes)} checked in {seconds(spent)}",
        f"  statement   {result['statement_digest']}",
        f"  parameters  {result['params_digest']}",
    ]
    if not is_pinned:
        lines.append(
            "  not pinned: this says that the statement's claim holds, not that it is the claim you want. "
            "Read it (zkgrad show) and pin it with --expect-statement; --expect-params alone leaves data, first state "
            "and batch order to the prover."
        )
    answer(result, lines, as_json)


class _Files(Sequence[tuple[bytes, bytes]]):
    """(statement, proof) of each segment. Statements are read once and kept; of the proofs, which may be gigabytes
    together, one at a time is in memory. `current` is the segment that was asked for last, None after the last one."""

    def __init__(self, statements: Sequence[bytes], proofs: Sequence[Callable[[], bytes]]) -> None:
        self._statements, self._proofs = statements, proofs
        self._lengths = [0] * len(statements)
        self.current: int | None = None

    @property
    def proof_bytes(self) -> int:
        """Bytes of all proofs that were read."""
        return sum(self._lengths)

    def __len__(self) -> int:
        return len(self._statements)

    @overload
    def __getitem__(self, number: int) -> tuple[bytes, bytes]: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[tuple[bytes, bytes]]: ...
    def __getitem__(self, number: int | slice) -> tuple[bytes, bytes] | Sequence[tuple[bytes, bytes]]:
        if isinstance(number, slice):
            return [self[k] for k in range(*number.indices(len(self)))]
        self.current = number if number < len(self) else None
        statement, proof = self._statements[number], self._proofs[number]()
        self._lengths[number] = len(proof)
        return statement, proof


def _judge(
    files: _Files, security: int, transparent: bool, statement: bytes | None, params: bytes | None, fast: bool
) -> tuple[float, Verdict, bool, int]:
    """Bits of the whole, the verdict on the last segment, whether every segment hides its witness, and all steps."""
    arithmetic = None
    if fast:
        from prover.fast_verify import FastArithmetic  # kernels take seconds to load

        arithmetic = FastArithmetic()
    if len(files) == 1:
        verdict = verifier.verify(
            *files[0],
            minimum_security=security,
            allow_transparent=transparent,
            expect_statement=statement,
            expect_parameters=params,
            arithmetic=arithmetic,
        )
        return verdict.security_bits, verdict, verdict.zero_knowledge, verdict.statement.parameters.steps
    try:
        chain = verify_chain(
            files, minimum_security=security, allow_transparent=transparent, arithmetic=arithmetic
        )
    except verifier.VerifierError as error:
        if files.current is None or str(error).startswith("segment "):
            raise
        raise type(error)(f"segment {files.current}: {error}") from error
    last = chain.segments[-1]
    if statement is not None and last.statement_digest != statement:
        raise verifier.StatementMismatch(
            f"the chain ends with statement {last.statement_digest.hex()}, expected {statement.hex()}"
        )
    return chain.security_bits, last, all(segment.zero_knowledge for segment in chain.segments), chain.steps


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


def _files(paths: list[Path]) -> _Files:
    """The files that a command line names: a run folder, or pairs of which nothing but their order is known."""
    if len(paths) == 1:
        folder = paths[0]
        if not folder.is_dir():
            raise UsageError(f"verify takes STATEMENT PROOF or a run folder; {folder} is neither")
        if chains.is_chain(folder):
            segments = chains.read_segments(folder)
            proofs = [partial(chains.read_proof, segment) for segment in segments]
            return _Files([segment.statement.to_bytes() for segment in segments], proofs)
        runs.require(folder)
        paths = [folder / runs.STATEMENT, folder / runs.PROOF]
    if len(paths) % 2 or [str(path) for path in paths].count("-") > 1:
        raise UsageError("verify takes pairs of STATEMENT PROOF, at most one file - for stdin, or one run folder")
    statements = [read_limited(path, MAX_BYTES) for path in paths[::2]]
    readers = [partial(read_limited, path, MAX_PROOF, MAGIC) for path in paths[1::2]]
    # Standard input can be read only once.
    return _Files(statements, [cache(read) if str(read.args[0]) == "-" else read for read in readers])
