"""The `zkgrad` command: the entry point that works even where the packages behind it are not installed."""

from __future__ import annotations

import sys

NEEDED = ("typer", "rich", "numpy", "numba", "safetensors", "threadpoolctl")


def main() -> None:
    """Runs the command line and exits with its code; says what to install when a package is missing."""
    try:
        from .app import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in NEEDED:
            raise
        print(
            f"zkgrad: this command needs the package {error.name!r}: pip install 'zkgrad[prover]'\n"
            "Checking a proof needs nothing: python -m verifier STATEMENT PROOF",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
