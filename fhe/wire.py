"""Bytes between client and server: lengths fixed by the plan, words checked, nothing self-describing.

An operand is its ciphertexts' raw words in the plan's order. A bundle is a header of closed schema and the
words of exactly the keys it names. A client's secret never passes through this file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from fhe.errors import MalformedBytes, ParametersUnsafe
from fhe.params import SECURE_BITS, Params
from fhe.plan import Plan, canonical

BUNDLE_MAGIC = b"\x89FHEB\r\n\x1a"
_MAX_HEADER = 1 << 20
_MAX_KEYS = 4096
RESULT = "result"


@dataclass(frozen=True)
class EncryptedTensor:
    """An operand or a result as raw words: one entry of `words` per ciphertext of the plan named by `plan`.

    `seeded`: each ends in 64 bytes that stand for its second polynomial. `origin`: the plan, where it is at
    hand.
    """

    plan: str
    name: str
    shape: tuple[int, ...]
    words: tuple[bytes, ...]
    seeded: bool
    origin: Plan | None = field(default=None, repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        return sum(map(len, self.words))

    def to_bytes(self) -> bytes:
        """The words alone; whoever reads them needs the plan."""
        return b"".join(self.words)


@dataclass(frozen=True)
class RingKeys:
    """Public evaluation keys of one parameter set: rotation step → (depth, words), and a seeded encryption of
    0.
    """

    params: Params
    rotations: Mapping[int, tuple[int, bytes]]
    relin: tuple[int, bytes] | None
    zero: bytes

    @property
    def nbytes(self) -> int:
        return sum(len(w) for _, w in self.rotations.values()) + (len(self.relin[1]) if self.relin else 0)


def lengths(plan: Plan, name: str, seeded: bool) -> list[int]:
    """Bytes of every ciphertext of an operand, or of the result."""
    depths = (
        [plan.graph.depth(v) for v in plan.graph.outputs]
        if name == RESULT
        else [d for _, d in plan.tiles(name)]
    )
    return [plan.params.ciphertext_bytes(d, seeded) for d in depths]


def parse_tensor(plan: Plan, name: str, data: bytes) -> EncryptedTensor:
    """An operand or the result from bytes; every byte is accounted for by the plan."""
    if name != RESULT and name not in plan.layouts:
        raise MalformedBytes(f"'{name}' is none of the plan's encrypted operands {sorted(plan.layouts)}")
    seeded = name != RESULT
    sizes = lengths(plan, name, seeded)
    if len(data) != sum(sizes):
        raise MalformedBytes(f"'{name}' has {len(data)} bytes where the plan has {sum(sizes)}")
    parts, at = [], 0
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    shape = plan.shape if name == RESULT else plan.operands[name].shape
    return EncryptedTensor(plan.digest, name, shape, tuple(parts), seeded)


def write_bundle(rings: list[RingKeys], client_key: bytes) -> bytes:
    """A server bundle: parameters, public evaluation keys and the client's verification key."""
    header = canonical(
        {
            "version": 1,
            "client_key": client_key.hex(),
            "rings": [
                {
                    "params": r.params.to_json(),
                    "rotations": [[s, d] for s, (d, _) in sorted(r.rotations.items())],
                    "relin": r.relin[0] if r.relin else None,
                }
                for r in rings
            ],
        }
    )
    body = b"".join(
        b"".join([r.zero, r.relin[1] if r.relin else b"", *(w for _, (_, w) in sorted(r.rotations.items()))])
        for r in rings
    )
    return BUNDLE_MAGIC + struct.pack("<I", len(header)) + header + body


def read_bundle(data: bytes) -> tuple[list[RingKeys], bytes]:
    """Parse a bundle strictly: closed header, 128-bit-secure parameters, exact length.

    Raises MalformedBytes, or ParametersUnsafe for a weak ring. Words are checked when keys are loaded.
    """
    if data[:8] != BUNDLE_MAGIC or len(data) < 12:
        raise MalformedBytes(f"no bundle: it begins with {data[:8].hex()} instead of {BUNDLE_MAGIC.hex()}")
    size = struct.unpack_from("<I", data, 8)[0]
    if size > _MAX_HEADER or len(data) < 12 + size:
        raise MalformedBytes(f"a bundle header of {size} bytes in {len(data)}; at most {_MAX_HEADER}")
    raw, at = data[12 : 12 + size], 12 + size
    try:
        header = json.loads(raw)
        if (
            canonical(header) != raw
            or set(header) != {"version", "client_key", "rings"}
            or header["version"] != 1
        ):
            raise MalformedBytes(f"a bundle header with {sorted(header)} that is not canonical version 1")
        client_key, rings = bytes.fromhex(header["client_key"]), []
        if len(client_key) != 32 or not 1 <= len(header["rings"]) <= 16:
            raise MalformedBytes(
                f"a bundle of {len(header['rings'])} rings and a {len(client_key)}-byte client key"
            )
        for ring in header["rings"]:
            keys, at = _read_ring(ring, data, at)
            rings.append(keys)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, (MalformedBytes, ParametersUnsafe)):
            raise
        raise MalformedBytes(f"a bundle header is malformed: {type(error).__name__}") from None
    if at != len(data):
        raise MalformedBytes(f"{len(data) - at} bytes follow a bundle of {at}")
    return rings, client_key


def _whole(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise MalformedBytes(f"{value!r} is no integer from {low} to {high}")
    return value


def _read_ring(ring: dict[str, object], data: bytes, at: int) -> tuple[RingKeys, int]:
    if set(ring) != {"params", "rotations", "relin"}:
        raise MalformedBytes(f"a ring of a bundle has fields {sorted(ring)}")
    params = read_params(ring["params"])
    rotations = ring["rotations"]
    if not isinstance(rotations, list) or len(rotations) > _MAX_KEYS:
        raise MalformedBytes(f"rotations are no list of at most {_MAX_KEYS}")
    pairs = [(_whole(s, 1, params.slots - 1), _whole(d, 0, params.depth)) for s, d in rotations]
    if pairs != sorted(dict(pairs).items()):
        raise MalformedBytes("rotation steps repeat or are out of order")

    def take(size: int) -> bytes:
        nonlocal at
        if at + size > len(data):
            raise MalformedBytes(f"a bundle of {len(data)} bytes ends before byte {at + size}")
        at += size
        return data[at - size : at]

    zero = take(params.ciphertext_bytes(0, seeded=True))
    relin = None
    if ring["relin"] is not None:
        depth = _whole(ring["relin"], 0, params.depth)
        relin = (depth, take(params.key_bytes(depth)))
    return RingKeys(params, {s: (d, take(params.key_bytes(d))) for s, d in pairs}, relin, zero), at


def read_params(document: object) -> Params:
    """Parameters from JSON; raises MalformedBytes or ParametersUnsafe."""
    if not isinstance(document, dict) or set(document) != {"ring", "primes", "special", "scale_bits"}:
        raise MalformedBytes(f"parameters {str(document)[:80]} have other fields")
    primes = document["primes"]
    if not isinstance(primes, list) or not 1 <= len(primes) <= 32:
        raise MalformedBytes("parameters need 1 to 32 primes")
    ring = _whole(document["ring"], min(SECURE_BITS), max(SECURE_BITS))
    return Params(
        ring,
        tuple(_whole(p, 3, 1 << 60) for p in primes),
        _whole(document["special"], 3, 1 << 60),
        _whole(document["scale_bits"], 20, 60),
    )
