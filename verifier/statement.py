"""The statement: what a proof is about. One frozen object, one canonical JSON text, one digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from .errors import MalformedStatement
from .schedule import batches, schedule_seed

FORMAT = "zkgrad-statement/1"
MAX_BYTES = 1 << 20
LOSSES = ("mse", "ce")
ACTIVATIONS = ("relu", "leaky-relu", "silu")
OPTIMIZERS = ("sgd",)
TARGETS = ("one-hot", "values")
INITIALS = ("committed", "public-seed")
TASKS = ("training", "accuracy")


@dataclass(frozen=True)
class Parameters:
    """Everything about the run and the protocol that is not a commitment. Scales are binary digits after the point.

    Integers: activations at scale 2^a (`activation_bits`), gradients at 2^g (`gradient_bits`), weights at 2^w with
    w = a + g + e; step t is W <- W - k_t A^T G exactly, so that its lr / batch = k_t 2^-e (`rate_bits` = e). The
    multipliers k_t are `rates`: one for all steps, or one a step. With `initial` = "public-seed" the first state is
    not committed but expanded from a seed, which stands in the place of its root; see `initial.py`. Without `bias`
    layers are Z = A W, and states are weight matrices alone.
    Widths are bits of a signed two's-complement range [-2^(width-1), 2^(width-1)) proven for every entry; the one
    exception is target_width = 1 of one-hot targets, proven to be 0 or 1. Targets stand at scale 2^target_bits.
    """

    widths: tuple[int, ...]
    activation: str
    loss: str
    optimizer: str
    target: str
    batch: int
    steps: int
    first_step: int
    rate_bits: int
    activation_bits: int
    gradient_bits: int
    target_bits: int
    input_width: int
    target_width: int
    activation_width: int
    output_width: int
    backward_width: int
    error_width: int
    weight_width: int
    table_bits: int
    row_bits: int
    blowup_bits: int
    data_openings: int
    state_openings: int
    security_bits: int
    zero_knowledge: bool
    rates: tuple[int, ...] = (1,)
    initial: str = "committed"
    task: str = "training"
    bias: bool = True

    def rate(self, step: int) -> int:
        """k_t of a step counted from this segment's first, 0 <= step < steps."""
        return self.rates[step] if len(self.rates) > 1 else self.rates[0]

    @property
    def weight_bits(self) -> int:
        """w = a + g + e, the scale of the weights and the shift of both roundings."""
        return self.activation_bits + self.gradient_bits + self.rate_bits

    @property
    def layers(self) -> int:
        """The number of weight matrices."""
        return len(self.widths) - 1

    def digest(self) -> bytes:
        """SHA-256 of the canonical text: it plays the part of a verifying key."""
        return hashlib.sha256(b"zkgrad parameters v1\0" + _dump(_parameters_document(self))).digest()


@dataclass(frozen=True)
class Statement:
    """Parameters plus the commitments: the final state follows from the initial one on the scheduled batches.

    Of the task "accuracy": the initial state classifies `correct` of all samples correctly; there is no final state.
    """

    parameters: Parameters
    samples: int
    data_root: bytes
    initial_root: bytes
    final_root: bytes
    origin_root: bytes
    nonce: bytes
    correct: int | None = None

    def to_bytes(self) -> bytes:
        """The one canonical text of this statement, as written to statement.json."""
        return _dump(_document(self))

    def digest(self) -> bytes:
        """SHA-256 of the canonical text; the proof file carries it and the transcript starts from it."""
        return hashlib.sha256(b"zkgrad statement v1\0" + self.to_bytes()).digest()

    def batches(self) -> tuple[tuple[int, ...], ...]:
        """The public schedule: [steps][batch] indices into the committed data set."""
        p = self.parameters
        if p.task != "training":
            return (tuple(range(self.samples)),)
        seed = schedule_seed(self.data_root, self.origin_root, self.nonce)
        return batches(seed, self.samples, p.batch, p.first_step, p.steps)


