"""Provers that lie in one message, one row or one column: the conversation around an honest run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prover import commitment as committing
from prover import proving
from prover import zero_knowledge as closing
from prover.backends import cpu
from prover.dialogue import Draw, Pads, Say, Script
from tests.attacks.lies import plus
from tests.support import PRESET, SMALLEST, Forged, altering, forge, prove_again
from verifier import RejectedProof
from verifier.channel import PRODUCT
from verifier.commitment import PADS_PREFIX
from verifier.field import Ext, P

OPEN = dataclasses.replace(SMALLEST, zero_knowledge=False)


def messages(p: Any) -> list[tuple[str, int, int]]:
    """(label, place among its like, entries) of everything that the honest script says."""
    out: list[tuple[str, int, int]] = []

    def listen(script: Script[None]) -> Script[None]:
        answer = None
        while True:
            try:
                item = next(script) if answer is None else script.send(answer)
            except StopIteration:
                return
            if isinstance(item, Say):
                out.append((item.label, sum(label == item.label for label, *_ in out), len(item.values)))
            sent = yield item
            answer = sent if isinstance(item, Draw) else None
    forge(p, transform=listen)
    return out


def chosen(p: Any) -> list[tuple[str, int, int, int]]:
    """First, middle and last message of each label, first and last entry, plus one; minus one at the very first."""
    out = []
    said = messages(p)
    for label in dict.fromkeys(label for label, *_ in said):
        own = [(place, count) for name, place, count in said if name == label]
        for place, count in dict.fromkeys((own[0], own[len(own) // 2], own[-1])):
            for entry in sorted({0, count - 1}):
                out += [(label, place, entry, by) for by in ((1, -1) if entry == place == 0 else (1,))]
    return out


@pytest.mark.parametrize("p", [SMALLEST, OPEN], ids=["hidden", "open"])
def test_every_kind_of_message_off_by_one(p: Any) -> None:
    labels, honest = set(), forge(p)
    prove_again(honest).verify()
    for label, place, entry, by in chosen(p):
        labels.add(label)
        with pytest.raises(RejectedProof):
            prove_again(honest, altering(label, place, entry, by)).verify()
            raise AssertionError(f"accepted: {label} {place} {entry} {by}")
    stages = {"lookup total", "lookup round", "lookup end", "final state", "output", "bias", "einsum round",
              "einsum end", "initial state", "history round", "history end", "merge round", "merge end", "mask value",
              "combined row", "witness"}
    hidden = {"pads", "pads low degree", "pads linear", "pads product"}
    assert labels == stages | (hidden if p is SMALLEST else set())


@pytest.mark.parametrize(("label", "place", "caught"), [
    ("lookup total", 0, "a layer of the lookup tree"), ("lookup round", 0, "a layer of the lookup tree"),
    ("lookup end", 0, "a layer of the lookup tree"), ("output", 0, "the einsum sumcheck"),
    ("bias", 0, "the einsum sumcheck"), ("einsum round", 0, "the einsum sumcheck"),
    ("einsum end", 0, "the einsum sumcheck"), ("initial state", 0, "the history sumcheck"),
    ("final state", 0, "the history sumcheck"), ("history round", 0, "the history sumcheck"),
    ("history end", 0, "the history sumcheck"), ("merge round", 0, "the final merge"),
    ("merge end", 0, "the final merge"), ("mask value", 0, "the opening"), ("combined row", 0, "the opening")])
def test_which_equation_sees_it(label: str, place: int, caught: str) -> None:
    with pytest.raises(RejectedProof, match=caught):
        forge(OPEN, transform=altering(label, place)).verify()


@pytest.mark.parametrize(("label", "entry", "caught"), [
    ("pads low degree", 3, "the low-degree test"), ("pads linear", 3, "the linear test"),
    ("pads linear", 0, "the equations on hidden scalars"), ("pads product", 3, "the product test")])
def test_which_test_of_the_pads_sees_it(label: str, entry: int, caught: str) -> None:
    with pytest.raises(RejectedProof, match=caught):
        forge(SMALLEST, transform=altering(label, 0, entry)).verify()


def by_message(label: str, change: Callable[[list[Ext]], None]) -> Callable[[Script[None]], Script[None]]:
    """A transform that edits every message of a label."""
    def transform(script: Script[None]) -> Script[None]:
        answer = None
        while True:
            try:
                item = next(script) if answer is None else script.send(answer)
            except StopIteration:
                return
            if isinstance(item, Say) and item.label == label:
                values = list(item.values)
                change(values)  # type: ignore[arg-type]
                item = Say(label, values)  # type: ignore[arg-type]
            sent = yield item
            answer = sent if isinstance(item, Draw) else None
    return transform


def _vanishing(row: list[Ext]) -> None:
    """Adds X^N - 1, which is zero on the subgroup: the opened value does not notice."""
    size = 1 << SMALLEST.row_bits
    row[0], row[size] = row[0] - 1, row[size] + 1


def test_a_combined_row_that_differs_off_the_subgroup() -> None:
    with pytest.raises(RejectedProof, match="the combined row at position"):
        forge(OPEN, transform=by_message("combined row", _vanishing)).verify()


def rehashed(committed: Any, prefix: bytes) -> Any:
    """A commitment after its codeword was changed: fresh leaves and tree."""
    leaves = cpu.hash_columns(committed.codeword, prefix, committed.blinding.salts)
    committed.levels = cpu.merkle_levels(leaves)
    return committed


def _noisy(row: int, share: float, seed: int) -> Any:
    """commit_rows with noise on one row of the witness's codeword, in a share of the positions."""
    honest = committing.commit_rows

    def commit(backend: Any, code: Any, prefix: bytes, *rest: Any) -> Any:
        committed = honest(backend, code, prefix, *rest)
        if prefix.startswith(b"\0witness"):
            rng = np.random.default_rng(seed)
            hit = rng.random(len(committed.codeword)) < share
            committed.codeword[hit, row] = rng.integers(0, P, int(hit.sum()), dtype=np.uint64)
            rehashed(committed, prefix)
        return committed
    return commit


