"""The errors a user can cause; every message quotes what was written and says what to do."""


class FheError(Exception):
    """Root of all errors of this package."""


class ExpressionError(FheError, ValueError):
    """The einsum expression itself cannot be read."""


class ShapeError(FheError, ValueError):
    """An operand's rank or axis size contradicts the expression."""


class BoundError(FheError, ValueError):
    """A value is not finite, or exceeds the bound that the plan was made for."""


class LayoutError(FheError, ValueError):
    """A ciphertext was encrypted for another plan or another operand."""


class MissingKey(FheError, KeyError):
    """The server lacks an evaluation key that the plan needs."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class LevelsExhausted(FheError, ValueError):
    """The computation is deeper than any secure parameter set allows."""


class ParametersUnsafe(FheError, ValueError):
    """Parameters below 128-bit security, or a library that fails its known-answer check."""


class MalformedBytes(FheError, ValueError):
    """Bytes that are not exactly what the plan prescribes."""


class RejectedMessage(FheError, ValueError):
    """A signature, pinned key, nonce or digest that does not belong to this conversation."""


class ReleaseRefused(FheError, ValueError):
    """A decryption may not be published: no release was planned, or its count is used up."""


class LimitExceeded(FheError, ValueError):
    """A plan or a subprocess exceeds the stated caps on operations, bytes, memory or time."""
