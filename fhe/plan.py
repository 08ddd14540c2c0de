"""A plan: what will be computed, at which cost and error, before any key exists."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fhe.analysis import Analysis, key_bytes, relinearization_depth, rotation_keys, upload_bytes
from fhe.backend import Array, Prepared, check_plain, check_values, execute
from fhe.errors import BoundError, LayoutError, MalformedBytes
from fhe.graph import Graph
from fhe.layout import Layout
from fhe.params import SECURE_BITS, Params
from fhe.program import Attribute, Program, Tensor
from fhe.simulator import Simulator
from fhe.spec import Encrypted, Operand, Plain, Release

if TYPE_CHECKING:
    from fhe.server import EncryptedTensor, Server

VERSION = 1
_OPS = {"operand", "constant", "einsum", "add", "subtract", "slice", "reshape", "polyval", "declare"}


@dataclass(frozen=True)
class Options:
    """How a plan was asked for; see fhe.plan."""

    precision: float = 1e-4
    replicate: str = "auto"
    objective: str = "operations"
    reveal: str = "all"
    release: Release | None = None
    across: tuple[str, ...] = ()
    rings: tuple[int, ...] | None = None

    def check(self) -> None:
        if not 1e-12 <= self.precision <= 0.5:
            raise BoundError(f"precision {self.precision} is relative to the output bound: use 1e-12 to 0.5")
        for name, value, allowed in (
            ("replicate", self.replicate, ("auto", "client", "server")),
            ("objective", self.objective, ("operations", "time", "upload")),
            ("reveal", self.reveal, ("all", "output")),
        ):
            if value not in allowed:
                raise BoundError(f"{name}='{value}' is none of {allowed}")
        if any(r not in SECURE_BITS for r in self.rings or ()):
            raise BoundError(f"rings {self.rings}: use some of {sorted(SECURE_BITS)}")

    def target(self, bound: float) -> float:
        """The largest absolute error allowed in a result of magnitude `bound`."""
        if self.release is None:
            return self.precision * bound
        from fhe.release import error_target

        return min(self.precision * bound, error_target(self.release, bound))


@dataclass(frozen=True)
class Plan:
    """A program lowered for one parameter set. `run` evaluates it; printing it shows everything that is
    predicted.
    """

    program: Program
    output: int
    options: Options
    params: Params
    graph: Graph
    layout: Layout
    bound: float
    layouts: Mapping[str, Layout]
    analysis: Analysis
    _memory: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def operands(self) -> dict[str, Operand]:
        return self.program.operands

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    @cached_property
    def counts(self) -> Counter[str]:
        """Instructions by operation."""
        return self.graph.counts()

    @property
    def levels(self) -> int:
        return self.graph.levels()

    @property
    def seconds(self) -> float:
        """Predicted seconds on one core of the server, plaintexts already encoded."""
        return self.analysis.seconds

    @property
    def error(self) -> float:
        """Predicted largest absolute error of the result."""
        return self.analysis.error

    @cached_property
    def rotations(self) -> dict[int, int]:
        """Rotation steps needed, with the depth from which each key must serve."""
        return rotation_keys(self.graph)

    @cached_property
    def relinearization(self) -> int | None:
        return relinearization_depth(self.graph)

    @cached_property
    def key_bytes(self) -> int:
        return key_bytes(self.graph, self.params)

    @cached_property
    def upload(self) -> dict[str, int]:
        return upload_bytes(self.graph, self.params)

    @property
    def download(self) -> int:
        return sum(
            self.params.ciphertext_bytes(self.graph.depth(v), seeded=False) for v in self.graph.outputs
        )

    def input_depth(self, name: str, tile: int) -> int | None:
        """The depth at which one ciphertext of an operand is encrypted, None when the plan ignores it."""
        return self._inputs.get((name, tile))

    @cached_property
    def _inputs(self) -> dict[tuple[str, int], int]:
        return {i.source: i.depth for i in self.graph.code if i.source is not None}

    def document(self) -> dict[str, object]:
        """What was asked for, as JSON: enough to plan again and compare digests."""
        options = self.options
        release = options.release
        return {
            "version": VERSION,
            "output": self.output,
            "operands": {
                n: {
                    "kind": "encrypted" if isinstance(s, Encrypted) else "plain",
                    "shape": list(s.shape),
                    "bound": float(s.bound),
                }
                for n, s in self.operands.items()
            },
            "steps": [
                {"op": s.op, "args": list(s.args), "attributes": _listed(s.attributes)}
                for s in self.program.steps
            ],
            "options": {
                "precision": options.precision,
                "replicate": options.replicate,
                "objective": options.objective,
                "reveal": options.reveal,
                "across": list(options.across),
                "rings": list(options.rings) if options.rings else None,
                "release": [release.bits, release.stat_security, release.max_releases] if release else None,
            },
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the request, the parameters, every layout and every instruction."""
        h = hashlib.sha256(canonical(self.document()))
        h.update(canonical(self.params.to_json()))
        for name, layout in sorted(self.layouts.items()):
            h.update(f"{name}:{layout.digest()};".encode())
        h.update(self.layout.digest().encode())
        for i in self.graph.code:
            h.update(repr((i.op, i.args, i.depth, i.step, i.plaintext, i.source)).encode())
        for g in self.graph.plaintexts:
            h.update(repr(g.node).encode() + np.ascontiguousarray(g.index, "<i8").tobytes())
        for node in self.graph.plain:
            h.update(repr((node.kind, node.shape, node.name, node.args, node.values)).encode())
        return h.hexdigest()

    def run(self, server: Server, *, workers: int = 1, **operands: Any) -> EncryptedTensor:
        """Evaluate on a server: encrypted operands as EncryptedTensor, plain ones as arrays.

        `workers`: processes that share the result's ciphertexts. Raises LayoutError for ciphertexts of
        another plan, MissingKey, ShapeError and BoundError for plain operands that differ from the plan.
        """
        return server.run(self, operands, workers)

    def simulate(self, seed: int | None = None, **operands: Any) -> tuple[Array, Counter[str]]:
        """The same instructions in NumPy, without keys: the result and the operations counted.

        `seed`: draw the scheme's errors from this seed; None computes exactly.
        """
        rng = None if seed is None else np.random.default_rng(seed)
        simulator = Simulator(self.params, self.rotations, self.relinearization, rng)
        plain = {n: v for n, v in operands.items() if isinstance(self.operands.get(n), Plain)}
        prepared = Prepared(self.graph, self.params, simulator, check_plain(self.operands, plain))
        inputs = {}
        for name, slots in self.pack({n: v for n, v in operands.items() if n not in plain}).items():
            for tile, depth in self.tiles(name):
                inputs[name, tile] = simulator.encrypt(slots[tile], depth)
        outputs = execute(self.graph, simulator, inputs, prepared, self.graph.outputs)
        return self.layout.unpack(np.stack([simulator.decrypt(x) for x in outputs])), simulator.counts

    def tiles(self, name: str) -> list[tuple[int, int]]:
        """(ciphertext number, depth) of an operand's ciphertexts that the plan uses."""
        return sorted((t, d) for (n, t), d in self._inputs.items() if n == name)

    def pack(self, operands: Mapping[str, Any]) -> dict[str, Array]:
        """Check encrypted operands against the plan and lay them out in slots."""
        wanted = [n for n, s in self.operands.items() if isinstance(s, Encrypted) and n in self.layouts]
        for name in operands:
            if name not in wanted:
                raise LayoutError(
                    f"operand '{name}' is none of the {len(wanted)} encrypted operands {sorted(wanted)}"
                )
        return {
            name: (
                self.layouts[name].pack(
                    check_values(name, value, self.operands[name].shape, self.operands[name].bound)
                )
            )
            for name, value in operands.items()
        }

    def draw(self) -> str:
        """The slot layout of every encrypted operand and of the result, as text."""
        parts = [f"{name} {layout.shape}\n{layout.draw()}" for name, layout in self.layouts.items()]
        return "\n".join([*parts, f"result {self.shape}\n{self.layout.draw()}"])

    def svg(self) -> dict[str, str]:
        """One SVG document per encrypted operand, and "result"."""
        return {name: layout.svg() for name, layout in {**self.layouts, "result": self.layout}.items()}

    def __str__(self) -> str:
        from fhe.planner import describe

        c, p = self.counts, self.params
        lines = [f"plan v{VERSION} {describe(self.program, self.output)}  {self.digest[:16]}"]
        for name, spec in self.operands.items():
            kind = "encrypted" if isinstance(spec, Encrypted) else "plain"
            where = f"; {self.layouts[name].text}" if name in self.layouts else ""
            lines.append(f"  {name}: {kind} {spec.shape}, |entry| ≤ {spec.bound:g}{where}")
        lines.append(f"  result: {self.shape}, |entry| ≤ {self.bound:g}; {self.layout.text}")
        states = (
            "clean" if self.layout.clean else "other slots hold partial sums (reveal='output' masks them)"
        )
        lines.append(f"  slots: {states}")
        lines.append(
            f"  counts: {c['rotate']} rotations, {c['multiply']} ciphertext products, {c['multiply_plain']} "
            f"plaintext products, {c['relinearize']} relinearisations, {c['rescale']} rescalings, "
            f"{c['add'] + c['add_plain']} additions"
        )
        lines.append(
            f"  levels: {self.levels}; ring {p.ring}, {p.total_bits:.0f} of {SECURE_BITS[p.ring]} bits at "
            f"128-bit security, scale 2^{p.scale_bits}"
        )
        relin = 0 if self.relinearization is None else 1
        lines.append(
            f"  keys: {len(self.rotations)} rotation, {relin} relinearisation, {self.key_bytes:,} bytes"
        )
        upload = ", ".join(f"{n} {b:,}" for n, b in sorted(self.upload.items()))
        lines.append(f"  bytes: upload {sum(self.upload.values()):,} ({upload}), download {self.download:,}")
        lines.append(
            f"  predicted: {self.seconds:.3g} s, {self.analysis.encode_seconds:.3g} s to encode plaintexts, "
            f"error ≤ {self.error:.2g}"
        )
        if self.options.release is not None:
            lines.append(
                f"  release: {self.options.release.bits} bits correct, statistical security "
                f"2^-{self.options.release.stat_security} over {self.options.release.max_releases} releases"
            )
        return "\n".join(lines)

    def steps(self) -> str:
        """Every instruction on one line."""
        return "\n".join(
            f"%{v} = {i.op} {' '.join(f'%{a}' for a in i.args)}"
            + (f" by {i.step}" if i.op == "rotate" else "")
            + (f" p{i.plaintext}" if i.plaintext >= 0 else "")
            + (f" {i.source[0]}[{i.source[1]}]" if i.source else "")
            + f"  depth {i.depth}"
            for v, i in enumerate(self.graph.code)
        )


