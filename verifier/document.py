"""Pieces of a statement's JSON document: how it is written, and what is refused where."""

from __future__ import annotations

import json
from typing import Any

from .errors import MalformedStatement


def dump(document: dict[str, Any]) -> bytes:
    """The canonical text of a document: ASCII, one space of indentation, a newline at the end."""
    return (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def section(document: Any, name: str) -> dict[str, Any]:
    """A section of the document, which must be an object."""
    found = document.get(name)
    if not isinstance(found, dict):
        raise MalformedStatement(f"section {name!r} is missing or not an object")
    return found


def integer(value: Any, place: str, low: int, high: int) -> int:
    """An integer within both bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedStatement(f"{place} must be an integer from {low} to {high}, found {str(value)[:40]!r}")
    if not low <= value <= high:
        raise MalformedStatement(f"{place} = {str(value)[:40]} is outside {low}..{high}")
    return value


def hex32(value: Any, place: str) -> bytes:
    """32 bytes as 64 lower-case hexadecimal digits."""
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise MalformedStatement(f"{place} must be 64 lower-case hexadecimal digits")
    return bytes.fromhex(value)
