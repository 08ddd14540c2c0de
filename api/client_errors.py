"""What can go wrong between a client and a service, in terms of what to do next."""

from __future__ import annotations

from collections.abc import Sequence


class ClientError(Exception):
    """Root of the client's errors; `code` is stable, the message is for people."""

    code = "client"


class Unreachable(ClientError):
    """No answer, after some tries."""

    code = "unreachable"


class NotUnderstood(ClientError):
    """An answer that no service of this version gives."""

    code = "not_understood"


class Refused(ClientError):
    """The service answered with a problem. `errors`: (pointer, what is wrong there)."""

    def __init__(
        self, status: int, code: str, detail: str, retryable: bool = False, errors: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.retryable, self.errors = status, code, retryable, tuple(errors)


class JobFailed(ClientError):
    """A job that ended without a result; `code` is the failure's, `retryable`: another job may succeed."""

    def __init__(self, code: str, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.code, self.retryable = code, retryable


class JobCancelled(ClientError):
    """A job that was cancelled."""

    code = "cancelled"
