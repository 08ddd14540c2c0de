"""The ways in which a verification can end badly, each with the place and the numbers."""


class VerifierError(Exception):
    """Root of everything the verifier raises about its input."""


class MalformedStatement(VerifierError):
    """The statement file is not in the one canonical form this version reads."""


class MalformedProof(VerifierError):
    """The proof file has the wrong length, version or encoding for its statement."""


class StatementMismatch(VerifierError):
    """The proof, or what the caller expects, belongs to another statement."""


class ParametersUnsafe(VerifierError):
    """The statement asks for less security than required, or its integers could wrap around the field."""


class FileNeeded(VerifierError):
    """The statement is about a weights file, which the caller has to give."""


class MalformedWeights(VerifierError):
    """The weights file is not what a statement of its task can be about: whole, exact, of the stated layers."""


class RejectedProof(VerifierError):
    """A well-formed proof that does not show what the statement claims."""
