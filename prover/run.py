"""A run in memory, for notebooks and scripts: `train` gives a Run, `prove` a Proof of it. No file is written.

What the command line does step by step into a folder is done here in one call on arrays. `api.saving` writes a Run as
a run folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifier.chain import ChainVerdict, verify_chain
from verifier.check import LEAST_SECURITY, Verdict, verify
from verifier.display import Sheet
from verifier.errors import MalformedStatement, VerifierError
from verifier.parameters import ACTIVATIONS, LOSSES, TARGETS, Parameters
from verifier.statement import Statement, parse_statement

from .backends.interface import Backend
from .choose import choose_parameters, draft_parameters, initial_state
from .commitment import Blinding
from .errors import InputInvalid, ProverError
from .exact import Integers, on_host
from .model_io import Dataset, dataset_of, features_of, float_arrays, load_data, load_state
from .openings import Openings
from .plan import Plan, least_segments, plan_run, plan_segments
from .proving import prove as make_proof
from .rates import coarse_note, scheduled
from .scaling import Scaling, choose_scaling, divisor, flattened, flattened_note
from .session import ZERO_ROOT, assemble, commit_final, commit_start
from .trainer import Load, Progress, State, Trace, outputs, predict, public_state
from .trainer import run as train_on
from .trainer import train as train_trace


@dataclass(frozen=True)
class Segment:
    """One trained segment: its statement, the states at its ends, and the secrets of the commitments it opens."""

    statement: Statement
    initial: State
    final: State
    blindings: Mapping[str, Blinding]


@dataclass(frozen=True, repr=False)
class Run:
    """A trained run with all its secrets. It cannot be copied or pickled: two copies would spend the same openings.

    `source`, `label` and `header` say how a data file was read; inputs [n, d_0] and targets [n, d_L] are the committed
    integers; `note` is what a user should know about data or rates, or None.
    """

    segments: tuple[Segment, ...]
    inputs: Integers
    targets: Integers
    scaling: Scaling
    source: str
    label: str | None = None
    header: bool | None = None
    note: str | None = None
    openings: Openings = field(default_factory=Openings)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What is to be proven, segment by segment."""
        return tuple(segment.statement for segment in self.segments)

    @property
    def parameters(self) -> Parameters:
        """The parameters of the first segment; later ones differ in their place, steps and rates."""
        return self.statements[0].parameters

    @property
    def digest(self) -> bytes:
        """The digest of the last statement, which a verifier should pin."""
        return self.statements[-1].digest()

    @property
    def plan(self) -> Plan:
        """What proofs of all segments will take; its `costs`, `security` and `bounds` are tables."""
        return plan_run([s.parameters for s in self.statements], len(self.inputs), LEAST_SECURITY)

    @property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The final weights as in weights.safetensors: `layers.0.weight` [d_out, d_in], ..., in PyTorch's layout."""
        return float_arrays(self.segments[-1].final, self.parameters.state_bits, self.parameters.bias)

    def predict(self, features: Any) -> NDArray[Any]:
        """Class numbers [n], or values [n, d_L] in the data's units, of the exact integer model."""
        p, final = self.parameters, self.segments[-1].final
        values = features_of(features, p.widths[0])
        inputs = self.scaling.inputs(values, p, "the arrays")
        if p.target == "one-hot":
            return predict(final, p, inputs)
        return np.asarray(outputs(final, p, inputs) / 2.0**p.activation_bits * self.scaling.target)

    def evaluate(self, features: Any, labels: Any) -> dict[str, float]:
        """Accuracy, or mean squared error in the data's units, of the exact integer model on labelled arrays."""
        p = self.parameters
        inputs, targets = self.scaling.integers(dataset_of(features, labels, p.target, p.widths[-1]), p)
        return quality(self.segments[-1].final, p, inputs, targets, self.scaling.target)

    def trace(self, segment: Segment, load: Load = on_host) -> Trace:
        """Every integer of a segment, trained again from the state it starts with, where `load` brings integers."""
        s = segment.statement
        return train_trace(s.parameters, segment.initial, self.inputs, self.targets, s.batches(), load=load)

    @property
    def sheet(self) -> Sheet:
        """The run for people."""
        p, steps = self.parameters, [s.parameters.steps for s in self.statements]
        ends = self.segments[0].initial, self.segments[-1].final
        before, after = (quality(state, p, self.inputs, self.targets, self.scaling.target) for state in ends)
        left = self.openings.left(self.statements)
        rows = [
            ("network", f"{'-'.join(map(str, p.widths))}, {p.activation}{'' if p.bias else ', no biases'}"),
            ("data", f"{self.source}: {len(self.inputs):,} samples, {self.scaling.describe()}"),
            ("training", f"{sum(steps):,} steps of batch {p.batch}, loss {p.loss}"),
            *((k.replace("_", " "), f"{before[k]:.4g} before, {after[k]:.4g} after, on these data") for k in before),
            ("segments", ", ".join(map(str, steps)) + " steps"),
            ("statement", f"sha256:{self.digest.hex()}"),
            ("openings left", ", ".join(f"{name} {count}" for name, count in left.items())),
        ]
        return Sheet("Trained run, not proven by itself", rows + ([("note", self.note)] if self.note else []))

    def __repr__(self) -> str:
        return repr(self.sheet)

    def _repr_html_(self) -> str:
        return self.sheet._repr_html_()


