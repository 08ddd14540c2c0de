"""The tables, alike on SQLite and PostgreSQL. Times are seconds since 1970 by the database's clock.

Rows point at blobs by key; bytes of data, weights, openings, proofs and ciphertexts are never in a row.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ID = String(80)
Seconds: Double[float] = Double()


class Base(DeclarativeBase):
    """Root of all tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: BigInteger(),
        float: Seconds,
        dict[str, Any]: JSON(),
        bytes: LargeBinary(),
    }


class Tenant(Base):
    """Whoever owns things; `sealing_key` is a random key wrapped under the wrapping key named by `wrapped_by`."""

    __tablename__ = "tenants"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    sealing_key: Mapped[bytes]
    wrapped_by: Mapped[str] = mapped_column(String(64))
    created: Mapped[float]


class Key(Base):
    """An access key zk_<id>_<secret>: only a hash of the secret is stored."""

    __tablename__ = "keys"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    secret_hash: Mapped[bytes]
    scopes: Mapped[str] = mapped_column(String(200))
    created: Mapped[float]
    expires: Mapped[float | None]
    revoked: Mapped[float | None]


class Upload(Base):
    """An unfinished artifact; `expires` is a lease that every part extends."""

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(40))
    secret: Mapped[bool]
    media_type: Mapped[str] = mapped_column(String(120))
    size: Mapped[int | None]
    digest: Mapped[str | None] = mapped_column(String(64))
    artifact: Mapped[str | None] = mapped_column(ID)
    created: Mapped[float]
    expires: Mapped[float]


class Part(Base):
    """A part of an upload, and then of the artifact: parts are never copied together."""

    __tablename__ = "parts"
    owner: Mapped[str] = mapped_column(ID, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    blob: Mapped[str] = mapped_column(String(200), unique=True)
    size: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))


class Artifact(Base):
    """Immutable bytes: public ones are named by their digest, secret ones at random and never shown."""

    __tablename__ = "artifacts"
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    parts: Mapped[str] = mapped_column(ID)
    kind: Mapped[str] = mapped_column(String(40))
    secret: Mapped[bool]
    media_type: Mapped[str] = mapped_column(String(120))
    size: Mapped[int]
    job: Mapped[str | None] = mapped_column(ID, index=True)
    created: Mapped[float]


class StatementRow(Base):
    """A statement, by digest; `text` is its canonical form."""

    __tablename__ = "statements"
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    parameters: Mapped[str] = mapped_column(String(64), index=True)
    text: Mapped[bytes]
    created: Mapped[float]


class JobRow(Base):
    """A job and its lease. `attempt` is the fencing token: a worker's writes name it and fail once it has grown."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    route: Mapped[str] = mapped_column(String(80))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    payload_digest: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(40))
    device: Mapped[str] = mapped_column(String(20))
    payload: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20))
    attempt: Mapped[int]
    max_attempts: Mapped[int]
    worker: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[float | None]
    not_before: Mapped[float]
    deadline: Mapped[float]
    cancel_requested: Mapped[bool]
    stage: Mapped[str | None] = mapped_column(String(80))
    done: Mapped[int]
    total: Mapped[int]
    progress_at: Mapped[float | None]
    last_event: Mapped[int]
    failure: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    created: Mapped[float]
    started: Mapped[float | None]
    finished: Mapped[float | None]
    __table_args__ = (
        UniqueConstraint("tenant", "route", "idempotency_key", name="one_job_a_key"),
        CheckConstraint("status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="job_status"),
        Index("jobs_to_claim", "status", "not_before", "created"),
        Index("jobs_of_tenant", "tenant", "created", "id"),
    )


class Event(Base):
    """What happened to a job, numbered from 1."""

    __tablename__ = "events"
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    type: Mapped[str] = mapped_column(String(40))
    data: Mapped[dict[str, Any]]


class Use(Base):
    """An artifact that a job reads: it cannot be deleted while the job is not over."""

    __tablename__ = "uses"
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    artifact: Mapped[str] = mapped_column(ID, primary_key=True)
    role: Mapped[str] = mapped_column(String(80), primary_key=True)


class Proof(Base):
    """A published proof; written only by the attempt that holds the job's lease."""

    __tablename__ = "proofs"
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    statement: Mapped[str] = mapped_column(String(64), index=True)
    job: Mapped[str] = mapped_column(ID)
    segment: Mapped[int]
    attempt: Mapped[int]
    blob: Mapped[str] = mapped_column(String(200), unique=True)
    size: Mapped[int]
    verdict: Mapped[dict[str, Any]]
    created: Mapped[float]
    __table_args__ = (UniqueConstraint("job", "segment", name="one_proof_a_segment"),)


class RunRow(Base):
    """The manifest of a run in segments, by digest of its bytes."""

    __tablename__ = "runs"
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    manifest: Mapped[bytes]
    job: Mapped[str] = mapped_column(ID)
    created: Mapped[float]


class Context(Base):
    """Parameters and public evaluation keys of an encrypted conversation: an artifact that was looked into."""

    __tablename__ = "contexts"
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    client_key: Mapped[str] = mapped_column(String(64))
    rings: Mapped[dict[str, Any]]
    created: Mapped[float]


class Nonce(Base):
    """A nonce of an encrypted request: answered by one job only, however often that job is tried."""

    __tablename__ = "nonces"
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    nonce: Mapped[str] = mapped_column(String(64), primary_key=True)
    job: Mapped[str] = mapped_column(ID)


class Commitment(Base):
    """A commitment whose openings were granted to this service; `budget` is what its statement allows in all."""

    __tablename__ = "commitments"
    root: Mapped[str] = mapped_column(String(64), primary_key=True)
    budget: Mapped[int]
    created: Mapped[float]


class Slot(Base):
    """One opening of a commitment, spent for good by one attempt at one segment. The key makes it unrepeatable."""

    __tablename__ = "slots"
    root: Mapped[str] = mapped_column(ForeignKey("commitments.root"), primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True)
    job: Mapped[str] = mapped_column(ID, index=True)
    attempt: Mapped[int]
    segment: Mapped[int]
    at: Mapped[float]


class Receipt(Base):
    """A signed verdict, kept beside what it is about."""

    __tablename__ = "receipts"
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    statement: Mapped[str] = mapped_column(String(64), index=True)
    document: Mapped[dict[str, Any]]
    created: Mapped[float]


class Share(Base):
    """A link for an auditor to a statement, its proofs and receipts; only a hash of its secret is stored."""

    __tablename__ = "shares"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[bytes]
    statement: Mapped[str] = mapped_column(String(64))
    proof: Mapped[str | None] = mapped_column(String(64))
    run: Mapped[str | None] = mapped_column(String(64))
    created: Mapped[float]
    expires: Mapped[float | None]
    revoked: Mapped[float | None]


class Rate(Base):
    """Requests of a tenant in one minute."""

    __tablename__ = "rates"
    tenant: Mapped[str] = mapped_column(ID, primary_key=True)
    bucket: Mapped[str] = mapped_column(String(40), primary_key=True)
    minute: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int]


class Garbage(Base):
    """Blobs that nothing refers to any more, to be removed by whoever sweeps next."""

    __tablename__ = "garbage"
    blob: Mapped[str] = mapped_column(String(200), primary_key=True)
    at: Mapped[float]
