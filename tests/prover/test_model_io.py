"""Data and weights in and out: every format, and a table of unusable files with the place each message
names."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from prover import files
from prover.choose import draft_parameters, initial_state
from prover.errors import InputInvalid, RunFolderError
from prover.model_io import load_arrays, load_data, load_features, load_state, save_weights, state_arrays
from prover.trainer import predict
from tests.digits import digits

DIGITS = Path(__file__).parents[2] / "examples" / "data" / "digits.csv.gz"
ROWS = [[0.5, 1.0, 2], [1.5, -2.0, 0], [3.25, 4.0, 1]]


def write(path: Path, data) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def npz(**arrays) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def npy(array) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def parameters(widths=(3, 4, 2), **more):
    options = {
        "batch": 4,
        "steps": 1,
        "rate": 0.5,
        "target": "one-hot",
        "table_bits": 16,
        "row_bits": 6,
        "blowup_bits": 2,
        "data_openings": 1,
        "state_openings": 1,
        "security_bits": 128,
        "zero_knowledge": True,
    } | more
    return draft_parameters(widths=widths, **options)


# --- every format gives the same data ---

TABLE = np.array(ROWS)
GOOD = {
    "plain.csv": "0.5,1,2\n1.5,-2,0\n3.25,4,1\n",
    "header.csv": "a,b,label\n0.5,1,2\n1.5,-2,0\n3.25,4,1",
    "quoted.csv": '"a,1","b","label"\r\n0.5,1,2\r\n"1.5",-2,0\r\n3.25,4e0,1\r\n',
    "blank.csv": "0.5,1,2\n\n1.5,-2,0\n3.25,4,1\n\n",
    "marked.csv": b"\xef\xbb\xbfa,b,label\n0.5,1,2\n1.5,-2,0\n3.25,4,1\n",
    "packed.csv.gz": gzip.compress(b"0.5,1,2\n1.5,-2,0\n3.25,4,1\n"),
    "table.npy": npy(TABLE),
    "small.npy": npy(TABLE.astype(np.float32)),
    "pair.npz": npz(x=TABLE[:, :2], y=TABLE[:, 2].astype(np.int32)),
    "images.npz": npz(features=TABLE[:, :2].reshape(3, 1, 2), labels=TABLE[:, 2:]),
    "pair.safetensors": safetensors.numpy.save({"features": TABLE[:, :2].copy(), "labels": np.array([2, 0, 1])}),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_the_same_data(tmp_path, name):
    data = load_data(write(tmp_path / name, GOOD[name]), outputs=3)
    assert data.features.tolist() == TABLE[:, :2].tolist() and data.labels.tolist() == [2, 0, 1]
    assert data.features.dtype == np.float64 and data.labels.dtype == np.int64


@pytest.mark.parametrize(
    "label, text",
    [
        ("label", "label,a,b\n2,0.5,1\n0,1.5,-2\n1,3.25,4\n"),
        ("0", "2,0.5,1\n0,1.5,-2\n1,3.25,4\n"),
        ("-2", "0.5,2,1\n1.5,0,-2\n3.25,1,4\n"),
    ],
)
def test_the_label_column_by_name_and_number(tmp_path, label, text):
    data = load_data(write(tmp_path / "t.csv", text), label=label)
    assert data.labels.tolist() == [2, 0, 1] and data.features.tolist() == TABLE[:, :2].tolist()


def test_regression_targets_and_standard_input(tmp_path):
    data = load_data(Path("-"), target="values", outputs=2, text=b"1,2,3\n4,5,6\n")
    assert data.features.tolist() == [[1], [4]] and data.values.tolist() == [[2, 3], [5, 6]]


def test_a_numeric_header_can_be_declared(tmp_path):
    path = write(tmp_path / "t.csv", "0,1,label\n0.5,1,2\n")
    assert load_data(path, header=True).features.tolist() == [[0.5, 1.0]]


def test_the_shipped_digits():
    data = load_data(DIGITS, outputs=10)
    assert data.features.shape == (1797, 64) and data.features.min() == 0 and data.features.max() == 16
    assert np.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


# --- unusable data: name, content, what the message must say ---

OBJECTS = np.array([{"a": 1}], dtype=object)
BAD = [
    ("empty.csv", b"", "is empty"),
    ("header-only.csv", "a,b,label\n", "no rows of data"),
    ("blank-first.csv", "\n1,2,0\n", "first line is blank"),
    ("ragged.csv", "1,2,0\n1,2\n", "line 2 has 2 fields, line 1 has 3"),
    ("long.csv", "a,b,c\n1,2,0\n3,4,5,6\n", "line 3 has 4 fields, line 1 has 3"),
    ("all-long.csv", "a,b,c\n1,2,3,4\n5,6,7,8\n", "line 2 has 4 fields, line 1 has 3"),
    ("word.csv", "1,2,0\n1,dog,1\n", "line 2, column 1: 'dog' is no number"),
    ("hole.csv", "a,b,c\n1,2,0\n1,,1\n", "line 3, column 1: '' is empty"),
    ("grouped.csv", "1,2,0\n1_000,2,1\n", "line 2, column 0: '1_000' is no number"),
    ("semicolons.csv", "1;2;0\n3;4;1\n", "no rows of data|is no number|first line|columns"),
    ("mixed.csv", "1,2,x\n1,2,0\n", "line 1, column 2: 'x' is no number.*--header"),
    ("nan.csv", "1,2,0\n1,nan,1\n", "features, row 1, column 1: nan is not a finite number"),
    ("inf.csv", "1,2,0\n-inf,2,1\n", "features, row 1, column 0: -inf is not a finite"),
    ("huge.csv", "1,2,0\n1e999,2,1\n", "row 1, column 0: inf is not a finite"),
    ("nan-label.csv", "1,2,0\n1,2,nan\n", "targets, row 1, column 0: nan"),
    ("negative.csv", "1,2,0\n1,2,-1\n", "row 1: label -1 is not a class number from 0 to 2"),
    ("beyond.csv", "1,2,0\n1,2,3\n", "row 1: label 3 is not a class number from 0 to 2"),
    ("half.csv", "1,2,0\n1,2,1.5\n", "row 1: label 1.5 is not a class number"),
    ("one-column.csv", "1\n2\n", "1 columns; 1 for targets leave none"),
    ("binary.csv", b"\x00\xff\xfe,1\n", "not text in UTF-8"),
    ("cut.csv.gz", gzip.compress(b"1,2,0\n" * 50)[:-12], "not a whole gzip file"),
    ("bad.csv.gz", b"\x1f\x8b" + bytes(20), "not a whole gzip file"),
    ("x.txt", "1,2,0\n", "data come as .csv, .csv.gz, .npy"),
    ("model.pkl", pickle.dumps({"a": 1}), "data come as"),
    ("pickle.npy", pickle.dumps([1, 2]), "not a whole NumPy file: it contains Python objects"),
    ("objects.npy", npy(OBJECTS), "contains Python objects .pickle., which are never loaded"),
    ("objects.npz", npz(x=OBJECTS, y=np.zeros(1)), "contains Python objects"),
    ("cut.npy", npy(TABLE)[:-5], "not a whole NumPy file"),
    ("header-cut.npy", npy(TABLE)[:40], "not a whole NumPy file"),
    ("cut.npz", npz(x=TABLE, y=TABLE[:, 0])[:-30], "not a whole NumPy file"),
    ("flat.npy", npy(TABLE[0]), r"shape \(3,\); expected"),
    ("text.npy", npy(np.array([["a", "b"]])), "only numbers can be used"),
    ("complex.npy", npy(TABLE * 1j), "only numbers can be used"),
    ("archive.npy", npz(x=TABLE), "is an archive"),
    ("single.npz", npy(TABLE), "is a single array"),
    ("names.npz", npz(foo=TABLE, bar=TABLE), "holds bar, foo; expected exactly one array"),
    ("twice.npz", npz(x=TABLE, features=TABLE, y=TABLE[:, 0]), "expected exactly one array"),
    ("none.npz", npz(x=np.zeros((0, 3)), y=np.zeros(0)), r"shape \(0, 3\); expected \[n, d\] with n > 0"),
    ("unequal.npz", npz(x=TABLE, y=np.zeros(2)), r"targets have shape \(2,\) for 3 rows"),
    ("wide-labels.npz", npz(x=TABLE, y=TABLE), "labels have 3 columns"),
    (
        "cut.safetensors",
        safetensors.numpy.save({"x": TABLE, "y": TABLE[:, 2].copy()})[:-3],
        "not a whole safetensors",
    ),
    ("foreign.safetensors", b"hello world, not tensors", "not a whole safetensors"),
    (
        "no-y.safetensors",
        safetensors.numpy.save({"x": TABLE}),
        "expected exactly one array named one of labels",
    ),
]


@pytest.mark.parametrize("name, content, message", BAD, ids=[row[0] for row in BAD])
def test_unusable_data_say_where_and_why(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(InputInvalid, match=message) as caught:
        load_data(path, outputs=3)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "label, message",
    [
        ("colour", "no column 'colour' .columns are a, b, label"),
        ("7", "no column 7; there are 3"),
        ("a", "label 0.5 is not a class"),
    ],
)
def test_a_wrong_label_column_is_refused(tmp_path, label, message):
    with pytest.raises(InputInvalid, match=message):
        load_data(write(tmp_path / "t.csv", GOOD["header.csv"]), label=label)


def test_a_label_column_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(InputInvalid, match="2 columns are named 'y'"):
        load_data(write(tmp_path / "t.csv", "y,y,a\n1,2,3\n"), label="y")


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InputInvalid, match="No such file"):
        load_data(tmp_path / "absent.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputInvalid, match="is a folder"):
        load_data(tmp_path / "folder.csv")


@pytest.mark.parametrize("name", ["packed.csv.gz", "table.npy", "pair.npz", "pair.safetensors"])
def test_a_file_cut_anywhere_is_refused_or_short_by_whole_rows(tmp_path, name):
    whole = GOOD[name]
    for length in range(0, len(whole), 7):
        with pytest.raises(InputInvalid):
            load_data(write(tmp_path / name, whole[:length]))


# --- features alone ---


@pytest.mark.parametrize(
    "name, content",
    [
        ("plain.csv", "0.5,1\n1.5,-2\n"),
        ("header.csv", "a,b\n0.5,1\n1.5,-2\n"),
        ("table.npy", npy(TABLE[:2, :2])),
        ("pair.npz", npz(x=TABLE[:2, :2], y=np.zeros(2))),
        ("lone.safetensors", safetensors.numpy.save({"features": TABLE[:2, :2].copy()})),
    ],
)
def test_features_alone_in_every_format(tmp_path, name, content):
    assert load_features(write(tmp_path / name, content), 2).tolist() == TABLE[:2, :2].tolist()


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("labelled.csv", "1,2,0\n", r"shape \(1, 3\); expected rows of 2 features and no label"),
        ("flat.npz", npz(x=np.ones(2)), "expected rows of 2 features"),
        ("none.npy", npy(np.zeros((0, 2))), "expected"),
        ("nan.csv", "1,nan\n", "row 0, column 1: nan"),
    ],
)
def test_unusable_features_are_refused(tmp_path, name, content, message):
    with pytest.raises(InputInvalid, match=message):
        load_features(write(tmp_path / name, content), 2)


# --- weights ---


def test_weights_survive_the_round_trip_exactly(tmp_path):
    p = parameters()
    state = initial_state(p.widths, p.weight_bits, np.random.default_rng(2).bytes)
    save_weights(tmp_path, state, p.weight_bits)
    back = load_state(tmp_path / "weights_int.safetensors", p)
    assert all((x == y).all() for x, y in zip(state.weights, back.weights, strict=True))
    floats = load_arrays(tmp_path / "weights.safetensors")
    assert sorted(floats) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert floats["0.weight"].shape == (4, 3) and floats["0.weight"].dtype == np.float32
    assert np.allclose(floats["0.weight"].T, state.weights[0] / 2.0**p.weight_bits, rtol=2**-23)
    from_floats = load_state(tmp_path / "weights.safetensors", p)
    assert abs(from_floats.weights[0] - state.weights[0]).max() <= 2 ** (p.weight_bits - 23)


def altered(p, **changes) -> dict:
    arrays = {k: v / 2.0**p.weight_bits for k, v in state_arrays(initial_state(p.widths, p.weight_bits)).items()}
    arrays |= changes
    return {k: np.ascontiguousarray(v) for k, v in arrays.items() if v is not None}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"layers.0.bias": None}, r"missing tensors \['layers.0.bias'\]"),
        ({"layers.2.weight": np.zeros((2, 2))}, r"unexpected \['layers.2.weight'\]"),
        ({"layers.0.weight": np.zeros((3, 4))}, r"layers.0.weight has shape \(3, 4\).*need \(4, 3\)"),
        ({"layers.1.bias": np.array([1.0, np.nan])}, "layers.1.bias holds 1 non-finite"),
        (
            {"layers.1.bias": np.array([1.0, 1e9])},
            r"layers.1.bias: value 1000000000.0 at index \[1\] is outside",
        ),
        (
            {"layers.1.bias": np.array([0, 1 << 47])},
            r"layers.1.bias\[1\] = 140737488355328 does not fit 48 bits",
        ),
        ({"layers.1.bias": np.array([True, False]).astype(np.complex64)}, "only numbers|not a whole"),
    ],
)
def test_unusable_weights_say_where_and_why(tmp_path, changes, message):
    p = parameters()
    path = write(tmp_path / "w.safetensors", safetensors.numpy.save(altered(p, **changes)))
    with pytest.raises(InputInvalid, match=message):
        load_state(path, p)


NAMINGS = ["{even}", "layers.{l}", "net.{even}", "model.body.{even}", "fc{one}", "block1.{ten}"]


@pytest.mark.parametrize("naming", NAMINGS)
def test_state_dicts_of_any_numbered_module(tmp_path, naming):
    """The layers' order is that of their numbers, not of their names as text or in the file."""
    p = parameters(widths=(3, 5, 5, 5, 2))
    state = initial_state(p.widths, p.weight_bits, np.random.default_rng(4).bytes)
    arrays = {}
    for name, array in reversed(state_arrays(state).items()):
        _, layer, part = name.split(".")
        l = int(layer)
        arrays[f"{naming.format(l=l, even=2 * l, one=l + 1, ten=l + 8)}.{part}"] = array / 2.0**p.weight_bits
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    back = load_state(write(tmp_path / "w.safetensors", safetensors.numpy.save(whole)), p)
    for found, wanted in zip((*back.weights, *back.biases), (*state.weights, *state.biases), strict=True):
        assert (found == wanted).all()


