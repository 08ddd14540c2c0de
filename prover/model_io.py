"""Data and weights in and out: CSV, NumPy and safetensors. Nothing here ever unpickles.

Every unusable input is an InputInvalid that names the file, the place, the value and what to do about it.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from verifier.statement import Parameters
from verifier.weights import read_header

from .choose import quantize
from .csv_table import Table, read_csv
from .errors import InputInvalid
from .exact import Integers
from .files import read_input, write_atomic
from .trainer import State

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[np.generic]]
FEATURE_NAMES = ("features", "inputs", "x", "X", "data", "x_train")
VELOCITY = ".velocity"  # ends the names of what momentum keeps beside each tensor
_LAYER = re.compile(r"(.*?)([0-9]{1,9})\.((?:weight|bias)(?:\.velocity)?)")
TARGET_NAMES = ("labels", "targets", "y", "Y", "target", "label", "y_train")


@dataclass(frozen=True)
class Dataset:
    """features [n, d] as float64; `labels` [n] for classes, or `values` [n, c] as float64 for regression."""

    source: str
    features: Floats
    labels: Integers
    values: Floats


def load_data(
    path: Path,
    target: str = "one-hot",
    label: str | None = None,
    outputs: int | None = None,
    header: bool | None = None,
    text: bytes | None = None,
) -> Dataset:
    """Reads a data set from .csv, .csv.gz, .npy, .npz or .safetensors (or from `text`, which is CSV).

    `target` is "one-hot" (one column of class numbers) or "values" (`outputs` columns of real targets). In a
    table `label` names the label column by header or by number from 0; by default the last column (or the
    last `outputs` columns) is taken. Archives hold two arrays, `features` and `labels` (or x and y).
    `outputs` is the number of classes, if known: a label beyond it is refused. `header` says whether a CSV
    starts with names; None finds out.
    """
    kind = _kind(path) if text is None else "csv"
    data = read_input(path) if text is None else text
    columns = 1 if target == "one-hot" else (outputs or 1)
    if kind in ("npz", "safetensors"):
        arrays = _npz(path, data) if kind == "npz" else _safetensors(path, data)
        features, targets = _pair(path, arrays)
    else:
        table = read_csv(str(path), data, header) if kind == "csv" else _npy_table(path, data)
        features, targets = _split(table, label, columns)
    return _dataset(str(path), features, targets, target, outputs)


def dataset_of(features: Any, labels: Any, target: str = "one-hot", outputs: int | None = None) -> Dataset:
    """A data set from arrays in memory: features [n, ...], and labels [n] or real targets [n] or [n, c]; whatever NumPy
    takes for numbers will do. Refuses what `load_data` refuses."""
    place = Path("arrays")
    pair = _pair(place, {"features": np.asarray(features), "labels": np.asarray(labels)})
    return _dataset("the arrays", *pair, target, outputs)


def features_of(features: Any, width: int) -> Floats:
    """Features alone, [n, width], from an array in memory; InputInvalid for any other shape."""
    array = _numeric(Path("arrays"), "features", np.asarray(features))
    flat = array.reshape(len(array), -1) if array.ndim > 1 and len(array) else array
    if flat.ndim != 2 or flat.shape[1] != width:
        raise InputInvalid(f"features have shape {array.shape}; expected rows of {width}")
    _finite("the arrays", "features", flat)
    return flat


def load_features(path: Path, width: int, header: bool | None = None, text: bytes | None = None) -> Floats:
    """Features without labels, [n, width]: a table of exactly `width` columns, or an archive's feature
    array."""
    kind = _kind(path) if text is None else "csv"
    data = read_input(path) if text is None else text
    if kind in ("npz", "safetensors"):
        arrays = _npz(path, data) if kind == "npz" else _safetensors(path, data)
        name = _only(path, arrays, FEATURE_NAMES)
        features = _numeric(path, name, arrays[name])
        features = features.reshape(len(features), -1) if features.ndim > 1 else features
    else:
        table = read_csv(str(path), data, header) if kind == "csv" else _npy_table(path, data)
        features = table.rows
    if features.ndim != 2 or not len(features) or features.shape[1] != width:
        raise InputInvalid(f"{path}: shape {features.shape}; expected rows of {width} features and no label")
    _finite(str(path), "features", features)
    return features


def _kind(path: Path) -> str:
    name = path.name.lower()
    for ending, kind in (
        (".csv", "csv"),
        (".csv.gz", "csv"),
        (".npy", "npy"),
        (".npz", "npz"),
        (".safetensors", "safetensors"),
    ):
        if name.endswith(ending):
            return kind
    raise InputInvalid(f"{path}: data come as .csv, .csv.gz, .npy, .npz or .safetensors")


def _numeric(path: Path, name: str, array: NDArray[np.generic]) -> Floats:
    if array.dtype.kind not in "biuf":
        raise InputInvalid(f"{path}: array {name!r} has type {array.dtype}; only numbers can be used")
    return np.asarray(array, dtype=np.float64)


def _load_numpy(path: Path, data: bytes) -> NDArray[np.generic] | Arrays:
    try:
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        return dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
    except (
        ValueError,
        EOFError,
        OSError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        MemoryError,
        SyntaxError,
        RuntimeError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "pickle" in reason:
            reason = "it contains Python objects (pickle), which are never loaded; save plain numeric arrays"
        raise InputInvalid(f"{path}: not a whole NumPy file: {reason}") from None


def _npz(path: Path, data: bytes) -> Arrays:
    loaded = _load_numpy(path, data)
    if isinstance(loaded, np.ndarray):
        raise InputInvalid(f"{path} is a single array; name it .npy")
    return loaded


def _npy_table(path: Path, data: bytes) -> Table:
    loaded = _load_numpy(path, data)
    if not isinstance(loaded, np.ndarray):
        raise InputInvalid(f"{path} is an archive; name it .npz")
    array = _numeric(path, path.name, loaded)
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 1:
        raise InputInvalid(f"{path}: shape {loaded.shape}; expected [n, d + 1], the label in the last column")
    return Table(str(path), None, array)


def _safetensors(path: Path, data: bytes) -> Arrays:
    try:
        return safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputInvalid(
            f"{path}: not a whole safetensors file, or of a number type that NumPy lacks (use float32): {reason}"
        ) from None


def _only(path: Path, arrays: Arrays, names: tuple[str, ...]) -> str:
    present = [name for name in names if name in arrays]
    if len(present) != 1:
        raise InputInvalid(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; expected exactly one array named one of "
            f"{', '.join(names)}"
        )
    return present[0]


def _finite(source: str, what: str, array: Floats) -> None:
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        row, column = (int(k) for k in bad[0])
        raise InputInvalid(
            f"{source}: {what}, row {row}, column {column}: {array[row, column]} is not a finite number "
            f"({len(bad)} in all). Remove or impute such rows."
        )


def _pair(path: Path, arrays: Arrays) -> tuple[Floats, Floats]:
    found = []
    for names in (FEATURE_NAMES, TARGET_NAMES):
        name = _only(path, arrays, names)
        found.append(_numeric(path, name, arrays[name]))
    features, targets = found
    if features.ndim < 2 or features.shape[0] < 1 or features.size < 1:
        raise InputInvalid(f"{path}: features have shape {features.shape}; expected [n, d] with n > 0")
    if targets.ndim not in (1, 2) or len(targets) != len(features):
        raise InputInvalid(f"{path}: targets have shape {targets.shape} for {len(features)} rows of features")
    return features.reshape(len(features), -1), targets.reshape(len(targets), -1)


def _split(table: Table, label: str | None, columns: int) -> tuple[Floats, Floats]:
    width = table.rows.shape[1]
    if width <= columns:
        raise InputInvalid(f"{table.source}: {width} columns; {columns} for targets leave none for features")
    first = width - columns if label is None else _column(table, label)
    if first + columns > width:
        raise InputInvalid(f"{table.source}: {columns} target columns from column {first} on, of {width} in all")
    chosen = np.arange(first, first + columns)
    return np.delete(table.rows, chosen, axis=1), table.rows[:, chosen]


def _column(table: Table, label: str) -> int:
    width = int(table.rows.shape[1])
    if table.names is not None and label in table.names:
        if table.names.count(label) > 1:
            raise InputInvalid(f"{table.source}: {table.names.count(label)} columns are named {label!r}")
        return table.names.index(label)
    try:
        index: int = int(label)
    except ValueError:
        known = "it has no header" if table.names is None else f"columns are {', '.join(table.names[-8:])}"
        raise InputInvalid(f"{table.source}: no column {label!r} ({known}); give a name or a number from 0") from None
    if not -width <= index < width:
        raise InputInvalid(f"{table.source}: no column {index}; there are {width}, counted from 0")
    return index % width


def _dataset(source: str, features: Floats, targets: Floats, target: str, outputs: int | None) -> Dataset:
    _finite(source, "features", features)
    _finite(source, "targets", targets)
    if target == "values":
        if outputs is not None and targets.shape[1] != outputs:
            raise InputInvalid(f"{source}: {targets.shape[1]} target columns, the last layer has {outputs} outputs")
        return Dataset(source, features, np.zeros(len(features), dtype=np.int64), targets)
    if targets.shape[1] != 1:
        raise InputInvalid(f"{source}: labels have {targets.shape[1]} columns; give one column of class numbers")
    return Dataset(source, features, _labels(source, targets[:, 0], outputs), targets)


def _labels(source: str, values: Floats, classes: int | None) -> Integers:
    limit = classes if classes is not None else 1 << 16
    bad = np.flatnonzero((values != np.floor(values)) | (values < 0) | (values >= limit))
    if len(bad):
        row = int(bad[0])
        raise InputInvalid(
            f"{source}: row {row}: label {values[row]:g} is not a class number from 0 to {limit - 1} "
            f"({len(bad)} in all). Number the classes from 0, or widen the last layer."
        )
    return np.asarray(values.astype(np.int64))


# --- weights ---


def save_weights(folder: Path, state: State, weight_bits: int, bias: bool = True) -> None:
    """Writes weights.safetensors (float32) and weights_int.safetensors (int64, exact, by the names of `state_arrays`).

    float32 keeps 24 binary digits: it is for use, with the names of torch.nn.Sequential(Linear, activation, Linear,
    ...), 0.weight, 0.bias, 2.weight, .... The integers are what the proof speaks about, velocities among them. Both are
    secret. `weight_bits` is the scale of the state.
    """
    save_arrays(folder / "weights.safetensors", float_arrays(state, weight_bits, bias), {"format": "pt"})
    save_arrays(folder / "weights_int.safetensors", state_arrays(state, bias), {"scale_bits": str(weight_bits)})


def float_arrays(state: State, weight_bits: int, bias: bool = True) -> dict[str, NDArray[np.float32]]:
    """`state_arrays` as float32, in the weights' own units."""
    exact = state_arrays(state, bias)
    floats = {}
    for name, array in exact.items():
        _, layer, part = name.split(".", 2)
        if not name.endswith(VELOCITY):
            floats[f"{2 * int(layer)}.{part}"] = (array / 2.0**weight_bits).astype(np.float32)
    return floats


