"""What the page's worker runs in Python: files in any order to a verdict of `python -m verifier`, stage by stage.

The verifier is not changed. Its own command line is called on the files, so that verdict, exit code and words are the
command line's; functions of it are wrapped only to tell how far they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Report = Callable[[str, str], None]  # stage, "begin" or "end"; or "segments" and their number

# (module, function, key, words), in the order in which a verification goes through them.
STAGES = (
    ("check", "parse_statement", "statement", "The statement, in its one canonical form"),
    ("check", "check_bounds", "bounds", "Bounds of all integers against the field"),
    ("check", "shape_of", "security", "Sum of the soundness errors, lengths of the proof"),
    ("lookup", "check", "lookups", "Lookups: ranges, roundings, activations"),
    ("products", "check_einsums", "products", "Products with the weights, forward and backward"),
    ("products", "check_histories", "history", "Weights of every step, from the first ones"),
    ("merge", "check", "merge", "All claims to one point"),
    ("commitment", "check_value", "opening", "One combined row for all commitments"),
    ("zero_knowledge", "check_equations", "equations", "Equations in hidden scalars, combined"),
    ("commitment", "check_columns", "columns", "Drawn columns of the commitments"),
    ("zero_knowledge", "check_columns", "pads", "Drawn columns of the pads: the hidden equations decided"),
)
STATEMENT_FORMAT, CHAIN_FORMAT = "zkgrad-statement/1", "zkgrad-chain/1"
_HEADER = 44  # magic, version, statement digest


class NotPaired(Exception):
    """The files are not a statement and a proof for each segment; says which one is missing or too many."""


def stages() -> str:
    """Keys and words of all stages, as JSON."""
    return json.dumps([[key, words] for _, _, key, words in STAGES])


def watch(report: Report) -> None:
    """Wraps the verifier's functions so that `report` hears of each stage; to be called once."""
    for module, name, key, _ in STAGES:
        holder = importlib.import_module(f"verifier.{module}")
        setattr(holder, name, _watched(getattr(holder, name), key, report))


def _watched(function: Callable[..., Any], key: str, report: Report) -> Callable[..., Any]:
    # The verifier also runs its conversation without a proof, to know its shape: that is the stage `security`.
    recording = importlib.import_module("verifier.recording").RecordingChannel

    def run(*arguments: Any, **options: Any) -> Any:
        if arguments and isinstance(arguments[0], recording):
            return function(*arguments, **options)
        report(key, "begin")
        result = function(*arguments, **options)
        report(key, "end")
        return result

    return run


