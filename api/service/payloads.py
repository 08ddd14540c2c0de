"""What each kind of job is asked with. Unknown fields are refused: they would seem to be heeded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from .errors import Unprocessable

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256, 64 hexadecimal digits")]
Name = Annotated[str, Field(pattern="^[0-9a-f]{1,64}$", description="The id of an artifact")]
Operand = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Grant(_Payload):
    """A range of openings of one commitment, counted as spent by its owner: slots first to first + count - 1."""

    first: int = Field(ge=0, le=1 << 20)
    count: int = Field(ge=1, le=1 << 20)


class ProvePayload(_Payload):
    """Proves a run of one statement, or a chain of several in order. The artifacts are the files of the run folder."""

    statements: list[Digest] = Field(min_length=1, max_length=1000)
    data: Name = Field(description="data.safetensors: the committed integers")
    initial: Name | None = Field(None, description="initial.safetensors of the first segment; none from a public seed")
    openings: Name = Field(description="openings.safetensors: blinds and salts; deleted when the job is over")
    grants: dict[Digest, Grant] = Field(description="By root: the openings that this job may spend")


class Segment(_Payload):
    """A stored statement, and a published proof or a proof artifact."""

    statement: Digest
    proof: Name


class VerifyPayload(_Payload):
    """Verifies a proof, or a chain of them with its links. Without an expectation the answer says pinned: false."""

    segments: list[Segment] = Field(min_length=1, max_length=1000)
    expect_statement: Digest | None = None
    expect_params: Digest | None = None
    expect: dict[Literal["data_root", "initial_root", "final_root", "nonce"], Digest] = Field(default_factory=dict)
    min_security_bits: Literal[100, 128] = 128
    require_zk: bool = True


class FhePayload(_Payload):
    """Evaluates a plan on encrypted operands; the server plans again and compares the digest."""

    context: Name
    plan: dict[str, JsonValue] = Field(description="The plan file of `zkgrad fhe plan`, its digest included")
    request: Name = Field(description="The signed request of `zkgrad fhe encrypt`")
    plain: dict[Operand, Name] = Field(default_factory=dict, description="Artifacts in .npy form")


PROVE, VERIFY, EINSUM, PROGRAM = "prove", "verify", "fhe-einsum", "fhe-program"
KINDS: dict[str, type[_Payload]] = {
    PROVE: ProvePayload,
    VERIFY: VerifyPayload,
    EINSUM: FhePayload,
    PROGRAM: FhePayload,
}


def check_payload(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The payload in its full form, defaults filled in. Unprocessable, with a pointer to the first fault."""
    if kind not in KINDS:
        raise Unprocessable(f"kind {kind!r}: one of {', '.join(KINDS)}", "/kind")
    try:
        return KINDS[kind].model_validate(payload).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in first["loc"])
        raise Unprocessable(f"{pointer or 'the payload'}: {first['msg']}", pointer) from None
