"""The command line: client and server in different processes, files in between, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def cli(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api.fhe_cli", *args],
        cwd=folder,
        text=True,
        capture_output=True,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished session up to the reply."""
    path = tmp_path_factory.mktemp("session")
    rng = np.random.default_rng(0)
    np.save(path / "x.npy", rng.uniform(-1, 1, (4, 8)))
    np.save(path / "w.npy", rng.uniform(-1, 1, (8, 3)))
    for args in (
        [
            "plan",
            "bi,ij->bj",
            "--operand",
            "x=encrypted:4,8:1",
            "--operand",
            "w=plain:8,3:1",
            "--out",
            "plan.json",
        ],
        ["keygen", "plan.json", "--key", "client.key", "--bundle", "bundle"],
        [
            "encrypt",
            "plan.json",
            "--key",
            "client.key",
            "--operand",
            "x=x.npy",
            "--request",
            "request",
            "--receipt",
            "receipt.json",
        ],
        [
            "einsum",
            "plan.json",
            "--bundle",
            "bundle",
            "--request",
            "request",
            "--operand",
            "w=w.npy",
            "--identity",
            "server.key",
            "--reply",
            "reply",
            "--nonces",
            "nonces",
            "--json",
        ],
    ):
        done = cli(path, *args)
        assert done.returncode == 0, done.stderr
    (path / "server.json").write_text(done.stdout)
    return path


def test_a_session(folder: Path) -> None:
    key = json.loads((folder / "server.json").read_text())["server"]
    done = cli(
        folder,
        "decrypt",
        "plan.json",
        "--key",
        "client.key",
        "--receipt",
        "receipt.json",
        "--reply",
        "reply",
        "--server",
        key,
        "--out",
        "y.npy",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    got, error = np.load(folder / "y.npy"), json.loads(done.stdout)["error"]
    assert np.abs(got - np.load(folder / "x.npy") @ np.load(folder / "w.npy")).max() <= error
    for name in ("client.key", "server.key"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_exit_codes(folder: Path) -> None:
    (folder / "broken").write_bytes((folder / "reply").read_bytes()[:-8])
    (folder / "junk.json").write_text("{}")
    np.save(folder / "big.npy", np.full((4, 8), 9.0))
    shared = ["--key", "client.key", "--receipt", "receipt.json", "--out", "z.npy"]
    stranger = "00" * 31 + "01"
    ask = ["--request", "r", "--receipt", "s"]
    cases = [
        (2, ["plan", "ij->ii", "--operand", "x=encrypted:2,2:1", "--out", "p.json"]),
        (2, ["plan", "ij->i", "--operand", "x=encrypted:2:1", "--out", "p.json"]),
        (2, ["keygen", "plan.json", "--key", "client.key", "--bundle", "b"]),
        (3, ["keygen", "junk.json", "--key", "new.key", "--bundle", "b"]),
        (4, ["encrypt", "plan.json", "--key", "client.key", "--operand", "x=big.npy", *ask]),
        (5, ["decrypt", "plan.json", *shared, "--reply", "reply", "--server", stranger]),
        (3, ["decrypt", "plan.json", *shared, "--reply", "broken", "--server", stranger]),
        (
            5,
            [
                "einsum",
                "plan.json",
                "--bundle",
                "bundle",
                "--request",
                "request",
                "--operand",
                "w=w.npy",
                "--identity",
                "server.key",
                "--reply",
                "again",
                "--nonces",
                "nonces",
            ],
        ),
        (
            2,
            [
                "einsum",
                "plan.json",
                "--bundle",
                "nothing",
                "--request",
                "request",
                "--identity",
                "server.key",
                "--reply",
                "again",
            ],
        ),
    ]
    for code, args in cases:
        done = cli(folder, *args)
        assert done.returncode == code, (args, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr
