"""The report's pictures, as SVG built element by element; colours are classes that the page's style sheet gives.

Every text goes through the XML serializer, which escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log2
from xml.etree import ElementTree as Xml

from markupsafe import Markup

WIDTH = 960


class Drawing:
    """An SVG of WIDTH units across that scales with the page."""

    def __init__(self, height: float, title: str, width: float = WIDTH) -> None:
        self.root = Xml.Element("svg", {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": title})
        Xml.SubElement(self.root, "title").text = title

    def shape(self, tag: str, kind: str, **attributes: float | str) -> Xml.Element:
        """Adds an element of a class; numbers are rounded, underscores in names become hyphens."""
        given = {
            name.replace("_", "-"): value if isinstance(value, str) else f"{value:.5g}"
            for name, value in attributes.items()
        }
        return Xml.SubElement(self.root, tag, {"class": kind} | given)

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        """Adds a line of text."""
        self.shape("text", kind, x=x, y=y, text_anchor=anchor).text = words

    def arrow(self, x: float, y: float, to: float) -> None:
        """Adds a horizontal arrow."""
        self.shape("path", "arrow", d=f"M{x:g} {y:g}H{to - 6:g}")
        self.shape("path", "tip", d=f"M{to - 7:g} {y - 4:g}L{to:g} {y:g}L{to - 7:g} {y + 4:g}Z")

    def markup(self) -> Markup:
        """The document, safe to put into a page."""
        return Markup(Xml.tostring(self.root, encoding="unicode"))


def network(widths: Sequence[int], activation: str, loss: str, bias: bool) -> Markup:
    """Layers as blocks, taller the wider they are; between them the weights that connect them, and the loss, if any."""
    middle = 12 + (36 + 15 * log2(max(widths) + 1)) / 2
    drawing = Drawing(2 * middle + 34, f"A network of widths {', '.join(map(str, widths))}")
    gap = (WIDTH - 240) / (len(widths) - 1)
    block = min(26.0, gap * 0.35)
    wide = len(widths) <= 7
    for k, width in enumerate(widths):
        x = 60 + k * gap
        tall = 36 + 15 * log2(width + 1)
        name = "inputs" if k == 0 else "outputs" if k == len(widths) - 1 else f"hidden {k}"
        drawing.shape("rect", "layer", x=x - block / 2, y=middle - tall / 2, width=block, height=tall, rx=4)
        drawing.text(x, middle + tall / 2 + 18, f"{width:,}", "strong", "middle")
        if wide:
            drawing.text(x, middle + tall / 2 + 34, name, "quiet", "middle")
        if k + 1 < len(widths):
            drawing.arrow(x + block / 2 + 6, middle, x + gap - block / 2 - 6)
            if wide:
                drawing.text(x + gap / 2, middle - 10, f"{width:,} × {widths[k + 1]:,}", "quiet", "middle")
                note = ("+ bias" if bias else "") + (f", {activation}" if k + 2 < len(widths) else "")
                drawing.text(x + gap / 2, middle + 18, note.lstrip(", "), "quiet", "middle")
    end = 60 + (len(widths) - 1) * gap + block / 2
    if loss:
        drawing.arrow(end + 6, middle, end + 36)
        drawing.text(end + 42, middle + 4, loss, "quiet")
    return drawing.markup()


def chain(labels: Sequence[tuple[str, str, bool]], states: Sequence[str]) -> Markup:
    """Segments as boxes (title, detail, whether it has a proof), joined by the states between them.

    Beyond twelve segments the middle ones are left out, and the picture says so.
    """
    shown: list[int | None] = list(range(len(labels)))
    if len(labels) > 12:
        shown = [*range(5), None, *range(len(labels) - 5, len(labels))]
    per_row = 4
    # The last place is for the state at the end.
    drawing = Drawing(-(-(len(shown) + 1) // per_row) * 112 - 6, f"A chain of {len(labels)} segments")
    wide = WIDTH / per_row
    for place, number in enumerate(shown):
        x, y = place % per_row * wide, place // per_row * 112
        drawing.arrow(x + wide - 56, y + 45, x + wide - 6)
        if number is None:
            drawing.text(x + 90, y + 50, f"… {len(labels) - 10:,} more …", "quiet", "middle")
            continue
        title, detail, proven = labels[number]
        kind = "segment" if proven else "segment open"
        drawing.shape("rect", kind, x=x + 2, y=y + 14, width=wide - 62, height=62, rx=6)
        drawing.text(x + 14, y + 38, title, "strong")
        drawing.text(x + 14, y + 58, detail, "quiet")
        drawing.text(x + 2, y + 94, f"from {states[number]}", "digest")
    x, y = len(shown) % per_row * wide, len(shown) // per_row * 112
    drawing.text(x + 2, y + 40, "last state", "strong")
    drawing.text(x + 2, y + 58, states[-1], "digest")
    return drawing.markup()


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart: its label, its length in percent, and its value in words."""

    label: str
    percent: str
    words: str


def bars(rows: Iterable[tuple[str, float, str]], most: float | None = None) -> list[Bar]:
    """Rows (label, value, words) as bars; the full length is `most`, or the largest value."""
    listed = list(rows)
    full = max((value for _, value, _ in listed), default=0.0) if most is None else most
    return [Bar(label, f"{100 * value / full if full else 0:.2f}", words) for label, value, words in listed]


def curve(values: Sequence[float], title: str) -> Markup:
    """A line over steps, from zero up, with its first, lowest and last value."""
    height, left, bottom, top = 260.0, 64.0, 30.0, 12.0
    drawing = Drawing(height, title)
    most = max(values, default=0.0) or 1.0
    across = (WIDTH - left - 12) / max(len(values) - 1, 1)
    up = (height - bottom - top) / most
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = height - bottom - up * most * part
        drawing.shape("path", "grid", d=f"M{left:g} {y:.2f}H{WIDTH - 12:g}")
        drawing.text(left - 8, y + 4, f"{most * part:.3g}", "quiet", "end")
    points = [(left + across * k, height - bottom - up * values[k]) for k in _thinned(len(values))]
    drawing.shape("path", "line", d="M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points))
    for share in (0.0, 0.5, 1.0):
        step = 1 + round(share * (len(values) - 1))
        anchor = "start" if share == 0 else "middle" if share < 1 else "end"
        drawing.text(left + across * (step - 1), height - 8, f"step {step:,}", "quiet", anchor)
    return drawing.markup()


def _thinned(count: int, most: int = 1500) -> list[int]:
    """At most `most` of the numbers below `count`, evenly spread, first and last among them."""
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def slots(rows: Sequence[str], title: str) -> Markup:
    """Ciphertexts as rows of cells: `#` holds values, `.` zeros, `~` leftovers of partial sums."""
    tall = 18.0
    drawing = Drawing(tall * len(rows), title)
    for k, row in enumerate(rows):
        cell = WIDTH / len(row)
        start = 0
        for place in range(1, len(row) + 1):
            if place < len(row) and row[place] == row[start]:
                continue
            kind = {"#": "bar", ".": "track", "~": "rest"}[row[start]]
            drawing.shape("rect", kind, x=cell * start, y=tall * k, width=cell * (place - start), height=tall - 3)
            start = place
    return drawing.markup()
