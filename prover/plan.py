"""What a proof will cost and give, and how a run is cut into segments: from the parameters alone, before any work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log2

from verifier.commitment import group_rows
from verifier.display import Sheet
from verifier.errors import ParametersUnsafe
from verifier.proof import HEADER_BYTES
from verifier.security import bits_of
from verifier.statement import Parameters, Statement
from verifier.tensors import GROUPS
from verifier.training import check_bounds, integer_bounds

from .choose import check_schedule, choose_rows, norm_choices, part_of
from .errors import InputInvalid, OutOfMemory
from .proving import prepare

# Seconds an item on two cores with AVX-512, warm kernels; measured with the digits of `zkgrad demo` at 32
# steps.
_SECONDS_AN_ELEMENT = 0.25e-6
_SECONDS_A_LOOKUP = 0.6e-6
_SECONDS_FIXED = 3.5

_DEVICE_FIXED = 1 << 30  # the context of CUDA, kernels, and memory between arrays

MAX_SEGMENTS = 1000  # a statement grants the data at most 1,024 openings
MAX_STEPS = 1 << 16  # of one statement
SPARE_OPENINGS = 3  # of the data, beyond one a segment: attempts whose proof was lost after it was counted


@dataclass(frozen=True, repr=False)
class Plan:
    """Sizes are counts, lengths bytes, times seconds on two cores. `terms` is the soundness sum in bits, by
    term. `device_bytes` is what a proof takes of a GPU's memory, if it is made there."""

    elements: dict[str, int]
    lookups: int
    proof_bytes: int
    memory_bytes: int
    device_bytes: int
    seconds: float
    security_bits: float
    terms: dict[str, float]
    bounds_bits: dict[str, int]
    row_bits: int
    queries: int

    @property
    def costs(self) -> Sheet:
        """What proving takes, for people."""
        rows = [
            ("time", f"about {self.seconds:.0f} s on two cores (estimate)"),
            ("memory", f"about {self.memory_bytes / 2**20:,.0f} MiB (estimate)"),
            ("proof", f"at most {self.proof_bytes:,} bytes"),
            ("committed elements", f"{sum(self.elements.values()):,}"),
            ("lookups", f"{self.lookups:,}"),
        ]
        return Sheet("What the proof will take", rows)

    @property
    def security(self) -> Sheet:
        """The soundness sum for people, the largest terms first."""
        terms = sorted(self.terms.items(), key=lambda term: term[1])
        rows = [("in all", f"2^-{self.security_bits:.1f}"), *((label, f"2^-{bits:.1f}") for label, bits in terms)]
        return Sheet("Chance that a false statement passes, besides the hash function's", rows, ("term", "at most"))

    @property
    def bounds(self) -> Sheet:
        """How large every integer can become, for people, the largest first."""
        bounds = sorted(self.bounds_bits.items(), key=lambda entry: -entry[1])
        rows = [(place, f"2^{bits}") for place, bits in bounds]
        return Sheet("Integers stay below p/2, which is 2^63", rows, ("what", "below"))

    def __repr__(self) -> str:
        return "\n".join(map(repr, (self.costs, self.security, self.bounds)))

    def _repr_html_(self) -> str:
        return "".join(sheet._repr_html_() for sheet in (self.costs, self.security, self.bounds))


def plan(parameters: Parameters, samples: int, minimum_security: int = 1) -> Plan:
    """The plan of a run; ParametersUnsafe when its integers could wrap or its security falls short."""
    zero = bytes(32)
    return plan_statement(Statement(parameters, samples, zero, zero, zero, zero, zero), minimum_security)


