"""The sweeps and their plots, at sizes of a test."""

from __future__ import annotations

import xml.etree.ElementTree as xml

import pytest

from bench import sweep
from bench._plot import chart


def figures(width: int, batch: int, steps: int) -> dict:
    seconds = 2.0 + steps * width * batch / 1e4
    names = ("proof_bytes", "verifier_seconds", "peak_memory_bytes")
    return {
        "network": f"256-{width}-{width}-10", "parameters": width * width, "batch": batch, "steps": steps,
        "seconds": seconds, "processor_seconds_per_step": 2 * seconds / steps, **dict.fromkeys(names, 1),
    }  # fmt: skip


def test_what_a_step_adds_is_the_difference_of_two_lengths(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(sweep, "_measure", figures)
    found = sweep.run(argv=["--out", str(tmp_path)])
    assert [point["width"] for point in found["width"]] == [256, 512, 1024, 2048, 4096]
    assert found["width"][0]["seconds_a_step"] == pytest.approx(256 * 64 / 1e4)
    assert found["batch"][-1]["processor_seconds_a_step"] == pytest.approx(2 * 1024 * 256 / 1e4)
    # The first and the last state are paid once a proof.
    assert found["steps"][0]["seconds_a_step"] > found["steps"][-1]["seconds_a_step"] > 1024 * 64 / 1e4
    for kind in ("width", "batch", "steps"):
        assert xml.parse(tmp_path / f"sweep-{kind}.svg").getroot().tag.endswith("svg")


def test_a_chart_places_points_on_logarithmic_axes() -> None:
    root = xml.fromstring(chart("A < B", "x", "y", {"line": [(1, 0.1), (10, 1.0), (100, 10.0)]}))
    line = next(element for element in root.iter() if element.tag.endswith("polyline"))
    (x0, y0), (x1, y1), (x2, y2) = ([float(v) for v in pair.split(",")] for pair in line.attrib["points"].split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(y1 - y2, abs=0.2) and y2 < y0
