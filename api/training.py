"""A run from data to statement: read, scale, choose parameters, commit, train, commit again. Used by three
verbs."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prover.backends.interface import Backend
from prover.choose import (
    choose_parameters,
    draft_parameters,
    initial_state,
)
from prover.commitment import Blinding
from prover.errors import InputInvalid
from prover.exact import Integers, on_host
from prover.files import write_atomic
from prover.model_io import Dataset, load_data, load_state, save_weights
from prover.plan import least_segments, plan_segments
from prover.rates import coarse_note, scheduled
from prover.run import Segment, train_segments
from prover.scaling import Scaling, choose_scaling, divisor, flattened, flattened_note
from prover.session import commit_final, commit_start
from prover.trainer import State, public_state, train
from verifier.statement import Parameters, Statement

from . import chains, runs
from .backend import memory_for_proofs
from .console import Stages, UsageError, say
from .manifest import Entry

TABLE_BITS, BLOWUP_BITS = 16, 2


@dataclass(frozen=True)
class Options:
    """What a user asks of a run; see `zkgrad train --help` for each."""

    data: Path
    layers: str
    batch: int
    steps: int
    rates: str
    loss: str | None = None
    target: str = "one-hot"
    label: str | None = None
    header: bool | None = None
    scale: str = "auto"
    target_scale: str = "auto"
    initial: Path | None = None
    activation_bits: int = 8
    gradient_bits: int = 12
    security: int = 128
    data_openings: int | None = None
    state_openings: int = 4
    segment_steps: int | None = None
    transparent: bool = False
    text: bytes | None = None
    activation: str = "relu"
    bias: bool = True
    seed: bytes | None = None
    schedule: str = "constant"
    warmup: int = 0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Committed:
    """A run whose data and initial state are committed, still in memory. `statement` is its first segment's."""

    statement: Statement
    parts: tuple[Parameters, ...]
    settings: runs.Settings
    inputs: Integers
    targets: Integers
    initial: State
    blindings: dict[str, Blinding]


@dataclass(frozen=True)
class Trained:
    """A trained run: its segments' statements in order, the committed data, its first and its last state."""

    statements: tuple[Statement, ...]
    inputs: Integers
    targets: Integers
    initial: State
    final: State


def parse_layers(text: str) -> tuple[int, ...]:
    """64-128-10 -> (64, 128, 10)."""
    try:
        widths = tuple(int(part) for part in text.split("-"))
    except ValueError:
        widths = ()
    if len(widths) < 2 or min(widths) < 1:
        raise UsageError(f"--layers {text!r}: give at least two positive widths, as 64-128-64-10")
    return widths


def parse_rates(text: str, steps: int, schedule: str = "constant", warmup: int = 0) -> float | list[float]:
    """0.1 by a schedule (`prover.rates`), or pieces of one: 0.125x100,0.0625x50 (rate x steps)."""
    try:
        if "x" not in text:
            return scheduled(float(text), steps, schedule, warmup)
        if schedule != "constant" or warmup:
            raise UsageError(f"--lr {text!r} is a schedule by itself: leave out --schedule and --warmup")
        pieces = [piece.split("x") for piece in text.split(",")]
        rates = [float(rate) for rate, count in pieces for _ in range(int(count))]
    except ValueError:
        raise UsageError(f"--lr {text!r}: give a number, or pieces of a schedule as 0.125x100,0.0625x50") from None
    if len(rates) != steps:
        raise UsageError(f"--lr {text!r} covers {len(rates)} steps, --steps says {steps}")
    return rates


def parse_seed(text: str) -> bytes:
    """seed:HEX (64 digits), or seed alone for a fresh one: the public seed of the first weights."""
    digits = text.partition(":")[2]
    try:
        seed = bytes.fromhex(digits) if digits else secrets.token_bytes(32)
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise UsageError(f"--init {text!r}: give seed, or seed: and 64 hexadecimal digits")
    return seed


