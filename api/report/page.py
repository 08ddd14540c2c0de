"""From what a report is about to one HTML file: numbers and sentences here, their look in `page.html.jinja`."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from prover.plan import Plan, plan_run, plan_statement
from prover.proving import prepare
from verifier.check import DEFAULT_SECURITY, LEAST_SECURITY
from verifier.parameters import parameters_document
from verifier.proof import HEADER_BYTES
from verifier.security import HASH_BITS
from verifier.statement import Statement

from .. import chains
from ..commands.show import sentences
from ..commands.train import rates_text
from ..console import UsageError, seconds, size
from ..sentences import ACTIVATION_NAMES
from . import figures
from .figures import Bar
from .subject import Part, Subject, Vouched

_FIELD_BITS = 63
_USES = {"accuracy": "Accuracy", "inference": "Inference", "model": "Weights"}


def render(subject: Subject) -> str:
    """The report as HTML. It shows what is claimed and what is known, and never says that a proof is valid.

    Errors: ParametersUnsafe for a statement that no verifier accepts; UsageError for a link that is none.
    """
    if subject.verify_at is not None and not re.fullmatch(r"(https?://|/(?!/))[^\s\"'<>\\]*", subject.verify_at):
        raise UsageError(f"{subject.verify_at!r} is no link: give /path, or one that starts with http:// or https://")
    statements = [part.statement for part in subject.parts]
    whole = chains.whole(statements)
    claimed, unproven = sentences(whole, len(statements))
    training = whole.parameters.task == "training"
    found = plan_run([s.parameters for s in statements], whole.samples) if training else plan_statement(whole)
    return environment().get_template("page.html.jinja").render(
        title=_title(whole),
        subject=subject,
        whole=whole,
        p=whole.parameters,
        last=statements[-1],
        bits=f"{found.security_bits:.1f}",
        claimed=claimed,
        unproven=unproven,
        commands=_commands(subject, whole),
        digests=_digests(subject),
        parameters=_parameters(whole, statements),
        pictures=_pictures(subject, whole),
        bounds=_bounds(found),
        proof_bytes=_proof_bytes(subject) if subject.proven else None,
        times=_proof_time(subject.parts),
        segments=_segments(subject),
        terms=_terms(found),
        hash_bits=HASH_BITS,
        vouched=_vouched(subject.vouched),
        proof_size=size(sum(part.proof_bytes or 0 for part in subject.parts)),
        proof_time=_total_time(subject.parts),
    )


def environment() -> Environment:
    """Templates of this package. Every value is escaped; the page's own policy lets a browser load nothing, and run
    and apply only the script and the style sheet that stand here."""
    loader = PackageLoader("api.report")
    made = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = (loader.get_source(made, name)[0] for name in ("style.css", "script.js"))
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    made.globals |= {
        "size": size, "policy": policy + "; form-action 'none'", "style": Markup(style), "script": Markup(script),
    }  # fmt: skip
    return made


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _title(s: Statement) -> str:
    layers = "-".join(map(str, s.parameters.widths))
    if s.parameters.task == "training":
        return f"Training of a {layers} network, {s.parameters.steps:,} steps"
    return f"{_USES[s.parameters.task]} of a committed {layers} network"


def _commands(subject: Subject, whole: Statement) -> list[str]:
    """How a reader comes to a verdict of his own."""
    last = subject.parts[-1].statement.digest().hex()
    files = "statement.json proof.zkp"
    if len(subject.parts) > 1:
        files = "$(for s in segments/*; do echo $s/statement.json $s/proof.zkp; done)"
    options = "" if whole.parameters.security_bits >= DEFAULT_SECURITY else f" --security {LEAST_SECURITY}"
    options += "" if whole.parameters.zero_knowledge else " --transparent"
    options += " --model weights_int.safetensors" if whole.file is not None else ""
    return [f"python -m verifier {files}{options} --expect-statement sha256:{last}"]


def _digests(subject: Subject) -> list[tuple[str, str, str]]:
    """(name, digest, what it is) of everything that a reader may want to compare."""
    first, last = subject.parts[0].statement, subject.parts[-1].statement
    many = len(subject.parts) > 1
    name = "Statement of the last segment" if many else "Statement"
    rows = [(name, last.digest(), "what to pin: it covers parameters and commitments")]
    if subject.run_digest:
        rows.append(("Run", subject.run_digest, "all statements in order: what --expect-run pins and receipts name"))
    rows.append(("Parameters", last.parameters.digest(), "architecture, arithmetic and protocol, like a verifying key"))
    if not many and subject.parts[0].proof_digest:
        rows.append(("Proof file", subject.parts[0].proof_digest, "SHA-256 of proof.zkp"))
    if first.data_root != bytes(32):
        rows.append(("Data", first.data_root, "commitment to all samples"))
    rows += _states(first, last) if last.parameters.task == "training" else _model(last)
    return [(name, digest.hex(), note) for name, digest, note in rows]


def _states(first: Statement, last: Statement) -> list[tuple[str, bytes, str]]:
    public, chosen = first.parameters.initial == "public-seed", first.nonce == bytes(32)
    return [
        ("First state", first.initial_root, "the public seed" if public else "commitment to the first weights"),
        ("Last state", last.final_root, "commitment to the trained weights"),
        ("Nonce", first.nonce, "none was drawn: the prover may have chosen the batch order" if chosen
         else "drawn by the auditor after the commitments"),
    ]  # fmt: skip


def _model(s: Statement) -> list[tuple[str, bytes, str]]:
    rows = [("Model", s.initial_root, "commitment to the weights, with which the statement of their run ends")]
    return rows if s.file is None else [*rows, ("Weights file", s.file, "SHA-256 of the file that holds them")]


def _parameters(whole: Statement, statements: list[Statement]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of (name, value) of everything the statement fixes."""
    p = whole.parameters
    document = parameters_document(statements[0].parameters)
    network = [
        ("Widths", " – ".join(f"{width:,}" for width in p.widths)),
        ("Between layers", ACTIVATION_NAMES[p.activation]),
        ("Biases", "yes" if p.bias else "no"),
        ("Weights and biases", f"{_count(whole):,}"),
    ]
    ranges = [(name.replace("_", " "), f"{bits} bits" if bits else "none") for name, bits in document["ranges"].items()]
    scales = [(name.removesuffix("_bits"), f"2^-{bits}") for name, bits in document["fixed_point"].items()]
    protocol = [(name.replace("_", " "), _plain(value)) for name, value in document["protocol"].items()]
    task = _training(whole) if p.task == "training" else _use(whole)
    groups = [
        ("Network", network), ("Precision", scales), (p.task.capitalize(), task),
        ("Ranges, proven", ranges), ("Protocol", protocol),
    ]  # fmt: skip
    return [group for group in groups if group[1]]


