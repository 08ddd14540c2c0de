"""python -m verifier STATEMENT PROOF: the verdict on one proof, by exit code and one line."""

from __future__ import annotations

import argparse
import json
import sys

from .check import DEFAULT_SECURITY, LEAST_SECURITY, Verdict, verify
from .errors import MalformedProof, MalformedStatement, StatementMismatch, VerifierError
from .statement import MAX_BYTES

VALID, INVALID, USAGE, MALFORMED, LIMIT, MISMATCH = 0, 1, 2, 3, 4, 5
MAX_PROOF_BYTES = 1 << 28


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code (0 valid, 1 invalid or unsafe, 2 usage, 3 malformed, 4 too large,
    5 not the expected statement or parameters)."""
    options = _parser().parse_args(arguments)
    try:
        statement = _read(options.statement, MAX_BYTES)
        proof = _read(options.proof, MAX_PROOF_BYTES)
    except OSError as error:
        print(f"cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return USAGE
    except ValueError as error:
        print(error, file=sys.stderr)
        return LIMIT
    try:
        verdict = verify(
            statement,
            proof,
            minimum_security=options.security,
            allow_transparent=options.transparent,
            expect_statement=options.expect_statement,
            expect_parameters=options.expect_params,
        )
    except VerifierError as error:
        return _refuse(error, options.json)
    _accept(verdict, options)
    return VALID


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m verifier", description="Checks a zkgrad proof of training.")
    parser.add_argument("statement", help="statement.json")
    parser.add_argument("proof", help="proof.zkp")
    parser.add_argument(
        "--security",
        type=int,
        choices=(LEAST_SECURITY, DEFAULT_SECURITY),
        default=DEFAULT_SECURITY,
        help="bits of provable security required",
    )
    parser.add_argument("--transparent", action="store_true", help="accept a proof that is not zero-knowledge")
    parser.add_argument("--expect-statement", type=_digest, metavar="sha256:HEX", help="refuse any other statement")
    parser.add_argument("--expect-params", type=_digest, metavar="sha256:HEX", help="refuse any other parameters")
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
    if isinstance(error, MalformedProof | MalformedStatement):
        return MALFORMED
    return MISMATCH if isinstance(error, StatementMismatch) else INVALID


def _accept(verdict: Verdict, options: argparse.Namespace) -> None:
    pinned = options.expect_statement is not None or options.expect_params is not None
    if options.json:
        print(
            json.dumps(
                {
                    "valid": True,
                    "pinned": pinned,
                    "statement_digest": verdict.statement_digest.hex(),
                    "params_digest": verdict.parameters_digest.hex(),
                    "security_bits": round(verdict.security_bits, 2),
                    "zero_knowledge": verdict.zero_knowledge,
                }
            )
        )
        return
    print(f"VALID at {verdict.security_bits:.1f} bits, statement sha256:{verdict.statement_digest.hex()}")
    print(f"parameters sha256:{verdict.parameters_digest.hex()}")
    if not verdict.zero_knowledge:
        print("NOT ZERO-KNOWLEDGE: this proof shows its scalars")
    if not pinned:
        print("The statement was the prover's choice: read it, or pin it with --expect-statement or --expect-params.")


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