@pytest.mark.parametrize("row", [0, 5, -1])
def test_a_row_that_is_no_codeword(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "commit_rows", _noisy(row, 0.9, 1))
    for p in (SMALLEST, OPEN):
        with pytest.raises(RejectedProof, match="the combined row at position"):
            forge(p).verify()


def test_a_row_of_too_high_degree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row with more random coefficients than the code allows is no codeword either."""
    honest = committing.commit_rows

    def commit(backend: Any, code: Any, prefix: bytes, *rest: Any) -> Any:
        committed = honest(backend, code, prefix, *rest)
        if prefix.startswith(b"\0witness"):
            extra = np.zeros((1, code.combined + 1), dtype=np.uint64)
            extra[0, -1] = 1
            committed.codeword[:, :1] = backend.add(
                np.ascontiguousarray(committed.codeword[:, 0]),
                np.ascontiguousarray(backend.encode_polynomials(extra, code.row, 1 << code.blowup_bits)[:, 0]))[:, None]
            rehashed(committed, prefix)
        return committed
    monkeypatch.setattr(proving, "commit_rows", commit)
    with pytest.raises(RejectedProof, match="the combined row at position"):
        forge(OPEN).verify()


def _lying_start(columns_only: bool, monkeypatch: pytest.MonkeyPatch) -> Forged:
    """Runs from another initial state, but opens the tree that was committed."""
    committed: dict[str, Any] = {}
    honest, commit = proving._standing, proving.commit_group

    def keep(backend: Any, relation: Any, code: Any, group: str, *rest: Any, **more: Any) -> Any:
        out = commit(backend, relation, code, group, *rest, **more)
        committed.setdefault(group, out)
        return out

    def standing(*args: Any) -> Any:
        groups = honest(*args)
        true = committed["initial"]
        lie = groups["initial"]
        mixed = dataclasses.replace(lie, codeword=true.codeword, levels=true.levels)
        groups["initial"] = mixed if columns_only else true
        return groups
    monkeypatch.setattr(proving, "commit_group", keep)
    monkeypatch.setattr(proving, "_standing", standing)
    return forge(dataclasses.replace(PRESET, zero_knowledge=False), substitute=plus("initial.W0.0", (0, 0), 1))


def test_another_start_with_the_columns_of_the_true_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RejectedProof, match="the combined row at position"):
        _lying_start(True, monkeypatch).verify()


def test_another_start_with_the_rows_of_the_true_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RejectedProof, match="the final merge"):
        _lying_start(False, monkeypatch).verify()


# --- pads ---------------------------------------------------------------------------------------------------------


def test_a_product_of_pads_that_is_not_their_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a wrong product the cheater shifts one equation: the equation fails, and so does the product test."""
    honest = Pads.value
    monkeypatch.setattr(Pads, "value", lambda self, variable: honest(self, variable) + (variable == PRODUCT))
    with pytest.raises(RejectedProof, match="the equations on hidden scalars"):
        forge(SMALLEST).verify()


def test_unused_pads_that_are_not_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """No equation reads these slots: the product test alone sees them."""
    monkeypatch.setattr(closing, "_fill_products", lambda layout, rows: None)
    with pytest.raises(RejectedProof, match="the product test"):
        forge(SMALLEST).verify()


def test_a_linear_mask_that_does_not_sum_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "_balance", lambda rows, layout: None)
    with pytest.raises(RejectedProof, match="the equations on hidden scalars"):
        forge(SMALLEST).verify()


@pytest.mark.parametrize("row", range(5))
def test_a_mask_row_that_is_no_codeword(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = committing.commit_rows

    def commit(backend: Any, code: Any, prefix: bytes, *rest: Any) -> Any:
        committed = honest(backend, code, prefix, *rest)
        if prefix == PADS_PREFIX:
            noise = np.random.default_rng(row).integers(0, P, len(committed.codeword), dtype=np.uint64)
            committed.codeword[:, committed.codeword.shape[1] - 15 + 3 * row] = noise
            rehashed(committed, prefix)
        return committed
    monkeypatch.setattr(committing, "commit_rows", commit)
    with pytest.raises(RejectedProof, match="the low-degree test"):
        forge(SMALLEST).verify()


def test_other_pads_than_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scalars sent under pads that were not committed."""
    honest = closing.commit_pads

    def commit(backend: Any, layout: Any, pads: Pads, randomness: Any) -> Any:
        committed = honest(backend, layout, pads, randomness)
        pads.singles[5] = pads.singles[5] + 1
        return committed
    monkeypatch.setattr(closing, "commit_pads", commit)
    with pytest.raises(RejectedProof, match="the equations on hidden scalars"):
        forge(SMALLEST).verify()
