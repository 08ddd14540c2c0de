"""Why a job failed: codes from a closed list, with fixed words, so that no failure quotes data, weights or keys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fhe import errors as fhe
from prover import errors as prover
from verifier import errors as verifier

from .errors import BudgetExhausted, DiskFull, StorageUnavailable


@dataclass(frozen=True)
class Failure:
    """`retryable`: another attempt at the same job may succeed. `stage`: what the job was doing."""

    code: str
    retryable: bool
    message: str
    stage: str | None = None

    def document(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return {"code": self.code, "retryable": self.retryable, "message": self.message, "stage": self.stage}


_ALL = (
    Failure("out_of_range", False, "a value of the training run left its declared range: choose wider ranges"),
    Failure("parameters_unsafe", False, "the parameters do not give the promised security"),
    Failure("commitment_mismatch", False, "the uploaded secrets do not open the roots in the statement"),
    Failure("budget_exhausted", False, "no granted opening is left for this proof: grant more, or commit anew"),
    Failure("out_of_memory", False, "the job needs more memory than a worker may use"),
    Failure("device_lost", True, "the device that computed is not there any more"),
    Failure("disk_full", True, "storage had no room"),
    Failure("storage_unavailable", True, "database or blobs could not be reached, or were damaged"),
    Failure("levels_exhausted", False, "the computation is deeper than any secure parameters allow"),
    Failure("deadline", False, "the job was not over before its deadline"),
    Failure("input_invalid", False, "an uploaded file is not what the job needs"),
    Failure("witness_unsatisfied", False, "the run does not satisfy the statement"),
    Failure("self_check_failed", False, "the proof did not pass its own verification, and was thrown away"),
    Failure("internal", True, "a fault of the service, or a worker that stopped"),
)
FAILURES = {failure.code: failure for failure in _ALL}

# In this order: a class comes before its bases.
_CODES: tuple[tuple[type[BaseException], str], ...] = (
    (BudgetExhausted, "budget_exhausted"),
    (prover.BudgetExhausted, "budget_exhausted"),
    (DiskFull, "disk_full"),
    (StorageUnavailable, "storage_unavailable"),
    (prover.OutOfRange, "out_of_range"),
    (prover.WitnessUnsatisfied, "witness_unsatisfied"),
    (prover.CommitmentMismatch, "commitment_mismatch"),
    (prover.OutOfMemory, "out_of_memory"),
    (prover.InputInvalid, "input_invalid"),
    (prover.RunFolderError, "input_invalid"),
    (verifier.ParametersUnsafe, "parameters_unsafe"),
    (verifier.VerifierError, "input_invalid"),
    (fhe.LevelsExhausted, "levels_exhausted"),
    (fhe.ParametersUnsafe, "parameters_unsafe"),
    (fhe.LimitExceeded, "out_of_memory"),
    (fhe.FheError, "input_invalid"),
    (MemoryError, "out_of_memory"),
)
# Their messages are about statements, plans and budgets, which are public: never about values.
_PUBLIC = (BudgetExhausted, verifier.ParametersUnsafe, verifier.MalformedStatement, verifier.StatementMismatch)


def failure(code: str, stage: str | None = None, message: str | None = None, retryable: bool | None = None) -> Failure:
    """A failure of the list, perhaps in more specific words of our own."""
    known = FAILURES[code]
    again = known.retryable if retryable is None else retryable
    return replace(known, stage=stage, message=message or known.message, retryable=again)


def failure_of(error: BaseException, stage: str | None = None) -> Failure:
    """What an error means for a job. Its own text is kept only where it cannot quote a secret."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "internal")
    return failure(code, stage, str(error)[:500] if isinstance(error, _PUBLIC) else None)


def failure_from(document: dict[str, Any], stage: str | None) -> Failure:
    """A failure that a job's process reported; anything that is not of the list is internal."""
    code, message = document.get("code"), document.get("message")
    if code not in FAILURES or not isinstance(message, str):
        return failure("internal", stage)
    return failure(code, stage, message[:500])