@pytest.mark.parametrize("naming", ["{l}0.{l}", "{letter}.0", "0{l}", "fc{letter}"])
def test_names_whose_order_is_a_guess_are_refused(tmp_path, naming):
    p = parameters()
    arrays = {}
    for name, array in altered(p).items():
        _, layer, part = name.split(".")
        arrays[f"{naming.format(l=layer, letter='ba'[int(layer)])}.{part}"] = array
    arrays |= {"1.weight": arrays["01.weight"]} if naming == "0{l}" else {}
    with pytest.raises(InputInvalid, match=r"0.weight, 0.bias, 2.weight"):
        load_state(write(tmp_path / "w.safetensors", safetensors.numpy.save(arrays)), p)


@pytest.mark.parametrize("activation, bias", [("relu", True), ("leaky-relu", False), ("silu", True)])
def test_the_float_file_is_the_network(tmp_path, activation, bias):
    """Read as torch.nn.Sequential does, y = x W^T + b and the activation between, it classifies as the integers do."""
    task = digits(activation, bias)
    state = task.trained()
    save_weights(tmp_path, state, task.parameters.weight_bits, bias)
    arrays = load_arrays(tmp_path / "weights.safetensors")
    x = task.features
    between = {"relu": lambda y: np.maximum(y, 0), "leaky-relu": lambda y: np.where(y > 0, y, y / 8),
               "silu": lambda y: y / (1 + np.exp(-y))}[activation]  # fmt: skip
    for k in (0, 2, 4):
        x = (between(x) if k else x) @ arrays[f"{k}.weight"].T + (arrays[f"{k}.bias"] if bias else 0)
    found, exact = x.argmax(axis=1), predict(state, task.parameters, task.inputs)
    assert task.accuracy(state) > 0.9
    assert (found == exact).mean() > 0.995
    assert abs((found == task.labels).mean() - task.accuracy(state)) < 0.005