def save_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]], metadata: dict[str, str]) -> None:
    """One secret safetensors file (mode 0600), whole or not at all."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomic(path, safetensors.numpy.save(whole, metadata=metadata), secret=True)


def load_arrays(path: Path) -> Arrays:
    """All arrays of a safetensors file by name; InputInvalid when it is not one, or not whole."""
    return _safetensors(path, read_input(path))


def state_arrays(state: State, bias: bool = True) -> dict[str, Integers]:
    """`layers.{l}.weight` [d_out, d_in] and `layers.{l}.bias` [d_out], laid out as in PyTorch; without `bias` weights
    alone."""
    named: dict[str, Integers] = {}
    for layer, (weight, shift) in enumerate(zip(state.weights, state.biases, strict=True)):
        named[f"layers.{layer}.weight"] = weight.T
        if bias:
            named[f"layers.{layer}.bias"] = shift
    for layer, velocity in enumerate(state.weight_velocities):
        named[f"layers.{layer}.weight{VELOCITY}"] = velocity.T
    for layer, velocity in enumerate(state.bias_velocities):
        named[f"layers.{layer}.bias{VELOCITY}"] = velocity
    return named


def load_state(path: Path, p: Parameters, moving: bool = False) -> State:
    """Weights by the names of `state_arrays` or of any PyTorch module whose layers are numbered in their order, with
    their velocities if `moving`: int64 are exact integers at scale 2^`state_bits`, floats are rounded to it.

    InputInvalid: missing, foreign or misshapen tensors, non-finite numbers, values beyond the declared widths, integers
    at another scale.
    """
    data = read_input(path)
    arrays = _numbered(_safetensors(path, data))
    scale = read_header(data)[0].get("__metadata__", {}).get("scale_bits", str(p.state_bits))
    if scale != str(p.state_bits):
        raise InputInvalid(
            f"{path}: integers at scale 2^{scale}, those of this run are at scale 2^{p.state_bits}: give the weights "
            "as floats, which are rounded to it"
        )
    parts = ("weight", "bias") if p.bias else ("weight",)
    ends = ("", VELOCITY) if moving else ("",)
    expected = {f"layers.{k}.{part}{end}" for k in range(p.layers) for part in parts for end in ends}
    if set(arrays) != expected:
        raise InputInvalid(
            f"{path}: missing tensors {sorted(expected - set(arrays))}, unexpected "
            f"{sorted(set(arrays) - expected)[:8]}; name them as torch.nn.Sequential does, 0.weight, 0.bias, 2.weight, "
            "..., or layers.0.weight, layers.0.bias, layers.1.weight, ..."
        )
    found: dict[str, list[Integers]] = {f"{part}{end}": [] for end in ends for part in ("weight", "bias")}
    for k, (d_in, d_out) in enumerate(pairwise(p.widths)):
        for end in ends:
            found[f"weight{end}"].append(_tensor(path, arrays, f"layers.{k}.weight{end}", (d_out, d_in), p).T.copy())
            if p.bias:
                found[f"bias{end}"].append(_tensor(path, arrays, f"layers.{k}.bias{end}", (d_out,), p))
            elif not end:
                found["bias"].append(np.zeros(d_out, dtype=np.int64))
    return State(*(tuple(tensors) for tensors in found.values()))


def _numbered(arrays: Arrays) -> Arrays:
    """Tensors `prefix{number}.weight` and so on of one prefix as `layers.{l}.weight`, l counting the numbers upwards;
    as they are if their names are not of this kind."""
    found = [_LAYER.fullmatch(name) for name in arrays]
    named = {match[0]: (match[1], int(match[2]), match[3]) for match in found if match}
    if len(named) != len(arrays) or len({prefix for prefix, _, _ in named.values()}) != 1:
        return arrays
    layers = {number: l for l, number in enumerate(sorted({number for _, number, _ in named.values()}))}
    renamed = {f"layers.{layers[number]}.{part}": arrays[name] for name, (_, number, part) in named.items()}
    return renamed if len(renamed) == len(arrays) else arrays


def _tensor(path: Path, arrays: Arrays, name: str, shape: tuple[int, ...], p: Parameters) -> Integers:
    array, width = arrays[name], p.velocity_width if name.endswith(VELOCITY) else p.weight_width
    if array.shape != shape:
        raise InputInvalid(f"{path}: {name} has shape {array.shape}, the layers {p.widths} need {shape}")
    if array.dtype != np.int64:
        floats = _numeric(path, name, array)
        if not np.isfinite(floats).all():
            raise InputInvalid(f"{path}: {name} holds {int((~np.isfinite(floats)).sum())} non-finite numbers")
        return quantize(floats, p.state_bits, width, f"{path}: {name}")
    exact = np.asarray(array, dtype=np.int64)
    limit = 1 << (width - 1)
    bad = np.argwhere((exact < -limit) | (exact >= limit))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise InputInvalid(f"{path}: {name}{list(place)} = {exact[place]} does not fit {width} bits")
    return exact
