"""The worked notebook runs cell by cell as a notebook runs it, and shows what its texts say."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from prover.run import Proof, Run
from verifier import Verdict, verify

EXAMPLES = Path(__file__).parents[2] / "examples"


def shown_by(path: Path) -> list[Any]:
    """Runs the cells of a percent-format script in one namespace; the value of the last expression of each."""
    space: dict[str, Any] = {}
    shown = []
    for cell in re.split(r"^# %%", path.read_text(), flags=re.M):
        if cell.startswith(" [markdown]") or not cell.strip():
            continue
        tree = ast.parse(cell)
        last = tree.body.pop()
        assert isinstance(last, ast.Expr), "each cell ends with something to look at"
        exec(compile(tree, str(path), "exec"), space)
        shown.append(eval(compile(ast.Expression(last.value), str(path), "eval"), space))
    return shown


def test_the_notebook_trains_proves_verifies_and_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    shapes, run, quality, _, plan, proof, verdict, refusal, names = shown_by(EXAMPLES / "digits_notebook.py")
    assert shapes == ((1797, 64), (1797,))
    assert isinstance(run, Run) and isinstance(proof, Proof) and isinstance(verdict, Verdict)
    assert quality["accuracy"] > 0.6, "64 steps teach it most digits"
    for thing in (run, plan, proof, verdict):
        assert "<table>" in thing._repr_html_()
    assert verdict.security_bits >= 128 and len(proof.proof) <= plan.proof_bytes
    assert refusal.startswith(("RejectedProof: ", "MalformedProof: "))
    folder = tmp_path / "runs" / "notebook"
    assert {"statement.json", "proof.zkp", "slots.json"} <= set(names)
    files = [(folder / name).read_bytes() for name in ("statement.json", "proof.zkp")]
    assert verify(*files, expect_statement=run.digest).statement_digest == run.digest
