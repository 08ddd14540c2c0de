"""Exit codes, and which error has which."""

from __future__ import annotations

from prover import errors as prover
from verifier import errors as verifier

from .client_errors import ClientError, JobCancelled, Unreachable
from .console import LimitError
from .registry import MalformedReceipt, RejectedReceipt
from .service.errors import ServiceError
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
    (Unreachable, "unreachable", UNREACHABLE),
    (JobCancelled, "cancelled", INTERRUPTED),
)
# Codes of services and of their failed jobs; others of them are about what was sent.
_CODES = {
    "unauthorized": USAGE,
    "forbidden": USAGE,
    "not_found": USAGE,
    "conflict": USAGE,
    "schema_mismatch": USAGE,
    "client": USAGE,
    "out_of_range": LIMIT,
    "budget_exhausted": LIMIT,
    "out_of_memory": LIMIT,
    "too_large": LIMIT,
    "too_many": LIMIT,
    "disk_full": LIMIT,
    "deadline": LIMIT,
    "levels_exhausted": LIMIT,
    "parameters_unsafe": INVALID,
    "witness_unsatisfied": INVALID,
    "commitment_mismatch": INVALID,
    "self_check_failed": INVALID,
    "storage_unavailable": UNREACHABLE,
    "device_lost": UNREACHABLE,
    "internal": INTERNAL,
}


def classify(error: BaseException) -> tuple[str, int]:
    """(code, exit status) of an error; anything that has no line here is a fault of ours."""
    for kind, code, status in _TABLE:
        if isinstance(error, kind):
            return code, status
    if isinstance(error, (ClientError, ServiceError)):
        return error.code, _CODES.get(error.code, MALFORMED)
    return "internal", INTERNAL
