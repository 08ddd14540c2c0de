"""`train` and `commit`: from data to a run folder."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from prover.run import quality
from verifier.parameters import BILLION
from verifier.statement import ACTIVATIONS, Parameters, Statement

from .. import chains, runs, training
from ..backend import Choice, choose_backend
from ..console import Json, Stages, UsageError, answer, seconds, stages
from ..manifest import MANIFEST
from ..training import Options, Trained

Data = Annotated[Path | None, typer.Option("--data", help=".csv, .csv.gz, .npy, .npz, .safetensors; - reads CSV.")]
Layers = Annotated[str | None, typer.Option(help="Widths from input to output, as 64-128-64-10.")]
Loss = Annotated[
    str | None,
    typer.Option(help="ce: softmax cross entropy (default for classes); mse: half the sum of squares (for values)."),
]
Activation = Annotated[str, typer.Option(help="Between layers: relu, leaky-relu (slope 1/8) or silu.")]
Bias = Annotated[bool, typer.Option("--bias/--no-bias", help="Whether layers have biases.")]
Batch = Annotated[int, typer.Option(help="Samples a step.")]
Steps = Annotated[int, typer.Option(help="Steps. More than fit in one proof are proven in segments.")]
SegmentSteps = Annotated[
    int | None, typer.Option(help="At most so many steps a segment. Default: as many as bounds and memory allow.")
]
Rate = Annotated[
    str, typer.Option("--lr", help="Rate, rounded to k batch / 2^e; or pieces of a schedule: 0.1x100,0.05x50.")
]
Schedule = Annotated[
    str, typer.Option(help="How the rate changes: constant, cosine, cosine:END or step:EVERY:FACTOR.")
]
Warmup = Annotated[int, typer.Option(help="Steps that lead up to the first rate linearly.")]
Momentum = Annotated[float, typer.Option(help="Momentum, as in torch.optim.SGD.")]
Nesterov = Annotated[bool, typer.Option("--nesterov", help="Nesterov's momentum.")]
Decay = Annotated[float, typer.Option("--weight-decay", help="Weight decay, as in torch.optim.SGD.")]
Target = Annotated[str, typer.Option(help="one-hot: class numbers; values: real targets.")]
Label = Annotated[str | None, typer.Option(help="Label column by name or number from 0. Default: the last.")]
Header = Annotated[bool | None, typer.Option("--header/--no-header", help="Whether a CSV starts with names.")]
Scale = Annotated[
    str,
    typer.Option(
        help="Features are divided by this number; auto: by the largest of all; standard: each column is brought to "
        "mean 0 and standard deviation 1."
    ),
]
TargetScale = Annotated[str, typer.Option(help="Real targets are divided by this; auto: by the largest.")]
Init = Annotated[
    str | None,
    typer.Option("--init", help="Initial weights: a safetensors file; seed or seed:HEX: public ones. Default: secret."),
]
ABits = Annotated[int, typer.Option("--activation-bits", help="Binary digits after the point of activations.")]
GBits = Annotated[int, typer.Option("--gradient-bits", help="The same of gradients.")]
Security = Annotated[int, typer.Option(help="Provable bits of security: 128 or 100.")]
DataOpenings = Annotated[
    int | None, typer.Option(help="How many proofs the data commitment can serve. Default: one a segment and 3 more.")
]
StateOpenings = Annotated[int, typer.Option(help="The same for each state; one between two segments serves both.")]
Transparent = Annotated[bool, typer.Option("--transparent", help="Debugging: the proof gives secrets away.")]
Out = Annotated[Path | None, typer.Option("--out", help="The run folder to make.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace an earlier run folder.")]
Nonce = Annotated[str | None, typer.Option(help="64 hex digits that the auditor drew after the commitments.")]
FromCommitted = Annotated[Path | None, typer.Option("--committed", help="A folder made by `commit`, to train now.")]


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    app.command("train")(train)
    app.command("commit")(commit)


def _options(
    data: Data = None,
    layers: Layers = None,
    loss: Loss = None,
    activation: Activation = "relu",
    bias: Bias = True,
    batch: Batch = 64,
    steps: Steps = 32,
    lr: Rate = "0.0625",
    schedule: Schedule = "constant",
    warmup: Warmup = 0,
    momentum: Momentum = 0.0,
    nesterov: Nesterov = False,
    weight_decay: Decay = 0.0,
    target: Target = "one-hot",
    label: Label = None,
    header: Header = None,
    scale: Scale = "auto",
    target_scale: TargetScale = "auto",
    init: Init = None,
    activation_bits: ABits = 8,
    gradient_bits: GBits = 12,
    security: Security = 128,
    segment_steps: SegmentSteps = None,
    data_openings: DataOpenings = None,
    state_openings: StateOpenings = 4,
    transparent: Transparent = False,
) -> Options:
    """What these options ask for; UsageError for what cannot be."""
    given: dict[str, Any] = dict(locals())
    if data is None or layers is None:
        raise UsageError("--data and --layers are needed")
    if loss not in (None, "mse", "ce"):
        raise UsageError(f"--loss {loss!r}: mse or ce")
    if activation not in ACTIVATIONS:
        raise UsageError(f"--activation {activation!r}: {', '.join(ACTIVATIONS)}")
    if target not in ("one-hot", "values"):
        raise UsageError(f"--target {target!r}: one-hot or values")
    if security not in (100, 128):
        raise UsageError(f"--security {security}: 128 or 100 bits")
    for name, high in (("data_openings", 1 << 10), ("state_openings", 1 << 10), ("activation_bits", 16)):
        if given[name] is not None and not 1 <= given[name] <= high:
            raise UsageError(f"--{name.replace('_', '-')} {given[name]}: from 1 to {high}")
    text = sys.stdin.buffer.read() if str(data) == "-" else None
    seed = training.parse_seed(init) if init is not None and init.partition(":")[0] == "seed" else None
    initial = Path(init) if init is not None and seed is None else None
    del given["init"]
    return Options(**given | {"rates": given.pop("lr")}, text=text, initial=initial, seed=seed)


def _asking(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with all options of `_options` besides its own: it gets them by name as its first argument, `asked`."""
    shared = inspect.signature(_options, eval_str=True).parameters
    _, *own = inspect.signature(verb, eval_str=True).parameters.values()

    @functools.wraps(verb)
    def command(**given: Any) -> None:
        verb({name: given.pop(name, parameter.default) for name, parameter in shared.items()}, **given)

    parameters = [*shared.values(), *own]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _folder(out: Path | None) -> Path:
    if out is None:
        raise UsageError("--out is needed: the run folder to make")
    return out


