"""Exit codes, and which error has which."""

from __future__ import annotations

from prover import errors as prover
from verifier import errors as verifier

from .console import LimitError

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
    (prover.WitnessUnsatisfied, "witness_unsatisfied", INVALID),
    (prover.CommitmentMismatch, "commitment_mismatch", INVALID),
    (verifier.MalformedStatement, "malformed_statement", MALFORMED),
    (verifier.MalformedProof, "malformed_proof", MALFORMED),
    (verifier.MalformedWeights, "malformed_weights", MALFORMED),
    (verifier.FileNeeded, "file_needed", USAGE),
    (prover.InputInvalid, "input_invalid", MALFORMED),
    (prover.RunFolderError, "run_folder", MALFORMED),
    (prover.OutOfRange, "out_of_range", LIMIT),
    (prover.BudgetExhausted, "budget_exhausted", LIMIT),
    (prover.OutOfMemory, "out_of_memory", LIMIT),
    (prover.DeviceUnavailable, "device_unavailable", UNREACHABLE),
    (prover.DeviceLost, "device_lost", UNREACHABLE),
    (LimitError, "limit", LIMIT),
    (MemoryError, "out_of_memory", LIMIT),
    (verifier.StatementMismatch, "not_expected", UNEXPECTED),
)


def classify(error: BaseException) -> tuple[str, int]:
    """(code, exit status) of an error; anything that has no line here is a fault of ours."""
    for kind, code, status in _TABLE:
        if isinstance(error, kind):
            return code, status
    return "internal", INTERNAL
