"""The minimal preset and a prover that cheats on request: small enough that a proof takes a tenth of a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from prover import prove as proving
from prover.backends import cpu
from prover.choose import initial_state
from prover.dialogue import Draw, Say, Script
from prover.randomness import SeededRandomness
from prover.witness import build_witness, data_integers, state_integers, to_field
from verifier import verify
from verifier.channel import ReadingChannel
from verifier.commitment import code_of
from verifier.field import Ext
from verifier.proof import decode_proof
from verifier.protocol import converse
from verifier.relation import Relation
from verifier.schedule import batches, schedule_seed
from verifier.security import Shape, shape_of
from verifier.statement import Parameters, Statement
from verifier.training import training_relation

from .simulate import Arrays, Tamper, centred, simulate

PRESET = Parameters(
    widths=(5, 7, 3), activation="relu", loss="mse", optimizer="sgd", target="one-hot", batch=3, steps=2, first_step=0,
    rate_bits=4, activation_bits=3, gradient_bits=4, target_bits=0, input_width=6, target_width=1, activation_width=6,
    output_width=6, backward_width=6, error_width=6, weight_width=17, table_bits=6, row_bits=4, blowup_bits=4,
    data_openings=1, state_openings=1, security_bits=6, zero_knowledge=True)
SMALLEST = dataclasses.replace(PRESET, widths=(2, 3, 2), batch=2, steps=1)
DEEP = dataclasses.replace(PRESET, widths=(2, 3, 3, 2))
ZERO = bytes(32)
Hook = Callable[[Arrays], None]


def preset(**changes: Any) -> Parameters:
    """The minimal preset with fields changed. `security_bits` = 6: for tests only."""
    return dataclasses.replace(PRESET, **changes)


def raw_data(p: Parameters, samples: int, seed: int) -> tuple[Any, Any]:
    """Random small inputs and one-hot targets."""
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 1 << p.activation_bits, (samples, p.widths[0]))
    targets = np.eye(p.widths[-1], dtype=np.int64)[rng.integers(0, p.widths[-1], samples)]
    return inputs, targets


@dataclass(frozen=True)
class Forged:
    """A statement with the proof of it that some prover, honest or not, came up with."""

    statement: Statement
    proof: bytes
    relation: Relation
    job: proving.Job

    def verify(self, minimum_security: int = 1) -> None:
        """The real verifier, from bytes to verdict."""
        transparent = not self.statement.parameters.zero_knowledge
        verify(self.statement.to_bytes(), self.proof, minimum_security=minimum_security, allow_transparent=transparent)

    def verify_reduced(self) -> None:
        """The same conversation on the relation the proof was made with."""
        verify_with(self.relation, self.statement, self.proof)


def nothing(*_: object) -> None:
    """A hook that leaves everything as it is."""


def forge(p: Parameters = PRESET, *, samples: int = 10, seed: int = 0, without: Sequence[str] = (),
          data: Hook = nothing, initial: Hook = nothing, substitute: Hook = nothing, tamper: Tamper = nothing,
          unmasked: Collection[str] = (),
          schedule: Callable[[list[list[int]]], Sequence[Sequence[int]]] = lambda rows: rows, final: Hook = nothing,
          alter: Callable[[Arrays, Arrays], None] = nothing,
          restate: Callable[[Statement], Statement] = lambda statement: statement,
          transform: Callable[[Script[None]], Script[None]] | None = None,
          counts: Callable[[dict[str, Any]], None] = nothing, nonce: bytes = ZERO) -> Forged:
    """Runs the honest prover, not strict, with lies put in where the hooks say.

    data, initial, final: change these tensors before they are committed. substitute: changes data and initial state
    once they are. tamper, schedule: change the run and what follows from it. alter(committed, derived): changes
    integers after everything else. counts: changes the multiplicities.
    restate: the statement that the proof is made for. without: claims that both sides leave out.
    """
    backend, randomness = cpu, SeededRandomness(b"tests" + seed.to_bytes(8, "little"))
    draft = Statement(p, samples, ZERO, ZERO, ZERO, ZERO, nonce)
    relation = training_relation(draft)
    code = code_of(p)
    start = _start(relation, p, samples, seed, randomness)
    data(start)
    initial(start)
    blindings: dict[str, Any] = {}

    def commit(group: str, arrays: Mapping[str, Any]) -> bytes:
        tables = {tensor.name: field_table(arrays[tensor.name]) for tensor in relation.group(group)}
        committed = proving.commit_group(backend, relation, code, group, tables, randomness=randomness)
        blindings[group] = committed.blinding
        return committed.root

    data_root, initial_root = commit("data", start), commit("initial", start)
    draft = dataclasses.replace(draft, data_root=data_root, initial_root=initial_root, origin_root=initial_root)
    substitute(start)
    seed_of_order = schedule_seed(data_root, initial_root, nonce)
    order = [list(row) for row in batches(seed_of_order, samples, p.batch, p.first_step, p.steps)]
    integers, derived = simulate(relation, start, schedule(order), tamper, unmasked)
    final(integers)
    statement = restate(dataclasses.replace(draft, final_root=commit("final", integers)))
    alter(integers, derived)
    reduced = relation_of(statement, without)
    witness = witness_of(reduced, integers, derived)
    counts(witness.tensors)
    job = proving.Job(statement, reduced, shape_with(statement, reduced.removed), witness, blindings)
    proof = proving.prove(job, backend, randomness, strict=False, transform=transform)
    return Forged(statement, proof, reduced, job)


def prove_again(forged: Forged, transform: Callable[[Script[None]], Script[None]] | None = None,
                seed: bytes = b"again") -> Forged:
    """Another proof from the same statement and witness."""
    randomness = SeededRandomness(seed)
    proof = proving.prove(forged.job, cpu, randomness, strict=False, transform=transform)
    return dataclasses.replace(forged, proof=proof)


def _start(relation: Relation, p: Parameters, samples: int, seed: int, randomness: SeededRandomness) -> Arrays:
    inputs, targets = raw_data(p, samples, seed)
    state = initial_state(p.widths, p.state_bits, randomness.read)
    if p.starts_moving:
        rng, shapes = np.random.default_rng(seed), (state.weights, state.biases)
        moving = [tuple(rng.integers(-64, 64, values.shape) for values in tensors) for tensors in shapes]
        state = dataclasses.replace(state, weight_velocities=moving[0], bias_velocities=moving[1])
    flat = data_integers(inputs, targets, relation) | state_integers(state, "initial", relation)
    return {name: values.astype(object).reshape([1 << axis.bits for axis in relation.tensors[name].axes])
            for name, values in flat.items()}


def field_table(values: Any) -> Any:
    """Integers of any size as a flat table over F."""
    return to_field(centred(values).reshape(-1).astype(np.int64))


def witness_of(relation: Relation, integers: Mapping[str, Any], derived: Mapping[str, Any]) -> Any:
    """The prover's witness from arrays that may lie; counts are those of the entries that are in their tables."""
    def flat(arrays: Mapping[str, Any]) -> dict[str, Any]:
        return {name: centred(values).reshape(-1).astype(np.int64) for name, values in arrays.items()}
    counts = {name: np.zeros(1 << tensor.bits, dtype=np.int64) for name, tensor in relation.tensors.items()
              if name.startswith("count:")}
    with np.errstate(over="ignore"):
        return build_witness(cpu, relation, flat(integers) | counts, flat(derived), strict=False)


