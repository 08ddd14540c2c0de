"""First states from a public seed: nothing is committed, and no other state passes for the seed's."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from prover import check, session
from prover.backends import cpu
from prover.proving import prove
from prover.randomness import SeededRandomness
from prover.trainer import State, public_state, train
from prover.witness import build_witness, derived_integers
from verifier import MalformedStatement, ParametersUnsafe, RejectedProof, verify
from verifier.initial import bound, public_weights
from verifier.proof import HEADER_BYTES, encode_proof
from verifier.statement import Parameters, Statement
from verifier.training import check_bounds

TINY = Parameters(
    widths=(5, 7, 3), activation="relu", loss="mse", optimizer="sgd", target="one-hot", batch=3, steps=2, first_step=0,
    rate_bits=4, activation_bits=3, gradient_bits=4, target_bits=0, input_width=6, target_width=1, activation_width=6,
    output_width=6, backward_width=6, error_width=6, weight_width=17, table_bits=6, row_bits=4, blowup_bits=4,
    data_openings=1, state_openings=1, security_bits=6, zero_knowledge=True, initial="public-seed",
)  # fmt: skip
SEED = bytes(range(32))


def run(state: State, seed: bytes = SEED) -> tuple[Statement, bytes, Any]:
    """A run that starts from `state` and claims the seed's; the prover answers as if the claim were true."""
    numbers = np.random.default_rng(0)
    inputs = numbers.integers(0, 8, (10, 5)).astype(np.int64)
    targets = np.eye(3, dtype=np.int64)[numbers.integers(0, 3, 10)]
    randomness = SeededRandomness(b"public seed")
    draft, blindings = session.commit_start(cpu.BACKEND, TINY, inputs, targets, state, randomness, seed=seed)
    trace = train(TINY, state, inputs, targets, draft.batches())
    statement, final = session.commit_final(cpu.BACKEND, draft, trace.final, randomness)
    job = session.assemble(cpu.BACKEND, statement, inputs, targets, trace, {**blindings, "final": final}, 1)
    integers = session.run_integers(job.relation, inputs, targets, trace)
    witness = build_witness(cpu.BACKEND, job.relation, integers, derived_integers(trace, job.relation), seed=seed)
    for name, values in (("W0", state.weights[0]), ("W1", state.weights[1])):
        whole = np.zeros((8, 8 if name == "W0" else 4), dtype=np.int64)
        whole[: values.shape[0], : values.shape[1]] = values
        witness.states[name] = np.where(whole < 0, whole - (2**32 - 1), whole).astype(np.uint64).reshape(-1)
    proof = prove(dataclasses.replace(job, witness=witness), cpu.BACKEND, randomness, strict=False)
    return statement, proof, (inputs, targets, trace, job)


def test_honest_run_is_accepted_and_hides_no_first_state() -> None:
    statement, proof, (inputs, targets, trace, job) = run(public_state(TINY, SEED))
    assert verify(statement.to_bytes(), proof, minimum_security=1).statement == statement
    assert not job.relation.group("initial")
    check.check_run(statement, job.relation, inputs, targets, trace)


@pytest.mark.parametrize("layer", [0, 1])
def test_another_first_state_is_refused(layer: int) -> None:
    honest = public_state(TINY, SEED)
    weights = [matrix.copy() for matrix in honest.weights]
    weights[layer][0, 0] += 1
    statement, proof, _ = run(State(tuple(weights), honest.biases))
    with pytest.raises(RejectedProof):
        verify(statement.to_bytes(), proof, minimum_security=1)


def test_another_seed_is_refused() -> None:
    statement, proof, _ = run(public_state(TINY, SEED))
    other = dataclasses.replace(statement, initial_root=bytes(32), origin_root=bytes(32))
    with pytest.raises(RejectedProof):
        verify(other.to_bytes(), encode_proof(other.digest(), proof[HEADER_BYTES:]), minimum_security=1)


def test_a_later_segment_has_no_public_seed() -> None:
    later = dataclasses.replace(TINY, first_step=2)
    with pytest.raises(MalformedStatement, match="step 0"):
        verify(Statement(later, 10, SEED, SEED, SEED, SEED, SEED).to_bytes(), b"", minimum_security=1)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ParametersUnsafe, match="first weights of layer 0"):
        check_bounds(dataclasses.replace(TINY, weight_width=11))


def test_public_weights_are_pinned_and_within_their_bound() -> None:
    first = public_weights(TINY, SEED)
    assert [len(matrix) for matrix in first] == [5, 7] and [len(matrix[0]) for matrix in first] == [7, 3]
    assert all(abs(w) <= bound(TINY, layer) for layer, matrix in enumerate(first) for line in matrix for w in line)
    assert bound(TINY, 0) == 2243 and bound(TINY, 1) == 1340
    assert first[0][0] == PINNED


PINNED = (-138, 1561, 2090, -1747, -404, 2015, 1315)
