"""Activations from tables and networks without bias: honest runs pass; each claim refuses a cheat that it alone stops.

Every cheat is proven twice: against the relation, where it is refused, and with one claim left out on both sides, where
it is accepted. So it is this claim that stops it, and nothing else would.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prover import activations, check, proving, session
from prover.backends import cpu
from prover.choose import initial_state
from prover.evaluation import accuracy_job
from prover.randomness import SeededRandomness
from prover.trainer import State, public_state, train
from prover.witness import build_witness, data_integers, derived_integers, state_integers, to_field
from verifier import MalformedStatement, ParametersUnsafe, RejectedProof, verify
from verifier.field import P
from verifier.relation import Relation
from verifier.statement import Parameters, Statement, parse_statement
from verifier.tables import SLOPE_BITS
from verifier.training import check_bounds, integer_bounds, training_relation

BACKEND = cpu.BACKEND
TINY = Parameters(
    widths=(5, 7, 3), activation="silu", loss="mse", optimizer="sgd", target="one-hot", batch=3, steps=2, first_step=0,
    rate_bits=4, activation_bits=3, gradient_bits=4, target_bits=0, input_width=6, target_width=1, activation_width=6,
    output_width=6, backward_width=6, error_width=6, weight_width=17, table_bits=6, row_bits=4, blowup_bits=4,
    data_openings=1, state_openings=1, security_bits=6, zero_knowledge=True,
)  # fmt: skip
LAST = TINY.steps - 1
LEAKY = activations.columns(dataclasses.replace(TINY, activation="leaky-relu"))
Ints = dict[str, Any]
Hook = Callable[[Ints], None]


def of(**changes: Any) -> Parameters:
    """The tiny parameters with fields changed."""
    return dataclasses.replace(TINY, **changes)


def data(p: Parameters) -> tuple[Any, Any]:
    numbers = np.random.default_rng(0)
    inputs = numbers.integers(0, 8, (10, p.widths[0])).astype(np.int64)
    return inputs, np.eye(p.widths[-1], dtype=np.int64)[numbers.integers(0, p.widths[-1], 10)]


@pytest.fixture
def leave_out(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes prover and verifier forget claims, and with the last claim on a table its counts."""

    def install(*names: str) -> None:
        def weaker(statement: Statement) -> Relation:
            found = training_relation(statement)
            for name in names:
                found = found.without(name)
            unused = {f"count:{table.name}" for table in training_relation(statement).tables()}
            unused -= {f"count:{table.name}" for table in found.tables()}
            return dataclasses.replace(found, tensors={k: v for k, v in found.tensors.items() if k not in unused})

        for module in ("verifier.check", "prover.proving"):
            monkeypatch.setattr(f"{module}.training_relation", weaker)

    return install


@dataclasses.dataclass
class Run:
    """A statement, the job of its proof and the integers of its run."""

    job: proving.Job
    ints: Ints

    def verify(self) -> None:
        proof = proving.prove(self.job, BACKEND, SeededRandomness(b"proof"), strict=False)
        verify(self.job.statement.to_bytes(), proof, minimum_security=1)

    def judge(self, accepted: bool) -> None:
        if accepted:
            self.verify()
            return
        with pytest.raises(RejectedProof):
            self.verify()


