"""`digest`: the digests and roots that tie files to statements."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from prover.errors import InputInvalid
from verifier.proof import HEADER_BYTES, MAGIC
from verifier.statement import FORMAT, parse_statement
from verifier.weights import MAX_MODEL

from .. import chains, manifest, runs
from ..console import Json, answer
from ..reading import read_limited


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("digest")(digest)


def digest(
    path: Annotated[Path, typer.Argument(help="A statement, a proof, run.json, a weights file, or a run folder.")],
    as_json: Json = False,
) -> None:
    """Print what names a file elsewhere: digests of statements and parameters, roots, SHA-256 of files.

    A proof names its statement by digest, run.json names both, --expect-statement takes one, and open-model's statement
    names a weights file by its SHA-256.
    """
    paths = _of_run(path) if path.is_dir() else [path]
    found = [{"path": str(each)} | describe(each) for each in paths]
    lines = []
    for entry in found:
        lines.append(f"{entry['path']}: {entry['kind']}")
        lines += [f"  {name.replace('_', ' '):<17} {value}" for name, value in entry.items() if _shown(name, value)]
    answer({"files": found}, lines, as_json)


def _shown(name: str, value: Any) -> bool:
    return name not in ("path", "kind") and not isinstance(value, list)


def _of_run(folder: Path) -> list[Path]:
    """The files of a run folder that are named by digests, those that exist."""
    segments = chains.read_segments(folder)
    paths = [place for segment in segments for place in (segment.statement_path, segment.proof_path)]
    return [path for path in (*paths, folder / manifest.MANIFEST, folder / runs.WEIGHTS) if path.exists()]


def describe(path: Path) -> dict[str, Any]:
    """Kind, SHA-256 and names of one file; InputInvalid for a file of another kind."""
    data = read_limited(path, MAX_MODEL)
    own = {"sha256": f"sha256:{hashlib.sha256(data).hexdigest()}"}
    if data.startswith(MAGIC) and len(data) >= HEADER_BYTES:
        return {"kind": "proof"} | own | {"statement_digest": f"sha256:{data[12:HEADER_BYTES].hex()}"}
    if data.startswith(b"{"):
        return _document(path, data) | own
    if _is_safetensors(data):
        return {"kind": "weights"} | own
    raise InputInvalid(f"{path} is no statement, proof, run.json or safetensors file")


def _document(path: Path, data: bytes) -> dict[str, Any]:
    try:
        name = json.loads(data)["format"]
    except (ValueError, RecursionError, KeyError, TypeError):
        name = None
    if name == manifest.FORMAT:
        entries = manifest.parse(data)
        listed = [{"statement": e.statement.hex(), "proof": e.proof.hex() if e.proof else None} for e in entries]
        return {"kind": "manifest", "segments": listed}
    if name != FORMAT:
        raise InputInvalid(f"{path} is no statement and no run.json of this version")
    s = parse_statement(data)
    found: dict[str, Any] = {
        "kind": "statement",
        "task": s.parameters.task,
        "statement_digest": f"sha256:{s.digest().hex()}",
        "params_digest": f"sha256:{s.parameters.digest().hex()}",
    }
    roots = {"data_root": s.data_root, "initial_root": s.initial_root, "final_root": s.final_root, "nonce": s.nonce}
    found |= {name: value.hex() for name, value in roots.items() if any(value)}
    return found if s.file is None else found | {"weights_file": f"sha256:{s.file.hex()}"}


def _is_safetensors(data: bytes) -> bool:
    """Whether eight bytes of a length stand before a header of that length, which starts an object."""
    return data[8:9] == b"{" and 2 <= int.from_bytes(data[:8], "little") <= len(data) - 8
