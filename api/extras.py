"""Verbs whose packages are not part of every installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .console import UsageError

_OURS = ("api", "prover", "verifier", "fhe")


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """UsageError that says what to install, when an import in the block finds no package."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in _OURS:
            raise
        raise UsageError(f"this command needs the package {package!r}: pip install 'zkgrad[{name}]'") from None