# Every integer field: where it stands in the document and its bounds, both inclusive.
_INTEGERS: dict[str, tuple[str, str, int, int]] = {
    "batch": ("training", "batch", 1, 1 << 16),
    "steps": ("training", "steps", 1, 1 << 16),
    "first_step": ("training", "first_step", 0, 1 << 40),
    "rate_bits": ("training", "rate_bits", 0, 30),
    "activation_bits": ("fixed_point", "activation_bits", 1, 16),
    "gradient_bits": ("fixed_point", "gradient_bits", 1, 24),
    "target_bits": ("fixed_point", "target_bits", 0, 16),
    "input_width": ("ranges", "input", 1, 16),
    "target_width": ("ranges", "target", 1, 16),
    "activation_width": ("ranges", "activation", 2, 16),
    "output_width": ("ranges", "output", 2, 16),
    "backward_width": ("ranges", "backward", 2, 16),
    "error_width": ("ranges", "error", 2, 16),
    "weight_width": ("ranges", "weight", 2, 48),
    "table_bits": ("protocol", "table_bits", 2, 16),
    "row_bits": ("protocol", "row_bits", 1, 18),
    "blowup_bits": ("protocol", "blowup_bits", 1, 5),
    "data_openings": ("protocol", "data_openings", 1, 1 << 10),
    "state_openings": ("protocol", "state_openings", 1, 1 << 10),
    "security_bits": ("protocol", "security_bits", 1, 256),
}
_CHOICES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "activation": ("model", "activation", ACTIVATIONS),
    "loss": ("training", "loss", LOSSES),
    "optimizer": ("training", "optimizer", OPTIMIZERS),
    "target": ("training", "target", TARGETS),
    "initial": ("training", "initial", INITIALS),
}
_COMMITMENTS = {
    "data_root": ("data", "root"),
    "initial_root": ("initial", "root"),
    "final_root": ("final", "root"),
    "origin_root": ("schedule", "origin"),
    "nonce": ("schedule", "nonce"),
}
_SECTIONS = ("model", "training", "fixed_point", "ranges", "protocol")
_MAX_LAYERS, _MAX_WIDTH, _MAX_SAMPLES, _MAX_RATE = 64, 1 << 16, 1 << 30, 1 << 20


def _parameters_document(p: Parameters) -> dict[str, Any]:
    document: dict[str, Any] = {"task": p.task} | {name: {} for name in _SECTIONS}
    document["model"]["widths"] = list(p.widths)
    for field, (section, key, *_) in (_CHOICES | _INTEGERS).items():
        document[section][key] = getattr(p, field)
    document["model"]["bias"] = p.bias
    document["training"]["rates"] = list(p.rates)
    document["protocol"]["zero_knowledge"] = p.zero_knowledge
    return document


def _document(s: Statement) -> dict[str, Any]:
    document: dict[str, Any] = {"format": FORMAT} | _parameters_document(s.parameters)
    document |= {"data": {"samples": s.samples}, "initial": {}, "final": {}, "schedule": {}}
    for field, (section, key) in _COMMITMENTS.items():
        document[section][key] = getattr(s, field).hex()
    if s.correct is not None:
        document["evaluation"] = {"correct": s.correct}
    return document


