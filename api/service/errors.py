"""What can be wrong with a request to the store. Each error knows its HTTP status and a stable code."""

from __future__ import annotations


class ServiceError(Exception):
    """Root of the service's errors; the message is for the caller and holds no secret."""

    status = 500
    code = "internal"


class NotFound(ServiceError):
    """There is no such thing, or it belongs to somebody else."""

    status, code = 404, "not_found"


class Conflict(ServiceError):
    """The thing is in a state, or in a use, that forbids this."""

    status, code = 409, "conflict"


class IdempotencyMismatch(ServiceError):
    """An idempotency key that was used for another payload."""

    status, code = 422, "idempotency_mismatch"


class Unprocessable(ServiceError):
    """A well-formed request that cannot be carried out; `pointer` is the JSON pointer of what is wrong in it."""

    status, code = 422, "input_invalid"

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class BudgetExhausted(Unprocessable):
    """The granted openings do not suffice, or are spent."""

    code = "budget_exhausted"


class KeyBurnt(Unprocessable):
    """A secret key was uploaded: it is deleted here, and must not be used any more."""

    code = "key_burnt"


class DigestMismatch(ServiceError):
    """Bytes that do not have the digest that was announced."""

    status, code = 400, "digest_mismatch"


class TooLarge(ServiceError):
    """More bytes than were announced or than a limit allows."""

    status, code = 413, "too_large"


class DiskFull(ServiceError):
    """Storage has no room, or would fall below the floor that is kept free."""

    status, code = 507, "disk_full"


class StorageUnavailable(ServiceError):
    """Database or blobs cannot be reached, or have lost something."""

    status, code = 503, "storage_unavailable"


class TooMany(ServiceError):
    """A limit on how many, or how often."""

    status, code = 429, "too_many"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unauthorized(ServiceError):
    """No valid key."""

    status, code = 401, "unauthorized"


class Forbidden(ServiceError):
    """A valid key without the scope that this needs."""

    status, code = 403, "forbidden"


class WriteOnly(Forbidden):
    """A secret artifact: it can be written and deleted, never read."""

    code = "write_only"


class RangeInvalid(ServiceError):
    """A range outside of an object of `size` bytes."""

    status, code = 416, "range_invalid"

    def __init__(self, size: int) -> None:
        super().__init__(f"the range is outside of {size} bytes")
        self.size = size


class SchemaMismatch(ServiceError):
    """A database of another revision."""

    status, code = 503, "schema_mismatch"


class LeaseLost(ServiceError):
    """An attempt that is no longer the job's current one; nothing that it writes counts any more."""

    status, code = 409, "lease_lost"


class CancelRequested(ServiceError):
    """A job whose owner wants it ended: its attempt publishes and spends nothing more."""

    status, code = 409, "cancel_requested"