def relation_of(statement: Statement, without: Sequence[str] = ()) -> Relation:
    """The relation of a statement with claims left out."""
    relation = training_relation(statement)
    for name in without:
        relation = relation.without(name)
    return relation


def shape_with(statement: Statement, without: frozenset[str]) -> Shape:
    """The shape of a proof with claims left out; it does not depend on roots and nonce."""
    return _shape(statement.parameters, statement.samples, without)


@cache
def _shape(p: Parameters, samples: int, without: frozenset[str]) -> Shape:
    statement = Statement(p, samples, ZERO, ZERO, ZERO, ZERO, ZERO)
    return shape_of(statement, relation_of(statement, sorted(without)))


def verify_with(relation: Relation, statement: Statement, proof: bytes) -> None:
    """The verifier's conversation on a given relation; raises as `verify` does."""
    shape = shape_with(statement, relation.removed)
    channel = ReadingChannel(statement.parameters.zero_knowledge, decode_proof(proof, statement.digest()))
    converse(channel, statement, relation, shape.code, shape.pads)
    channel.close()


def altering(label: str, place: int, entry: int = 0, by: Ext | int = 1) -> Callable[[Script[None]], Script[None]]:
    """A transform of the script that adds `by` to one value of the place-th message of a label (negative: from the end
    is not possible, the script does not know its length)."""
    def transform(script: Script[None]) -> Script[None]:
        seen, answer = 0, None
        while True:
            try:
                item = next(script) if answer is None else script.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(item, Say) and item.label == label:
                if seen == place:
                    item = Say(label, changed(item.values, entry, by))
                seen += 1
            sent = yield item
            if isinstance(item, Draw):
                answer = sent
    return transform


def changed(values: Sequence[Ext] | bytes, entry: int, by: Ext | int) -> Sequence[Ext] | bytes:
    """Values with `by` added to one entry; of bytes, one bit of one byte flipped."""
    if isinstance(values, bytes):
        return values[:entry] + bytes([values[entry] ^ 1]) + values[entry + 1:]
    out = list(values)
    out[entry] = out[entry] + by
    return out
