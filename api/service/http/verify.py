"""POST /v1/verify: one statement and one proof, judged while the caller waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import anyio
import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.params import Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.verification import Judgement, Limits, Pins, VerificationStopped, judge
from verifier.chain import EXPECTABLE
from verifier.statement import MAX_BYTES

from .form import PROOF, STATEMENT, Enough, VerificationForm
from .problems import Refusal, responses

PATH = "/v1/verify"
DIGEST = "^(sha256:)?[0-9a-f]{64}$"
_OVERHEAD = 1 << 16
Reason = Literal["proof_invalid", "parameters_unsafe", "malformed_statement", "malformed_proof", "not_expected"]


@dataclass(frozen=True)
class VerifyLimits:
    """What one synchronous verification may take, and how many run at once."""

    proof_bytes: int = 64 << 20
    seconds: int = 60
    memory: int = 2 << 30
    at_once: int = 2

    @property
    def body_bytes(self) -> int:
        """Bytes of the largest form."""
        return MAX_BYTES + self.proof_bytes + _OVERHEAD


class Verdict(BaseModel):
    """The verdict on a proof. Without `pinned`, `valid` says that the statement holds, not that it is the one you want:
    a prover writes statements as he likes."""

    valid: bool
    pinned: bool = Field(description="Whether the request left nothing of the claim to the prover.")
    reason: Reason | None = Field(description="Why a proof is not valid.")
    message: str | None = Field(description="The reason with its place and numbers, for people.")
    statement_digest: str = Field(description="Of the statement in the request.")
    params_digest: str | None = None
    security_bits: float | None = None
    zero_knowledge: bool | None = None
    first_step: int | None = None
    steps: int | None = None


def register(
    app: FastAPI,
    limits: VerifyLimits,
    dependencies: Sequence[Depends] = (),
    more: Mapping[int | str, dict[str, Any]] | None = None,
) -> None:
    """Adds the route to an application; `more` are the answers of the dependencies."""
    room = asyncio.Semaphore(limits.at_once)

    @app.post(
        PATH,
        tags=["verify"],
        summary="Verify a proof",
        response_model=Verdict,
        dependencies=list(dependencies),
        responses={
            **responses("malformed_request", "too_large", "unsupported_media_type", "input_invalid", "too_many"),
            **(more or {}),
        },
        openapi_extra={"requestBody": _request_body()},
    )
    async def verify(request: Request) -> JSONResponse:
        """One statement and one proof as multipart/form-data, the proof last. An invalid proof is an answer
        (`valid: false`), not an error. Runs of several segments and large proofs are verified by jobs."""
        if room.locked():
            raise Refusal("too_many", f"{limits.at_once} verifications are running", headers={"Retry-After": "5"})
        async with room:
            return await _answer(request, limits)


async def _answer(request: Request, limits: VerifyLimits) -> JSONResponse:
    form = VerificationForm(request.headers.get("content-type", ""), limits.proof_bytes)
    headers = {}
    try:
        try:
            await form.read(request.stream())
        except Enough:
            headers["Connection"] = "close"
        pins = read_pins(form.fields)
        judgement = await anyio.to_thread.run_sync(_judge, form, pins, limits)
    finally:
        form.close()
    verdict = describe(judgement, pins) | {"statement_digest": form.statement_digest().hex()}
    return JSONResponse(verdict, headers=headers)


def _judge(form: VerificationForm, pins: Pins, limits: VerifyLimits) -> Judgement:
    files = (form.handles[STATEMENT], form.handles[PROOF])
    try:
        return judge([files], pins, Limits(limits.seconds, limits.memory))
    except VerificationStopped as stopped:
        raise Refusal("too_large", f"{stopped}; a job may take longer (POST /v1/verify-jobs)") from None


def describe(judgement: Judgement, pins: Pins) -> dict[str, Any]:
    """The fields of Verdict that follow from a judgement, but for the statement's digest."""
    return {
        "valid": judgement.valid,
        "pinned": pins.complete,
        "reason": judgement.reason,
        "message": judgement.message,
        "params_digest": judgement.params_digest,
        "security_bits": judgement.security_bits,
        "zero_knowledge": judgement.zero_knowledge,
        "first_step": judgement.first_step,
        "steps": judgement.steps,
    }


def read_pins(fields: dict[str, list[str]]) -> Pins:
    """Pins from a form's fields; a Refusal that names every one that cannot be read."""
    faults: list[tuple[str, str]] = []
    known = {f"expect_{name}" for name in ("statement", "params", *EXPECTABLE)} | {"min_security_bits", "require_zk"}
    digests: dict[str, bytes] = {}
    for name, values in fields.items():
        if name not in known:
            faults.append((f"/{name}", f"is not one of {', '.join(sorted(known))}"))
        elif len(values) > 1:
            faults.append((f"/{name}", "is there more than once"))
        elif name.startswith("expect_"):
            try:
                digests[name.removeprefix("expect_")] = digest(values[0])
            except ValueError as error:
                faults.append((f"/{name}", str(error)))
    security = fields.get("min_security_bits", ["128"])[0]
    if security not in ("100", "128"):
        faults.append(("/min_security_bits", "must be 100 or 128"))
    required = fields.get("require_zk", ["true"])[0]
    if required not in ("true", "false"):
        faults.append(("/require_zk", "must be true or false"))
    if faults:
        raise Refusal("input_invalid", f"{faults[0][0]} {faults[0][1]}", errors=faults)
    return Pins(
        digests.pop("statement", None), digests.pop("params", None), digests, int(security), required == "false"
    )


def digest(text: str) -> bytes:
    """32 bytes from 64 lower-case hexadecimal digits, with or without sha256: before them; ValueError."""
    digits = text.removeprefix("sha256:")
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise ValueError("must be sha256: and 64 lower-case hexadecimal digits")
    return bytes.fromhex(digits)


def _request_body() -> dict[str, Any]:
    pin, file = {"type": "string", "pattern": DIGEST}, {"type": "string", "format": "binary"}
    properties: dict[str, Any] = {
        STATEMENT: file | {"description": "statement.json, byte for byte; before the proof."},
        "expect_statement": pin | {"description": "Refuse any other statement: pins everything."},
        "expect_params": pin | {"description": "Refuse other architecture, arithmetic or protocol."},
        **{f"expect_{name}": pin | {"description": f"Refuse another {name}."} for name in EXPECTABLE},
        "min_security_bits": {"type": "string", "enum": ["128", "100"], "default": "128"},
        "require_zk": {"type": "string", "enum": ["true", "false"], "default": "true"},
        PROOF: file | {"description": "proof.zkp; the last part."},
    }
    schema = {"type": "object", "required": [STATEMENT, PROOF], "properties": properties, "additionalProperties": False}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
