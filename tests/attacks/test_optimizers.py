"""Momentum, Nesterov's momentum and weight decay: their coefficients, honest runs, and every claim that they add."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.attacks.lies import at, plus, set_state
from tests.attacks.test_claim_removal import attack, claims_of
from tests.simulate import Arrays
from tests.support import DEEP, PRESET, ZERO, forge, preset
from tests.truth import is_true
from verifier import MalformedStatement, ParametersUnsafe, RejectedProof, VerifierError, verify
from verifier.consistency import MAX_MOVING_STEPS
from verifier.field import P
from verifier.optimizer import coefficients, spread
from verifier.proof import HEADER_BYTES, encode_proof
from verifier.statement import Parameters, Statement, parse_statement
from verifier.statement import replace as restated
from verifier.training import check_bounds, integer_bounds, training_relation

MOMENTUM = preset(momentum=900_000_000, kernel_bits=6, velocity_width=18, steps=3)
NESTEROV = replace(MOMENTUM, nesterov=True)
LATER = replace(MOMENTUM, first_step=3)  # starts from a state with a velocity
DECAY = preset(weight_decay=200_000_000, kernel_bits=6, steps=3, rate_bits=6, rates=(4,))
BOTH = replace(DECAY, momentum=500_000_000, velocity_width=18, first_step=3)
RUNS = {
    "momentum": MOMENTUM,
    "nesterov": NESTEROV,
    "later": LATER,
    "decay": DECAY,
    "both": BOTH,
    "nesterov and decay": replace(BOTH, nesterov=True),
    "schedule": replace(BOTH, rates=(4, 0, 3)),
    "one step": replace(MOMENTUM, steps=1),
    "five steps": replace(MOMENTUM, steps=5, rate_bits=6),
    "deep": replace(DEEP, momentum=900_000_000, kernel_bits=6, velocity_width=18, steps=3),
}


Pair = tuple[Fraction, Fraction]


def recurrence(p: Parameters, first: Fraction, velocity: Fraction, gradients: list[Fraction]) -> Pair:
    """W and V of one number after some steps of torch.optim.SGD's rule, exact. W at scale 2^w, V and M at 2^(a + g)."""
    w, v = first * 2**p.state_shift, velocity
    momentum, decay = Fraction(p.momentum, 10**9), Fraction(p.weight_decay, 10**9)
    for step, gradient in enumerate(gradients):
        h = gradient + decay * p.batch * w / 2**p.rate_bits
        v = momentum * v + h
        w -= p.rate(step) * (h + momentum * v if p.nesterov else v)
    return w, v


@pytest.mark.parametrize("name", RUNS)
def test_coefficients_are_the_recurrence_rounded(name: str) -> None:
    p = RUNS[name]
    found, zero, one = coefficients(p), Fraction(0), Fraction(1)
    close = Fraction(1, 2) + Fraction(1, 2**60)
    for t in range(p.steps + 1):
        none = [zero] * t
        assert abs(recurrence(p, one, zero, none)[0] - found.states[t]) <= close
        assert abs(recurrence(p, zero, one, none)[0] + found.velocities[t]) <= close
        for tau in range(t):
            alone = [one if k == tau else zero for k in range(t)]
            assert abs(recurrence(p, zero, zero, alone)[0] + found.gradients[tau][t - tau - 1]) <= close
    none, unit = [zero] * p.steps, 2**p.kernel_bits
    assert abs(recurrence(p, one, zero, none)[1] * unit - found.last[0]) <= close
    assert abs(recurrence(p, zero, one, none)[1] * unit - found.last[1]) <= close
    for tau, share in enumerate(found.last_gradients):
        alone = [one if k == tau else zero for k in range(p.steps)]
        assert abs(recurrence(p, zero, zero, alone)[1] * unit - share) <= close


def test_a_constant_rate_is_a_schedule_of_equal_rates() -> None:
    """The two ways of computing the coefficients agree."""
    for p in (MOMENTUM, BOTH):
        once, each = coefficients(p), coefficients(replace(p, rates=p.rates * p.steps))
        assert once == each


def test_plain_steps_are_the_special_case() -> None:
    p = preset(steps=4, rates=(2, 1, 3, 1))
    found = coefficients(p)
    assert set(found.states) == {1} and set(found.velocities[1:]) <= {0}
    assert [column[-1] for column in found.gradients] == [2, 1, 3, 1]
    assert all(len(set(column)) == 1 for column in found.gradients)
    assert spread(p) == (1, 0, 7)


