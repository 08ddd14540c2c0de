"""What the store hands out: plain frozen values. Times are seconds since 1970, digests 64 hexadecimal digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items of a list, newest first; `cursor` asks for those after them, None when there are no more."""

    items: tuple[T, ...]
    cursor: str | None


@dataclass(frozen=True)
class TenantView:
    """Whoever owns things."""

    id: str
    name: str
    created: float


@dataclass(frozen=True)
class KeyView:
    """An access key without its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None
    revoked: float | None


@dataclass(frozen=True)
class Caller:
    """Who asks, and what he may."""

    tenant: str
    key: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class PartView:
    """A received part of an upload; the digest of secret ones is not told."""

    number: int
    size: int
    digest: str | None


@dataclass(frozen=True)
class UploadView:
    """An upload: what was announced, and the parts that are there."""

    id: str
    kind: str
    secret: bool
    media_type: str
    size: int | None
    digest: str | None
    parts: tuple[PartView, ...]
    received: int
    created: float
    expires: float
    artifact: str | None


@dataclass(frozen=True)
class ArtifactView:
    """Immutable bytes; the digest of secret ones is not told, since it would confirm guesses."""

    id: str
    kind: str
    secret: bool
    media_type: str
    size: int
    digest: str | None
    job: str | None
    created: float


@dataclass(frozen=True)
class StatementView:
    """A statement with what follows from it alone: the estimate of its proof and the bounds of its integers in bits."""

    digest: str
    params_digest: str
    document: dict[str, Any]
    estimate: dict[str, Any]
    bounds: dict[str, int]
    created: float


@dataclass(frozen=True)
class ProofView:
    """A published proof."""

    digest: str
    statement: str
    job: str
    segment: int
    size: int
    verdict: dict[str, Any]
    created: float


@dataclass(frozen=True)
class RunView:
    """A run in segments: its manifest and the (statement, proof) digests in it."""

    digest: str
    manifest: bytes
    segments: tuple[tuple[str, str], ...]
    job: str
    created: float


@dataclass(frozen=True)
class JobView:
    """A job as its owner sees it."""

    id: str
    kind: str
    device: str
    status: str
    stage: str | None
    done: int
    total: int
    attempt: int
    max_attempts: int
    cancel_requested: bool
    failure: dict[str, Any] | None
    result: dict[str, Any] | None
    payload: dict[str, Any]
    idempotency_key: str | None
    created: float
    started: float | None
    finished: float | None
    deadline: float
    last_event: int

    @property
    def over(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status in (SUCCEEDED, FAILED, CANCELLED)


@dataclass(frozen=True)
class EventView:
    """Something that happened to a job."""

    number: int
    at: float
    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class ContextView:
    """The public keys of an encrypted conversation."""

    id: str
    client_key: str
    rings: list[dict[str, Any]]
    created: float


@dataclass(frozen=True)
class ShareView:
    """A link for an auditor, without its secret."""

    id: str
    statement: str
    proof: str | None
    run: str | None
    created: float
    expires: float | None
    revoked: float | None


@dataclass(frozen=True)
class SharedView:
    """What a link opens, and whose it is."""

    tenant: str
    share: ShareView


@dataclass(frozen=True)
class ReceiptView:
    """A stored signed verdict."""

    id: str
    statement: str
    document: dict[str, Any]
    created: float
