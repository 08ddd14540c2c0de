"""`zkgrad fhe`: einsum on encrypted tensors, client and server in different processes with files in between.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import numpy as np
import typer

import fhe
from fhe import errors
from fhe.exchange import accept, answer, ask
from fhe.planner import replan
from fhe.signing import Identity, NonceBook, Request

app = typer.Typer(name="fhe", no_args_is_help=True, help="Einsum on encrypted tensors (CKKS).")
P = ParamSpec("P")
CODES: dict[type[Exception], int] = {
    errors.ParametersUnsafe: 1,
    errors.ExpressionError: 2,
    errors.ShapeError: 2,
    FileNotFoundError: 2,
    errors.MalformedBytes: 3,
    errors.BoundError: 4,
    errors.LevelsExhausted: 4,
    errors.LimitExceeded: 4,
    errors.ReleaseRefused: 4,
    errors.RejectedMessage: 5,
    errors.LayoutError: 5,
    errors.MissingKey: 5,
}
MAX_FILE = 8 << 30
PlanFile = Annotated[Path, typer.Argument(help="a plan written by `fhe plan`")]
Operands = Annotated[list[str], typer.Option("--operand", help="NAME=FILE.npy, once per operand")]
Json = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn typed errors into one line on stderr and the exit code of their class."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (errors.FheError, OSError) as error:
            typer.echo(f"zkgrad fhe: {error}", err=True)
            code = next((c for kind, c in CODES.items() if isinstance(error, kind)), 70)
            raise typer.Exit(code) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return run


def report(as_json: bool, text: str, document: dict[str, Any]) -> None:
    """People on stderr, one JSON object on stdout."""
    if as_json:
        typer.echo(json.dumps(document))
    else:
        typer.echo(text, err=True)


def write(path: Path, data: bytes, secret: bool = False) -> None:
    """A new file, replaced whole; mode 0600 when secret. `-` is standard output."""
    if str(path) == "-":
        sys.stdout.buffer.write(data)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if secret else 0o644)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
    os.replace(temporary, path)


def read(path: Path) -> bytes:
    """A file's bytes, at most MAX_FILE of them. `-` is standard input."""
    with sys.stdin.buffer if str(path) == "-" else path.open("rb") as stream:
        data = stream.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise errors.LimitExceeded(f"{path} has more than {MAX_FILE:,} bytes")
    return data


def load_plan(path: Path, caps: dict[str, float] | None = None) -> fhe.Plan:
    """Plan again from a file and compare digests: a plan file is somebody else's claim."""
    try:
        document = json.loads(read(path))
        digest = document.pop("digest")
    except (ValueError, KeyError, AttributeError):
        raise errors.MalformedBytes(f"{path}: no plan; write one with `zkgrad fhe plan`") from None
    plan = replan(document, caps or {})
    if plan.digest != digest:
        raise errors.RejectedMessage(
            f"{path} says digest {str(digest)[:16]} but its request plans as {plan.digest[:16]}; "
            "both sides need the same version"
        )
    return plan


def load_arrays(pairs: list[str]) -> dict[str, Any]:
    """Arrays from NAME=FILE.npy; never pickled objects."""
    out = {}
    for pair in pairs:
        name, mark, file = pair.partition("=")
        if not mark:
            raise errors.ExpressionError(f"--operand '{pair}': write NAME=FILE.npy")
        try:
            out[name] = np.load(Path(file), allow_pickle=False)
        except ValueError as error:
            raise errors.MalformedBytes(f"{file}: no array file ({error})") from None
    return out


def parse_operand(text: str) -> tuple[str, fhe.Encrypted | fhe.Plain]:
    """NAME=encrypted:32,64:1.0 or NAME=plain:64,10:0.5 (a scalar has an empty shape)."""
    try:
        name, rest = text.split("=")
        kind, shape, bound = rest.split(":")
        sizes = tuple(int(s) for s in shape.split(",") if s)
        if kind not in ("encrypted", "plain"):
            raise KeyError(kind)
        return name, (fhe.Encrypted if kind == "encrypted" else fhe.Plain)(sizes, float(bound))
    except (KeyError, ValueError) as error:
        if isinstance(error, errors.FheError):
            raise
        raise errors.ExpressionError(
            f"--operand '{text}': write NAME=encrypted:SIZE,SIZE:BOUND or NAME=plain:…"
        ) from None