def _dump(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def _section(document: Any, name: str) -> dict[str, Any]:
    section = document.get(name)
    if not isinstance(section, dict):
        raise MalformedStatement(f"section {name!r} is missing or not an object")
    return section


def _integer(value: Any, place: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedStatement(f"{place} must be an integer from {low} to {high}, found {str(value)[:40]!r}")
    if not low <= value <= high:
        raise MalformedStatement(f"{place} = {str(value)[:40]} is outside {low}..{high}")
    return value


def _hex32(value: Any, place: str) -> bytes:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise MalformedStatement(f"{place} must be 64 lower-case hexadecimal digits")
    return bytes.fromhex(value)


def _widths(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not 2 <= len(value) <= _MAX_LAYERS + 1:
        raise MalformedStatement(f"model.widths must list 2 to {_MAX_LAYERS + 1} layer widths")
    return tuple(_integer(v, f"model.widths[{k}]", 1, _MAX_WIDTH) for k, v in enumerate(value))


def _rates(value: Any, steps: int) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) not in (1, steps):
        raise MalformedStatement(f"training.rates must list one multiplier, or one for each of {steps} steps")
    return tuple(_integer(v, f"training.rates[{k}]", 0, _MAX_RATE) for k, v in enumerate(value))


def parse_statement(text: bytes) -> Statement:
    """Reads the canonical text; anything else is a MalformedStatement that names the place."""
    if len(text) > MAX_BYTES:
        raise MalformedStatement(f"a statement has at most {MAX_BYTES} bytes, this one has {len(text)}")
    try:
        document = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise MalformedStatement(f"not JSON in ASCII: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise MalformedStatement(f"not a statement of format {FORMAT!r}")
    statement = _build(document)
    if statement.to_bytes() != text:
        raise MalformedStatement("not in canonical form (key order, spacing, unknown or repeated keys)")
    return statement


def _build(document: dict[str, Any]) -> Statement:
    fields: dict[str, Any] = {"widths": _widths(_section(document, "model").get("widths"))}
    for field, (section, key, low, high) in _INTEGERS.items():
        fields[field] = _integer(_section(document, section).get(key), f"{section}.{key}", low, high)
    for field, (section, key, choices) in _CHOICES.items():
        fields[field] = _section(document, section).get(key)
        if fields[field] not in choices:
            raise MalformedStatement(f"{section}.{key} must be one of {', '.join(choices)}")
    for field, section in (("zero_knowledge", "protocol"), ("bias", "model")):
        fields[field] = _section(document, section).get(field)
        if not isinstance(fields[field], bool):
            raise MalformedStatement(f"{section}.{field} must be true or false")
    fields["rates"] = _rates(_section(document, "training").get("rates"), fields["steps"])
    commitments = {
        field: _hex32(_section(document, section).get(key), f"{section}.{key}")
        for field, (section, key) in _COMMITMENTS.items()
    }
    samples = _integer(_section(document, "data").get("samples"), "data.samples", 1, _MAX_SAMPLES)
    fields["task"] = document.get("task")
    if fields["task"] not in TASKS:
        raise MalformedStatement(f"task must be one of {', '.join(TASKS)}")
    correct = None
    if fields["task"] == "accuracy":
        correct = _integer(_section(document, "evaluation").get("correct"), "evaluation.correct", 0, samples)
    statement = Statement(parameters=Parameters(**fields), samples=samples, correct=correct, **commitments)
    _consistent(statement)
    return statement


def _consistent_accuracy(s: Statement) -> None:
    p = s.parameters
    if (p.steps, p.first_step, p.rates, p.initial) != (1, 0, (1,), "committed"):
        raise MalformedStatement("an accuracy has steps = 1, first_step = 0, rates = [1] and a committed initial state")
    if s.final_root != bytes(32) or s.nonce != bytes(32):
        raise MalformedStatement("an accuracy has zeros as final root and nonce")
    if (p.batch, p.target, p.loss, p.error_width) != (s.samples, "one-hot", "mse", 2):
        raise MalformedStatement("an accuracy has batch = samples, one-hot targets, loss = mse and ranges.error = 2")


def _consistent(s: Statement) -> None:
    p = s.parameters
    if p.task == "accuracy":
        _consistent_accuracy(s)
    if p.task == "training" and p.loss == "mse" and p.gradient_bits < p.activation_bits:
        raise MalformedStatement(
            f"gradient_bits = {p.gradient_bits} is below activation_bits = {p.activation_bits}: "
            "the loss gradient would need a rounding"
        )
    if len(p.rates) > 1 and len(set(p.rates)) == 1:
        raise MalformedStatement("training.rates that are all equal are written once")
    if p.loss == "ce" and (p.target != "one-hot" or p.error_width != 2 or p.widths[-1] >= 1 << p.table_bits):
        raise MalformedStatement(
            "cross entropy needs one-hot targets, fewer classes than 2^table_bits, and ranges.error = 2 (it is unused)"
        )
    if p.target == "one-hot" and (p.target_bits != 0 or p.target_width != 1):
        raise MalformedStatement("one-hot targets have fixed_point.target_bits = 0 and ranges.target = 1")
    if p.target_bits > p.activation_bits:
        raise MalformedStatement(f"target_bits = {p.target_bits} exceeds activation_bits = {p.activation_bits}")
    for name in ("input_width", "target_width", "activation_width", "output_width", "backward_width", "error_width"):
        if getattr(p, name) > p.table_bits:
            raise MalformedStatement(f"{name} = {getattr(p, name)} exceeds table_bits = {p.table_bits}")
    if p.initial == "public-seed" and p.first_step != 0:
        raise MalformedStatement("only a run that starts at step 0 can start from a public seed")
    if p.first_step == 0 and s.origin_root != s.initial_root:
        raise MalformedStatement("a run that starts at step 0 has its own initial root as schedule.origin")


def replace(statement: Statement, **changes: Any) -> Statement:
    """A copy with fields of the statement or of its parameters changed."""
    own = {f.name for f in dataclasses.fields(Statement)}
    inner = {k: v for k, v in changes.items() if k not in own}
    outer = {k: v for k, v in changes.items() if k in own}
    parameters = dataclasses.replace(outer.pop("parameters", statement.parameters), **inner)
    return dataclasses.replace(statement, parameters=parameters, **outer)
