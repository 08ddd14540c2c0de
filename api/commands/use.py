"""`evaluate` and `predict`: the trained integer model on other data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from prover.files import write_atomic
from prover.model_io import load_data, load_features
from prover.run import quality
from prover.trainer import outputs

from .. import chains, runs
from ..console import Json, UsageError, answer

Folder = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]
Data = Annotated[Path, typer.Option("--data", help="Data, read and scaled as the training data were; - for CSV.")]


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    app.command("evaluate")(evaluate)
    app.command("predict")(predict)


def _stdin(path: Path) -> bytes | None:
    return sys.stdin.buffer.read() if str(path) == "-" else None


def evaluate(
    run: Folder,
    data: Data,
    label: Annotated[str | None, typer.Option(help="Label column. Default: as in training.")] = None,
    as_json: Json = False,
) -> None:
    """Accuracy (or mean squared error) of the exact integer model on labelled data."""
    settings, p = runs.read_settings(run), chains.read_segments(run)[-1].statement.parameters
    column = settings.label if label is None else label
    loaded = load_data(data, p.target, column, p.widths[-1], settings.header, _stdin(data))
    if loaded.features.shape[1] != p.widths[0]:
        raise UsageError(f"{data} has {loaded.features.shape[1]} features, the model takes {p.widths[0]}")
    inputs, targets = settings.scaling.integers(loaded, p)
    found = quality(runs.read_final(run, p), p, inputs, targets, settings.scaling.target)
    lines = [f"{name.replace('_', ' ')} {value:.4f} on {len(inputs)} samples" for name, value in found.items()]
    answer(found | {"samples": len(inputs)}, lines, as_json)


def predict(
    run: Folder,
    data: Data,
    out: Annotated[Path, typer.Option(help="A CSV file, or - for stdout.")] = Path("-"),
    as_json: Json = False,
) -> None:
    """Class numbers (or values) for data without labels, one line a sample."""
    settings, p = runs.read_settings(run), chains.read_segments(run)[-1].statement.parameters
    features = load_features(data, p.widths[0], None, _stdin(data))
    inputs = settings.scaling.inputs(features, p, str(data))
    raw = outputs(runs.read_final(run, p), p, inputs)
    if p.target == "one-hot":
        rows = [[int(k)] for k in raw.argmax(axis=1)]
    else:
        rows = (raw / 2.0**p.activation_bits * settings.scaling.target).tolist()
    if as_json:
        answer({"predictions": [row[0] if len(row) == 1 else row for row in rows]}, [], as_json)
        return
    text = "".join(",".join(f"{value:.8g}" for value in row) + "\n" for row in np.asarray(rows, dtype=object))
    if str(out) == "-":
        sys.stdout.write(text)
    else:
        write_atomic(out, text.encode())
        answer({}, [f"wrote {len(rows)} predictions to {out}"], as_json)
