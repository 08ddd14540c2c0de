"""Exit codes, and which error has which."""

from __future__ import annotations

from prover import errors as prover
from verifier import errors as verifier

from .console import LimitError
from .registry import MalformedReceipt, RejectedReceipt
from .verification import VerificationStopped

OK, INVALID, USAGE, MALFORMED, LIMIT, UNEXPECTED, UNREACHABLE, INTERNAL, INTERRUPTED = (
    0,
    1,
    2,
    3,
    4,
    5,
    69,
    70,
    130,
)

_TABLE: tuple[tuple[type[BaseException], str, int], ...] = (
    (verifier.RejectedProof, "proof_invalid", INVALID),
    (verifier.ParametersUnsafe, "parameters_unsafe", INVALID),
    (RejectedReceipt, "receipt_rejected", INVALID),
    (prover.WitnessUnsatisfied, "witness_unsatisfied", INVALID),
    (prover.CommitmentMismatch, "commitment_mismatch", INVALID),
    (verifier.MalformedStatement, "malformed_statement", MALFORMED),
    (verifier.MalformedProof, "malformed_proof", MALFORMED),
    (MalformedReceipt, "malformed_receipt", MALFORMED),
    (prover.InputInvalid, "input_invalid", MALFORMED),
    (prover.RunFolderError, "run_folder", MALFORMED),
    (prover.OutOfRange, "out_of_range", LIMIT),
    (prover.BudgetExhausted, "budget_exhausted", LIMIT),
    (prover.OutOfMemory, "out_of_memory", LIMIT),
    (LimitError, "limit", LIMIT),
    (VerificationStopped, "verification_stopped", LIMIT),
    (MemoryError, "out_of_memory", LIMIT),
    (verifier.StatementMismatch, "not_expected", UNEXPECTED),
)


def classify(error: BaseException) -> tuple[str, int]:
    """(code, exit status) of an error; anything that has no line here is a fault of ours."""
    for kind, code, status in _TABLE:
        if isinstance(error, kind):
            return code, status
    return "internal", INTERNAL
