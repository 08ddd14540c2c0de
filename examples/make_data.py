"""Writes the data sets of this folder's data/ again from scikit-learn: python examples/make_data.py FOLDER."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sklearn.datasets import load_digits, load_wine


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """CSV with a header; numbers as Python writes them, so that reading gives the same numbers."""
    return "".join(",".join(map(str, row)) + "\n" for row in (names, *rows)).encode()


def digits() -> bytes:
    """64 pixels from 0 to 16, row by row, and the label."""
    data = load_digits()
    rows = zip(data.data.astype(int).tolist(), data.target.tolist(), strict=True)
    return table([*(f"pixel{k}" for k in range(64)), "label"], ([*pixels, label] for pixels, label in rows))


def wine() -> bytes:
    """Thirteen measurements, each in a unit of its own, and the class from 0 to 2."""
    data = load_wine()
    rows = zip(data.data.tolist(), data.target.tolist(), strict=True)
    return table([*data.feature_names, "class"], ([*measured, kind] for measured, kind in rows))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "digits.csv.gz").write_bytes(gzip.compress(digits(), mtime=0))
    (folder / "wine.csv").write_bytes(wine())