def test_integers_at_another_scale_are_refused(tmp_path):
    """They would be other weights without a word; floats are rounded to any scale."""
    p, finer = parameters(), parameters(rate=0.25)
    state = initial_state(p.widths, p.weight_bits, np.random.default_rng(2).bytes)
    save_weights(tmp_path, state, p.weight_bits)
    with pytest.raises(InputInvalid, match=rf"scale 2\^{p.weight_bits}, those of this .* 2\^{finer.weight_bits}"):
        load_state(tmp_path / "weights_int.safetensors", finer)
    shift = finer.weight_bits - p.weight_bits
    found = load_state(tmp_path / "weights.safetensors", finer).weights[0]
    assert shift == 1 and abs(found - (state.weights[0] << shift)).max() <= 2 ** (finer.weight_bits - 23)


# --- writing ---


def test_secrets_are_readable_by_their_owner_only(tmp_path):
    p = parameters()
    before = os.umask(0)
    try:
        save_weights(tmp_path, initial_state(p.widths, p.weight_bits), p.weight_bits)
    finally:
        os.umask(before)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    path = write(tmp_path / "weights", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, failing, full)
    with pytest.raises(RunFolderError, match="No space left on device"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_writing_into_a_missing_folder_is_a_typed_error(tmp_path):
    with pytest.raises(RunFolderError, match="cannot write"):
        files.write_atomic(tmp_path / "absent" / "x", b"1")
