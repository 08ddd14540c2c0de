"""The run folder: what is in it, what in it is secret, and how it comes into being whole or not at all.

    statement.json               what is proven; public
    proof.zkp                    the proof; public
    draft.json                   instead of a statement: data and initial state are committed, the run is not
    trained yet settings.json                how the data were read and scaled
    secret data.safetensors             inputs and targets as integers
    secret initial.safetensors          the initial state, exact integers
    secret trace.safetensors            every rounded value and remainder of every step
    secret openings.safetensors         blinds and salts of the three commitments
    secret slots.json                   how many proofs each commitment has opened for
    secret weights.safetensors          the final state as float32; weights_int.safetensors: the exact
    integers        secret

Secret files have mode 0600. A copy of the folder can open its commitments again: never let two copies prove.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prover.activations import activate, chain
from prover.commitment import Blinding
from prover.errors import InputInvalid, RunFolderError
from prover.exact import Integers
from prover.files import read_input, write_atomic
from prover.loss import loss_gradient
from prover.model_io import load_arrays, load_state, save_arrays, save_weights, state_arrays
from prover.trainer import State, Trace
from verifier.statement import Parameters, Statement, parse_statement

FORMAT = "zkgrad-run/1"
SETTINGS, STATEMENT, DRAFT, PROOF = "settings.json", "statement.json", "draft.json", "proof.zkp"
DATA, INITIAL, TRACE, OPENINGS = (
    "data.safetensors",
    "initial.safetensors",
    "trace.safetensors",
    "openings.safetensors",
)


@dataclass(frozen=True)
class Settings:
    """How a data file became integers; needed to feed the model other data the same way."""

    source: str
    label: str | None
    header: bool | None
    feature_scale: float
    target_scale: float


@dataclass(frozen=True)
class Run:
    """A trained run as `check` and `prove` need it: statement, committed integers, trace and the secret
    blindings."""

    statement: Statement
    inputs: Integers
    targets: Integers
    trace: Trace
    blindings: Mapping[str, Blinding]


@contextlib.contextmanager
def new_folder(path: Path, replace: bool) -> Iterator[Path]:
    """A folder to fill, which becomes `path` when the block ends well and vanishes when it does not.

    RunFolderError when `path` exists, unless `replace` is set and it is an earlier run folder (or empty).
    """
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not replace)):
        raise RunFolderError(f"{path} exists already; choose another --out, or --replace it")
    if path.is_dir() and any(path.iterdir()) and not (path / SETTINGS).exists():
        raise RunFolderError(f"{path} is not a run folder; it is not replaced")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise RunFolderError(f"cannot make {path}: {error.strerror}") from None
    try:
        yield staging
        staging.chmod(0o755)
        _move_into_place(staging, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move_into_place(staging: Path, path: Path) -> None:
    if path.exists():
        old = staging.with_name(staging.name + ".old")
        os.replace(path, old)
        os.replace(staging, path)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(staging, path)


def require(folder: Path) -> Path:
    """`folder` itself if it is a run folder; RunFolderError otherwise."""
    if not (folder / SETTINGS).is_file():
        raise RunFolderError(f"{folder} is not a run folder: it has no {SETTINGS}. `zkgrad train` makes one.")
    return folder


def read_statement(folder: Path) -> Statement:
    """The statement of a trained run."""
    require(folder)
    if not (folder / STATEMENT).exists() and (folder / DRAFT).exists():
        raise RunFolderError(f"{folder} is committed but not trained: zkgrad train --committed {folder} --nonce …")
    return parse_statement(read_file(folder / STATEMENT))


def read_draft(folder: Path) -> Statement:
    """The statement of a committed run, its nonce and final root still zero."""
    require(folder)
    if not (folder / DRAFT).exists():
        raise RunFolderError(f"{folder} has no {DRAFT}: it was not made by `zkgrad commit`, or is trained already")
    return parse_statement(read_file(folder / DRAFT))


def read_file(path: Path) -> bytes:
    """A file of a run folder; RunFolderError when it is missing or empty."""
    try:
        return read_input(path)
    except InputInvalid as error:
        raise RunFolderError(str(error)) from None


# --- settings, data, states ---


def write_settings(folder: Path, settings: Settings) -> None:
    """How the data were read; secret, since a scale tells the largest value."""
    text = json.dumps({"format": FORMAT} | dataclasses.asdict(settings), indent=1) + "\n"
    write_atomic(folder / SETTINGS, text.encode(), secret=True)


def read_settings(folder: Path) -> Settings:
    """RunFolderError when the file is damaged or of another version."""
    try:
        document = json.loads(read_file(require(folder) / SETTINGS))
        if document.pop("format") != FORMAT:
            raise ValueError("another version")
        return Settings(**document)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunFolderError(f"{folder / SETTINGS} is not of version {FORMAT}: {error}") from None


def write_data(folder: Path, inputs: Integers, targets: Integers) -> None:
    """The committed integers, in the narrowest type that holds them."""
    save_arrays(folder / DATA, {"inputs": _narrow(inputs), "targets": _narrow(targets)}, {"format": FORMAT})


def read_data(folder: Path) -> tuple[Integers, Integers]:
    """Inputs [n, d_0] and targets [n, d_L]."""
    arrays = _arrays(folder / DATA, ("inputs", "targets"))
    return arrays["inputs"], arrays["targets"]


def write_initial(folder: Path, state: State, bias: bool = True) -> None:
    """The initial state, exact."""
    save_arrays(folder / INITIAL, state_arrays(state, bias), {"format": FORMAT})


def read_initial(folder: Path, p: Parameters) -> State:
    """The initial state of a run."""
    return load_state(folder / INITIAL, p, p.starts_moving)


def read_final(folder: Path, p: Parameters) -> State:
    """The exact final state of a run."""
    return load_state(folder / "weights_int.safetensors", p, p.momentum > 0)


def _narrow(values: Integers) -> Any:
    for kind in (np.int8, np.int16, np.int32):
        bounds = np.iinfo(kind)
        if not values.size or (values.min() >= bounds.min and values.max() <= bounds.max):
            return values.astype(kind)
    return values


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, Integers]:
    try:
        arrays = load_arrays(path)
    except InputInvalid as error:
        raise RunFolderError(str(error)) from None
    if set(arrays) != set(names):
        raise RunFolderError(f"{path} holds {sorted(arrays)[:6]}, expected {sorted(names)[:6]}")
    return {name: np.asarray(array, dtype=np.int64) for name, array in arrays.items()}


# --- the trace ---

_ROUNDING = "rounding."  # starts the names of the remainders of a rounded last state


def _trace_names(p: Parameters) -> tuple[str, ...]:
    layers, hidden = range(p.layers), range(1, p.layers)
    kinds = ([""] if p.state_shift else []) + (["velocity."] if p.momentum else [])
    states = [f"{kind}{part}{k}" for kind in kinds for part in ("Wb" if p.bias else "W") for k in layers]
    steps = [f"{t}{k}" for t in ("Y", "R") for k in layers] + [f"{t}{k}" for t in ("GA", "RG") for k in hidden]
    return (*steps, *(f"{_ROUNDING}{name}" for name in states))


def write_trained(folder: Path, statement: Statement, trace: Trace) -> None:
    """Trace and final weights, then the statement, whose presence says that the run is complete."""
    arrays = {f"{t}{k}": _narrow(a) for t, values in (("Y", trace.Y), ("R", trace.R)) for k, a in enumerate(values)}
    for name, values in (("GA", trace.GA), ("RG", trace.RG)):
        arrays |= {f"{name}{k + 1}": _narrow(array) for k, array in enumerate(values)}
    arrays |= {f"{_ROUNDING}{name}": _narrow(values) for name, values in trace.rounding.items()}
    save_arrays(folder / TRACE, arrays, {"format": FORMAT})
    save_weights(folder, trace.final, statement.parameters.state_bits, statement.parameters.bias)
    write_atomic(folder / STATEMENT, statement.to_bytes())


def read_trace(folder: Path, statement: Statement, inputs: Integers, targets: Integers) -> Trace:
    """The stored trace with what follows from it: activations, signs and gradients."""
    p = statement.parameters
    arrays = _arrays(folder / TRACE, _trace_names(p))
    rounding = {name.removeprefix(_ROUNDING): array for name, array in arrays.items() if name.startswith(_ROUNDING)}
    for name, array in arrays.items():
        if name.startswith(_ROUNDING):
            continue
        layer = int(name.lstrip("YRGA"))
        width = p.widths[layer] if "G" in name else p.widths[layer + 1]
        if array.shape != (p.steps, p.batch, width):
            raise RunFolderError(f"{folder / TRACE}: {name} has shape {array.shape}, the statement's run another")
    schedule = np.asarray(statement.batches(), dtype=np.int64)
    x, target = inputs[schedule], targets[schedule]
    y = [arrays[f"Y{k}"] for k in range(p.layers)]
    ga = [arrays[f"GA{k}"] for k in range(1, p.layers)]
    hidden = [activate(values, p) for values in y[:-1]]
    gradients = [chain(values, slope, p)[0] for values, (_, slope) in zip(ga, hidden, strict=True)]
    return Trace(
        initial=read_initial(folder, p),
        final=read_final(folder, p),
        indices=schedule,
        inputs=x,
        targets=target,
        A=[x, *(values for values, _ in hidden)],
        Y=y,
        R=[arrays[f"R{k}"] for k in range(p.layers)],
        D=[slope for _, slope in hidden],
        G=[*gradients, loss_gradient(y[-1], target, p)],
        GA=ga,
        RG=[arrays[f"RG{k}"] for k in range(1, p.layers)],
        rounding=rounding,
    )


# --- openings ---


def write_openings(folder: Path, blindings: Mapping[str, Blinding]) -> None:
    """Blinds and salts by group. Whoever has them and the values can open, and test guesses of, a
    commitment."""
    arrays: dict[str, NDArray[Any]] = {f"{group}.blinds": b.blinds for group, b in blindings.items()}
    arrays |= {f"{group}.salts": b.salts for group, b in blindings.items()}
    save_arrays(folder / OPENINGS, arrays, {"format": FORMAT})


def read_openings(folder: Path) -> dict[str, Blinding]:
    """Blindings by group: "data", "initial", and "final" once trained."""
    try:
        arrays = load_arrays(folder / OPENINGS)
    except InputInvalid as error:
        raise RunFolderError(str(error)) from None
    groups = sorted({name.split(".")[0] for name in arrays})
    try:
        return {
            group: Blinding(
                np.asarray(arrays[f"{group}.blinds"], dtype=np.uint64),
                np.asarray(arrays[f"{group}.salts"], dtype=np.uint8),
            )
            for group in groups
        }
    except KeyError as error:
        raise RunFolderError(f"{folder / OPENINGS} lacks {error}") from None


def read_run(folder: Path) -> Run:
    """All of a trained run; RunFolderError or InputInvalid when a file is missing, damaged or of another
    run."""
    read_settings(folder)
    statement = read_statement(folder)
    inputs, targets = read_data(folder)
    if len(inputs) != statement.samples:
        raise RunFolderError(f"{folder / DATA} has {len(inputs)} rows, the statement speaks of {statement.samples}")
    trace = read_trace(folder, statement, inputs, targets)
    return Run(statement, inputs, targets, trace, read_openings(folder))
