"""The fast arithmetic of a verification: the plain one's numbers, and so its verdicts."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from prover.fast_verify import FastArithmetic
from tests.attacks.mutations import with_bytes
from tests.support import Forged, forge, preset
from verifier import VerifierError, verify
from verifier.arithmetic import Arithmetic
from verifier.field import Ext, P
from verifier.proof import HEADER_BYTES

EDGES = [0, 1, P - 1, 2**32 - 1, 2**32]


def elements(rng: random.Random, count: int) -> list[Ext]:
    return [Ext(tuple(rng.choice([*EDGES, rng.randrange(P)]) for _ in range(3))) for _ in range(count)]


@pytest.mark.parametrize(("bits", "length"), [(0, 1), (2, 3), (3, 8), (4, 41), (9, 700), (10, 1500)])
def test_same_numbers(bits: int, length: int) -> None:
    rng = random.Random(bits)
    plain, fast = Arithmetic(), FastArithmetic()
    coefficients, point = elements(rng, length), elements(rng, bits)
    points = [*EDGES, *(rng.randrange(P) for _ in range(20))]
    columns = [[rng.choice([*EDGES, rng.randrange(P)]) for _ in range(length)] for _ in range(5)]
    assert fast.on_subgroup(coefficients, point) == plain.on_subgroup(coefficients, point)
    assert fast.at_points(coefficients, points) == plain.at_points(coefficients, points)
    assert fast.columns(coefficients, columns) == plain.columns(coefficients, columns)


def verdict(forged: Forged, proof: bytes, arithmetic: Arithmetic | None) -> str:
    """What a verification says, error or digest."""
    try:
        found = verify(forged.statement.to_bytes(), proof, minimum_security=1, arithmetic=arithmetic)
    except VerifierError as error:
        return f"{type(error).__name__}: {error}"
    return found.statement_digest.hex()


def spread(total: int, count: int) -> Sequence[int]:
    return [HEADER_BYTES + k * (total - HEADER_BYTES) // count for k in range(count)]


def test_same_verdicts_on_a_proof_and_on_mutations_of_it() -> None:
    forged = forge(preset())
    fast = FastArithmetic()
    assert verdict(forged, forged.proof, fast) == forged.statement.digest().hex()
    for place in spread(len(forged.proof), 60):
        mutated = with_bytes(forged.proof, place, bytes([forged.proof[place] ^ 1]))
        found = verdict(forged, mutated, fast)
        assert found == verdict(forged, mutated, None) and ": " in found
