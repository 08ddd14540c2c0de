"""What a proof will cost and give, known from the parameters alone, before any work."""

from __future__ import annotations

from dataclasses import dataclass

from verifier.commitment import group_rows
from verifier.proof import HEADER_BYTES
from verifier.relation import GROUPS
from verifier.security import bits_of
from verifier.statement import Parameters, Statement
from verifier.training import integer_bounds

from .prove import prepare

# Seconds an item on two cores with AVX-512, warm kernels; measured with the digits of `zkgrad demo` at 32
# steps.
_SECONDS_AN_ELEMENT = 0.25e-6
_SECONDS_A_LOOKUP = 0.6e-6
_SECONDS_FIXED = 3.5


@dataclass(frozen=True)
class Plan:
    """Sizes are counts, lengths bytes, times seconds on two cores. `terms` is the soundness sum in bits, by
    term."""

    elements: dict[str, int]
    lookups: int
    proof_bytes: int
    memory_bytes: int
    seconds: float
    security_bits: float
    terms: dict[str, float]
    bounds_bits: dict[str, int]
    row_bits: int
    queries: int


def plan(parameters: Parameters, samples: int, minimum_security: int = 1) -> Plan:
    """The plan of a run; ParametersUnsafe when its integers could wrap or its security falls short.

    `proof_bytes` is an upper bound (joint paths share nodes by luck). Time and memory are estimates from
    counts.
    """
    zero = bytes(32)
    statement = Statement(parameters, samples, zero, zero, zero, zero, zero)
    relation, shape = prepare(statement, minimum_security)
    row = 1 << parameters.row_bits
    elements = {g: row * sum(count for _, count in group_rows(relation, g)) for g in GROUPS}
    lookups = sum(1 << relation.tensors[lookup.x.terms[0][1][0]].bits for lookup in relation.lookups)
    entries = lookups + sum(1 << table.bits for table in relation.tables())
    total = sum(elements.values())
    # Rows, blinded rows and codewords; the fraction tree over K, numerators and denominators, all layers; the
    # rest.
    memory = total * 8 * (2 + (1 << parameters.blowup_bits)) + (1 << (entries - 1).bit_length()) * 90 + (350 << 20)
    return Plan(
        elements=elements,
        lookups=lookups,
        proof_bytes=HEADER_BYTES + shape.max_bytes,
        memory_bytes=memory,
        seconds=_SECONDS_FIXED + total * _SECONDS_AN_ELEMENT + lookups * _SECONDS_A_LOOKUP,
        security_bits=shape.bits,
        terms={label: bits_of(value) for label, value in shape.terms},
        bounds_bits={place: bound.bit_length() for place, bound in integer_bounds(parameters).items()},
        row_bits=parameters.row_bits,
        queries=shape.code.queries,
    )