def plan_statement(statement: Statement, minimum_security: int = 1) -> Plan:
    """The plan of proving a statement of any task; errors as of `plan`.

    `proof_bytes` is an upper bound (joint paths share nodes by luck). Time and memory are estimates from
    counts.
    """
    parameters = statement.parameters
    relation, shape = prepare(statement, minimum_security)
    row = 1 << parameters.row_bits
    elements = {g: row * sum(count for _, count in group_rows(relation, g)) for g in GROUPS}
    lookups = sum(1 << relation.tensors[lookup.x.terms[0][1][0]].bits for lookup in relation.lookups)
    entries = lookups + sum(1 << table.bits for table in relation.tables())
    total = sum(elements.values())
    # Integers, rows and codewords; of the fractions' tree over K the layers from the third on, and the leaves after
    # their first fold; the rest.
    memory = total * 8 * (2 + (1 << parameters.blowup_bits)) + entries * 50 + (350 << 20)
    return Plan(
        elements=elements,
        lookups=lookups,
        proof_bytes=HEADER_BYTES + shape.max_bytes,
        memory_bytes=memory,
        device_bytes=device_bytes(total, entries, parameters.blowup_bits) + _DEVICE_FIXED,
        seconds=_SECONDS_FIXED + total * _SECONDS_AN_ELEMENT + lookups * _SECONDS_A_LOOKUP,
        security_bits=shape.bits,
        terms={label: bits_of(value) for label, value in shape.terms},
        bounds_bits={place: bound.bit_length() for place, bound in integer_bounds(parameters).items()},
        row_bits=parameters.row_bits,
        queries=shape.code.queries,
    )


def device_bytes(elements: int, leaves: int, blowup_bits: int) -> int:
    """What the tables of a proof take on a device at most, from the counts of committed elements and of leaves.

    All along: the integers of training, the rows, half as much again for what follows from them, and the codewords. On
    top comes the larger of the tree of fractions with its columns and the final merge, whose weights and combinations
    are over K.
    """
    standing = elements * 8 * (2 + (1 << blowup_bits)) + elements * 4
    return standing + max(38 * leaves, 72 * elements)


def plan_run(parts: Sequence[Parameters], samples: int, minimum_security: int = 1) -> Plan:
    """The plan of all segments of a run, proven one after the other: costs and errors add up, memory is the largest.

    Errors as of `plan`.
    """
    # Segments of one length have one shape: costs do not depend on their rates, bounds do and are cheap.
    plans = {
        (part.steps, part.starts_moving): plan(part, samples, minimum_security) for part in reversed(parts)
    }
    each = [plans[part.steps, part.starts_moving] for part in parts]
    bounds = [integer_bounds(part) for part in parts]
    return Plan(
        elements={group: sum(found.elements[group] for found in each) for group in GROUPS},
        lookups=sum(found.lookups for found in each),
        proof_bytes=sum(found.proof_bytes for found in each),
        memory_bytes=max(found.memory_bytes for found in each),
        device_bytes=max(found.device_bytes for found in each),
        seconds=sum(found.seconds for found in each),
        security_bits=_added(found.security_bits for found in each),
        terms={
            label: _added(found.terms[label] for found in each if label in found.terms)
            for found in each[:1]
            for label in found.terms
        },
        bounds_bits={place: max(bound[place] for bound in bounds).bit_length() for place in bounds[0]},
        row_bits=parts[0].row_bits,
        queries=each[0].queries,
    )


def _added(bits: Iterable[float]) -> float:
    """-log2 of the sum of 2^-bits."""
    known = list(bits)
    least = min(known)
    return least - log2(sum(2.0 ** (least - value) for value in known))


def cut(parameters: Parameters, count: int) -> tuple[Parameters, ...]:
    """`count` consecutive segments of the run, as equally long as can be, the longer ones first."""
    short, longer = divmod(parameters.steps, count)
    parts, first = [], 0
    for number in range(count):
        steps = short + (number < longer)
        parts.append(part_of(parameters, first, steps))
        first += steps
    return tuple(parts)