@pytest.mark.parametrize("name", RUNS)
def test_honest_runs_are_accepted(name: str) -> None:
    honest = forge(RUNS[name], samples=20)
    assert is_true(honest)
    honest.verify()


def _rests(name: str, by: int) -> Any:
    """The state moves by one and its remainder the other way: the exact sum is the same."""
    def change(x: Arrays) -> None:
        place = (0,) * x[name].ndim
        x[name][place] += by
        x[f"rest.{name}"][place] -= by << 6
    return at("rounded", 3, change)


def _any_state(name: str, limb: int) -> Any:
    """remainder + 1 and state - 2^-q mod p, in one limb of the state: equal mod p."""
    def change(x: Arrays) -> None:
        rest = x[f"rounding.{name}.0"]
        free = np.argwhere(rest[tuple(slice(0, 3) for _ in rest.shape)].astype(np.int64) < 63)[0]
        place = tuple(int(k) for k in free)
        rest[place] += 1
        x[f"final.{name}.{limb}"][place] -= pow(64 << (6 * limb), -1, P)
    return change


def _attacks_on_rounding(p: Parameters, name: str, width: int) -> dict[str, dict[str, Any]]:
    index = (0, 0) if "W" in name else (0,)
    attacks: dict[str, dict[str, Any]] = {
        f"final:{name}": {"p": p, "final": plus(f"final.{name}.0", index, 1)},
        f"range:rounding.{name}.0": {"p": p, "tamper": _rests(name, 1)},
    }
    for limb in range((width + 5) // 6):
        attacks[f"range:final.{name}.{limb}"] = {"p": p, "final": _any_state(name, limb)}
    return attacks


STATES = ("W0", "b0", "W1", "b1")
SLOW = replace(LATER, rate_bits=6, velocity_width=13)  # velocities in +-2^12, in limbs of 6, 6 and 1 bits
MOMENTUM_ATTACKS: dict[str, dict[str, Any]] = {}
DECAY_ATTACKS: dict[str, dict[str, Any]] = {}
LATER_ATTACKS: dict[str, dict[str, Any]] = {}
for _name in STATES:
    MOMENTUM_ATTACKS |= _attacks_on_rounding(MOMENTUM, f"velocity.{_name}", 18)
    DECAY_ATTACKS |= _attacks_on_rounding(DECAY, _name, 17)
    _first = (0, 0) if _name[0] == "W" else (0,)
    for _limb in range(3):
        _fast = set_state(f"velocity.{_name}", _first, 1 << 12, 13, limb=_limb)
        LATER_ATTACKS[f"range:initial.velocity.{_name}.{_limb}"] = {"p": SLOW, "initial": _fast}


@pytest.mark.parametrize("claim", MOMENTUM_ATTACKS)
def test_claims_on_the_last_velocity(claim: str) -> None:
    attack(claim, MOMENTUM_ATTACKS, samples=20)


@pytest.mark.parametrize("claim", DECAY_ATTACKS)
def test_claims_on_a_rounded_state(claim: str) -> None:
    attack(claim, DECAY_ATTACKS, samples=20)


@pytest.mark.parametrize("claim", LATER_ATTACKS)
def test_claims_on_the_first_velocity(claim: str) -> None:
    attack(claim, LATER_ATTACKS, samples=20)


def test_every_claim_that_an_optimizer_adds_has_its_attack() -> None:
    plain = claims_of(forge(PRESET).relation)
    assert claims_of(forge(MOMENTUM).relation) - plain == set(MOMENTUM_ATTACKS)
    assert claims_of(forge(LATER).relation) - plain == set(MOMENTUM_ATTACKS) | set(LATER_ATTACKS)
    finer = claims_of(forge(preset(rate_bits=6)).relation)
    assert claims_of(forge(DECAY).relation) - finer == {name for name in DECAY_ATTACKS if name.startswith("range:")}
    assert {name for name in DECAY_ATTACKS if name.startswith("final:")} == {f"final:{name}" for name in STATES}


def _refused(forged: Any) -> None:
    assert not is_true(forged)
    with pytest.raises(RejectedProof):
        forged.verify()


def test_a_velocity_dropped_or_changed_where_a_segment_starts() -> None:
    def dropped(start: Arrays) -> None:
        for name, raised in (("W0", 8), ("W1", 8)):
            for limb in range(3):
                start[f"initial.velocity.{name}.{limb}"][:] = raised * (limb == 2)

    for change in (dropped, plus("initial.velocity.W1.0", (0, 0), 1)):
        with pytest.raises(RejectedProof):
            forge(LATER, samples=20, substitute=change).verify()


@pytest.mark.parametrize("changes", [
    {"momentum": 899_000_000}, {"nesterov": True}, {"weight_decay": 200_000_000}, {"kernel_bits": 5}, {"rates": (2,)},
    {"momentum": 0, "velocity_width": 2, "kernel_bits": 0}, {"steps": 2}, {"first_step": 6}], ids=str)
def test_another_optimizer_than_stated(changes: dict[str, Any]) -> None:
    """The proof of a run with momentum under a statement that names another optimiser."""
    honest = forge(LATER, samples=20)
    changed = restated(honest.statement, **changes)
    for proof in (honest.proof, encode_proof(changed.digest(), honest.proof[HEADER_BYTES:])):
        with pytest.raises(VerifierError):
            verify(changed.to_bytes(), proof, minimum_security=1)


@pytest.mark.parametrize("other", [replace(LATER, momentum=800_000_000), replace(LATER, nesterov=True)])
def test_a_run_of_another_optimizer(other: Parameters) -> None:
    """What was trained with one optimiser, honestly proven as if it were another's: the witness is refused."""
    trained = forge(other, samples=20)
    wrong = {name: values for name, values in trained.job.witness.tensors.items() if name.startswith("final.")}

    def final(integers: Arrays) -> None:
        for name, values in wrong.items():
            integers[name] = values.reshape(integers[name].shape).astype(object)

    _refused(forge(LATER, samples=20, final=final))


def test_parameters_that_contradict_each_other() -> None:
    statement = Statement(MOMENTUM, 20, ZERO, ZERO, ZERO, ZERO, ZERO)
    for changes, message in (
        ({"kernel_bits": 0}, "kernel_bits = 0"),
        ({"kernel_bits": 11}, "from 1 to 10"),
        ({"momentum": 0, "weight_decay": 1}, "ranges.velocity = 2"),
        ({"momentum": 0, "velocity_width": 2}, "else 0"),
        ({"momentum": 0, "velocity_width": 2, "kernel_bits": 0, "nesterov": True}, "nesterov is false"),
        ({"steps": MAX_MOVING_STEPS + 1}, f"at most {MAX_MOVING_STEPS}"),
        ({"momentum": 10**9}, "training.momentum"),
    ):
        with pytest.raises(MalformedStatement, match=message):
            parse_statement(restated(statement, **changes).to_bytes())


def test_bounds_follow_the_coefficients() -> None:
    """Momentum of 0.9 makes weights move up to ten times as far; the verifier counts with it."""
    plain, moved = integer_bounds(preset(steps=64)), integer_bounds(replace(MOMENTUM, steps=64))
    assert 5 < (moved["weights of layer 0"] - (1 << 16)) / (plain["weights of layer 0"] - (1 << 16)) < 10
    assert moved["velocities of layer 0"] > moved["weights of layer 0"]
    wide = replace(MOMENTUM, kernel_bits=10, gradient_bits=24, activation_bits=16, steps=64, rate_bits=20)
    with pytest.raises(ParametersUnsafe, match="wraps around"):
        check_bounds(wide)


@pytest.mark.parametrize("rates", [(1 << 20,), tuple(range((1 << 20) - 2048, 1 << 20))])
def test_a_statement_cannot_make_coefficients_grow(rates: tuple[int, ...]) -> None:
    """Of thirty bits a step they would keep a verifier busy for minutes, before it has looked at the proof."""
    with pytest.raises(ParametersUnsafe, match=r"step [0-3]: .* passes 2\^64"):
        check_bounds(preset(weight_decay=10**9, kernel_bits=6, steps=2048, rate_bits=0, rates=rates))


def test_a_fresh_run_has_no_velocity_to_choose() -> None:
    """Its first velocity is zero by definition: nothing is committed that a prover could fill in."""
    draft = Statement(MOMENTUM, 20, ZERO, ZERO, ZERO, ZERO, ZERO)
    assert not any("velocity" in tensor.name for tensor in training_relation(draft).group("initial"))
    later = training_relation(restated(draft, first_step=3))
    assert [tensor.axes for tensor in later.group("initial")] == [tensor.axes for tensor in later.group("final")]
