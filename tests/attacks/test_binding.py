"""What the transcript and its order are worth: false statements proven once they are taken away.

Each forgery is accepted by the weakened protocol, on both sides, and refused by the real one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from prover import proving
from prover.commitment import MASK_ROWS, _combined_row, _fold_rows
from prover.dialogue import Draw, Say, Script
from prover.merge import padded
from tests.attacks.lies import chain, plus
from tests.support import PRESET, Forged, forge
from tests.truth import is_true
from verifier import RejectedProof
from verifier import commitment as opening
from verifier.channel import Channel, Hidden
from verifier.commitment import Code, Combination, evaluate_on_subgroup
from verifier.field import GENERATOR, ZERO, Ext, P, equality_table
from verifier.merge import Merged, committed_bits
from verifier.relation import Relation
from verifier.tensors import GROUPS
from verifier.transcript import Transcript


class Constant(Transcript):
    """Challenges that depend on nothing but their label and number: known before anything is sent."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn: dict[str, int] = {}

    def _absorb(self, kind: bytes, label: str, data: bytes) -> None:
        if kind in (b"C", b"P"):
            self._state = b"constant"
            self._drawn[label] = self._drawn.get(label, 0) + 1
            super()._absorb(kind, label, self._drawn[label].to_bytes(4, "little"))


def kernel(columns: Sequence[Ext]) -> list[int]:
    """Four numbers mod p, not all zero, that weigh four elements of K to zero: by cross products of coefficients."""
    a, b, c, d = columns

    def determinant(x: Ext, y: Ext, z: Ext) -> int:
        return (x[0] * (y[1] * z[2] - y[2] * z[1]) - x[1] * (y[0] * z[2] - y[2] * z[0])
                + x[2] * (y[0] * z[1] - y[1] * z[0])) % P
    return [determinant(b, c, d), -determinant(a, c, d) % P, determinant(a, b, d), -determinant(a, b, c) % P]


def invisible() -> Any:
    """A change of four final weights that is zero at the point where a constant transcript looks."""
    transcript = Constant()
    _, _, _, rows, columns = (transcript.sample("output point", n) for n in (1, 2, 3, 3, 3))
    row = equality_table(rows)[0]
    change = kernel([row * value for value in equality_table(columns)[:4]])
    assert any(change)
    return chain(*(plus("final.W0.0", (0, k), value) for k, value in enumerate(change)))


def test_without_fiat_shamir_any_final_state_can_be_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    lie = invisible()
    with monkeypatch.context() as patch:
        patch.setattr("verifier.channel.Transcript", Constant)
        forged = forge(PRESET, final=lie)
        forged.verify()
        assert not is_true(forged)
    with pytest.raises(RejectedProof):
        forged.verify()
    with pytest.raises(RejectedProof):
        forge(PRESET, final=lie).verify()


# --- the mask's share before rho ----------------------------------------------------------------------------------


def late_check(channel: Channel, relation: Relation, merged: Merged, code: Code) -> Combination:
    """`check_value` with the mask's share received when rho is known."""
    coefficients = channel.challenges("tensor coefficients", len(relation.tensors), code.positions + 1)
    rho = channel.challenge("rho", code.positions + 1)
    mask = channel.scalars("mask value", 1)[0]
    scale = dict(zip(relation.tensors, coefficients, strict=True))
    claimed = Hidden(ZERO)
    for name, coefficient in scale.items():
        claimed = claimed + merged.values[name] * coefficient
    row = channel.clear("combined row", code.combined)
    at_column = evaluate_on_subgroup(row, merged.point[len(merged.point) - code.row_bits:])
    channel.zero(claimed * rho + mask - at_column, "the opening")
    weights = {group: opening._row_weights(relation, group, merged.point, scale) for group in GROUPS}
    return Combination(weights, rho, row)


def lying_opening(forged: list[Any], late: bool) -> Any:
    """Opens the committed rows, claims the values of others, and sends the mask's share that reconciles them."""
    def prove_value(backend: Any, relation: Relation, code: Code, groups: Any, point: Sequence[Ext],
                    products: Sequence[tuple[str, ...]]) -> Script[None]:
        values = {}
        for name in relation.tensors:
            bits = committed_bits(relation, name)
            table = padded(backend, forged[0][name], 1 << bits)
            values[name] = Ext(backend.inner(backend.eq_table(point[len(point) - bits:]), table))
        known: set[str] = set()
        for names in products:
            yield Say("merge end", [values[name] for name in names])
            known |= set(names)
        for name in relation.tensors:
            if name not in known:
                yield Say("merge end", [values[name]])
        column = point[len(point) - code.row_bits:]
        if not late:
            mask = groups["witness"].rows[-MASK_ROWS:].copy()
            yield Say("mask value", [Ext(backend.inner(mask, backend.eq_table(column)))])
        coefficients = yield Draw("tensor coefficients", len(relation.tensors))
        (rho,) = yield Draw("rho", 1)
        scale = {name: c * rho for name, c in zip(relation.tensors, coefficients, strict=True)}
        folded = _fold_rows(backend, relation, groups, point)
        table = _combined_row(backend, relation, code, groups, point, folded, scale)
        row = [Ext((int(a), int(b), int(c))) for a, b, c in table.T]
        if late:
            share = evaluate_on_subgroup(row, column)
            for name, factor in scale.items():
                share = share - values[name] * factor
            yield Say("mask value", [share])
        yield Say("combined row", row)
    return prove_value


def false_final_state(monkeypatch: pytest.MonkeyPatch, late: bool) -> Forged:
    """Commits a final state that is off by one, and claims the values of the true one."""
    tensors: list[Any] = []
    committed: dict[str, Any] = {}
    honest, commit = proving._standing, proving.commit_group

    def keep(backend: Any, relation: Any, code: Any, group: str, *rest: Any, **more: Any) -> Any:
        out = commit(backend, relation, code, group, *rest, **more)
        committed.setdefault(group, out)
        return out

    def standing(job: Any, *rest: Any) -> Any:
        tensors.append(job.witness.tensors)
        return honest(job, *rest) | {"final": committed["final"]}
    monkeypatch.setattr(proving, "commit_group", keep)
    monkeypatch.setattr(proving, "_standing", standing)
    monkeypatch.setattr(proving, "prove_value", lying_opening(tensors, late))
    restore = plus("final.W0.0", (0, 0), -1)
    return forge(PRESET, final=plus("final.W0.0", (0, 0), 1), alter=lambda integers, derived: restore(integers))


def test_a_mask_share_sent_after_rho(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(opening, "check_value", late_check)
        forged = false_final_state(patch, late=True)
        forged.verify()
    with pytest.raises(RejectedProof):
        forged.verify()
    with monkeypatch.context() as patch:
        early = false_final_state(patch, late=False)
    with pytest.raises(RejectedProof, match="the equations on hidden scalars"):
        early.verify()


def test_the_same_with_honest_columns_is_seen_at_the_merge() -> None:
    """The plain lie, for comparison: values and columns agree, and the run does not end there."""
    with pytest.raises(RejectedProof, match="the final merge"):
        forge(dataclasses.replace(PRESET, zero_knowledge=False), final=plus("final.W0.0", (0, 0), 1)).verify()


def test_the_constant_transcript_is_a_transcript() -> None:
    assert Constant().sample("a", 2) == Constant().sample("a", 2) != Constant().sample("b", 2)
    one = Constant()
    assert one.sample("a", 1) != one.sample("a", 1)
    assert GENERATOR == 7
