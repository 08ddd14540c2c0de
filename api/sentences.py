"""What the statements about a model that is there already say, in sentences, and what they leave open."""

from __future__ import annotations

from verifier.statement import Statement

ACTIVATION_NAMES = {"relu": "ReLU", "leaky-relu": "leaky ReLU (slope 1/8)", "silu": "SiLU (a public table)"}


def use_sentences(s: Statement) -> tuple[list[str], list[str]]:
    """What a valid proof of a statement of any task but training shows, and what it does not."""
    claimed, unproven = {"accuracy": _accuracy, "inference": _inference, "model": _opened}[s.parameters.task](s)
    claimed.append(
        f"A false claim passes with a chance below 2^-{s.parameters.security_bits} (and as far as SHA-256 holds)."
    )
    claimed.append(
        "The proof reveals nothing else about samples or model."
        if s.parameters.zero_knowledge
        else "WARNING: the statement is transparent. Its proof GIVES AWAY sums over samples and weights."
    )
    unproven.append("how the model came about: that is the proof of the run that ends with this commitment;")
    return claimed, unproven


def _model(s: Statement) -> str:
    p = s.parameters
    layers = " → ".join(map(str, p.widths)) + ("" if p.bias else " without biases")
    return (
        f"The model ({layers}, {ACTIVATION_NAMES[p.activation]}) that is committed to in {s.initial_root.hex()[:16]}…"
    )


def _accuracy(s: Statement) -> tuple[list[str], list[str]]:
    claimed = [
        f"{_model(s)} classifies {s.correct} of {s.samples} committed samples ({s.data_root.hex()[:16]}…) correctly."
    ]
    unproven = [
        "that the labels are right, or that the samples say anything about others;",
        "that the model was not trained on these samples;",
        "which class wins a tie: a sample whose top outputs tie counts as correct if one of them is its label;",
    ]
    return claimed, unproven


def _inference(s: Statement) -> tuple[list[str], list[str]]:
    found, a = s.inference, s.parameters.activation_bits
    assert found is not None
    public = found.inputs is not None
    samples = f"{s.samples} samples" if s.samples > 1 else "one sample"
    source = (
        f"{samples} whose inputs the statement lists (at scale 2^{a})"
        if public
        else f"the {samples} committed to in {s.data_root.hex()[:16]}…, in their order,"
    )
    gives = (
        f"exactly the outputs that the statement lists (integers at scale 2^{a})"
        if found.outputs is not None
        else "outputs of which the class that the statement lists has the largest, sample by sample"
    )
    claimed = [f"{_model(s)} gives, for {source} {gives}."]
    unproven = ["that the outputs are right, or that the samples are real;"]
    if not public:
        unproven.append(
            "which samples these are, unless you know that commitment: from a run's statement it is that run's data;"
        )
    if found.classes is not None:
        unproven.append("which class wins a tie: any of the classes whose outputs tie for the largest may be listed;")
    return claimed, unproven


def _opened(s: Statement) -> tuple[list[str], list[str]]:
    assert s.file is not None
    claimed = [
        f"The weights in the file with SHA-256 {s.file.hex()} are, integer by integer, those of the model committed to "
        f"in {s.initial_root.hex()[:16]}… ({' → '.join(map(str, s.parameters.widths))}).",
        "Only who has that file can check this; whoever has it learns nothing more from the proof.",
    ]
    return claimed, ["that another file, rounded from these integers, says the same as they do;"]
