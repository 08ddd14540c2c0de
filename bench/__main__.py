"""`python -m bench NAME [--json] [options]`: runs bench/NAME.py, whose `run(json, argv)` returns its figures.

For people the figures stand on stderr as a table; with --json exactly one JSON object stands on stdout.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from prover.errors import ProverError
from verifier.errors import VerifierError


def names() -> list[str]:
    """The benchmarks there are: files of this folder that do not start with an underscore."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def _rows(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in figures.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            rows += _rows(value, f"{name}.")
        elif isinstance(value, float):
            rows.append((name, f"{value:,.4g}"))
        elif isinstance(value, int) and not isinstance(value, bool):
            rows.append((name, f"{value:,}"))
        else:
            rows.append((name, str(value)))
    return rows


def _table(figures: dict[str, Any]) -> str:
    rows = _rows(figures)
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def main(argv: list[str]) -> int:
    """Exit codes: 0 ran, 2 no such benchmark, or options that make no sense to the prover."""
    if not argv or argv[0] not in names():
        print(
            f"usage: python -m bench {{{','.join(names()) or 'none yet'}}} [--json] [options]",
            file=sys.stderr,
        )
        return 2
    as_json = "--json" in argv
    module = importlib.import_module(f"bench.{argv[0]}")
    # Whatever a benchmark or a library under it prints must not mix with the one object on stdout.
    try:
        with contextlib.redirect_stdout(sys.stderr):
            figures: dict[str, Any] = module.run(json=as_json, argv=[a for a in argv[1:] if a != "--json"])
    except (ProverError, VerifierError) as error:
        print(f"python -m bench {argv[0]}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(figures, allow_nan=False))
    else:
        print(_table(figures), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
