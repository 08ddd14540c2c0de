"""How the cost of a step grows: with the width, the number of steps, the batch.

Options: --kind width|steps|batch (default all three), --out FOLDER for sweep.json and a plot of each, --quick for the
small points alone. Every point is a process of its own, so that peak memory is that of the point; of its two runs the
faster counts, since the first pays for memory that the system has to give.

The cost of a step is what one more step adds: the difference between two lengths, over the difference of steps. What
does not grow with the steps (first and last state, tables) is the rest.
"""

from __future__ import annotations

import argparse
import json as text
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._plot import chart

ROOT = Path(__file__).parent.parent
SHORT, LONG = 4, 12
FEATURES, DEPTH, WIDTH, BATCH = 256, 2, 1024, 64
POINTS: dict[str, Sequence[int]] = {
    "width": (256, 512, 1024, 2048, 4096),
    "batch": (16, 32, 64, 128, 256),
    "steps": (1, 4, 16, 64),
}


def _measure(width: int, batch: int, steps: int) -> dict[str, Any]:
    """The figures of one proof, from a process of its own."""
    command = [sys.executable, "-m", "bench", "headline", "--json", "--no-floors", "--runs", "2"]
    command += ["--features", str(FEATURES), "--depth", str(DEPTH), "--width", str(width)]
    command += ["--batch", str(batch), "--steps", str(steps)]
    done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE)
    figures: dict[str, Any] = text.loads(done.stdout)
    return figures


def _cost(figures: dict[str, Any]) -> dict[str, float]:
    processor = figures["processor_seconds_per_step"] * figures["steps"]
    return {"seconds": figures["seconds"], "processor_seconds": processor}


def _point(kind: str, value: int) -> dict[str, Any]:
    """One point of a sweep: the figures of the longer proof, and what a step adds."""
    width, batch = (value if kind == name else default for name, default in (("width", WIDTH), ("batch", BATCH)))
    if kind == "steps":
        found = _measure(width, batch, value)
        return {kind: value, **_selected(found), **{f"{name}_a_step": c / value for name, c in _cost(found).items()}}
    short, long = _measure(width, batch, SHORT), _measure(width, batch, LONG)
    first, last = _cost(short), _cost(long)
    added = {f"{name}_a_step": (last[name] - first[name]) / (LONG - SHORT) for name in last}
    return {kind: value, **_selected(long), **added}


def _selected(figures: dict[str, Any]) -> dict[str, Any]:
    names = ("network", "parameters", "batch", "steps", "seconds", "proof_bytes", "verifier_seconds")
    return {name: figures[name] for name in (*names, "peak_memory_bytes")}


def run(json: bool = False, argv: Sequence[str] = ()) -> dict[str, Any]:
    """{kind: [point, ...]}; with --out also files."""
    del json
    parser = argparse.ArgumentParser(prog="python -m bench sweep")
    parser.add_argument("--kind", choices=tuple(POINTS), action="append")
    parser.add_argument("--out", type=Path, help="folder for sweep.json and the plots")
    parser.add_argument("--quick", action="store_true", help="the first two points of each sweep")
    options = parser.parse_args(argv)
    kinds = options.kind or tuple(POINTS)
    found = {kind: [_point(kind, value) for value in POINTS[kind][: 2 if options.quick else None]] for kind in kinds}
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "sweep.json").write_text(text.dumps(found, indent=1) + "\n")
        for kind, points in found.items():
            (options.out / f"sweep-{kind}.svg").write_text(_plot(kind, points))
    return found


def _plot(kind: str, points: Sequence[dict[str, Any]]) -> str:
    """Seconds a step, of the processor and by the clock, and lines that grow as the swept number or parameters do."""
    names = {"processor": "processor_seconds_a_step", "clock": "seconds_a_step"}
    lines = {name: [(point[kind], max(point[key], 1e-4)) for point in points] for name, key in names.items()}
    start, base = points[0], lines["processor"][0][1]
    if kind == "width":
        lines["as the widths' sum"] = [(p[kind], base * _neurons(p) / _neurons(start)) for p in points]
        lines["as the parameters"] = [(p[kind], base * p["parameters"] / start["parameters"]) for p in points]
    elif kind == "batch":
        lines["as the batch"] = [(p[kind], base * p[kind] / start[kind]) for p in points]
    title = {"width": "A step, by width", "batch": "A step, by batch", "steps": "A step of one proof, by its length"}
    return chart(title[kind], kind, "seconds a step", lines)


def _neurons(point: dict[str, Any]) -> int:
    return sum(map(int, point["network"].split("-")))
