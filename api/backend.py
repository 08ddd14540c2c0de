"""Which backend a command computes with."""

from __future__ import annotations

from prover.backends.interface import Backend


def default_backend() -> Backend:
    """The CPU backend. Imported late: its kernels take a moment to load, and most verbs need none."""
    from prover.backends.cpu import BACKEND

    return BACKEND
