"""Runs that are trained once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .engine import copied, fresh, trained


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory) -> Path:
    """A run of one segment; tests take copies."""
    return trained(tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture(scope="session")
def trained_chain(tmp_path_factory) -> Path:
    """The same run in two segments."""
    return trained(tmp_path_factory.mktemp("trained") / "chain", "--segment-steps", "4")


@pytest.fixture
def run(trained_run, tmp_path) -> Path:
    return copied(trained_run, tmp_path / "run")


@pytest.fixture
def chain(trained_chain, tmp_path) -> Path:
    return copied(trained_chain, tmp_path / "chain")


@pytest.fixture
def opened(tmp_path):
    """(store, tenant) on SQLite and files."""
    store, tenant = fresh(tmp_path)
    yield store, tenant
    store.close()