def arrange(files: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Names of (statement, proof), a pair for each segment, in the order of the run; NotPaired says what is wrong.

    A pair is taken as it is, whatever is in it: to refuse it is the verifier's business. Several are put together by
    the statement digest in each proof, and ordered by run.json or by their first steps.
    """
    documents = {name: _document(data) for name, data in files.items() if name.endswith(".json")}
    proofs = [name for name in files if name.endswith(".zkp")]
    manifests = [name for name, document in documents.items() if document.get("format") == CHAIN_FORMAT]
    statements = [name for name, document in documents.items() if document.get("format") == STATEMENT_FORMAT]
    if not manifests and len(proofs) == 1 and len(statements) <= 1:
        usual = [name for name in documents if name.rpartition("/")[2] == "statement.json"]
        named = statements or usual or [*documents]
        if len(named) == 1:
            return [(named[0], proofs[0])]
    if not statements or not proofs:
        raise NotPaired(f"a statement (.json) and its proof (.zkp) are needed; here are {_names(files)}")
    if len(manifests) > 1:
        raise NotPaired(f"one run.json at a time: {', '.join(manifests)}")
    by_digest = {_digest(files[name]): name for name in statements}
    order = _order(documents, by_digest, manifests)
    pairs = [(name, _proof_of(digest, name, proofs, files)) for digest, name in order]
    left = sorted(set(proofs) - {proof for _, proof in pairs})
    if left:
        raise NotPaired(f"no statement here belongs to {', '.join(left)}")
    return pairs


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _digest(statement: bytes) -> str:
    return hashlib.sha256(b"zkgrad statement v1\0" + statement).hexdigest()


def _order(
    documents: Mapping[str, dict[str, Any]], by_digest: Mapping[str, str], manifests: Sequence[str]
) -> list[tuple[str, str]]:
    if not manifests:
        return sorted(by_digest.items(), key=lambda item: _first_step(documents[item[1]]))
    listed = documents[manifests[0]].get("segments")
    digests = [str(entry.get("statement")) for entry in listed if isinstance(entry, dict)] if listed else []
    missing = [str(number) for number, digest in enumerate(digests) if digest not in by_digest]
    if missing or not digests:
        raise NotPaired(f"{manifests[0]} lists segments whose statements are not here: {', '.join(missing) or 'none'}")
    foreign = sorted(name for digest, name in by_digest.items() if digest not in digests)
    if foreign:
        raise NotPaired(f"{manifests[0]} does not list {', '.join(foreign)}")
    return [(digest, by_digest[digest]) for digest in digests]


def _first_step(document: Mapping[str, Any]) -> int:
    training = document.get("training")
    step = training.get("first_step") if isinstance(training, dict) else None
    return step if isinstance(step, int) else 0


def _proof_of(digest: str, statement: str, proofs: Sequence[str], files: Mapping[str, bytes]) -> str:
    named = [name for name in proofs if files[name][12:_HEADER].hex() == digest]
    beside = [name for name in named if name.rpartition("/")[0] == statement.rpartition("/")[0]]
    if not named:
        raise NotPaired(f"no proof here is for {statement} (statement sha256:{digest})")
    return (beside or named)[0]


def _names(files: Mapping[str, bytes]) -> str:
    return ", ".join(files) or "no files"


def judge(files: Mapping[str, bytes], options: Sequence[str], report: Report) -> str:
    """The outcome as JSON: exit code, standard output and error of `python -m verifier`, the pairs, and facts.

    `options` go to the command line as they are. Files are in memory only.
    """
    try:
        pairs = arrange(files)
    except NotPaired as error:
        return json.dumps({"exit": 2, "stdout": "", "stderr": f"{error}\n", "pairs": [], "facts": []})
    with tempfile.TemporaryDirectory() as folder:
        arguments = [*options, *_write(Path(folder), pairs, files)]
        report("segments", str(len(pairs)))
        code, out, err = _run(arguments)
        err = err.replace(f"{folder}/", "")
    facts = [describe(files[pairs[0][0]]), describe(files[pairs[-1][0]])] if code == 0 else []
    return json.dumps({"exit": code, "stdout": out, "stderr": err, "pairs": pairs, "facts": facts})


def _write(folder: Path, pairs: Sequence[tuple[str, str]], files: Mapping[str, bytes]) -> list[str]:
    """Under short names, since names from outside may hold anything."""
    paths = []
    for number, pair in enumerate(pairs):
        for name, kind in zip(pair, ("statement.json", "proof.zkp"), strict=True):
            path = folder / f"{number:03}-{kind}"
            path.write_bytes(files[name])
            paths.append(str(path))
    return paths


def _run(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    main = importlib.import_module("verifier.__main__").main
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 2
    return code, out.getvalue(), err.getvalue()


def describe(statement: bytes) -> dict[str, Any]:
    """What a statement that has been verified says, for people who read it on the page."""
    claim = importlib.import_module("verifier.statement").parse_statement(statement)
    p = claim.parameters
    return {
        "task": p.task, "widths": list(p.widths), "bias": p.bias, "activation": p.activation, "loss": p.loss,
        "optimizer": p.optimizer, "batch": p.batch, "first_step": p.first_step, "steps": p.steps,
        "initial": p.initial, "samples": claim.samples, "correct": claim.correct,
        "zero_knowledge": p.zero_knowledge, "security_bits": p.security_bits,
        "data_root": claim.data_root.hex(), "initial_root": claim.initial_root.hex(),
        "final_root": claim.final_root.hex(), "nonce": claim.nonce.hex(),
    }  # fmt: skip


def python_version() -> str:
    """The interpreter that judges."""
    return ".".join(map(str, sys.version_info[:3]))
