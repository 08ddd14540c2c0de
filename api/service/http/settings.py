"""Where the service listens, and what its synchronous requests may take: further settings, same prefix ZKGRAD_."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field

from api.service.settings import Settings

from .verify import VerifyLimits

_DEFAULTS = VerifyLimits()


class HttpSettings(Settings):
    """Settings of the API's process. Sizes are bytes, times seconds."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535, description="0 takes a free one.")
    max_wait_seconds: float = Field(default=60.0, ge=0, description="The longest that Prefer: wait waits.")
    heartbeat_seconds: float = Field(default=15.0, gt=0, description="Between two signs of life in a stream of events.")
    receipt_key: Path | None = Field(default=None, description="Key to sign verdicts with: `zkgrad receipt keygen`.")
    verify_now_proof_bytes: int = Field(default=_DEFAULTS.proof_bytes, ge=1)
    verify_now_seconds: int = Field(default=_DEFAULTS.seconds, ge=1)
    verify_now_memory: int = Field(default=_DEFAULTS.memory, ge=1 << 20)
    verify_now_at_once: int = Field(default=_DEFAULTS.at_once, ge=1)

    @property
    def verify_limits(self) -> VerifyLimits:
        """Of POST /v1/verify."""
        return VerifyLimits(
            self.verify_now_proof_bytes, self.verify_now_seconds, self.verify_now_memory, self.verify_now_at_once
        )


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine: 127.0.0.0/8, ::1 or localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