def least_segments(parameters: Parameters, samples: int) -> int:
    """The fewest segments that steps and schedule allow, whatever the ranges: known before the dry run.

    ParametersUnsafe when there is no such number.
    """

    def check(count: int) -> None:
        for part in cut(parameters, count):
            check_schedule(part, samples)

    return _least(parameters.steps, -(-parameters.steps // MAX_STEPS), check)


def plan_segments(
    parameters: Parameters,
    samples: int,
    *,
    memory: int | None = None,
    device_memory: int | None = None,
    segment_steps: int | None = None,
    data_openings: int | None = None,
) -> tuple[Parameters, ...]:
    """The run cut into segments, each with everything chosen: one segment if it fits, else the fewest that do.

    A segment fits if its integers cannot wrap around and its proof takes at most `memory` bytes (an estimate; None is
    no limit), or `device_memory` bytes of a GPU if that is given. `segment_steps` asks for the fewest segments of at
    most so many steps instead, whatever their memory.
    Errors of segments add up, so each of k promises `parameters.security_bits` + ceil(log2 k). All share their
    parameters but place, steps and rates, and so the row length, since neighbours share a commitment. The data can be
    opened once a segment and SPARE_OPENINGS times more, unless `data_openings` says otherwise.

    Errors: InputInvalid, openings or steps that cannot be; ParametersUnsafe, integers that would wrap around even in
    segments of one step, or no row length with that many openings; OutOfMemory, no cut is small enough.
    """
    if segment_steps is not None and segment_steps < 1:
        raise InputInvalid(f"segments of {segment_steps} steps: at least 1")
    wanted = 1 if segment_steps is None else -(-parameters.steps // segment_steps)
    parameters, least = _bounded(parameters, max(wanted, least_segments(parameters, samples)))
    chosen: dict[int, tuple[Parameters, ...]] = {}

    def choose(count: int) -> None:
        chosen[count] = _chosen(parameters, samples, count, data_openings)
        found = [plan(part, samples) for part in chosen[count][:2]]
        needed, limit = max(part.memory_bytes for part in found), memory
        if device_memory is not None:
            needed, limit = max(part.device_bytes for part in found), device_memory
        if limit is not None and segment_steps is None and needed > limit:
            raise OutOfMemory(
                f"a proof of {chosen[count][0].steps} steps needs about {needed >> 20} MiB of memory, {limit >> 20} "
                "MiB may be used: use smaller batches or layers, or insist on a length with --segment-steps"
            )

    return chosen[_least(parameters.steps, least, choose)]


def steps_that_fit(parameters: Parameters, samples: int, device_memory: int) -> int:
    """How many steps a proof may have to fit a device, by halving; 0 if not even one does."""
    steps = parameters.steps
    while steps and plan(part_of(parameters, 0, steps), samples).device_bytes > device_memory:
        steps //= 2
    return steps


def _bounded(parameters: Parameters, least: int) -> tuple[Parameters, int]:
    """The fewest segments, at least `least`, in which no integer can wrap around, and the parameters that allow it:
    those with the fewest claims on norms among them."""
    found: dict[Parameters, int] = {}
    refused: ParametersUnsafe | None = None
    for candidate in norm_choices(parameters):

        def check(count: int, candidate: Parameters = candidate) -> None:
            for part in cut(candidate, count):
                check_bounds(part)

        try:
            found[candidate] = _least(candidate.steps, least, check)
        except ParametersUnsafe as error:
            refused = error
    if not found:
        raise refused or ParametersUnsafe("no number of segments fits")
    fewest = min(found.values())
    return next(candidate for candidate, count in found.items() if count == fewest), fewest


def _chosen(parameters: Parameters, samples: int, count: int, data_openings: int | None) -> tuple[Parameters, ...]:
    openings = count + SPARE_OPENINGS if data_openings is None else data_openings
    if openings < count:
        raise InputInvalid(
            f"the data can be opened {openings} time(s) and each of {count} segments opens them: grant at least {count}"
        )
    if count > 1 and parameters.state_openings < 2:
        raise InputInvalid("a state between two segments is opened for both: grant states at least 2 openings")
    whole = dataclasses.replace(
        parameters, data_openings=openings, security_bits=parameters.security_bits + (count - 1).bit_length()
    )
    parts = cut(whole, count)
    rows = choose_rows(parts[0], samples).row_bits
    parts = tuple(dataclasses.replace(part, row_bits=rows) for part in parts)
    plan(parts[-1], samples)  # the shorter ones have a shape of their own
    return parts


def _least(steps: int, first: int, check: Callable[[int], None]) -> int:
    """The fewest segments, at least `first`, for which `check` does not raise; it is taken to hold from there on.

    Looks at few numbers, since each may take seconds. Raises what `check` last raised when none will do.
    """
    limit, failed = min(steps, MAX_SEGMENTS), first - 1
    if first > limit:
        raise ParametersUnsafe(
            f"{steps} steps would need {first} segments, at most {limit} are proven: use fewer steps or longer segments"
        )
    count, refused = first, None
    while True:
        try:
            check(count)
            break
        except (ParametersUnsafe, OutOfMemory) as error:
            refused = error
        if count == limit:
            raise refused
        failed, count = count, min(2 * count, limit)
    while count - failed > 1:
        middle = (count + failed) // 2
        try:
            check(middle)
            count = middle
        except (ParametersUnsafe, OutOfMemory):
            failed = middle
    return count
