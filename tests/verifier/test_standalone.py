"""`python -m verifier` in a directory that holds nothing but verifier/ and two files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prover import proving
from prover.backends import cpu
from prover.choose import choose_rows
from prover.randomness import Randomness
from prover.session import assemble, commit_final, commit_start
from prover.trainer import State, train
from tests.support import preset
from verifier.statement import replace

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proof at 100 bits of a tiny run, beside a copy of verifier/."""
    p = choose_rows(preset(widths=(2, 2), batch=1, steps=1, security_bits=100), 4)
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(0, 8, (4, 2)), np.eye(2, dtype=np.int64)[[0, 1, 1, 0]]
    state = State((rng.integers(-2000, 2000, (2, 2)),), (np.zeros(2, dtype=np.int64),))
    statement, blindings = commit_start(cpu, p, inputs, targets, state, Randomness())
    trace = train(p, state, inputs, targets, statement.batches())
    statement, blindings["final"] = commit_final(cpu, statement, trace.final, Randomness())
    proof = proving.prove(assemble(cpu, statement, inputs, targets, trace, blindings, 100), cpu)
    folder = tmp_path_factory.mktemp("standalone")
    shutil.copytree(ROOT / "verifier", folder / "verifier", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "statement.json").write_bytes(statement.to_bytes())
    (folder / "proof.zkp").write_bytes(proof)
    weaker = replace(statement, nonce=b"\1" * 32)
    (folder / "other.json").write_bytes(weaker.to_bytes())
    (folder / "flipped.zkp").write_bytes(proof[:-1] + bytes([proof[-1] ^ 1]))
    (folder / "cut.zkp").write_bytes(proof[:-1])
    (folder / "long.zkp").write_bytes(proof + b"\0")
    (folder / "empty").write_bytes(b"")
    (folder / "open.json").write_bytes(replace(statement, zero_knowledge=False).to_bytes())
    return folder


def verifier(folder: Path, *arguments: str) -> Any:
    command = ["env", "-i", sys.executable, "-S", "-E", "-s", "-m", "verifier", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


CASES = {
    "valid at 100 bits": (["statement.json", "proof.zkp", "--security", "100"], 0),
    "128 bits are the default": (["statement.json", "proof.zkp"], 1),
    "a bit flipped": (["statement.json", "flipped.zkp", "--security", "100"], 1),
    "a byte missing": (["statement.json", "cut.zkp", "--security", "100"], 3),
    "a byte more": (["statement.json", "long.zkp", "--security", "100"], 3),
    "an empty proof": (["statement.json", "empty", "--security", "100"], 3),
    "an empty statement": (["empty", "proof.zkp", "--security", "100"], 3),
    "files exchanged": (["proof.zkp", "statement.json", "--security", "100"], 3),
    "another statement": (["other.json", "proof.zkp", "--security", "100"], 5),
    "a transparent statement": (["open.json", "proof.zkp", "--security", "100"], 1),
    "expected another": (["statement.json", "proof.zkp", "--security", "100", "--expect-statement",
                          "sha256:" + "0" * 64], 5),
    "one file": (["statement.json"], 2), "no such file": (["statement.json", "nothing"], 2),
    "less security than 100": (["statement.json", "proof.zkp", "--security", "6"], 2),
    "an unknown option": (["statement.json", "proof.zkp", "--minimum-security", "1"], 2)}


@pytest.mark.parametrize("case", CASES)
def test_exit_codes(files: Path, case: str) -> None:
    arguments, code = CASES[case]
    done = verifier(files, *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == (code != 0)


def test_nothing_else_is_imported(files: Path) -> None:
    """The interpreter runs without site-packages; what it loads comes from the standard library or from the copy."""
    code = ("import sys, runpy; sys.argv = ['verifier', 'statement.json', 'proof.zkp', '--security', '100']\n"
            "try: runpy.run_module('verifier', run_name='__main__')\n"
            "except SystemExit as end: assert not end.code\n"
            "names = {name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
            "assert names <= {'verifier', '__main__', '__mp_main__'}, names")
    done = subprocess.run(["env", "-i", sys.executable, "-S", "-E", "-s", "-c", code], cwd=files, capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
