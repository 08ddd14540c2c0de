"""Everything about a service that its operator can set: by environment, prefix ZKGRAD_, or as arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

_MIB, _GIB, _DAY = 1 << 20, 1 << 30, 86400.0


class Settings(BaseSettings):
    """Places, limits and times of a service. Sizes are bytes, times seconds."""

    model_config = SettingsConfigDict(env_prefix="ZKGRAD_", frozen=True)

    # --- places ---
    data: Path = Field(default=Path("zkgrad-data"), description="Folder of the embedded database and of blobs.")
    database: str | None = Field(default=None, description="postgresql://… ; without it, SQLite in the data folder.")
    blobs: str | None = Field(default=None, description="s3://bucket/prefix ; without it, files in the data folder.")
    s3_endpoint: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key: SecretStr | None = None
    s3_secret_key: SecretStr | None = None
    s3_allow_http: bool = False
    wrapping_key: Path | None = Field(
        default=None, description="Key of the keys of secrets; keep it out of every backup."
    )
    numba_cache: Path | None = Field(
        default=None, description="Compiled kernels, which are pickles: never share this folder."
    )
    identity: Path | None = Field(default=None, description="Signing key of replies to encrypted requests.")

    # --- limits on what is stored ---
    max_part_bytes: int = Field(default=256 * _MIB, ge=1)
    max_parts: int = Field(default=10_000, ge=1)
    max_artifact_bytes: int = Field(default=64 * _GIB, ge=1)
    max_tenant_bytes: int = Field(default=512 * _GIB, ge=1)
    max_open_uploads: int = Field(default=64, ge=1)
    max_statement_bytes: int = Field(default=1 << 20, ge=1)
    max_payload_bytes: int = Field(default=1 << 20, ge=1)
    disk_floor_bytes: int = Field(default=_GIB, ge=0, description="Free space below which nothing is admitted.")

    # --- limits on what is done ---
    max_active_jobs: int = Field(default=64, ge=1, description="Jobs of a tenant that are not over.")
    requests_per_minute: int = Field(default=1200, ge=1)
    worker_memory_bytes: int = Field(default=64 * _GIB, ge=_MIB, description="Address space of a job's process.")
    verify_memory_bytes: int = Field(default=4 * _GIB, ge=_MIB, description="Address space of the verifier's process.")
    verify_seconds: int = Field(default=3600, ge=1, description="Processor time of the verifier, a segment.")
    max_proof_bytes: int = Field(default=1 << 28, ge=1)
    max_reply_bytes: int = Field(default=4 * _GIB, ge=1)
    device: str = Field(default="cpu", description="The jobs that a worker takes: those that ask for this device.")

    job_tracebacks: bool = Field(
        default=True, description="Errors of jobs, which may quote values of secrets, go to the worker's stderr."
    )

    # --- times ---
    lease_seconds: float = Field(default=30.0, gt=0)
    poll_seconds: float = Field(default=0.5, gt=0)
    stall_seconds: float = Field(
        default=1800.0, gt=0, description="A job that tells of no progress for so long is stopped."
    )
    job_seconds: float = Field(default=_DAY, gt=0, description="Deadline of a job that names none.")
    retry_seconds: float = Field(default=2.0, ge=0, description="Wait before the second attempt; doubles with each.")
    max_attempts: int = Field(default=5, ge=1)
    upload_seconds: float = Field(
        default=_DAY, gt=0, description="An upload without a new part for so long is removed."
    )
    retain_seconds: float = Field(
        default=90 * _DAY, gt=0, description="Jobs that are over, artifacts, and ended keys and shares live so long."
    )
    sweep_seconds: float = Field(
        default=3600.0, gt=0, description="Between two searches for blobs that nothing refers to."
    )
    sweep_grace_seconds: float = Field(default=2 * _DAY, gt=0, description="Age from which such blobs are removed.")

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL."""
        if self.database is None:
            return f"sqlite:///{self.data.absolute() / 'zkgrad.sqlite'}"
        for prefix in ("postgresql://", "postgres://"):
            if self.database.startswith(prefix):
                return "postgresql+psycopg://" + self.database.removeprefix(prefix)
        return self.database

    @property
    def wrapping_key_file(self) -> Path:
        """Outside of the data folder, which backups hold."""
        return self.wrapping_key or self.data.absolute().with_name(self.data.name + ".wrapping-key")

    @property
    def identity_file(self) -> Path:
        """The Ed25519 secret that replies are signed with; made when it does not exist."""
        return self.identity or self.data.absolute().with_name(self.data.name + ".identity")

    def plain(self) -> dict[str, Any]:
        """All that is set, secrets in clear, for a process that is to have the same settings. Never to be logged."""
        shown = {name: getattr(self, name) for name in Settings.model_fields}
        plain = {k: v.get_secret_value() if isinstance(v, SecretStr) else v for k, v in shown.items()}
        return {k: str(v) if isinstance(v, Path) else v for k, v in plain.items()}
