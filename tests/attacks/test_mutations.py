"""Every item of a proof, every field of a statement, thousands of random mutations: all refused, with our errors."""

from __future__ import annotations

import dataclasses
import json
import random
from itertools import pairwise

import pytest

from tests.attacks.mutations import alter_leaf, leaves_of, mutate, swap
from tests.support import PRESET, SMALLEST, Forged, forge, preset, relation_of, verify_with
from tests.truth import is_true
from verifier import (
    MalformedProof,
    MalformedStatement,
    ParametersUnsafe,
    RejectedProof,
    StatementMismatch,
    VerifierError,
    verify,
)
from verifier.proof import HEADER_BYTES, encode_proof
from verifier.security import shape_of
from verifier.statement import Inference, Parameters, Statement, replace

PROOF_ERRORS = (MalformedProof, RejectedProof, StatementMismatch)


@pytest.fixture(scope="module")
def honest() -> Forged:
    return forge(PRESET)


@pytest.fixture(scope="module")
def smallest() -> Forged:
    return forge(SMALLEST)


def refused(forged: Forged, proof: bytes, what: object) -> str:
    """Asserts that a mutated proof is refused with one of the errors a proof can cause; returns its name."""
    try:
        verify_with(relation_of(forged.statement), forged.statement, proof)
    except PROOF_ERRORS as error:
        return type(error).__name__
    raise AssertionError(f"accepted: {what}")


def test_the_recorder_knows_every_label_and_the_longest_proof(honest: Forged) -> None:
    recorder = shape_of(honest.statement, honest.relation).recorder
    read = leaves_of(honest)
    assert {(leaf.label, leaf.kind) for leaf in read} == {(leaf.label, leaf.kind) for leaf in recorder.leaves}
    fixed = [leaf for leaf in recorder.leaves if leaf.kind in ("elements", "bytes")]
    assert [leaf for leaf in read if leaf.kind in ("elements", "bytes")] == [
        leaf._replace(start=leaf.start + HEADER_BYTES) for leaf in fixed]
    assert read[-1].start + read[-1].length == len(honest.proof) <= recorder.length + HEADER_BYTES


def test_every_item_altered(smallest: Forged) -> None:
    rng, altered = random.Random(1), set()
    for leaf in leaves_of(smallest):
        refused(smallest, alter_leaf(smallest.proof, leaf, rng), leaf)
        altered.add(leaf.label)
    assert altered == {leaf.label for leaf in shape_of(smallest.statement, smallest.relation).recorder.leaves}


def test_every_label_altered_in_a_larger_proof(honest: Forged) -> None:
    rng, leaves = random.Random(2), leaves_of(honest)
    for label in sorted({leaf.label for leaf in leaves}):
        named = [leaf for leaf in leaves if leaf.label == label]
        for leaf in (named[0], rng.choice(named), named[-1]):
            refused(honest, alter_leaf(honest.proof, leaf, rng), leaf)


def test_neighbours_of_one_length_swapped(smallest: Forged) -> None:
    seen = set()
    leaves = leaves_of(smallest)
    for first, second in pairwise(leaves):
        key = first.label, second.label
        if first.length == second.length and key not in seen:
            seen.add(key)
            refused(smallest, swap(smallest.proof, first.start, second.start, first.length), key)
    assert len(seen) > 15


@pytest.mark.parametrize("block", range(4))
def test_random_mutations(smallest: Forged, block: int) -> None:
    rng, leaves, errors = random.Random(block), leaves_of(smallest), set()
    for _ in range(500):
        what, proof = mutate(smallest.proof, leaves, rng)
        errors.add(refused(smallest, proof, (block, what)))
    assert errors >= {"MalformedProof", "RejectedProof"}


@pytest.mark.soak
@pytest.mark.parametrize("block", range(50))
def test_random_mutations_at_length(block: int) -> None:
    problems = (forge(SMALLEST if block % 5 else PRESET, seed=seed) for seed in range(block, 1000, 50))
    forged = next(filter(is_true, problems))  # on some data training leaves the small ranges
    rng, leaves = random.Random(1000 + block), leaves_of(forged)
    for _ in range(2000):
        what, proof = mutate(forged.proof, leaves, rng)
        refused(forged, proof, (block, what))


def test_truncated_at_every_kind_of_item_and_in_the_header(smallest: Forged) -> None:
    starts = {leaf.label: leaf.start for leaf in reversed(leaves_of(smallest))}
    lengths = [*range(HEADER_BYTES + 1), *starts.values(), len(smallest.proof) - 1]
    for length in lengths:
        assert refused(smallest, smallest.proof[:length], length) in ("MalformedProof", "RejectedProof")
    assert refused(smallest, smallest.proof + b"\0", "one byte more") == "MalformedProof"


def test_every_bit_of_the_header(smallest: Forged) -> None:
    for bit in range(8 * HEADER_BYTES):
        proof = bytearray(smallest.proof)
        proof[bit >> 3] ^= 1 << (bit & 7)
        wanted = "MalformedProof" if bit < 96 else "StatementMismatch"
        assert refused(smallest, bytes(proof), bit) == wanted


def test_a_body_beyond_the_longest_is_not_parsed(smallest: Forged) -> None:
    with pytest.raises(MalformedProof, match="at most"):
        verify(smallest.statement.to_bytes(), smallest.proof + bytes(1 << 20), minimum_security=1)


