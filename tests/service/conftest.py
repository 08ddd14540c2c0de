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
def make_store(tmp_path):
    """Makes (store, tenant) with changed settings: on SQLite and files, unless a module says otherwise."""
    made = []

    def make(**changes):
        made.append(fresh(tmp_path / f"store{len(made)}", **changes))
        return made[-1]

    yield make
    for store, _ in made:
        store.close()


@pytest.fixture
def opened(make_store):
    """(store, tenant)."""
    return make_store()
