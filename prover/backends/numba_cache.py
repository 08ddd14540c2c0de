"""Where compiled kernels are kept between runs: a directory of our own, private to the user."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def use_private_cache() -> None:
    """Points Numba's cache at ~/.cache/zkgrad/numba/<digest>, unless the user has chosen a place; before
    numba's import.

    The digest covers the kernels' sources: Numba looks only at the file that defines a function, and
    would keep kernels that call an inlined helper of another, edited file. Numba's cache holds pickles,
    so the directory is readable and writable by its owner only. Where it cannot be made, Numba chooses.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("cpu*.py")):
        digest.update(source.read_bytes())
    directory = base / "zkgrad" / "numba" / digest.hexdigest()[:16]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory.parent.chmod(0o700)
    except OSError:
        return
    if directory.parent.stat().st_uid == os.getuid():
        os.environ["NUMBA_CACHE_DIR"] = str(directory)