def make(p: Parameters = TINY, hook: Hook | None = None, claimed: Parameters | None = None,
         state: State | None = None, start: Hook | None = None) -> Run:  # fmt: skip
    """Trains with `p` and proves under `claimed`. `start` alters the initial state's tensors before they are committed,
    `hook` all others (in place, by name, padded and flat) before the final state and the witness are."""
    claimed, randomness = claimed or p, SeededRandomness(b"activations")
    inputs, targets = data(p)
    first = state or initial_state(p.widths, p.weight_bits, randomness.read)
    draft = Statement(claimed, 10, *(bytes(32),) * 5)
    relation, shape = proving.prepare(draft, 1)
    shapes = training_relation(dataclasses.replace(draft, parameters=p))  # to pad with
    ints: Ints = data_integers(inputs, targets, shapes) | state_integers(first, "initial", shapes)
    if start:
        start(ints)

    def commit(group: str) -> tuple[bytes, Any]:
        tensors = {name: to_field(values) for name, values in ints.items()}
        done = proving.commit_group(BACKEND, relation, shape.code, group, tensors, randomness=randomness)
        return done.root, done.blinding

    committed = {group: commit(group) for group in ("data", "initial")}
    root = committed["initial"][0]
    draft = dataclasses.replace(draft, data_root=committed["data"][0], initial_root=root, origin_root=root)
    trace = train(p, first, inputs, targets, draft.batches())
    ints |= session.run_integers(shapes, inputs, targets, trace) | {k: v for k, v in ints.items() if "initial" in k}
    derived = derived_integers(trace, shapes)
    if hook:
        hook(ints | derived)
    committed["final"] = commit("final")
    statement = dataclasses.replace(draft, final_root=committed["final"][0])
    relation, shape = proving.prepare(statement, 1)
    with np.errstate(over="ignore"):
        witness = build_witness(BACKEND, relation, ints, derived, strict=False)
    blindings = {group: blinding for group, (_, blinding) in committed.items()}
    return Run(proving.Job(statement, relation, shape, witness, blindings), ints | derived)


# --- honest runs ---


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "silu"])
def test_honest_runs_are_accepted(activation: str, bias: bool) -> None:
    p = of(activation=activation, bias=bias)
    randomness, (inputs, targets) = SeededRandomness(b"honest"), data(p)
    first = initial_state(p.widths, p.weight_bits, randomness.read)
    draft, blindings = session.commit_start(BACKEND, p, inputs, targets, first, randomness)
    trace = train(p, first, inputs, targets, draft.batches())
    statement, final = session.commit_final(BACKEND, draft, trace.final, randomness)
    job = session.assemble(BACKEND, statement, inputs, targets, trace, {**blindings, "final": final}, 1)
    check.check_run(statement, job.relation, inputs, targets, trace)
    proof = proving.prove(job, BACKEND, randomness)  # strict: every claim and every padding rule holds
    assert verify(statement.to_bytes(), proof, minimum_security=1).statement == statement
    assert any("b0" in name for name in job.relation.tensors) == bias
    assert parse_statement(statement.to_bytes()).parameters.bias is bias


def test_three_layers_cross_entropy_and_a_public_seed_without_bias() -> None:
    p = of(widths=(5, 7, 6, 3), loss="ce", error_width=2, bias=False, initial="public-seed", activation="leaky-relu")
    randomness, (inputs, targets), seed = SeededRandomness(b"deep"), data(p), bytes(range(32))
    first = public_state(p, seed)
    draft, blindings = session.commit_start(BACKEND, p, inputs, targets, first, randomness, seed=seed)
    trace = train(p, first, inputs, targets, draft.batches())
    statement, final = session.commit_final(BACKEND, draft, trace.final, randomness)
    job = session.assemble(BACKEND, statement, inputs, targets, trace, {**blindings, "final": final}, 1)
    verify(statement.to_bytes(), proving.prove(job, BACKEND, randomness), minimum_security=1)


