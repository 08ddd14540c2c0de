"""Evaluates a plan on encrypted operands. Everything a client sent is parsed in this process, and only here.

The signing key is not here: the supervisor signs what comes out, for the request that it read itself.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from fhe.errors import MalformedBytes, RejectedMessage
from fhe.exchange import read_request
from fhe.planner import replan
from fhe.server import Server

from .link import Link


def run(link: Link, job: Mapping[str, Any]) -> None:
    """Hands over the words of the result. RejectedMessage: the plan is not what this version plans."""
    payload = job["payload"]
    document = dict(payload["plan"])
    digest = document.pop("digest")
    link.stage("plan")
    plan = replan(document, {"seconds": job["seconds"]})
    if plan.digest != digest:
        raise RejectedMessage(f"the plan's digest is {plan.digest}, the request says {str(digest)[:64]}")
    if job["kind"] == "fhe-einsum" and sum(step.op == "einsum" for step in plan.program.steps) != 1:
        raise MalformedBytes("an einsum plan has one einsum; send a program to fhe-program")
    link.stage("read keys")
    server = Server(link.read("context"))
    link.stage("read request")
    request, tensors = read_request(plan, server.client_key, link.read("request"))
    prepared = server.prepare(plan, {name: _array(link.read(f"plain-{name}")) for name in payload["plain"]})
    link.stage("evaluate")
    words = server.evaluate(plan, server.load(plan, tensors), prepared)
    result = {
        "context": payload["context"],
        "plan": plan.digest,
        "nonce": request.nonce.hex(),
        "inputs": dict(request.operands),
    }
    link.done(result, b"".join(words))


def _array(data: bytes) -> Any:
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise MalformedBytes(f"a plain operand is no .npy file ({type(error).__name__})") from None
