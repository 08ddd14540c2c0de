"""The page of refusals names tests that exist, and every file of attacks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "refusals.md").read_text()


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`([a-z_/]+\.py)(?:::(test_\w+))?`", TEXT)
    assert len(named) > 30
    for path, function in named:
        source = (ROOT / "tests" / path).read_text()
        assert not function or f"def {function}(" in source, (path, function)


def test_every_file_of_attacks_is_named() -> None:
    files = {path.name for path in (ROOT / "tests" / "attacks").glob("test_*.py")}
    assert {name for name in files if f"attacks/{name}" not in TEXT} == set()