@pytest.mark.parametrize("bound", [True, False])
def test_an_accuracy_of_such_a_model(bound: bool, leave_out: Callable[..., None]) -> None:
    """Only the forward tables are needed; a wrong one is refused, by the lookup alone."""
    p = of(bias=False)
    randomness, (inputs, targets) = SeededRandomness(b"accuracy"), data(p)
    first = initial_state(p.widths, p.weight_bits, randomness.read)
    draft, _ = session.commit_start(BACKEND, p, inputs, targets, first, randomness)
    trace = train(p, first, inputs, targets, draft.batches())
    trained, blinding = session.commit_final(BACKEND, draft, trace.final, randomness)

    def job() -> proving.Job:
        return accuracy_job(BACKEND, trained, trace.final, blinding, inputs[:7], targets[:7], randomness=randomness)

    honest = job()
    assert not [name for name in honest.relation.tensors if name.startswith(("slope", "grad", "rest"))]
    verify(honest.statement.to_bytes(), proving.prove(honest, BACKEND, randomness), minimum_security=1)
    if not bound:
        leave_out("act:Y0")
    relation, shape = proving.prepare(honest.statement, 1)
    tensors = {name: table.copy() for name, table in honest.witness.tensors.items() if name in relation.tensors}
    # One activation moves, by so little that no rounded output follows: the remainders of the next layer take it up.
    act, weights = tensors["act0"].reshape(8, 8), trace.final.weights[1]
    sample, neuron, delta = _small_move(tensors, weights, p)
    act[sample, neuron] = (int(act[sample, neuron]) + delta) % P
    honest.witness.derived["A1"].reshape(8, 8)[sample, neuron] = act[sample, neuron]
    for j in range(3):
        place = sample * 4 + j
        rest = _remainder(tensors, place) + delta * int(weights[neuron, j])
        for name, value in (("R1.0", rest & 63), ("R1.1", rest >> 6)):
            for k, sign in ((int(tensors[name][place]), -1), (value, 1)):
                table = f"count:range{6 if name == 'R1.0' else p.weight_bits - 6}"
                tensors[table][k] = (int(tensors[table][k]) + sign) % P
            tensors[name][place] = value
    witness = dataclasses.replace(honest.witness, tensors=tensors)
    forged = dataclasses.replace(honest, relation=relation, shape=shape, witness=witness)
    Run(forged, {}).judge(accepted=not bound)


def _remainder(tensors: Ints, place: int) -> int:
    return int(tensors["R1.0"][place]) + 64 * int(tensors["R1.1"][place])


def _small_move(tensors: Ints, weights: Any, p: Parameters) -> tuple[int, int, int]:
    """A sample, a neuron and +-1 to add to its activation so that every remainder of the next layer stays in range."""
    for sample in range(7):
        for neuron in range(7):
            for delta in (1, -1):
                moved = [_remainder(tensors, sample * 4 + j) + delta * int(weights[neuron, j]) for j in range(3)]
                if all(0 <= rest < 1 << p.weight_bits for rest in moved):
                    return sample, neuron, delta
    raise AssertionError("no activation moves without its outputs")


def test_the_statement_names_activation_and_bias() -> None:
    run = make()
    for change in ({"activation": "leaky-relu"}, {"bias": False}):
        other = dataclasses.replace(run.job.statement, parameters=of(**change))
        assert other.parameters.digest() != TINY.digest()
    text = run.job.statement.to_bytes()
    for old, new in ((b'"bias": true', b'"bias": 1'), (b'"silu"', b'"gelu"'), (b'"bias": true', b'"bias": "yes"')):
        assert old in text
        with pytest.raises(MalformedStatement, match=r"model\.(bias|activation) must be"):
            parse_statement(text.replace(old, new))


NORMS = of(
    widths=(5, 7, 6, 3), activation_norm_width=12, gradient_norm_width=12, activation_row_norm_width=12,
    gradient_row_norm_width=12,
)  # fmt: skip


@pytest.mark.parametrize("activation", ["silu", "leaky-relu"])
def test_norms_are_of_activations_and_gradients(activation: str) -> None:
    """With an activation from a table the norms are of what it gives, not of what goes in."""
    p = dataclasses.replace(NORMS, activation=activation)
    make(p).verify()
    for norm in ("norm.act0", "norm.grad1", "row-norm.act0", "row-norm.act1", "row-norm.grad1"):
        def more(ints: Ints, norm: str = norm) -> None:
            ints[f"{norm}.0"][0] += 1

        with pytest.raises(RejectedProof):
            make(p, more).verify()


def test_bounds_cover_the_new_integers() -> None:
    smooth, plain = integer_bounds(TINY), integer_bounds(of(activation="relu"))
    assert set(smooth) - set(plain) == {"slope products of layer 1"}
    assert smooth["slope products of layer 1"] > (1 << SLOPE_BITS) * 32 + 282 * 32
    bare = integer_bounds(of(bias=False))
    assert bare["forward sums of layer 0"] < smooth["forward sums of layer 0"]
    wide = of(activation_bits=16, gradient_bits=24, rate_bits=30)
    with pytest.raises(ParametersUnsafe):
        check_bounds(wide)


# --- other functions than the statement's ---