@dataclass(frozen=True, repr=False)
class Proof:
    """Proofs of all segments of a run: public bytes, (statement, proof) by segment, and the verdict on them."""

    segments: tuple[tuple[bytes, bytes], ...]
    verdict: Verdict | ChainVerdict

    @property
    def statement(self) -> bytes:
        """The statement of a run of one segment, as in statement.json."""
        return self._only()[0]

    @property
    def proof(self) -> bytes:
        """The proof of a run of one segment, as in proof.zkp."""
        return self._only()[1]

    def _only(self) -> tuple[bytes, bytes]:
        if len(self.segments) > 1:
            raise InputInvalid(f"this run has {len(self.segments)} segments: use verify_chain(proof.segments)")
        return self.segments[0]

    @property
    def sheet(self) -> Sheet:
        """The proof for people."""
        sizes = ", ".join(f"{len(proof):,}" for _, proof in self.segments)
        return Sheet("Proof, verified when it was made", [("bytes", sizes), *self.verdict.sheet.rows])

    def __repr__(self) -> str:
        return repr(self.sheet)

    def _repr_html_(self) -> str:
        return self.sheet._repr_html_()


def train(
    data: Any,
    labels: Any = None,
    *,
    layers: Sequence[int],
    target: str = "one-hot",
    loss: str | None = None,
    activation: str = "relu",
    bias: bool = True,
    batch: int = 64,
    steps: int = 32,
    lr: float | Sequence[float] = 0.0625,
    schedule: str = "constant",
    warmup: int = 0,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    scale: str | float = "auto",
    target_scale: str | float = "auto",
    label: str | None = None,
    header: bool | None = None,
    initial: Path | str | None = None,
    seed: bytes | None = None,
    nonce: bytes = bytes(32),
    activation_bits: int = 8,
    gradient_bits: int = 12,
    security_bits: int = 128,
    segment_steps: int | None = None,
    data_openings: int | None = None,
    state_openings: int = 4,
    memory: int | None = None,
    on_step: Progress | None = None,
    backend: Backend | None = None,
) -> Run:
    """Commits data and first weights, trains in exact integers, and commits the weights after each segment.

    `data` is a path as for `zkgrad train --data`, or features [n, ...] with `labels`: class numbers [n], or real
    targets [n] or [n, c] with target="values". `layers` are all widths, from features to outputs. The loss is cross
    entropy ("ce") for classes and "mse" for values unless named. `lr` is one rate, by a `schedule`, or one for each
    step. `seed` (32 bytes) makes the first weights public,
    `initial` reads them from safetensors. `memory` limits the bytes of one proof by cutting the run into segments;
    `on_step` is told the steps done. Everything else is as in `zkgrad train --help`.

    Errors: InputInvalid, OutOfRange, OutOfMemory, ParametersUnsafe; nothing is kept after one.
    """
    loss = loss or ("ce" if target == "one-hot" else "mse")
    _check_options(target, loss, activation, security_bits)
    _check_first(seed, initial, nonce)
    rates = _rates(lr, steps, schedule, warmup)
    draft = draft_parameters(
        widths=tuple(layers),
        batch=batch,
        steps=steps,
        rate=rates,
        loss=loss,
        target=target,
        table_bits=16,
        row_bits=14,
        blowup_bits=2,
        data_openings=data_openings or 1,
        state_openings=state_openings,
        security_bits=security_bits,
        zero_knowledge=True,
        activation_bits=activation_bits,
        gradient_bits=gradient_bits,
        activation=activation,
        bias=bias,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
    )
    draft = dataclasses.replace(draft, initial="committed" if seed is None else "public-seed")
    dataset = _dataset(data, labels, draft, label, header)
    _check_limits(draft, len(dataset.features))
    scaling = choose_scaling(scale, dataset.features)
    if target == "values":
        scaling = dataclasses.replace(scaling, target=divisor("target_scale", target_scale, dataset.values))
    inputs, targets = scaling.integers(dataset, draft)
    least_segments(draft, len(inputs))  # refuses, before any work, a run that no verifier would draw the schedule of
    first = _first_state(draft, seed, initial)
    chosen, _ = choose_parameters(draft, first, inputs, targets)
    parts = plan_segments(
        chosen, len(inputs), memory=memory, segment_steps=segment_steps, data_openings=data_openings
    )
    backend = backend or _default_backend()
    start, blindings = commit_start(backend, parts[0], inputs, targets, first, seed=seed)
    start = dataclasses.replace(start, nonce=nonce)
    segments = tuple(train_segments(backend, start, parts, first, inputs, targets, blindings, on_step))
    notes = flattened_note(flattened(dataset.features, inputs), draft.widths[0]), coarse_note(draft, rates)
    note = "; ".join(filter(None, notes)) or None
    return Run(segments, inputs, targets, scaling, dataset.source, label, header, note)