def test_swapped_with_another_proof_of_the_statement() -> None:
    one, other = (forge(SMALLEST, seed=seed) for seed in (0, 0))
    assert one.proof == other.proof  # the seed decides: only then is the statement the same
    again = forge(SMALLEST, seed=1)
    body = encode_proof(one.statement.digest(), again.proof[HEADER_BYTES:])
    with pytest.raises(RejectedProof):
        verify(one.statement.to_bytes(), body, minimum_security=1)
    with pytest.raises(StatementMismatch):
        verify(one.statement.to_bytes(), again.proof, minimum_security=1)


# Another value of every field of the parameters; choices with one value can only be misspelt.
OTHER_PARAMETERS: dict[str, object] = {
    "widths": (5, 8, 3), "activation": "silu", "loss": "hinge", "optimizer": "adam", "target": "values",
    "batch": 4, "steps": 1, "first_step": 1, "rate_bits": 5, "activation_bits": 4, "gradient_bits": 5, "target_bits": 1,
    "input_width": 5, "target_width": 2, "activation_width": 5, "output_width": 5, "backward_width": 5,
    "error_width": 5, "weight_width": 18, "table_bits": 7, "row_bits": 5, "blowup_bits": 5, "data_openings": 2,
    "state_openings": 2, "security_bits": 5, "zero_knowledge": False, "rates": (2,),
    "initial": "public-seed", "task": "accuracy", "bias": False,
    "momentum": 900_000_000, "nesterov": True, "weight_decay": 1_000_000, "kernel_bits": 4, "velocity_width": 8,
    "activation_norm_width": 12, "gradient_norm_width": 12, "activation_row_norm_width": 12,
    "gradient_row_norm_width": 12}
OTHER_STATEMENT: dict[str, object] = {
    "samples": 11, "data_root": bytes(32), "initial_root": bytes(32), "final_root": bytes(32),
    "origin_root": bytes(32), "nonce": b"\1" * 32, "correct": 3,
    "inference": Inference(classes=(0,) * 10), "file": bytes(32)}


def test_every_field_is_listed() -> None:
    assert set(OTHER_PARAMETERS) == {field.name for field in dataclasses.fields(Parameters)}
    assert {*OTHER_STATEMENT, "parameters"} == {field.name for field in dataclasses.fields(Statement)}


@pytest.mark.parametrize("field", [*OTHER_PARAMETERS, *OTHER_STATEMENT])
def test_every_field_of_the_statement(honest: Forged, field: str) -> None:
    changed = replace(honest.statement, **{field: (OTHER_PARAMETERS | OTHER_STATEMENT)[field]})
    assert changed != honest.statement
    own_header = encode_proof(changed.digest(), honest.proof[HEADER_BYTES:])
    for proof in (honest.proof, own_header):
        with pytest.raises(VerifierError):
            verify(changed.to_bytes(), proof, minimum_security=1, allow_transparent=True)


@pytest.mark.parametrize("field", ["samples", "first_step", "nonce", "data_root", "final_root", "steps", "rate_bits"])
def test_a_replayed_body_fails_by_itself(honest: Forged, field: str) -> None:
    """Where the changed statement is a good one and the lengths fit, the conversation itself fails."""
    changed = replace(honest.statement, **{field: (OTHER_PARAMETERS | OTHER_STATEMENT)[field]})
    with pytest.raises((RejectedProof, MalformedProof)):
        verify(changed.to_bytes(), encode_proof(changed.digest(), honest.proof[HEADER_BYTES:]), minimum_security=1)


def test_every_leaf_of_the_statement_document(honest: Forged) -> None:
    """Any value of the JSON text replaced by one of a wrong type or by nothing."""
    document = json.loads(honest.statement.to_bytes())
    places = [(key,) for key, value in document.items() if not isinstance(value, dict)]
    places += [(key, inner) for key, value in document.items() if isinstance(value, dict) for inner in value]
    for place in places:
        for wrong in (None, "x", -1, 1.5, [], {}, 10**30):
            altered = json.loads(honest.statement.to_bytes())
            inner = altered
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = wrong
            text = (json.dumps(altered, indent=1) + "\n").encode()
            with pytest.raises(MalformedStatement):
                verify(text, honest.proof, minimum_security=1)


def test_transparent_proofs_are_refused_unless_asked_for() -> None:
    forged = forge(preset(zero_knowledge=False))
    with pytest.raises(ParametersUnsafe, match="transparent"):
        verify(forged.statement.to_bytes(), forged.proof, minimum_security=1)
    verdict = verify(forged.statement.to_bytes(), forged.proof, minimum_security=1, allow_transparent=True)
    assert not verdict.zero_knowledge


@pytest.mark.parametrize("minimum", [128, 100, 7])
def test_less_security_than_asked_for(honest: Forged, minimum: int) -> None:
    with pytest.raises(ParametersUnsafe, match="6 bits"):
        verify(honest.statement.to_bytes(), honest.proof, minimum_security=minimum)


def test_the_default_is_128_bits(honest: Forged) -> None:
    with pytest.raises(ParametersUnsafe, match="128 are required"):
        verify(honest.statement.to_bytes(), honest.proof)


def test_expected_digests(honest: Forged) -> None:
    text, digest = honest.statement.to_bytes(), honest.statement.digest()
    keys = honest.statement.parameters.digest()
    verify(text, honest.proof, minimum_security=1, expect_statement=digest, expect_parameters=keys)
    with pytest.raises(StatementMismatch):
        verify(text, honest.proof, minimum_security=1, expect_statement=bytes(32))
    with pytest.raises(StatementMismatch):
        verify(text, honest.proof, minimum_security=1, expect_parameters=bytes(32))