def shifted(values: Any, slopes: Any) -> tuple[Any, Any]:
    """Every positive value one higher."""
    return values + (np.arange(len(values)) > len(values) // 2), slopes


def steeper(values: Any, slopes: Any) -> tuple[Any, Any]:
    return values, slopes + 16


def leaky_slopes(values: Any, slopes: Any) -> tuple[Any, Any]:
    """SiLU forward, leaky ReLU backward."""
    return values, LEAKY[1]


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("cheat, claim", [(shifted, "act:Y0"), (steeper, "slope:Y0"), (leaky_slopes, "slope:Y0")])
def test_another_function(
    cheat: Callable[..., Any], claim: str, bound: bool, leave_out: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is consistent throughout, of a function that is not the statement's, forward or backward."""
    table = activations.columns(TINY)
    changed = cheat(*table)
    assert any((a != b).any() for a, b in zip(table, changed, strict=True))
    monkeypatch.setattr(activations, "columns", lambda p: changed)
    if not bound:
        leave_out(claim)
    make().judge(accepted=not bound)


def test_a_statement_of_another_activation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained with leaky ReLU, claimed to be SiLU."""
    monkeypatch.setattr(activations, "columns", lambda p: LEAKY)
    make().judge(accepted=False)


# --- gradients of the first layer in the last step: nothing depends on them but the final state ---


def centred(value: int) -> int:
    value %= P
    return value - P if value > P // 2 else value


def steer(ints: Ints, place: int, delta: int) -> None:
    """Adds delta to grad0 at a place of the last step, and its consequence to the final state, mod p."""
    p = TINY
    for name in ("grad0", "G0"):
        ints[name][place] = centred(int(ints[name][place]) + delta)
    column, sample = place % 8, place // 8
    weights = ints["final.W0.0"].reshape(8, 8)
    inputs = ints["A0"].reshape(-1, 8)[sample]
    for row in range(p.widths[0]):
        weights[row, column] = centred(int(weights[row, column]) - int(inputs[row]) * delta)
    bias = ints["final.b0.0"]
    bias[column] = centred(int(bias[column]) - (delta << p.activation_bits))


def _place(ints: Ints, wanted: Callable[[Ints, int], bool]) -> int:
    """A real neuron of a real sample of the last step for which `wanted` holds."""
    for sample in range(TINY.batch):
        for neuron in range(TINY.widths[1]):
            place = (LAST * 4 + sample) * 8 + neuron
            if wanted(ints, place):
                return place
    raise AssertionError("no place for the cheat")


def off_by_one(ints: Ints) -> None:
    """Another integer in the right range, with nothing to make up for it."""
    steer(ints, _place(ints, lambda i, k: i["GA1"][k] != 0), 1)


def carried_high(ints: Ints) -> None:
    """grad + 1 and rest - 2^d, in the rest's higher limb."""
    place = _place(ints, lambda i, k: i["GA1"][k] != 0)
    ints["rest0.1"][place] -= 1 << (SLOPE_BITS - TINY.table_bits)
    steer(ints, place, 1)


def carried_low(ints: Ints) -> None:
    """The same in the lower limb."""
    place = _place(ints, lambda i, k: i["GA1"][k] != 0)
    ints["rest0.0"][place] -= 1 << SLOPE_BITS
    steer(ints, place, 1)


def field_quotient(ints: Ints) -> None:
    """A rest in range but one too high: 2^d divides the product less that rest in the field, not in the integers."""
    place = _place(ints, lambda i, k: i["rest0.0"][k] < 63)
    ints["rest0.0"][place] += 1
    steer(ints, place, -pow(1 << SLOPE_BITS, P - 2, P))
    assert abs(int(ints["grad0"][place])) > 1 << 40


def high_bits(ints: Ints) -> None:
    """The right quotient by another slope: GA times slope + 1, with the slope's column left as it is."""
    place = _place(ints, lambda i, k: i["GA1"][k] != 0)
    steer(ints, place, int(ints["GA1"][place]))


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize(
    "cheat, claim",
    [
        (off_by_one, "chain:0"),
        (high_bits, "chain:0"),
        (carried_high, "range:rest0.1"),
        (carried_low, "range:rest0.0"),
        (field_quotient, "range:grad0"),
    ],
)
def test_another_gradient(cheat: Hook, claim: str, bound: bool, leave_out: Callable[..., None]) -> None:
    if not bound:
        leave_out(claim)
    make(hook=cheat).judge(accepted=not bound)


# --- padding ---


@pytest.mark.parametrize("name", ["act0", "slope0", "grad0", "rest0.0"])
@pytest.mark.parametrize("place", [7, 3 * 8], ids=["a neuron that is not there", "a sample that is not there"])
def test_padding_follows_the_rules_too(name: str, place: int) -> None:
    """Lookups and the equation hold at every index, so that a lone change in the padding is refused as well.

    The slope alone times a gradient of zero changes nothing: there it is the table that refuses.
    """
    make(hook=lambda ints: ints[name].__setitem__(place, ints[name][place] + 1)).judge(accepted=False)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("activation", ["leaky-relu", "silu"])
def test_a_hidden_neuron(activation: str, masked: bool, leave_out: Callable[..., None]) -> None:
    """Eight neurons under a statement of seven: the eighth is constant and learns its outputs. Only I in A1 tells."""
    claimed = of(activation=activation, steps=1)
    trained = dataclasses.replace(claimed, widths=(5, 8, 3))
    w, a, level = trained.weight_bits, trained.activation_bits, 9
    plain = initial_state((5, 8, 3), w, SeededRandomness(b"neuron").read)
    first = State(
        (plain.weights[0] * (np.arange(8) < 7), np.where((np.arange(8) < 7)[:, None], plain.weights[1], 37)),
        (np.where(np.arange(8) < 7, 0, level << (w - a)), plain.biases[1]),
    )

    def raw(ints: Ints, prefix: str, w1: Any) -> None:
        """Outside the public size a state stands without its offset: here in the lowest limb, or two for the bias."""
        for k in range(3):
            ints[f"{prefix}.W0.{k}"].reshape(8, 8)[:, 7] = 0
            ints[f"{prefix}.W1.{k}"].reshape(8, 4)[7] = np.append(w1, 0) if k == 0 else 0
            ints[f"{prefix}.b0.{k}"][7] = (level << (w - a)) >> (6 * k) & 63

    def hook(ints: Ints) -> None:
        """Rounding is down outside the public size; the neuron's inputs stay as they are."""
        columns = {name: ints[name].reshape(-1, 8)[:, 7] for name in ("Y0", "R0.0", "R0.1", "GA1", "RG1.0", "RG1.1")}
        assert (columns["Y0"][:3] == level).all()
        columns["R0.0"][:], columns["R0.1"][:] = 0, 0
        z = (columns["GA1"] << w) + columns["RG1.0"] + (columns["RG1.1"] << 6) - (1 << (w - 1))
        z[3:] = 0
        columns["GA1"][:], columns["RG1.0"][:], columns["RG1.1"][:] = z >> w, z & 63, (z & ((1 << w) - 1)) >> 6
        grad, rest = activations.chain(columns["GA1"], ints["slope0"].reshape(-1, 8)[:, 7], trained)
        for name, values in (("grad0", grad), ("rest0.0", rest & 63), ("rest0.1", rest >> 6), ("G0", 0 * grad)):
            ints[name].reshape(-1, 8)[:, 7] = values
        moved = ints["A1"].reshape(-1, 8)[:, 7] @ ints["G1"].reshape(-1, 4)[:, :3]
        assert moved.any()
        raw(ints, "final", 37 - moved)

    if not masked:
        leave_out("mask:A1")
    run = make(trained, hook, claimed, first, lambda ints: raw(ints, "initial", np.full(3, 37)))
    run.judge(accepted=not masked)


# --- states without bias ---


def test_a_bias_in_a_network_without() -> None:
    """A run with biases under a statement without: the outputs need them."""
    claimed = of(bias=False)
    make(TINY, claimed=claimed, state=_with_bias()).judge(accepted=False)


def _with_bias() -> State:
    plain = initial_state(TINY.widths, TINY.weight_bits, SeededRandomness(b"bias").read)
    return State(plain.weights, (np.full(7, 1 << 7), np.full(3, 1 << 7)))
