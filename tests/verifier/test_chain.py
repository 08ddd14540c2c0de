"""verify_chain: a chain of small proofs is accepted as a whole; whatever is no consecutive segments of a run is not."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from prover.backends.cpu import BACKEND
from prover.choose import choose_parameters, draft_parameters, initial_state, one_hot
from prover.plan import plan_segments
from prover.proving import prove
from prover.session import assemble, commit_final, commit_start
from prover.trainer import train
from verifier import MalformedStatement, ParametersUnsafe, RejectedProof, StatementMismatch
from verifier.chain import check_links, verify_chain
from verifier.statement import Statement, parse_statement, replace

BITS, SEGMENTS = 20, 3


def make_chain(seed: int) -> list[tuple[bytes, bytes]]:
    """Three proven segments of a run of seven steps on a tiny network."""
    rng = np.random.default_rng(seed)
    inputs, targets = rng.integers(-16, 16, (11, 5)), one_hot(rng.integers(0, 3, 11), 3)
    draft = draft_parameters(
        widths=(5, 6, 3), batch=3, steps=7, rate=[0.75] * 2 + [0.375] * 5, target="one-hot", table_bits=8, row_bits=7,
        blowup_bits=2, data_openings=4, state_openings=2, security_bits=BITS, zero_knowledge=True, activation_bits=4,
        gradient_bits=4,
    )  # fmt: skip
    state = initial_state(draft.widths, draft.weight_bits, rng.bytes)
    chosen, _ = choose_parameters(draft, state, inputs, targets, seed=bytes(32))
    parts = plan_segments(chosen, len(inputs), segment_steps=3)
    statement, blindings = commit_start(BACKEND, parts[0], inputs, targets, state)
    files, opening = [], blindings["initial"]
    for part in parts:
        statement = replace(statement, parameters=part)
        trace = train(part, state, inputs, targets, statement.batches())
        statement, final = commit_final(BACKEND, statement, trace.final)
        secrets = {"data": blindings["data"], "initial": opening, "final": final}
        proof = prove(assemble(BACKEND, statement, inputs, targets, trace, secrets, BITS), BACKEND)
        files.append((statement.to_bytes(), proof))
        statement, state, opening = replace(statement, initial_root=statement.final_root), trace.final, final
    return files


@pytest.fixture(scope="module")
def chain() -> list[tuple[bytes, bytes]]:
    return make_chain(1)


@pytest.fixture(scope="module")
def other() -> list[tuple[bytes, bytes]]:
    return make_chain(2)


@pytest.fixture(scope="module")
def statements(chain) -> list[Statement]:
    return [parse_statement(statement) for statement, _ in chain]


def test_a_whole_chain_is_valid_and_its_errors_add_up(chain, statements):
    verdict = verify_chain(chain, minimum_security=BITS)
    assert verdict.steps == 7 and verdict.first == statements[0] and verdict.last == statements[-1]
    error = sum((segment.error for segment in verdict.segments), Fraction(0))
    assert error < Fraction(1, 1 << BITS) and 2.0**-verdict.security_bits == pytest.approx(float(error))
    assert verdict.security_bits < min(segment.security_bits for segment in verdict.segments) - 1


def test_segments_that_are_safe_one_by_one_may_be_too_weak_together(chain):
    each = BITS + 2  # what a segment of three promises
    with pytest.raises(ParametersUnsafe, match=f"errors of 3 segments add up to .* 2\\^-{each} is required"):
        verify_chain(chain, minimum_security=each)
    verify_chain(chain[:1], minimum_security=each)


def test_a_chain_may_be_any_run_of_its_first_segments(chain):
    assert verify_chain(chain[:2], minimum_security=BITS).steps == 5


def test_an_empty_chain_is_refused():
    with pytest.raises(StatementMismatch, match="at least one"):
        verify_chain([], minimum_security=BITS)


WRONG = [
    ((1, 2), "segment 0 .* first step 3, expected 0"), ((0, 2), "segment 1 .* first step 5, expected 3"),
    ((0, 2, 1), "segment 1 .* first step 5"), ((0, 1, 1), "segment 2 .* first step 3, expected 5"),
    ((0, 0, 1, 2), "segment 1 .* first step 0"), ((2, 1, 0), "segment 0 .* first step 5"),
]  # fmt: skip


@pytest.mark.parametrize("order, message", WRONG)
def test_missing_swapped_and_repeated_segments_are_refused(chain, order, message):
    with pytest.raises(StatementMismatch, match=message):
        verify_chain([chain[k] for k in order], minimum_security=BITS)


@pytest.mark.parametrize("place", range(SEGMENTS))
def test_a_foreign_segment_is_refused_wherever_it_stands(chain, other, place):
    mixed = [*chain[:place], other[place], *chain[place + 1 :]]
    with pytest.raises(StatementMismatch, match=f"segment {max(place, 1)} does not continue the run"):
        verify_chain(mixed, minimum_security=BITS)


def test_a_proof_of_another_segment_is_refused(chain):
    swapped = [chain[0], (chain[1][0], chain[2][1]), (chain[2][0], chain[1][1])]
    with pytest.raises(StatementMismatch):
        verify_chain(swapped, minimum_security=BITS)


def test_one_bad_proof_spoils_the_chain(chain):
    proof = bytearray(chain[1][1])
    proof[len(proof) // 2] ^= 1
    with pytest.raises(RejectedProof):
        verify_chain([chain[0], (chain[1][0], bytes(proof)), chain[2]], minimum_security=BITS)


LINKS = [
    ("initial_root", bytes(32), "initial state"), ("data_root", bytes(32), "data"), ("samples", 12, "number of"),
    ("nonce", b"x" * 32, "nonce"), ("origin_root", bytes(32), "origin"), ("first_step", 4, "first step"),
    ("widths", (5, 7, 3), "parameters"), ("batch", 4, "parameters"), ("rate_bits", 4, "parameters"),
    ("weight_width", 40, "parameters"), ("activation_width", 3, "parameters"), ("loss", "ce", "parameters"),
    ("data_openings", 9, "parameters"), ("state_openings", 9, "parameters"), ("security_bits", 100, "parameters"),
    ("zero_knowledge", False, "parameters"), ("row_bits", 17, "parameters"), ("blowup_bits", 3, "parameters"),
]  # fmt: skip


@pytest.mark.parametrize("name, value, what", LINKS, ids=[row[0] for row in LINKS])
@pytest.mark.parametrize("number", [1, 2])
def test_every_link_is_checked(statements, number, name, value, what):
    changed = list(statements)
    changed[number] = replace(changed[number], **{name: value})
    with pytest.raises(StatementMismatch, match=f"segment {number} does not continue the run: {what}"):
        check_links(changed)


def test_the_first_segment_must_start_from_its_own_origin(chain, statements):
    with pytest.raises(StatementMismatch, match=r"segment 0 .* origin"):
        check_links([dataclasses.replace(statements[0], origin_root=bytes(32)), *statements[1:]])
    text = dataclasses.replace(statements[0], origin_root=bytes(32)).to_bytes()
    with pytest.raises(MalformedStatement, match="own initial root"):
        verify_chain([(text, chain[0][1]), *chain[1:]], minimum_security=BITS)