@_asking
def train(
    asked: dict[str, Any],
    out: Out = None,
    replace: Replace = False,
    nonce: Nonce = None,
    committed: FromCommitted = None,
    backend: Choice = "auto",
    as_json: Json = False,
) -> None:
    """Train in exact integers and write a run folder: statement, trace, weights, openings."""
    drawn = training.parse_nonce(nonce)
    if committed is not None:
        if asked["data"] is not None or asked["layers"] is not None or out is not None:
            raise UsageError("--committed goes without --data, --layers and --out: the folder has them")
        chosen = choose_backend(backend)
        with stages() as shown:
            run = training.finish(committed, training.read_committed(committed), drawn, chosen.backend, shown)
        chains.remove_drafts(committed)
        report(committed, run, runs.read_settings(committed), shown, as_json)
        return
    options = _options(**asked)
    target_folder, chosen = _folder(out), choose_backend(backend)
    with stages() as shown, runs.new_folder(target_folder, replace) as folder:
        start = training.begin(options, chosen.backend, shown, chosen.memory)
        training.write_committed(folder, start, draft=False)
        run = training.finish(folder, start, drawn, chosen.backend, shown)
    report(target_folder, run, start.settings, shown, as_json)


@_asking
def commit(
    asked: dict[str, Any],
    out: Out = None,
    replace: Replace = False,
    backend: Choice = "auto",
    as_json: Json = False,
) -> None:
    """Commit data and initial weights before training, so that an auditor can draw the batch order."""
    options = _options(**asked)
    target_folder, chosen = _folder(out), choose_backend(backend)
    with stages() as shown, runs.new_folder(target_folder, replace) as folder:
        start = training.begin(options, chosen.backend, shown, chosen.memory)
        training.write_committed(folder, start, draft=True)
    s = start.statement
    result = {
        "folder": str(target_folder),
        "data_root": f"sha256:{s.data_root.hex()}",
        "initial_root": f"sha256:{s.initial_root.hex()}",
        "params_digest": f"sha256:{s.parameters.digest().hex()}",
        "samples": s.samples,
        "segments": [part.steps for part in start.parts],
        "seconds": shown.seconds,
    }
    lines = [
        f"committed to {s.samples} samples and the initial weights, in {target_folder}",
        f"  data           {result['data_root']}",
        f"  initial state  {result['initial_root']}",
        f"  parameters     {result['params_digest']}",
        "Give these to the auditor, get a nonce of 64 hex digits back, then:",
        f"  zkgrad train --committed {target_folder} --nonce <nonce>",
    ]
    answer(result, lines, as_json)