def prove(run: Run, progress: Callable[[str], None] | None = None, backend: Backend | None = None) -> Proof:
    """Proves every segment of a run in zero knowledge, verifies each proof, and spends one opening of each commitment.

    `progress` is told the name of each stage. Errors: BudgetExhausted, before any work.
    """
    backend = backend or _default_backend()
    made: list[tuple[bytes, bytes]] = []
    with run.openings.proving(run.statements) as spend:
        for segment in run.segments:
            s = segment.statement
            trace = run.trace(segment, backend.integers)
            job = assemble(backend, s, run.inputs, run.targets, trace, segment.blindings, LEAST_SECURITY)
            made.append((s.to_bytes(), make_proof(job, backend, progress=progress)))
            spend(s)
        backend.release()
        try:
            return Proof(tuple(made), _judge(made))
        except VerifierError as error:
            raise ProverError(f"the proof does not pass its own verification: {error}") from error


def _check_options(target: str, loss: str, activation: str, security_bits: int) -> None:
    choices = (("target", target, TARGETS), ("loss", loss, LOSSES), ("activation", activation, ACTIVATIONS))
    for name, value, allowed in choices:
        if value not in allowed:
            raise InputInvalid(f"{name} {value!r}: {', '.join(allowed)}")
    if security_bits not in (128, 100):
        raise InputInvalid(f"security_bits = {security_bits}: 128 or 100")


def _check_first(seed: bytes | None, initial: Path | str | None, nonce: bytes) -> None:
    if len(nonce) != 32 or (seed is not None and len(seed) != 32):
        raise InputInvalid("nonce and seed have 32 bytes")
    if seed is not None and initial is not None:
        raise InputInvalid("first weights come from a seed or from a file, not from both")


