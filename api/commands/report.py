"""`report`: a run, or a statement and its proof, as one HTML file for people."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prover.files import write_atomic
from verifier.check import LEAST_SECURITY
from verifier.proof import MAGIC
from verifier.statement import MAX_BYTES, parse_statement

from .. import receipts
from ..console import Json, UsageError, answer, size
from ..manifest import proof_digest
from ..reading import MAX_PROOF, read_limited
from .receipt import read_receipt, read_registry, today

if TYPE_CHECKING:
    from ..report.subject import Subject, Vouched

Paths = Annotated[list[Path], typer.Argument(help="A run folder, or STATEMENT PROOF.", metavar="RUN")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The HTML file to write.")]
Disclose = Annotated[
    bool, typer.Option("--disclose-loss", help="Show the loss of every step: not proven, and it tells about the data.")
]
Receipts = Annotated[list[Path] | None, typer.Option("--receipt", help="A receipt to show; can be given again.")]
Registry = Annotated[Path | None, typer.Option(help="The registry of signers that receipts are checked against.")]
Quorum = Annotated[int, typer.Option(help="How many distinct registered signers are demanded.", min=1)]
Link = Annotated[str | None, typer.Option(help="A page with a verifier to link to, as /verify/ or https://…")]


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("report")(report)


def report(
    paths: Paths,
    out: Out,
    disclose_loss: Disclose = False,
    receipt: Receipts = None,
    registry: Registry = None,
    quorum: Quorum = 1,
    verify_at: Link = None,
    as_json: Json = False,
) -> None:
    """Write a report: the claim, its digests, what it took, and how to check it. The report itself checks no proof."""
    try:
        from ..report.page import render
        from ..report.subject import Part, Subject, loss_curve, of_folder, require_run
    except ModuleNotFoundError as error:
        raise UsageError(f"reports need the package {error.name!r}: pip install 'zkgrad[api]'") from None
    if len(paths) == 1:
        parts = of_folder(require_run(paths[0]))
    elif len(paths) == 2 and not disclose_loss:
        proof = read_limited(paths[1], MAX_PROOF, MAGIC)
        statement = parse_statement(read_limited(paths[0], MAX_BYTES))
        parts = (Part(statement, len(proof), proof_digest(proof)),)
    else:
        raise UsageError("report takes a run folder, or STATEMENT PROOF; --disclose-loss takes a run folder")
    subject = Subject(parts, loss_curve(paths[0]) if disclose_loss else None, verify_at=verify_at)
    if receipt:
        subject = dataclasses.replace(subject, vouched=_vouched(subject, receipt, registry, quorum))
    text = render(subject).encode()
    write_atomic(out, text)
    lines = [f"wrote {out}, {size(len(text))}; it loads nothing from anywhere, and is not a verdict"]
    if disclose_loss:
        lines.append("WARNING   it shows the loss of every step, which the proof hides")
    answer({"report": str(out), "bytes": len(text), "loss_disclosed": disclose_loss}, lines, as_json)


def _vouched(subject: Subject, paths: list[Path], registry: Path | None, quorum: int) -> Vouched:
    """Checks receipts before they are shown; the errors are those of `receipt verify`."""
    from ..report.subject import Vouched

    if registry is None:
        raise UsageError("--receipt needs --registry: a signature means nothing without knowing whose it is")
    given, known, day = [read_receipt(path) for path in paths], read_registry(registry), today()
    last = subject.parts[-1].statement
    digest = subject.run_digest if len(subject.parts) > 1 else last.digest()
    if digest is None:
        raise UsageError("the run is not proven to its end: no receipt can be about it yet")
    hides = last.parameters.zero_knowledge
    demand = receipts.Demand(digest, last.parameters.digest(), quorum, LEAST_SECURITY, not hides)
    signers = receipts.verify(given, known, demand, day)
    names = [entry.signer.identity for entry in signers]
    return Vouched(given, names, quorum, known.digest(), day.isoformat())