@app.command("plan")
@guarded
def plan_command(
    expression: Annotated[str, typer.Argument(help="an einsum expression such as 'bi,ij->bj'")],
    out: Annotated[Path, typer.Option(help="where to write the plan")],
    operand: Annotated[list[str], typer.Option(help="NAME=encrypted:32,64:1.0 or NAME=plain:64,10:0.5")],
    precision: Annotated[float, typer.Option(help="largest error relative to the output bound")] = 1e-4,
    replicate: Annotated[str, typer.Option(help="auto, client or server")] = "auto",
    objective: Annotated[str, typer.Option(help="operations, time or upload")] = "operations",
    reveal: Annotated[str, typer.Option(help="all, or output to mask every other slot")] = "all",
    release: Annotated[str, typer.Option(help="BITS,SECURITY,COUNT when results shall be published")] = "",
    draw: Annotated[bool, typer.Option(help="also draw the slot layout")] = False,
    page: Annotated[
        Path | None, typer.Option("--report", help="also write an HTML page: layouts, steps, counts")
    ] = None,
    as_json: Json = False,
) -> None:
    """Plan an expression: steps, counts, levels, keys, bytes, predicted time and error, before any key
    exists.
    """
    wish = None
    if release:
        try:
            wish = fhe.Release(*(int(x) for x in release.split(",")))
        except (TypeError, ValueError) as error:
            raise errors.ExpressionError(
                f"--release '{release}': write BITS,SECURITY,COUNT ({error})"
            ) from None
    plan = fhe.plan(
        expression,
        dict(parse_operand(o) for o in operand),
        precision=precision,
        replicate=replicate,
        objective=objective,
        reveal=reveal,
        release=wish,
    )
    write(out, json.dumps({**plan.document(), "digest": plan.digest}, indent=1).encode())
    if page is not None:
        from api.report.plan import render_plan

        write(page, render_plan(plan, expression).encode())
    report(
        as_json,
        f"{plan}\n{plan.draw() if draw else ''}wrote {out}",
        {
            "digest": plan.digest,
            "counts": dict(plan.counts),
            "levels": plan.levels,
            "ring": plan.params.ring,
            "key_bytes": plan.key_bytes,
            "upload_bytes": plan.upload,
            "seconds": plan.seconds,
            "error": plan.error,
        },
    )


@app.command()
@guarded
def keygen(
    plans: Annotated[list[Path], typer.Argument(help="plans the keys shall serve")],
    key: Annotated[Path, typer.Option(help="the client's secret key file (new, mode 0600)")],
    bundle: Annotated[Path, typer.Option(help="what the server needs; holds no secret")],
    as_json: Json = False,
) -> None:
    """Make a client's secret key and exactly the evaluation keys some plans need."""
    if key.exists():
        raise errors.ExpressionError(
            f"{key} exists; a new key there would make earlier ciphertexts unreadable"
        )
    client = fhe.Client.for_plans([load_plan(p) for p in plans])
    client.save(key)
    data = client.server_bundle()
    write(bundle, data)
    report(
        as_json,
        f"wrote {key} (secret) and {bundle}, {len(data):,} bytes",
        {"bundle_bytes": len(data), "client": client.identity.public.hex()},
    )