def _rates(lr: float | Sequence[float], steps: int, schedule: str, warmup: int) -> float | Sequence[float]:
    if isinstance(lr, int | float):
        return scheduled(lr, steps, schedule, warmup)
    if schedule != "constant" or warmup:
        raise InputInvalid("a rate for each step is a schedule by itself: leave out schedule and warmup")
    return lr


def _first_state(draft: Parameters, seed: bytes | None, initial: Path | str | None) -> State:
    if seed is not None:
        return public_state(draft, seed)
    return initial_state(draft.widths, draft.state_bits) if initial is None else load_state(Path(initial), draft)


def _judge(made: Sequence[tuple[bytes, bytes]]) -> Verdict | ChainVerdict:
    if len(made) > 1:
        return verify_chain(made, minimum_security=LEAST_SECURITY)
    return verify(*made[0], minimum_security=LEAST_SECURITY)


def train_segments(
    backend: Backend,
    start: Statement,
    parts: Sequence[Parameters],
    initial: State,
    inputs: Integers,
    targets: Integers,
    blindings: Mapping[str, Blinding],
    on_step: Progress | None = None,
) -> Iterator[Segment]:
    """Trains the segments of a committed run one by one. `start` is the first one's statement, with its nonce.

    Each state between two segments is committed once: it ends the one and starts the other, with one opening.
    """
    state, statement, secrets = initial, start, dict(blindings)
    for part in parts:
        statement = dataclasses.replace(statement, parameters=part, final_root=ZERO_ROOT)
        before = part.first_step - parts[0].first_step
        count = None if on_step is None else _counting(on_step, before)
        final, _ = train_on(part, state, inputs, targets, statement.batches(), count, backend.integers)
        statement, blinding = commit_final(backend, statement, final)
        yield Segment(statement, state, final, secrets | {"final": blinding})
        state, secrets = final, {"data": blindings["data"], "initial": blinding}
        statement = dataclasses.replace(statement, initial_root=statement.final_root)


def _counting(on_step: Progress, before: int) -> Progress:
    return lambda done: on_step(before + done)


def quality(state: State, p: Parameters, inputs: Integers, targets: Integers, target_scale: float) -> dict[str, float]:
    """How well the integer model does: accuracy for classes, mean squared error in the data's units for values."""
    if p.target == "one-hot":
        hits = predict(state, p, inputs) == targets.argmax(axis=1)
        return {"accuracy": float(hits.mean())}
    error = outputs(state, p, inputs) / 2.0**p.activation_bits - targets / 2.0**p.target_bits
    return {"mean_squared_error": float((error**2).mean() * target_scale**2)}


def _dataset(data: Any, labels: Any, draft: Parameters, label: str | None, header: bool | None) -> Dataset:
    if isinstance(data, str | Path):
        if labels is not None:
            raise InputInvalid("a data file has its labels in it: name their column with label=")
        found = load_data(Path(data), draft.target, label, draft.widths[-1], header)
    elif labels is None:
        raise InputInvalid("features without labels: train(features, labels, ...), or the path of a file with both")
    else:
        found = dataset_of(data, labels, draft.target, draft.widths[-1])
    width = found.features.shape[1]
    if width != draft.widths[0]:
        raise InputInvalid(f"{found.source} has {width} features, the first of layers is {draft.widths[0]}")
    return found


def _check_limits(draft: Parameters, samples: int) -> None:
    """Refuses numbers beyond the statement's format, before any work."""
    try:
        parse_statement(Statement(draft, samples, ZERO_ROOT, ZERO_ROOT, ZERO_ROOT, ZERO_ROOT, ZERO_ROOT).to_bytes())
    except MalformedStatement as error:
        raise InputInvalid(str(error)) from None


def _default_backend() -> Backend:
    """The CPU backend. Imported late: its kernels take a moment to load, and plans need none."""
    from .backends.cpu import BACKEND

    return BACKEND
