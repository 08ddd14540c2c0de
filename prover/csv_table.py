"""CSV to numbers: the fast path by NumPy's parser, and on any fault a slow one that finds the place of it."""

from __future__ import annotations

import csv
import gzip
import io
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputInvalid

MAX_TEXT = 1 << 34


@dataclass(frozen=True)
class Table:
    """Rows of numbers [n, columns], and the names of the columns if the file had any."""

    source: str
    names: list[str] | None
    rows: NDArray[np.float64]


def read_csv(source: str, data: bytes, header: bool | None = None) -> Table:
    """Parses comma-separated numbers, gzipped or not. `header` None: a first line without numbers is one.

    InputInvalid names the line and column of the first field that is no number or the line that is ragged, or
    says why the file cannot be read at all.
    """
    text = _text(source, data)
    first = next(csv.reader(io.StringIO(text[: 1 << 20])), [])
    if not first:
        raise InputInvalid(f"{source}: the first line is blank; expected comma-separated numbers")
    names = first if _is_header(source, first, header) else None
    rows = _parse(source, text, len(first), names is not None)
    if not len(rows):
        raise InputInvalid(f"{source} has no rows of data")
    return Table(source, names, rows)


def _text(source: str, data: bytes) -> str:
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(data)) as stream:
                data = stream.read(MAX_TEXT + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InputInvalid(f"{source}: not a whole gzip file: {error}") from None
        if len(data) > MAX_TEXT:
            raise InputInvalid(f"{source}: expands to more than {MAX_TEXT} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputInvalid(f"{source}: not text in UTF-8 (byte {error.start}); expected CSV") from None


def _number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def _is_header(source: str, first: list[str], header: bool | None) -> bool:
    if header is not None:
        return header
    numbers = [_number(field) for field in first]
    if any(numbers) and not all(numbers):
        column = numbers.index(False)
        raise InputInvalid(
            f"{source}: line 1, column {column}: {first[column][:40]!r} is no number, others in that "
            "line are. Say whether line 1 is a header (--header) or data (--no-header)."
        )
    return not any(numbers)


def _parse(source: str, text: str, columns: int, skip: bool) -> NDArray[np.float64]:
    try:
        with warnings.catch_warnings():
            # An empty table is a warning to NumPy; here the caller refuses it by name.
            warnings.simplefilter("ignore", UserWarning)
            rows = np.loadtxt(
                io.StringIO(text),
                dtype=np.float64,
                delimiter=",",
                skiprows=int(skip),
                comments=None,
                quotechar='"',
                ndmin=2,
            )
    except ValueError as error:
        _locate(source, text, columns, skip)
        raise InputInvalid(f"{source}: {error}") from None
    if rows.size and rows.shape[1] != columns:
        _locate(source, text, columns, skip)
    return rows if rows.size else np.zeros((0, columns))


def _locate(source: str, text: str, columns: int, skip: bool) -> None:
    """Raises for the first faulty line; lines count from 1, columns from 0."""
    reader = csv.reader(io.StringIO(text))
    for index, fields in enumerate(reader):
        if not fields or (skip and index == 0):
            continue
        if len(fields) != columns:
            raise InputInvalid(
                f"{source}: line {reader.line_num} has {len(fields)} fields, line 1 has {columns}"
            )
        for column, field in enumerate(fields):
            if not _number(field.strip()):
                hint = "is empty" if not field.strip() else "is no number"
                raise InputInvalid(
                    f"{source}: line {reader.line_num}, column {column}: {field[:40]!r} {hint}. "
                    "Encode categories as numbers and remove or impute missing values."
                )