def canonical(document: object) -> bytes:
    """JSON with sorted keys and no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _listed(attributes: tuple[Attribute, ...]) -> list[object]:
    return [_listed(a) if isinstance(a, tuple) else a for a in attributes]


def _tupled(attributes: object) -> tuple[Attribute, ...]:
    if not isinstance(attributes, list):
        raise MalformedBytes(f"attributes {attributes!r} are no list")
    return tuple(_tupled(a) if isinstance(a, list) else a for a in attributes)


def from_document(document: dict[str, object]) -> tuple[Program, int, Options]:
    """The program of a plan's document, every step checked again as if it were being written.

    Raises MalformedBytes for anything but a document of this version.
    """
    try:
        if (
            set(document) != {"version", "output", "operands", "steps", "options"}
            or document["version"] != VERSION
        ):
            raise MalformedBytes(f"a plan of version {document.get('version')!r}; this is version {VERSION}")
        program, tensors = Program(), list[Tensor]()
        operands, steps, options = document["operands"], document["steps"], document["options"]
        assert isinstance(operands, dict) and isinstance(steps, list) and isinstance(options, dict)
        if len(operands) > 64 or len(steps) > 256:
            raise MalformedBytes(
                f"a plan of {len(operands)} operands and {len(steps)} steps; at most 64 and 256"
            )
        for step in steps:
            tensors.append(_restore(program, tensors, operands, step))
        if set(operands) != set(program.operands):
            raise MalformedBytes("operands are described that no step uses")
        output = document["output"]
        assert isinstance(output, int) and 0 <= output < len(steps)
        release = options["release"]
        rings = options["rings"]
        chosen = Options(
            float(options["precision"]),
            str(options["replicate"]),
            str(options["objective"]),
            str(options["reveal"]),
            Release(*map(int, release)) if release else None,
            tuple(map(str, options["across"])),
            tuple(map(int, rings)) if rings else None,
        )
        if set(options) != {"precision", "replicate", "objective", "reveal", "release", "across", "rings"}:
            raise MalformedBytes(f"options {sorted(options)} are not those of version {VERSION}")
        return program, output, chosen
    except (AssertionError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise MalformedBytes(f"a plan's document is malformed: {type(error).__name__} {error}") from None


def _restore(
    program: Program, tensors: list[Tensor], operands: dict[str, Any], step: dict[str, Any]
) -> Tensor:
    op, attributes = step["op"], _tupled(step["attributes"])
    if set(step) != {"op", "args", "attributes"} or op not in _OPS:
        raise MalformedBytes(f"step {str(step)[:80]} is none of version {VERSION}")
    args = [tensors[int(a)] for a in step["args"] if isinstance(a, int) and 0 <= a < len(tensors)]
    if len(args) != len(step["args"]):
        raise MalformedBytes(f"step '{op}' refers to {step['args']}, of which {len(args)} come earlier")
    if op == "operand":
        name = str(attributes[0])
        spec = operands[name]
        if set(spec) != {"kind", "shape", "bound"} or spec["kind"] not in ("encrypted", "plain"):
            raise MalformedBytes(f"operand '{name}' is described by {sorted(spec)}")
        kind = Encrypted if spec["kind"] == "encrypted" else Plain
        return program.operand(name, kind(tuple(int(s) for s in spec["shape"]), float(spec["bound"])))
    if op == "slice":
        index = [
            slice(a[0], None if int(str(a[1])) < 0 else a[1], a[2]) if isinstance(a, tuple) else int(str(a))
            for a in attributes
        ]
        return program.slice(args[0], *index)
    if op == "reshape":
        return program.reshape(args[0], tuple(int(str(a)) for a in attributes))
    if op == "polyval":
        return program.polyval(args[0], [float(str(a)) for a in attributes])
    if op in ("constant", "declare"):
        value = float(str(attributes[0]))
        return program.constant(value) if op == "constant" else program.declare(args[0], value)
    if op == "einsum":
        return program.einsum(str(attributes[0]), *args)
    return program.add(*args) if op == "add" else program.subtract(*args)
