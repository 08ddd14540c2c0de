"""Provers that run the honest prover with one lie in the run: each is refused, and by the check that should see it.

The lie is told in a transparent proof too, whose equations are decided on the spot, to learn which of them fails.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.attacks.lies import (
    active,
    add,
    at,
    both,
    chain,
    plus,
    put,
    set_state,
    shifted,
    strongest_of,
    wrapped,
)
from tests.simulate import Arrays, Tamper, centred
from tests.support import DEEP, PRESET, forge, preset
from tests.truth import is_true
from verifier import RejectedProof
from verifier.field import P
from verifier.schedule import batches
from verifier.statement import Parameters

LOOKUP, EINSUM, MERGE = "a layer of the lookup tree", "the einsum sumcheck", "the final merge"


class Cheat(NamedTuple):
    """Which check sees the lie, the hooks that tell it, and whether the end of the run stays the true one."""

    caught: str
    hooks: dict[str, Any]
    true_end: bool = False


CHEATS: dict[str, Cheat] = {}


def cheat(name: str, caught: str, true_end: bool = False, **hooks: Any) -> None:
    assert name not in CHEATS
    CHEATS[name] = Cheat(caught, hooks, true_end)


def act(stage: str, change: Any, step: int = 0) -> Tamper:
    return at(stage, step, change)


# --- fixed point: remainders and roundings ------------------------------------------------------------------------

for _by in (1, -1, 5):
    for _limb in (0, 1):
        cheat(f"Y0 off by {_by}, remainder limb {_limb} takes it", LOOKUP,
              tamper=shifted("Y0", "R0", _limb, "forward:0", strongest_of("Y0"), by=_by))
        cheat(f"GA1 off by {_by}, remainder limb {_limb} takes it", LOOKUP,
              tamper=shifted("GA1", "RG1", _limb, "backward:1", active, by=_by))
cheat("Y1 off by one, remainder takes it", LOOKUP, tamper=shifted("Y1", "R1", 1, "forward:1", strongest_of("Y1")))
cheat("Y0 off by one", EINSUM, tamper=act("forward:0", add("Y0", 1, strongest_of("Y0"))))
cheat("Y0 of the last step off by one", EINSUM, tamper=act("forward:0", add("Y0", 1, strongest_of("Y0")), 1))
cheat("Y1 off by one", EINSUM, tamper=act("forward:1", add("Y1", 1)))
cheat("GA1 off by one", EINSUM, tamper=act("backward:1", add("GA1", 1, active)))
cheat("a remainder off by one", EINSUM, True, tamper=act("end", add("R0.0", 1)))
cheat("a backward remainder off by one", EINSUM, True, tamper=act("end", add("RG1.0", 1)))
cheat("Z + p: Y0 is a fraction mod p", LOOKUP, tamper=wrapped("Y0", "R0", "forward:0", strongest_of("Y0"), 1))
cheat("Z + p: Y1 is a fraction mod p", LOOKUP, tamper=wrapped("Y1", "R1", "forward:1", strongest_of("Y1"), 1))
cheat("Z + p: GA1 is a fraction mod p", LOOKUP, tamper=wrapped("GA1", "RG1", "backward:1", active, 1))
cheat("output one beyond its range", LOOKUP, p=preset(output_width=2))
cheat("error one beyond its range", LOOKUP, p=preset(error_width=3))
cheat("gradients beyond their range", LOOKUP, p=preset(backward_width=2))
cheat("activations beyond their range", LOOKUP, p=preset(activation_width=3))

# --- ReLU ---------------------------------------------------------------------------------------------------------


def _dead(start: Arrays) -> None:
    """Neuron 0 has no weights: its output is 0."""
    for row in range(5):
        set_state("W0", (row, 0), 0, 17)(start)


def _weakest(x: Arrays) -> Any:
    return np.unravel_index(int(np.argmin(x["Y0"][:3, :7].astype(np.int64))), (3, 7))


cheat("D = 1 at Y = 0", LOOKUP, initial=_dead, tamper=act("relu:0", put("D0", np.s_[:3, 0], 1)))
cheat("D = 1 at Y < 0", LOOKUP, tamper=act("relu:0", add("D0", 1, _weakest)))
cheat("D = 0 at Y > 0", LOOKUP, tamper=act("relu:0", add("D0", -1, strongest_of("Y0"))))
cheat("D = 2", LOOKUP, tamper=act("relu:0", add("D0", 1, strongest_of("Y0"))))
cheat("D = -1", LOOKUP, tamper=act("relu:0", add("D0", -2, strongest_of("Y0"))))
cheat("D = 1/2 mod p", LOOKUP, tamper=act("relu:0", add("D0", pow(2, -1, P) - 1, strongest_of("Y0"))))


def _all_pass(x: Arrays) -> None:
    x["G0"][:3, :7] = x["GA1"][:3, :7]


def _identity(x: Arrays) -> None:
    x["A1"][:3, :7] = x["Y0"][:3, :7]


cheat("backward uses another D than forward", MERGE, tamper=act("G:0", _all_pass))
cheat("forward uses another D than backward", MERGE, tamper=act("A:1", _identity))
cheat("no ReLU in the last step", MERGE, tamper=act("A:1", _identity, 1))

# --- which samples ------------------------------------------------------------------------------------------------

Rows = list[list[int]]


def _swap_steps(rows: Rows) -> Rows:
    rows[0][0], rows[1][0] = rows[1][0], rows[0][0]
    return rows


def _duplicate(rows: Rows) -> Rows:
    rows[0][1] = rows[0][0]
    return rows


def _other(rows: Rows) -> Rows:
    rows[1][2] = next(row for row in range(10) if row not in rows[0] + rows[1])
    return rows


def _rolled_labels(x: Arrays) -> None:
    x["target"][:3] = np.roll(x["target"][:3], 1, axis=0)


def _relabelled(x: Arrays) -> None:
    x["target"][0, :3] = np.roll(x["target"][0, :3], 1)


def _swap_places(x: Arrays) -> None:
    for name in ("input", "target"):
        x[name][[0, 1]] = x[name][[1, 0]]


DISTINCT = chain(put("data.input", np.s_[:10, 0], np.arange(10)), put("data.target", np.s_[:10, :3], 0),
                 put("data.target", (np.arange(10), np.arange(10) % 3), 1))
cheat("two samples of one batch swapped", MERGE, True, data=DISTINCT, tamper=act("input", _swap_places))
cheat("samples of two batches swapped", MERGE, data=DISTINCT, schedule=_swap_steps)
cheat("batches in another order", MERGE, data=DISTINCT, schedule=lambda rows: rows[::-1])
cheat("a sample duplicated", MERGE, data=DISTINCT, schedule=_duplicate)
cheat("one batch index changed", MERGE, data=DISTINCT, schedule=_other)
cheat("one batch used in every step", MERGE, data=DISTINCT, schedule=lambda rows: [rows[0], rows[0]])
cheat("another batch seed", MERGE, data=DISTINCT, schedule=lambda rows: batches(b"\1" * 32, 10, 3, 0, 2))
cheat("the next steps' batches", MERGE, data=DISTINCT, schedule=lambda rows: batches(b"\1" * 32, 10, 3, 2, 2))
cheat("a sample dropped", MERGE, tamper=act("input", chain(put("input", 0, 0), put("target", 0, 0))))
cheat("one input off by one", MERGE, tamper=act("input", add("input", 1)))
cheat("labels shifted by a sample", MERGE, data=DISTINCT, tamper=act("input", _rolled_labels))
cheat("one label changed", MERGE, tamper=act("input", _relabelled))
cheat("one label changed in the last step", MERGE, tamper=act("input", _relabelled, 1))
cheat("a padded sample is trained on", MERGE, tamper=act("input", chain(put("input", (3, np.s_[:5]), 3), put(
    "target", (3, 0), 1))), unmasked={"A0", "A1", "G0", "G1"})
cheat("two labels for one sample", MERGE, samples=6, data=put("data.target", (0, np.s_[:3]), [1, 1, 0]))
cheat("no label for one sample", MERGE, samples=6, data=put("data.target", (0, np.s_[:3]), 0))
cheat("labels (2, -1, 0)", LOOKUP, samples=6, data=put("data.target", (0, np.s_[:3]), [2, -1, 0]))
cheat("an input outside its range", LOOKUP, p=preset(input_width=3), samples=6)

# --- gradients and updates ----------------------------------------------------------------------------------------


def _scale(name: str, factor: int) -> Any:
    def change(x: Arrays) -> None:
        x[name] = x[name] * factor
    return change


def _step(name: str, factor: int) -> Any:
    """The update of one tensor applied `factor` times."""
    def change(x: Arrays) -> None:
        gradient = x["G" + name[1]].sum(axis=0) * 8 if name[0] == "b" else x["A" + name[1]].T @ x["G" + name[1]]
        x[name] = centred(x[name] - (factor - 1) * gradient)
    return change


def _stale() -> Tamper:
    kept: list[Any] = []
    return both(at("G:1", 0, lambda x: kept.append(x["G1"].copy())), at("G:1", 1, lambda x: x.update(G1=kept[-1])))


cheat("loss gradient of the wrong sign", MERGE, tamper=act("G:1", _scale("G1", -1)))
cheat("loss gradient twice as large", MERGE, tamper=act("G:1", _scale("G1", 2)))
cheat("no loss gradient", MERGE, tamper=act("G:1", _scale("G1", 0)))
cheat("loss gradient off by one", MERGE, tamper=act("G:1", add("G1", 1)))
cheat("the gradient of another step", MERGE, tamper=_stale())
cheat("hidden gradient off by one", MERGE, tamper=act("G:0", add("G0", 1)))
for _name in ("W0", "b0", "W1", "b1"):
    cheat(f"{_name} not updated in the last step", MERGE, tamper=act("update", _step(_name, 0), 1))
    cheat(f"{_name} updated twice in the last step", MERGE, tamper=act("update", _step(_name, 2), 1))
cheat("gradient ascent in the first step", EINSUM, tamper=act("update", _step("W1", -1)))
cheat("a learning rate twice as large", EINSUM, tamper=both(*(act("update", _step(n, 2)) for n in ("W0", "b0", "W1"))))
cheat("weights changed between the steps", EINSUM, tamper=act("update", add("W1", 64)))

# --- the states ---------------------------------------------------------------------------------------------------

for _name, _index in (("W0", (0, 0)), ("W0", (4, 6)), ("W1", (6, 2)), ("b0", (6,)), ("b1", (0,))):
    for _by in (1, -1):
        cheat(f"final {_name}{list(_index)} off by {_by}", MERGE,
              final=plus(f"final.{_name}.0", _index, _by))
cheat("final weight off by 64, in the second limb", MERGE, final=plus("final.W0.1", (2, 3), 1))
cheat("final weight off by 2^12, in the third limb", MERGE, final=plus("final.W1.2", (2, 1), 1))
cheat("two final weights exchanged", MERGE, final=plus("final.W0.0", np.s_[0, :2], np.array([1, -1], dtype=object)))
for _group, _name, _index in (("initial", "initial.W0.0", (0, 0)), ("initial", "initial.W1.0", (6, 2)),
                              ("initial", "initial.b0.0", (0,)), ("data", "data.input", (slice(0, 10), 0)),
                              ("data", "data.target", (0, slice(0, 3)))):
    _hook = put(_name, _index, [0, 0, 1]) if _name == "data.target" else plus(_name, _index, 1)
    cheat(f"another {_name} than committed", f"the Merkle paths of '{_group}'", True,
          data=put("data.target", (0, slice(0, 3)), [1, 0, 0]), substitute=_hook)
cheat("an initial weight out of range", LOOKUP, p=preset(weight_width=12), initial=set_state("b0", (0,), 2048, 12))

# --- multiplicities -----------------------------------------------------------------------------------------------


def _count(table: str, change: Any) -> Any:
    def counts(tensors: dict[str, Any]) -> None:
        values = tensors[f"count:{table}"]
        change(values)
    return counts


def _one_more(values: Any) -> None:
    values[0] += np.uint64(1)


def _move(values: Any) -> None:
    place = int(np.flatnonzero(values)[0])
    values[place] -= np.uint64(1)
    values[(place + 1) % len(values)] += np.uint64(1)


def _wrap(values: Any) -> None:
    """All counts p - c: with those of the honest prover they sum to p, entry for entry."""
    values[:] = np.array([(P - int(v)) % P for v in values], dtype=np.uint64)


for _table in ("range6", "range5", "relu6", "range1"):
    cheat(f"a count of {_table} one too many", LOOKUP, True, counts=_count(_table, _one_more))
    cheat(f"a count of {_table} moved", LOOKUP, True, counts=_count(_table, _move))
cheat("counts that sum to p with the true ones", LOOKUP, True, counts=_count("range6", _wrap))
cheat("no counts", LOOKUP, True, counts=_count("range6", lambda v: v.fill(0)))

# --- padding ------------------------------------------------------------------------------------------------------

HIDDEN = chain(put("initial.W0.1", np.s_[:5, 7], 12), put("initial.W1.1", np.s_[7, :3], 20))
cheat("a hidden neuron", MERGE, initial=HIDDEN, unmasked={"A1"})
cheat("a hidden neuron that learns", MERGE, initial=HIDDEN, unmasked={"A1", "G0"})
cheat("a hidden feature", MERGE, data=put("data.input", np.s_[:10, 5:], 3), unmasked={"A0"},
      initial=put("initial.W0.1", np.s_[5:, :7], 10))
cheat("a hidden output", MERGE, initial=put("initial.W1.1", np.s_[:7, 3], 12), unmasked={"G1"})
cheat("a hidden neuron in the second of three layers", MERGE, p=DEEP, unmasked={"A2"},
      initial=chain(put("initial.W1.1", np.s_[:3, 3], 30), put("initial.W2.1", np.s_[3, :2], 30)))


def setting(hooks: dict[str, Any]) -> tuple[Parameters, dict[str, Any]]:
    """Parameters of a cheat, and its other hooks."""
    return hooks.get("p", PRESET), {key: value for key, value in hooks.items() if key != "p"}


def run(name: str, seed: int) -> None:
    caught, hooks, true_end = CHEATS[name]
    p, rest = setting(hooks)
    hidden = forge(p, seed=seed, **rest)
    assert is_true(hidden) == true_end
    with pytest.raises(RejectedProof):
        hidden.verify()
    with pytest.raises(RejectedProof, match=caught):
        forge(dataclasses.replace(p, zero_knowledge=False), seed=seed, **rest).verify()


@pytest.mark.parametrize("name", CHEATS)
def test_refused(name: str) -> None:
    run(name, 0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 21))
@pytest.mark.parametrize("name", CHEATS)
def test_refused_with_other_seeds(name: str, seed: int) -> None:
    """In another problem several checks may see the lie, and one that changes nothing there is none."""
    _, hooks, true_end = CHEATS[name]
    p, rest = setting(hooks)
    for zero_knowledge in (True, False):
        forged = forge(dataclasses.replace(p, zero_knowledge=zero_knowledge), seed=seed, **rest)
        try:
            forged.verify()
        except RejectedProof:
            continue
        assert is_true(forged) and not true_end


GARBAGE = {
    "in the data": {"data": put("data.input", np.s_[:, 5:], 7)},
    "in unused rows of the data": {"data": put("data.input", np.s_[10:], 7)},
    "in the initial weights": {"initial": chain(put("initial.W0.1", np.s_[5:], 9), put("initial.W0.1", np.s_[:, 7], 9),
                                                put("initial.W1.1", np.s_[7], 9), put("initial.W1.1", np.s_[:, 3], 9))},
    "in the initial biases": {"initial": chain(put("initial.b0.1", 7, 9), put("initial.b1.1", 3, 9))},
}


@pytest.mark.parametrize("place", GARBAGE)
def test_garbage_in_the_padding_changes_nothing(place: str) -> None:
    """Accepted, and the final state is the one that training without the garbage gives."""
    forged = forge(PRESET, **GARBAGE[place])
    assert is_true(forged)
    forged.verify()
    if place == "in the initial weights":
        assert np.any(forged.job.witness.tensors["Y0"].reshape(2, 4, 8)[:, :, 7])


@pytest.mark.parametrize("p", [preset(batch=3, widths=(5, 7, 3)), preset(batch=1, steps=3), preset(widths=(1, 1, 1)),
                               preset(widths=(6, 3)), preset(steps=1, batch=5), preset(widths=(3, 2, 5, 1)),
                               preset(first_step=7)], ids=lambda p: f"{p.widths} {p.batch} {p.steps} {p.first_step}")
def test_awkward_sizes_are_accepted(p: Any) -> None:
    for mode in (True, False):
        honest = forge(dataclasses.replace(p, zero_knowledge=mode))
        assert is_true(honest)
        honest.verify()


def test_there_are_enough() -> None:
    assert len(CHEATS) >= 50
