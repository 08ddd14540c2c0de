"""The smallest service: `POST /v1/verify`, health and versions; no storage, no keys, no secrets.

    uvicorn api.service.http.verify_only:app

It needs FastAPI, uvicorn, python-multipart and `verifier/`. Limits come from the environment, in whole numbers, named
as in the large service: ZKGRAD_VERIFY_NOW_PROOF_BYTES, _SECONDS, _MEMORY, _AT_ONCE. Whoever can reach it can use it:
put it behind something that counts requests.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from fastapi import FastAPI

from . import application, verify
from .verify import VerifyLimits

_OTHER_BYTES = 1 << 16


def limits_from(environment: Mapping[str, str]) -> VerifyLimits:
    """VerifyLimits with what the environment sets; ValueError for anything but positive whole numbers."""
    changes = {}
    for field in dataclasses.fields(VerifyLimits):
        name = f"ZKGRAD_VERIFY_NOW_{field.name.upper()}"
        if name in environment:
            if not environment[name].isdecimal() or int(environment[name]) < 1:
                raise ValueError(f"{name}={environment[name]}: a positive whole number is needed")
            changes[field.name] = int(environment[name])
    return dataclasses.replace(VerifyLimits(), **changes)


def verify_only_app(limits: VerifyLimits | None = None) -> FastAPI:
    """The application; without `limits`, those of the environment."""
    limits = limits_from(os.environ) if limits is None else limits
    app = application.create(
        "zkgrad verifier",
        "Verifies proofs of training. Every error is a problem (RFC 9457).",
        lambda path: limits.body_bytes if path == verify.PATH else _OTHER_BYTES,
    )
    application.add_readiness(app, lambda: None)
    verify.register(app, limits)
    return app


app = verify_only_app()
