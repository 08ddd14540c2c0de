"""Small tables for people who read results in a notebook or an interpreter. Nothing here takes part in a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, repr=False)
class Sheet:
    """A caption and rows of text, all of `len(columns)` cells if columns are named."""

    caption: str
    rows: Sequence[tuple[str, ...]]
    columns: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = ([self.columns] if self.columns else []) + list(self.rows)
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        body = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in lines)
        return "\n".join([self.caption, *(f"  {line}".rstrip() for line in body)])

    def _repr_html_(self) -> str:
        """The same as an HTML table. Every text is escaped: names may come from files of others."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        rows = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows]
        top = f"<thead><tr>{head}</tr></thead>" if head else ""
        return f"<table><caption>{escape(self.caption)}</caption>{top}<tbody>{''.join(rows)}</tbody></table>"
