"""What an owner grants to a service he has spent: ranges never overlap, with each other or with his own proofs."""

from __future__ import annotations

import json

import pytest

from api import chains, slots
from api.app import run as zkgrad
from prover.errors import BudgetExhausted
from verifier.statement import parse_statement

from .engine import trained


def grant(folder, attempts=1):
    claims = [segment.statement for segment in chains.read_segments(folder)]
    with slots.proving(folder) as ledger:
        return ledger.grant(claims, attempts)


def test_grants_follow_each_other_and_local_proofs_follow_them(run):
    statement = parse_statement((run / "statement.json").read_bytes())
    roots = {statement.data_root.hex(), statement.initial_root.hex(), statement.final_root.hex()}
    assert grant(run, 3) == dict.fromkeys(roots, (0, 3))
    assert grant(run) == dict.fromkeys(roots, (3, 1))
    assert zkgrad(["prove", str(run)]) == 0
    assert grant(run, 2) == dict.fromkeys(roots, (5, 2))
    assert set(json.loads((run / "slots.json").read_bytes()).values()) == {7}


def test_a_state_between_segments_is_granted_for_both(chain):
    first, second = (segment.statement for segment in chains.read_segments(chain))
    found = grant(chain, 2)
    assert found[first.data_root.hex()] == (0, 4)
    assert found[first.final_root.hex()] == (0, 4) and first.final_root == second.initial_root
    assert found[first.initial_root.hex()] == found[second.final_root.hex()] == (0, 2)


def test_a_grant_takes_what_is_left_and_nothing_from_an_empty_budget(tmp_path):
    folder = trained(tmp_path / "few", "--data-openings", "3", "--state-openings", "2")
    found = grant(folder, 5)
    assert sorted(found.values()) == [(0, 2), (0, 2), (0, 3)]
    before = (folder / "slots.json").read_bytes()
    with pytest.raises(BudgetExhausted):
        grant(folder)
    assert (folder / "slots.json").read_bytes() == before
    assert zkgrad(["prove", str(folder)]) == 4
