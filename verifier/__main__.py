"""python -m verifier STATEMENT PROOF [STATEMENT PROOF ...]: the verdict on a proof or on a chain of segments."""

from __future__ import annotations

import argparse
import json
import sys

from .chain import EXPECTABLE, ChainVerdict, check_expected, verify_chain
from .check import DEFAULT_SECURITY, LEAST_SECURITY, verify
from .errors import (
    FileNeeded,
    MalformedProof,
    MalformedStatement,
    MalformedWeights,
    StatementMismatch,
    VerifierError,
)
from .statement import MAX_BYTES
from .weights import MAX_MODEL

VALID, INVALID, USAGE, MALFORMED, LIMIT, MISMATCH = 0, 1, 2, 3, 4, 5
MAX_PROOF_BYTES = 1 << 28


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code (0 valid, 1 invalid or unsafe, 2 usage, 3 malformed, 4 too large,
    5 not the expected statement or parameters)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if len(options.files) % 2:
        parser.error("files come in pairs: STATEMENT PROOF, once for each segment of a run")
    if len(options.files) > 2 and options.model is not None:
        parser.error("--model is for a statement of the task model, and those stand alone")
    if len(options.files) > 2 and options.expect_params is not None:
        parser.error(
            "segments differ in their parameters' digests: pin a chain with --expect-run, or its end with "
            "--expect-statement"
        )
    try:
        limits = (MAX_BYTES, MAX_PROOF_BYTES) * (len(options.files) // 2)
        files = [_read(path, limit) for path, limit in zip(options.files, limits, strict=True)]
        model = None if options.model is None else _read(options.model, MAX_MODEL)
    except OSError as error:
        print(f"cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return USAGE
    except ValueError as error:
        print(error, file=sys.stderr)
        return LIMIT
    try:
        _accept(_verify(list(zip(files[::2], files[1::2], strict=True)), options, model), options)
    except VerifierError as error:
        return _refuse(error, options.json)
    return VALID


def _verify(segments: list[tuple[bytes, bytes]], options: argparse.Namespace, model: bytes | None) -> ChainVerdict:
    """One segment may start anywhere; several must form a chain from step 0."""
    if len(segments) > 1:
        chain = verify_chain(segments, minimum_security=options.security, allow_transparent=options.transparent)
    else:
        verdict = verify(
            *segments[0],
            minimum_security=options.security,
            allow_transparent=options.transparent,
            expect_statement=options.expect_statement,
            expect_parameters=options.expect_params,
            model=model,
        )
        chain = ChainVerdict((verdict,), verdict.statement.parameters.steps, verdict.security_bits)
    if options.expect_run not in (None, chain.run_digest):
        raise StatementMismatch(f"the run is {chain.run_digest.hex()}, expected {options.expect_run.hex()}")
    found = chain.last.digest()
    if options.expect_statement not in (None, found):
        raise StatementMismatch(
            f"the chain ends with statement {found.hex()}, expected {options.expect_statement.hex()}"
        )
    check_expected(chain.first, chain.last, dict(options.expect))
    return chain


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m verifier", description="Checks a zkgrad proof of training.")
    parser.add_argument("files", nargs="+", metavar="STATEMENT PROOF", help="one pair a segment, in the run's order")
    parser.add_argument(
        "--security",
        type=int,
        choices=(LEAST_SECURITY, DEFAULT_SECURITY),
        default=DEFAULT_SECURITY,
        help="bits of provable security required",
    )
    parser.add_argument("--transparent", action="store_true", help="accept a proof that is not zero-knowledge")
    parser.add_argument("--expect-statement", type=_digest, metavar="sha256:HEX", help="refuse any other statement")
    parser.add_argument("--expect-run", type=_digest, metavar="sha256:HEX", help="refuse any other run: all statements")
    parser.add_argument("--expect-params", type=_digest, metavar="sha256:HEX", help="refuse any other parameters")
    parser.add_argument(
        "--expect",
        type=_field,
        action="append",
        default=[],
        metavar="FIELD=HEX",
        help=f"refuse another value of {', '.join(EXPECTABLE)}: what an auditor saw committed, and the nonce he drew",
    )
    parser.add_argument("--model", metavar="FILE", help="the weights file that a statement of the task model is about")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return parser


def _digest(text: str) -> bytes:
    digits = text.removeprefix("sha256:")
    if len(digits) != 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not sha256: and 64 hexadecimal digits")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not hexadecimal") from None


def _field(text: str) -> tuple[str, bytes]:
    name, _, digits = text.partition("=")
    if name not in EXPECTABLE:
        raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(EXPECTABLE)}")
    return name, _digest(digits)


def _read(path: str, limit: int) -> bytes:
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path} is larger than {limit} bytes")
    return data


def _refuse(error: VerifierError, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"valid": False, "error": type(error).__name__, "reason": str(error)}))
    print(f"NOT VALID ({type(error).__name__}): {error}", file=sys.stderr)
    if isinstance(error, MalformedProof | MalformedStatement | MalformedWeights):
        return MALFORMED
    if isinstance(error, FileNeeded):
        return USAGE
    return MISMATCH if isinstance(error, StatementMismatch) else INVALID


def _accept(chain: ChainVerdict, options: argparse.Namespace) -> None:
    last = chain.segments[-1]
    seen, uses = {name for name, _ in options.expect}, last.statement.parameters.task != "training"
    # The schedule follows from both roots and the nonce: with less pinned, the prover chose something of it.
    needed = {"data_root", "initial_root"} | (set() if uses else {"nonce"})
    whole = options.expect_statement is not None or options.expect_run is not None
    pinned = whole or needed <= seen
    hidden = all(segment.zero_knowledge for segment in chain.segments)
    if options.json:
        answer = {
            "valid": True,
            "pinned": pinned,
            "segments": len(chain.segments),
            "first_step": chain.first.parameters.first_step,
            "steps": chain.steps,
            "statement_digest": last.statement_digest.hex(),
            "params_digest": last.parameters_digest.hex(),
            "run_digest": chain.run_digest.hex(),
            "security_bits": round(chain.security_bits, 2),
            "zero_knowledge": hidden,
        }
        print(json.dumps(answer))
        return
    print(f"VALID at {chain.security_bits:.1f} bits, statement sha256:{last.statement_digest.hex()}")
    print(f"parameters sha256:{last.parameters_digest.hex()}")
    if len(chain.segments) > 1:
        print(f"{len(chain.segments)} segments, {chain.steps} steps from step 0; the digests are the last segment's")
        print(f"run sha256:{chain.run_digest.hex()}")
    if chain.first.parameters.first_step:
        print(
            f"This segment starts at step {chain.first.parameters.first_step}: what came before it, and where its "
            "batch order comes from, is shown by the segments from step 0 on only."
        )
    if not hidden:
        print("NOT ZERO-KNOWLEDGE: this proof shows its scalars")
    if not pinned and uses:
        print(
            "Model and samples were the prover's choice: read the statement, or pin it with --expect-statement, or "
            "with --expect initial_root=... (the final root of the run that made the model) and data_root=..."
        )
    elif not pinned:
        print(
            "Data, first state and batch order were the prover's choice: read the statement, or pin it with "
            "--expect-statement, or with --expect data_root=..., initial_root=... and nonce=..."
        )


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
