"""`demo`: trains on the digits, proves it, verifies it, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prover.errors import InputInvalid

from .. import chains
from ..console import Json, answer, say
from . import prove, show, train, verify

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "data" / "digits.csv.gz"


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("demo")(demo)


def demo(
    steps: Annotated[int, typer.Option(help="Steps of training.")] = 32,
    out: Annotated[Path, typer.Option(help="The run folder; an earlier one is replaced.")] = Path("runs/demo"),
    as_json: Json = False,
) -> None:
    """Train a ReLU network on 1,797 real images, prove the training in zero knowledge, and verify the
    proof."""
    if not DIGITS.exists():
        raise InputInvalid(f"the demo's data are not at {DIGITS}; run it from a checkout of the project")
    say("1. Training 64-128-64-10 on 1,797 images of digits, in exact integers.")
    train.train(
        data=DIGITS, layers="64-128-64-10", batch=64, steps=steps, lr="0.0625", label="label", scale="16", out=out,
        replace=True,
    )  # fmt: skip
    say("", "2. Proving every step of it in zero knowledge.")
    prove.prove(out)
    say("", "3. Verifying the proof, in plain Python without dependencies.")
    verify.verify([out])
    say("", "4. What has been shown:")
    show.show(out)
    say("", "Check it anywhere, with nothing but Python and the folder verifier/:")
    files = [path for s in chains.read_segments(out) for path in (s.statement_path, s.proof_path)]
    say(f"  python3 -m verifier {' '.join(map(str, files))}")
    if as_json:
        answer({"folder": str(out), "statement": str(files[-2]), "proof": str(files[-1])}, [], True)