def parse_nonce(text: str | None) -> bytes:
    """64 hexadecimal digits from the auditor; none is 32 zero bytes."""
    if text is None:
        return bytes(32)
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if len(nonce) != 32:
        raise UsageError("--nonce must be 64 hexadecimal digits, drawn by the auditor after the commitments")
    return nonce


def _draft(options: Options, widths: tuple[int, ...]) -> Parameters:
    try:
        rates = parse_rates(options.rates, options.steps, options.schedule, options.warmup)
        draft = draft_parameters(
            widths=widths,
            batch=options.batch,
            steps=options.steps,
            rate=rates,
            loss=options.loss or ("ce" if options.target == "one-hot" else "mse"),
            target=options.target,
            table_bits=TABLE_BITS,
            row_bits=14,
            blowup_bits=BLOWUP_BITS,
            data_openings=options.data_openings or 1,  # chosen with the number of segments, in `_segments`
            state_openings=options.state_openings,
            security_bits=options.security,
            zero_knowledge=not options.transparent,
            activation_bits=options.activation_bits,
            gradient_bits=options.gradient_bits,
            activation=options.activation,
            bias=options.bias,
            momentum=options.momentum,
            nesterov=options.nesterov,
            weight_decay=options.weight_decay,
        )
    except InputInvalid as error:
        # Everything in a draft comes from options, so a fault in it is a fault of usage.
        raise UsageError(str(error)) from None
    note = coarse_note(draft, rates)
    if note is not None:
        say(f"note: {note} (--lr, --schedule)")
    return draft


def _read(options: Options, widths: tuple[int, ...], p: Parameters) -> tuple[runs.Settings, Integers, Integers]:
    data = load_data(options.data, options.target, options.label, widths[-1], options.header, options.text)
    if data.features.shape[1] != widths[0]:
        raise InputInvalid(
            f"{data.source} has {data.features.shape[1]} features, the first layer takes {widths[0]}: "
            f"use --layers {'-'.join(map(str, (data.features.shape[1], *widths[1:])))}"
        )
    settings = runs.Settings(data.source, options.label, options.header, _scaling(options, data))
    inputs, targets = settings.scaling.integers(data, p)
    note = flattened_note(flattened(data.features, inputs), widths[0])
    if note is not None:
        say(f"note: {note} (--scale standard, --activation-bits)")
    return settings, inputs, targets


def _scaling(options: Options, data: Dataset) -> Scaling:
    try:
        scaling = choose_scaling(options.scale, data.features)
        target = 1.0 if options.target == "one-hot" else divisor("target-scale", options.target_scale, data.values)
    except InputInvalid as error:
        raise UsageError(f"--{error}") from None
    return dataclasses.replace(scaling, target=target)


def begin(options: Options, backend: Backend, stages: Stages, device_memory: int | None = None) -> Committed:
    """Reads the data, picks parameters from a dry run, and commits data and initial state.

    `device_memory`: bytes that a proof may take of a GPU, when it is to be made there.
    """
    widths = parse_layers(options.layers)
    draft = _draft(options, widths)
    stages.stage("read data")
    settings, inputs, targets = _read(options, widths, draft)
    if options.seed is not None:
        draft = dataclasses.replace(draft, initial="public-seed")
        initial = public_state(draft, options.seed)
    elif options.initial is not None:
        initial = load_state(options.initial, draft)
    else:
        initial = initial_state(widths, draft.state_bits)
    least_segments(draft, len(inputs))  # refuses, before any work, a run that no verifier would draw the schedule of
    stages.stage("dry run")
    chosen, _ = choose_parameters(draft, initial, inputs, targets, stages.counter(draft.steps))
    stages.stage("plan")
    parts = _segments(options, chosen, len(inputs), device_memory)
    stages.stage("commit data and initial state")
    statement, blindings = commit_start(backend, parts[0], inputs, targets, initial, seed=options.seed)
    return Committed(statement, parts, settings, inputs, targets, initial, dict(blindings))


