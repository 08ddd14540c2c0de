"""Runs the job that the supervisor names, and tells its outcome."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any

from api.service.failures import failure_of

from .link import Link, Refused

_RUNNERS = {"prove": "prove", "verify": "verify", "fhe-einsum": "encrypted", "fhe-program": "encrypted"}


class Staged:
    """A link that remembers the stage, for the failure that may end it."""

    def __init__(self, link: Link) -> None:
        self.name: str | None = None
        self._tell = link.stage
        link.stage = self.stage  # type: ignore[method-assign]

    def stage(self, name: str) -> None:
        """Tells, and remembers."""
        self.name = name
        self._tell(name)


def serve(descriptor: int) -> None:
    """Serves one job. The traceback of a failure goes to this machine's stderr: it may quote values."""
    link = Link(descriptor)
    job = link.job()
    staged = Staged(link)
    try:
        runner: Any = importlib.import_module(f"{__package__}.{_RUNNERS[job['kind']]}")
        runner.run(link, job)
    except Refused as refused:
        link.failed(refused.failure)
    except Exception as error:
        traceback.print_exception(error, file=sys.stderr)
        link.failed(failure_of(error, staged.name).document())
