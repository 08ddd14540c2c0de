"""`receipt`: keys of signers, signed verdicts, their aggregation, and a quorum's word checked."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from prover.files import write_atomic
from verifier.chain import run_digest
from verifier.errors import StatementMismatch
from verifier.statement import MAX_BYTES as MAX_STATEMENT
from verifier.statement import parse_statement

from .. import chains, receipts, registry, verdict
from ..console import Json, UsageError, answer, say
from ..reading import read_limited
from .verify import Pin, read_files, read_pin

app = typer.Typer(name="receipt", no_args_is_help=True, help="Signed verdicts: who found a proof valid.")
RegistryFile = Annotated[Path, typer.Option("--registry", help="The registry of signers, your trust input.")]
Security = Annotated[int, typer.Option(help="Bits of security required: 128 or 100.")]
Transparent = Annotated[bool, typer.Option("--transparent", help="Accept a proof that hides nothing.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The receipt to write.")]


@app.command()
def keygen(
    identity: Annotated[str, typer.Option(help="Who will vouch with the key, as the registry shall name it.")],
    key: Annotated[Path, typer.Option(help="The secret key file to make (new, mode 0600).")],
    public: Annotated[Path, typer.Option(help="The public file to make, for whoever keeps a registry.")],
    as_json: Json = False,
) -> None:
    """Make a signer's key: a secret file, and a public one with the proof of possession."""
    signer = registry.new_key(key, identity)
    write_atomic(public, registry.signer_bytes(signer))
    lines = [f"wrote {key} (secret, mode 0600) and {public}", f"key {signer.key.hex()}"]
    answer({"key": signer.key.hex(), "secret_file": str(key), "public_file": str(public)}, lines, as_json)


@app.command()
def register(
    public: Annotated[Path, typer.Argument(help="A signer's public file, whose owner you know.")],
    registry_file: RegistryFile,
    not_after: Annotated[str, typer.Option(help="The last day on which the key counts, as 2027-01-31 (UTC).")],
    not_before: Annotated[str | None, typer.Option(help="The first day. Default: today.")] = None,
    as_json: Json = False,
) -> None:
    """Add a signer to a registry, which is made when there is none, after checking his proof of possession."""
    signer = registry.parse_signer(read_limited(public, registry.MAX_BYTES))
    last = registry.parse_day(not_after, "--not-after")
    first = registry.parse_day(not_before, "--not-before") if not_before else today()
    if last < first:
        raise UsageError(f"--not-after {last} is before the first day, {first}")
    known = read_registry(registry_file) if registry_file.exists() else registry.Registry({})
    changed = known.with_entry(registry.Entry(signer, first, last))
    write_atomic(registry_file, changed.to_bytes())
    lines = [f"{signer.identity!r} counts from {first} to {last}; {registry_file} has {len(changed.entries)} key(s)"]
    answer({"identity": signer.identity, "keys": len(changed.entries)} | _digest(changed), lines, as_json)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key, or its first digits.")],
    registry_file: RegistryFile,
    as_json: Json = False,
) -> None:
    """Mark a key of a registry as revoked: from then on no receipt with its signature counts."""
    known = read_registry(registry_file)
    found = [entry for entry in known.entries.values() if key and entry.signer.key.hex().startswith(key.lower())]
    if len(found) != 1:
        raise UsageError(f"{key!r} begins {len(found)} keys of {registry_file}; give more digits of one that is there")
    changed = known.revoking(found[0].signer.key)
    write_atomic(registry_file, changed.to_bytes())
    identity = found[0].signer.identity
    answer({"identity": identity} | _digest(changed), [f"revoked the key of {identity!r}"], as_json)


@app.command()
def sign(
    paths: Annotated[list[Path], typer.Argument(help="A run folder, or STATEMENT PROOF for each segment of a run.")],
    key: Annotated[Path, typer.Option(help="Your secret key file.")],
    out: Out,
    expect_statement: Pin = None,
    security: Security = 128,
    transparent: Transparent = False,
    as_json: Json = False,
) -> None:
    """Verify a proof in a process of its own and, only if it is valid, sign that. Nothing is written otherwise."""
    files = read_files(paths)
    found = verdict.judge(
        (files[k] for k in range(len(files))),
        _bits(security),
        transparent,
        read_pin("--expect-statement", expect_statement),
    )
    # The key is read only now: it was in no memory when the verifier's process was made.
    receipt = receipts.sign(found, registry.read_secret(key))
    write_atomic(out, receipt.to_bytes())
    if expect_statement is None:
        say("not pinned: you signed that this statement's claim holds, not that it is the claim you want")
    answer(receipt.fields(), [f"VALID, signed: {_about(receipt)}", f"wrote {out}"], as_json)


