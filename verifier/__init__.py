"""The executable specification: checks proofs of training with the standard library alone."""

from .chain import ChainVerdict, verify_chain
from .check import Verdict, verify
from .errors import (
    FileNeeded,
    MalformedProof,
    MalformedStatement,
    MalformedWeights,
    ParametersUnsafe,
    RejectedProof,
    StatementMismatch,
    VerifierError,
)

__all__ = [
    "ChainVerdict",
    "FileNeeded",
    "MalformedProof",
    "MalformedStatement",
    "MalformedWeights",
    "ParametersUnsafe",
    "RejectedProof",
    "StatementMismatch",
    "Verdict",
    "VerifierError",
    "verify",
    "verify_chain",
]
