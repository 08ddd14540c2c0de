"""The executable specification: checks proofs of training with the standard library alone."""

from .check import Verdict, verify
from .errors import (
    MalformedProof,
    MalformedStatement,
    ParametersUnsafe,
    RejectedProof,
    StatementMismatch,
    VerifierError,
)

__all__ = [
    "MalformedProof",
    "MalformedStatement",
    "ParametersUnsafe",
    "RejectedProof",
    "StatementMismatch",
    "Verdict",
    "VerifierError",
    "verify",
]