def _plain(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _training(s: Statement) -> list[tuple[str, str]]:
    p = s.parameters
    return [
        ("Samples committed", f"{s.samples:,}"),
        ("Batch", f"{p.batch:,}"),
        ("Steps", f"{p.first_step + 1:,} to {p.first_step + p.steps:,}"),
        ("Rate", rates_text(p)),
        ("Loss", "mean squared error" if p.loss == "mse" else "softmax cross entropy"),
        ("Targets", "classes, one-hot" if p.target == "one-hot" else "real values"),
        ("Optimizer", "SGD"),
        ("First state", "committed" if p.initial == "committed" else "from a public seed"),
    ]


def _use(s: Statement) -> list[tuple[str, str]]:
    """What a statement of an accuracy or an inference says of samples; an opened file has none."""
    if s.inference is not None:
        return [
            ("Samples", f"{s.samples:,}"),
            ("Inputs", "committed" if s.inference.inputs is None else "in the statement"),
            ("Shown", "classes" if s.inference.outputs is None else "outputs"),
        ]
    if s.correct is not None:
        return [("Samples committed", f"{s.samples:,}"), ("Classified correctly", f"{s.correct:,}")]
    return []


def _count(s: Statement) -> int:
    w = s.parameters.widths
    return sum(a * b for a, b in pairwise(w)) + (sum(w[1:]) if s.parameters.bias else 0)


def _pictures(subject: Subject, whole: Statement) -> dict[str, Markup | None]:
    p = whole.parameters
    names = {"mse": "squared error", "ce": "cross entropy"}
    end = names[p.loss] if p.task == "training" else ""
    pictures: dict[str, Markup | None] = {
        "network": figures.network(p.widths, p.activation.replace("-", " "), end, p.bias),
        "chain": None,
        "loss": None,
    }
    if len(subject.parts) > 1:
        pictures["chain"] = _chain(subject)
    if subject.loss:
        pictures["loss"] = figures.curve(subject.loss, "Mean loss of each batch, disclosed by the owner")
    return pictures


def _chain(subject: Subject) -> Markup:
    labels, states = [], [_short(subject.parts[0].statement.initial_root)]
    for number, part in enumerate(subject.parts):
        q = part.statement.parameters
        steps = f"steps {q.first_step + 1:,}–{q.first_step + q.steps:,}"
        proof = size(part.proof_bytes) if part.proof_bytes else "no proof yet"
        labels.append((f"Segment {number}", f"{steps}, {proof}", part.proof_bytes is not None))
        states.append(_short(part.statement.final_root))
    return figures.chain(labels, states)


def _short(digest: bytes) -> str:
    return digest.hex()[:10] + "…"


_KINDS = {"salt": "salts of opened columns", "node": "Merkle paths"}


def _bounds(found: Plan) -> list[Bar]:
    """The largest magnitude of each kind of integer, in bits of the half of the field that they may use."""
    rows = sorted(found.bounds_bits.items(), key=lambda item: -item[1])
    return figures.bars([(place, bits, f"below 2^{bits}") for place, bits in rows], _FIELD_BITS)


def _proof_bytes(subject: Subject) -> list[Bar]:
    items = proof_items(subject.parts)
    whole = sum(items.values())
    rows = sorted(items.items(), key=lambda item: -item[1])
    return figures.bars((name, length, f"{size(length)} · {length / whole:.1%}") for name, length in rows)


def proof_items(parts: Iterable[Part]) -> dict[str, int]:
    """Bytes of all proofs by what they are. Paths share nodes by luck: their share is what the others leave."""
    total: defaultdict[str, int] = defaultdict(int)
    shapes: dict[int, dict[str, int]] = {}
    for part in parts:
        steps = part.statement.parameters.steps
        if steps not in shapes:
            shapes[steps] = _items(part.statement)
        for name, length in shapes[steps].items():
            total[name] += length
        longest = sum(shapes[steps].values())
        total[_KINDS["node"]] -= longest - (part.proof_bytes or longest)
    return dict(total)


def _items(s: Statement) -> dict[str, int]:
    """Largest lengths of a proof's items by what they are, from the statement alone."""
    found = defaultdict(int, header=HEADER_BYTES)
    _, shape = prepare(s, 1)
    for leaf in shape.recorder.leaves:
        if leaf.kind == "column":
            group = leaf.label.removesuffix(" column")
            name = f"opened columns: {'pads' if group == 'pads' else group}"
        elif leaf.label == "combined row" or "row" in leaf.label:
            name = "combined rows"
        else:
            name = _KINDS.get(leaf.kind, "roots" if leaf.kind == "bytes" else "messages of the sumchecks")
        found[name] += leaf.length
    return dict(found)


def _proof_time(parts: Iterable[Part]) -> list[Bar] | None:
    total: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        for name, value in part.seconds.items():
            total[name] += value
    whole = sum(total.values())
    if not whole:
        return None
    rows = sorted(total.items(), key=lambda item: -item[1])
    return figures.bars((name, value, f"{seconds(value)} · {value / whole:.1%}") for name, value in rows)


def _total_time(parts: Iterable[Part]) -> str | None:
    """The time of all proofs whose stages are known."""
    whole = sum(sum(part.seconds.values()) for part in parts)
    return seconds(whole) if whole else None


def _segments(subject: Subject) -> list[dict[str, str]]:
    if len(subject.parts) < 2:
        return []
    return [
        {
            "steps": f"{q.first_step + 1:,}–{q.first_step + q.steps:,}",
            "rate": rates_text(q),
            "bytes": size(part.proof_bytes) if part.proof_bytes else "no proof yet",
            "time": seconds(sum(part.seconds.values())) if part.seconds else "–",
            "statement": part.statement.digest().hex(),
            "proof": part.proof_digest.hex() if part.proof_digest else "",
        }
        for part in subject.parts
        for q in (part.statement.parameters,)
    ]


def _terms(found: Plan) -> list[tuple[str, str, str]]:
    """(term, bits, share of the whole error), the largest first."""
    rows = sorted(found.terms.items(), key=lambda item: item[1])
    return [(name, f"{bits:.1f}", _share(2.0 ** (found.security_bits - bits))) for name, bits in rows]


def _share(part: float) -> str:
    return f"{part:.2%}" if part >= 0.0001 else "below 0.01%"


def _vouched(found: Vouched | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "signers": found.signers,
        "quorum": found.quorum,
        "registry": found.registry.hex(),
        "day": found.day,
        "receipts": [receipt.fields() for receipt in found.receipts],
    }
