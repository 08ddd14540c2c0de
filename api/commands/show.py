"""`show`: the claim of a statement in sentences, and what it does not say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from prover.files import read_input
from verifier.statement import Statement, parse_statement

from .. import chains
from ..console import Json, answer
from .train import rates_text

ACTIVATION_NAMES = {"relu": "ReLU", "leaky-relu": "leaky ReLU (slope 1/8)", "silu": "SiLU (a public table)"}


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("show")(show)


def show(
    path: Annotated[Path, typer.Argument(help="A statement file or a run folder.")],
    as_json: Json = False,
) -> None:
    """Say in sentences what a statement claims, and what is not proven."""
    segments = chains.read_segments(path) if path.is_dir() else ()
    statements = [segment.statement for segment in segments] or [parse_statement(read_input(path))]
    claimed, unproven = sentences(chains.whole(statements), len(statements))
    last = statements[-1]
    result: dict[str, Any] = {
        "statement_digest": f"sha256:{last.digest().hex()}",
        "params_digest": f"sha256:{last.parameters.digest().hex()}",
        "claim": claimed,
        "not_proven": unproven,
    }
    many = len(statements) > 1
    valid = f"all {len(statements)} valid proofs, linked, show" if many else "a valid proof of it shows"
    lines = [
        f"The statement{'s claim' if many else ' claims'}, and {valid}:",
        *(f"  • {line}" for line in claimed),
    ]
    lines += ["It does not show:", *(f"  • {line}" for line in unproven)]
    if many:
        result["segments"] = [
            {
                "steps": s.parameters.steps,
                "statement_digest": f"sha256:{s.digest().hex()}",
                "proven": segment.proof_path.exists(),
            }
            for s, segment in zip(statements, segments, strict=True)
        ]
        lines += [
            f"segment {number}: {s.parameters.steps} steps, {rates_text(s.parameters)}, "
            f"statement sha256:{s.digest().hex()}"
            for number, s in enumerate(statements)
        ]
    else:
        lines += [f"statement   {result['statement_digest']}", f"parameters  {result['params_digest']}"]
    missing = [segment.number for segment in segments if not segment.proof_path.exists()]
    if missing:
        which = f" for segment{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))}" if many else ""
        lines.append(f"There is no proof{which} in this folder yet.")
    answer(result, lines, as_json)


def sentences(s: Statement, segments: int = 1) -> tuple[list[str], list[str]]:
    """What a valid proof of the statement (or one for each of its segments) shows, and what it leaves open."""
    p = s.parameters
    if p.task == "accuracy":
        return _accuracy_sentences(s)
    loss = "mean squared error" if p.loss == "mse" else "softmax cross entropy"
    network = " → ".join(map(str, p.widths)) + ("" if p.bias else " without biases")
    last = p.first_step + p.steps
    targets = "class labels (one-hot, checked)" if p.target == "one-hot" else "real-valued targets"
    start = "a committed initial state" if p.initial == "committed" else "the initial state of a public seed"
    claimed = [
        f"A network with layers {network}, {ACTIVATION_NAMES[p.activation]} between them, was trained from {start} "
        f"({s.initial_root.hex()[:16]}…) to a committed final state ({s.final_root.hex()[:16]}…).",
        f"It took steps {p.first_step + 1} to {last} of stochastic gradient descent: {rates_text(p)}, "
        "batches of "
        f"{p.batch}, {loss} against {targets}.",
        "Every batch holds the samples that the public schedule picks from a committed set of "
        f"{s.samples} samples "
        f"({s.data_root.hex()[:16]}…): none left out, swapped or relabelled.",
        f"All arithmetic is on integers (activations 2^-{p.activation_bits}, gradients "
        f"2^-{p.gradient_bits}, weights "
        f"2^-{p.weight_bits}), every rounding proven, nothing wrapped around.",
        f"A false claim passes with a chance below 2^-{p.security_bits} (and as far as SHA-256 holds).",
    ]
    if segments > 1:
        claimed.append(
            f"This takes {segments} proofs, each for consecutive steps; each starts from the very state, known by its "
            "commitment, at which the one before ended."
        )
    claimed.append(
        "The proof reveals nothing about data, weights, activations or losses beyond this."
        if p.zero_knowledge
        else "WARNING: the statement is transparent. Its proof GIVES AWAY sums over data and weights."
    )
    unproven = [
        "that the data are good, lawful, or all the data there are;",
        "that the initial state was not already trained on something;"
        if p.initial == "committed"
        else "that the seed was not picked among several;",
        "anything about a floating-point run: these are the integers that were trained.",
    ]
    if p.first_step:
        unproven.append(f"how the state before step {p.first_step + 1} came about: that is another segment's proof.")
    if s.nonce == bytes(32):
        unproven.append("that the batch order was left to chance: no auditor's nonce; the prover may have chosen it.")
    return claimed, unproven


def _accuracy_sentences(s: Statement) -> tuple[list[str], list[str]]:
    p = s.parameters
    claimed = [
        f"The model ({' → '.join(map(str, p.widths))}) whose weights are committed to in {s.initial_root.hex()[:16]}… "
        f"classifies {s.correct} of {s.samples} committed samples ({s.data_root.hex()[:16]}…) correctly.",
        f"A false claim passes with a chance below 2^-{p.security_bits} (and as far as SHA-256 holds).",
        "The proof reveals nothing else about model or samples."
        if p.zero_knowledge
        else "WARNING: the statement is transparent. Its proof GIVES AWAY sums over samples and weights.",
    ]
    unproven = [
        "that the labels are right, or that the samples say anything about others;",
        "that the model was not trained on these samples;",
        "how the model came about: that is the proof of the run that ends with this commitment;",
        "which class wins a tie: a sample whose top outputs tie counts as correct if one of them is its label.",
    ]
    return claimed, unproven