@app.command()
@guarded
def encrypt(
    plan: PlanFile,
    key: Annotated[Path, typer.Option(help="the client's secret key file")],
    operand: Operands,
    request: Annotated[Path, typer.Option(help="the signed request to send")],
    receipt: Annotated[Path, typer.Option(help="what the client keeps to check the answer")],
    as_json: Json = False,
) -> None:
    """Encrypt and sign the encrypted operands of a plan."""
    made, client = load_plan(plan), fhe.Client.load(key)
    arrays = load_arrays(operand)
    missing = sorted(set(made.layouts) - set(arrays))
    if missing:
        raise errors.LayoutError(
            f"operands {missing} of {len(made.layouts)} encrypted ones are missing; give each by --operand"
        )
    asked, data = ask(client, made, client.encrypt(made, **arrays))
    write(request, data)
    kept = {"plan": asked.plan, "nonce": asked.nonce.hex(), "operands": dict(asked.operands)}
    write(receipt, json.dumps(kept).encode())
    report(
        as_json, f"wrote {request}, {len(data):,} bytes, and {receipt}", {"request_bytes": len(data), **kept}
    )


@app.command()
@guarded
def einsum(
    plan: PlanFile,
    bundle: Annotated[Path, typer.Option(help="the client's bundle")],
    request: Annotated[Path, typer.Option(help="the client's signed request")],
    reply: Annotated[Path, typer.Option(help="where to write the signed result")],
    identity: Annotated[Path, typer.Option(help="the server's signing key; made when it does not exist")],
    operand: Annotated[
        list[str], typer.Option(help="NAME=FILE.npy for each plain operand")
    ] = [],  # noqa: B006
    nonces: Annotated[Path | None, typer.Option(help="file that remembers answered requests")] = None,
    max_seconds: Annotated[float, typer.Option(help="cap on predicted and on actual seconds")] = 600.0,
    max_memory: Annotated[int, typer.Option(help="cap on the child's memory in MiB")] = 16384,
    workers: Annotated[int, typer.Option(help="processes that share the result's ciphertexts")] = 1,
    as_json: Json = False,
) -> None:
    """Evaluate a plan on the server: plans again, checks every byte, computes in a limited child, signs."""
    made = load_plan(plan, {"seconds": max_seconds})
    if not identity.exists():
        write(identity, Identity().secret, secret=True)
    signer = Identity(read(identity))
    server = fhe.Server(read(bundle))
    data = answer(
        server,
        signer,
        made,
        read(request),
        load_arrays(operand),
        NonceBook(nonces),
        seconds=max_seconds,
        memory=max_memory << 20,
        workers=workers,
    )
    write(reply, data)
    report(
        as_json,
        f"wrote {reply}, {len(data):,} bytes, signed by {signer.public.hex()}",
        {"reply_bytes": len(data), "server": signer.public.hex()},
    )


@app.command()
@guarded
def decrypt(
    plan: PlanFile,
    key: Annotated[Path, typer.Option(help="the client's secret key file")],
    receipt: Annotated[Path, typer.Option(help="kept by `encrypt`")],
    reply: Annotated[Path, typer.Option(help="the server's signed result")],
    server: Annotated[str, typer.Option(help="the server's public key, in hex, learnt beforehand")],
    out: Annotated[Path, typer.Option(help="where to write the result, .npy")],
    as_json: Json = False,
) -> None:
    """Check that the pinned server answered this request, then decrypt. Publishing the values leaks the key.
    """
    made, client = load_plan(plan), fhe.Client.load(key)
    try:
        kept = json.loads(read(receipt))
        request = Request(kept["plan"], bytes.fromhex(kept["nonce"]), kept["operands"])
        pinned = bytes.fromhex(server)
    except (ValueError, KeyError, TypeError):
        raise errors.MalformedBytes(
            f"{receipt} or --server is malformed; use the files `encrypt` wrote and a hex key"
        ) from None
    if request.plan != made.digest:
        raise errors.RejectedMessage(f"{receipt} belongs to plan {request.plan[:16]}, not {made.digest[:16]}")
    values = accept(client, made, request, pinned, read(reply))
    with out.open("wb") as stream:
        np.save(stream, values, allow_pickle=False)
    report(
        as_json,
        f"wrote {out}, shape {values.shape}, error at most {made.error:.2g}; do not publish these values "
        "unless the plan has a release",
        {"shape": list(values.shape), "error": made.error},
    )


if __name__ == "__main__":
    app()