def _segments(
    options: Options, chosen: Parameters, samples: int, device_memory: int | None
) -> tuple[Parameters, ...]:
    try:
        return plan_segments(
            chosen,
            samples,
            memory=memory_for_proofs(),
            device_memory=device_memory,
            segment_steps=options.segment_steps,
            data_openings=options.data_openings,
        )
    except InputInvalid as error:
        raise UsageError(str(error)) from None


def write_committed(folder: Path, run: Committed, draft: bool) -> None:
    """Everything known before training. `draft` also leaves the statement without nonce, for the auditor."""
    runs.write_settings(folder, run.settings)
    runs.write_data(folder, run.inputs, run.targets)
    chains.make_places(folder, len(run.parts))
    runs.write_initial(chains.place(folder, 0, len(run.parts)), run.initial, run.statement.parameters.bias)
    runs.write_openings(folder, run.blindings)
    if draft:
        chains.write_drafts(folder, [dataclasses.replace(run.statement, parameters=part) for part in run.parts])


def read_committed(folder: Path) -> Committed:
    """A committed run that is not trained yet."""
    drafts = chains.read_drafts(folder)
    parts = tuple(draft.parameters for draft in drafts)
    inputs, targets = runs.read_data(folder)
    initial = runs.read_initial(chains.place(folder, 0, len(parts)), parts[0])
    openings = {name: b for name, b in runs.read_openings(folder).items() if name in ("data", "initial")}
    return Committed(drafts[0], parts, runs.read_settings(folder), inputs, targets, initial, openings)


def finish(folder: Path, committed: Committed, nonce: bytes, backend: Backend, stages: Stages) -> Trained:
    """Trains on the schedule that commitments and nonce fix, commits every segment's final state, completes the
    folder."""
    if len(committed.parts) > 1:
        return _finish_chain(folder, committed, nonce, backend, stages)
    statement = dataclasses.replace(committed.statement, nonce=nonce)
    p = statement.parameters
    stages.stage("train")
    count = stages.counter(p.steps)
    trace = train(
        p, committed.initial, committed.inputs, committed.targets, statement.batches(), count, backend.integers
    )
    stages.stage("commit final state")
    statement, blinding = commit_final(backend, statement, trace.final)
    trace = trace.moved(on_host)
    runs.write_openings(folder, committed.blindings | {"final": blinding})
    runs.write_trained(folder, statement, trace)
    return Trained((statement,), committed.inputs, committed.targets, trace.initial, trace.final)


def _finish_chain(folder: Path, committed: Committed, nonce: bytes, backend: Backend, stages: Stages) -> Trained:
    """Each state between two segments is committed once: it ends the one and starts the other, with one opening."""
    parts, state = committed.parts, committed.initial
    start = dataclasses.replace(committed.statement, nonce=nonce)
    stages.stage("train and commit states")
    count = stages.counter(sum(part.steps for part in parts))
    trained = train_segments(
        backend, start, parts, state, committed.inputs, committed.targets, committed.blindings, count
    )
    statements, final = write_chain(folder, trained, len(parts), committed.blindings)
    return Trained(statements, committed.inputs, committed.targets, committed.initial, final)


def write_chain(
    folder: Path, trained: Iterable[Segment], count: int, blindings: Mapping[str, Blinding]
) -> tuple[tuple[Statement, ...], State]:
    """Writes `count` segments, each as soon as it is trained, and what all share; their statements and the last state.

    `blindings` are those of the data and of the first state, if that is committed.
    """
    kept, statements, final = dict(blindings), [], None
    for number, segment in enumerate(trained):
        own = chains.place(folder, number, count)
        runs.write_initial(own, segment.initial, segment.statement.parameters.bias)
        write_atomic(own / runs.STATEMENT, segment.statement.to_bytes())
        kept[chains.state_group(number + 1)] = segment.blindings["final"]
        statements.append(segment.statement)
        final = segment.final
    assert final is not None
    runs.write_openings(folder, kept)
    save_weights(folder, final, statements[-1].parameters.state_bits, statements[-1].parameters.bias)
    chains.write_manifest(folder, [Entry(s.digest()) for s in statements])
    return tuple(statements), final
