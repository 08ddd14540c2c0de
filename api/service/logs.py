"""Structured logs: ids, codes and counts. Payloads, blobs, keys and the error texts of jobs are never logged."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure_logging(as_json: bool = True) -> None:
    """Logs go to stderr, one line each: as JSON, or for people."""
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> Any:
    """A logger whose lines say where they come from."""
    return structlog.get_logger(source=name)