def rates_text(p: Parameters) -> str:
    """The learning rate, or the span of a schedule, with momentum and decay."""
    low, high = (p.batch * k / 2.0**p.rate_bits for k in (min(p.rates), max(p.rates)))
    text = f"lr {low:g}" if low == high else f"lr {low:g} to {high:g} by a public schedule"
    if p.momentum:
        text += f", {'Nesterov ' if p.nesterov else ''}momentum {p.momentum / BILLION:g}"
    return text + (f", weight decay {p.weight_decay / BILLION:g}" if p.weight_decay else "")


def summary(statement: Statement) -> str:
    """Architecture and schedule in a line."""
    p = statement.parameters
    network = "-".join(map(str, p.widths))
    return f"{network}, {p.steps} steps of batch {p.batch}, {rates_text(p)}, {statement.samples} samples"


def cut_text(statements: Sequence[Statement]) -> str:
    """The segments of a run in words: 4 of 250 steps, or 3 of 334 and 333 steps."""
    lengths = dict.fromkeys(str(s.parameters.steps) for s in statements)
    return f"{len(statements)} of {' and '.join(lengths)} steps"


def report(folder: Path, run: Trained, settings: runs.Settings, shown: Stages, as_json: bool) -> None:
    """Tells what a training verb did."""
    s = chains.whole(run.statements)
    p, many = run.statements[0].parameters, len(run.statements) > 1
    before, after = (
        quality(state, p, run.inputs, run.targets, settings.scaling.target) for state in (run.initial, run.final)
    )
    (name,) = before
    shown_widths = ["input", "activation", "output", "backward", "error", "weight", *["velocity"][: p.momentum]]
    widths = {key: getattr(p, f"{key}_width") for key in shown_widths}
    result = {
        "folder": str(folder),
        "segments": [x.parameters.steps for x in run.statements],
        "statement_digest": f"sha256:{run.statements[-1].digest().hex()}",
        "params_digest": f"sha256:{p.digest().hex()}",
        "scaling": dataclasses.asdict(settings.scaling),
        "widths": widths,
        f"training_{name}": {"before": before[name], "after": after[name]},
        "seconds": shown.seconds,
    }
    public = f"{MANIFEST} and {len(run.statements)} statements" if many else "statement.json"
    lines = [
        f"trained {summary(s)}, in {seconds(shown.total())}",
        f"  {name.replace('_', ' ')} on the training data: {before[name]:.4g} before, {after[name]:.4g} after",
        f"  {settings.scaling.describe()}; bits proven: "
        + ", ".join(f"{key} {bits}" for key, bits in widths.items()),
        f"  segments: {cut_text(run.statements)}" if many else f"  parameters {result['params_digest']}",
        f"wrote {folder}: {public}, weights.safetensors, and secrets (mode 0600); next: zkgrad prove {folder}",
    ]
    answer(result, lines, as_json)