@app.command()
def aggregate(
    paths: Annotated[list[Path], typer.Argument(help="Receipts of one verdict.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """Add signatures on one verdict up to one signature, after checking each."""
    made = receipts.aggregate([read_receipt(path) for path in paths])
    write_atomic(out, made.to_bytes())
    answer(made.fields(), [f"{len(made.keys)} keys, one signature: {_about(made)}", f"wrote {out}"], as_json)


@app.command()
def verify(
    subject: Annotated[str, typer.Argument(help="What it must be about: a statement, a run folder, or sha256:HEX.")],
    paths: Annotated[list[Path], typer.Argument(help="Receipts.", metavar="RECEIPT...")],
    registry_file: RegistryFile,
    quorum: Annotated[int, typer.Option(help="How many distinct registered signers are demanded.", min=1)],
    security: Security = 128,
    transparent: Transparent = False,
    as_json: Json = False,
) -> None:
    """Check that enough registered signers found the proof valid. Exit 0: they did; 1: not; 5: of something else."""
    digest, parameters = _subject(subject)
    demand = receipts.Demand(digest, parameters, quorum, _bits(security), transparent)
    known, given = read_registry(registry_file), [read_receipt(path) for path in paths]
    signers = receipts.verify(given, known, demand, today())
    names = [entry.signer.identity for entry in signers]
    result: dict[str, Any] = {
        "valid": True,
        "subject": given[0].verdict.subject.kind,
        "digest": f"sha256:{digest.hex()}",
        "signers": names,
        "quorum": quorum,
        "security_bits": min(receipt.verdict.security_bits for receipt in given),
        "zero_knowledge": all(receipt.verdict.zero_knowledge for receipt in given),
    }
    lines = [
        f"{len(names)} of {quorum} demanded signers found it valid: {', '.join(names)}",
        f"  {_about(given[0])}",
        f"  registry sha256:{known.digest().hex()}",
        "  a receipt is the word of its signers; the proof itself is checked by: zkgrad verify",
    ]
    answer(result | _digest(known), lines, as_json)


def _subject(text: str) -> tuple[bytes, bytes | None]:
    """The digest of what receipts must be about and, where it is known, that of its parameters."""
    path = Path(text)
    if text.startswith("sha256:"):
        digest = read_pin("SUBJECT", text)
        assert digest is not None
        return digest, None
    if not path.is_dir():
        statement = parse_statement(read_limited(path, MAX_STATEMENT))
        return statement.digest(), statement.parameters.digest()
    segments = chains.read_segments(path)
    last = segments[-1].statement
    if len(segments) == 1:
        return last.digest(), last.parameters.digest()
    if not all(segment.entry and segment.entry.proof for segment in segments):
        raise StatementMismatch(f"{path} is not proven to its end: no receipt can be about it yet")
    return run_digest([segment.statement.digest() for segment in segments]), last.parameters.digest()


def read_receipt(path: Path) -> receipts.Receipt:
    """A receipt's file; MalformedReceipt names it."""
    try:
        return receipts.parse_receipt(read_limited(path, registry.MAX_BYTES))
    except registry.MalformedReceipt as error:
        raise registry.MalformedReceipt(f"{path}: {error}") from None


def read_registry(path: Path) -> registry.Registry:
    """A registry's file; MalformedReceipt names it."""
    try:
        return registry.parse_registry(read_limited(path, registry.MAX_BYTES))
    except registry.MalformedReceipt as error:
        raise registry.MalformedReceipt(f"{path}: {error}") from None


def _about(receipt: receipts.Receipt) -> str:
    found = receipt.verdict
    hides = "zero knowledge" if found.zero_knowledge else "TRANSPARENT"
    return f"{found.subject.kind} sha256:{found.subject.digest.hex()}, at least {found.security_bits} bits, {hides}"


def _digest(known: registry.Registry) -> dict[str, str]:
    return {"registry_digest": f"sha256:{known.digest().hex()}"}


def _bits(security: int) -> int:
    if security not in (100, 128):
        raise UsageError(f"--security {security}: 128 or 100")
    return security


def today() -> datetime.date:
    """The day in UTC, by which keys count."""
    return datetime.datetime.now(datetime.UTC).date()
