"""One question and its answer between a client and a server that do not trust each other's bytes.

The client signs what it sends and pins the server's key; the server signs what it answers. Both parse in a
limited child. The client learns who answered, not that the answer is right: nothing here proves correct
computation.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from fhe.backend import Array
from fhe.client import Client
from fhe.errors import MalformedBytes, RejectedMessage
from fhe.plan import Plan, canonical
from fhe.sandbox import limited
from fhe.server import Server
from fhe.signing import (
    SIGNATURE_BYTES,
    Identity,
    NonceBook,
    Request,
    check_request,
    check_result,
    new_request,
    sign_request,
    sign_result,
)
from fhe.wire import RESULT, EncryptedTensor, lengths, parse_tensor

MAGIC = b"\x89FHEQ\r\n\x1a"
_MAX_HEADER = 1 << 16


def ask(client: Client, plan: Plan, operands: Mapping[str, EncryptedTensor]) -> tuple[Request, bytes]:
    """A signed request: keep the Request to check the answer, send the bytes."""
    request = new_request(plan.digest, {n: t.words for n, t in operands.items()})
    header = canonical(
        {
            "plan": request.plan,
            "nonce": request.nonce.hex(),
            "operands": dict(request.operands),
            "signature": sign_request(client.identity, request).hex(),
        }
    )
    body = b"".join(operands[n].to_bytes() for n in sorted(operands))
    return request, MAGIC + struct.pack("<I", len(header)) + header + body


def read_request(plan: Plan, client_key: bytes, data: bytes) -> tuple[Request, dict[str, EncryptedTensor]]:
    """Parse a request for a plan this side made, and check its signature.

    Raises MalformedBytes for anything but the exact length and form, RejectedMessage for another plan or
    signer.
    """
    if data[:8] != MAGIC or len(data) < 12:
        raise MalformedBytes(f"no request: it begins with {data[:8].hex()} instead of {MAGIC.hex()}")
    size = struct.unpack_from("<I", data, 8)[0]
    if size > _MAX_HEADER or len(data) < 12 + size:
        raise MalformedBytes(f"a request header of {size} bytes in {len(data)}; at most {_MAX_HEADER}")
    raw = data[12 : 12 + size]
    try:
        header = json.loads(raw)
        if canonical(header) != raw or set(header) != {"plan", "nonce", "operands", "signature"}:
            raise MalformedBytes("a request header that is not canonical")
        request = Request(
            str(header["plan"]),
            bytes.fromhex(header["nonce"]),
            {str(n): str(d) for n, d in header["operands"].items()},
        )
        signature = bytes.fromhex(header["signature"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise (
            error
            if isinstance(error, MalformedBytes)
            else MalformedBytes(f"a request header is malformed: {type(error).__name__}")
        ) from None
    if request.plan != plan.digest:
        raise RejectedMessage(
            f"the request is for plan {request.plan[:16]}, this server planned {plan.digest[:16]}"
        )
    tensors, at = {}, 12 + size
    for name in sorted(plan.layouts):
        length = sum(lengths(plan, name, seeded=True))
        tensors[name] = parse_tensor(plan, name, data[at : at + length])
        at += length
    if at != len(data):
        raise MalformedBytes(f"{len(data)} bytes of request where the plan has {at}")
    check_request(client_key, request, {n: t.words for n, t in tensors.items()}, signature)
    return request, tensors


def answer(
    server: Server,
    identity: Identity,
    plan: Plan,
    data: bytes,
    plain: Mapping[str, Any],
    nonces: NonceBook,
    *,
    seconds: float = 600.0,
    memory: int = 16 << 30,
    workers: int = 1,
) -> bytes:
    """Evaluate a request in a limited child and sign the result's words; the signing key stays out of the
    child.
    """
    request, _ = read_request(plan, server.client_key, data)
    nonces.take(request)
    prepared = server.prepare(plan, plain)

    def work() -> bytes:
        _, tensors = read_request(plan, server.client_key, data)
        return b"".join(server.evaluate(plan, server.load(plan, tensors), prepared, workers))

    words = limited(work, seconds=seconds, memory=memory)
    result = parse_tensor(plan, RESULT, words)
    return sign_result(identity, request, result.words) + words


def accept(
    client: Client,
    plan: Plan,
    request: Request,
    server_key: bytes,
    data: bytes,
    *,
    seconds: float = 120.0,
    memory: int = 8 << 30,
) -> Array:
    """Check the pinned server's signature over this very request, then decrypt in a limited child."""
    result = parse_tensor(plan, RESULT, data[SIGNATURE_BYTES:])
    check_result(server_key, request, result.words, data[:SIGNATURE_BYTES])
    values = limited(
        lambda: client.decrypt(plan, result).astype("<f8").tobytes(), seconds=seconds, memory=memory
    )
    return np.frombuffer(values, "<f8").reshape(plan.shape).copy()
