"""BLS signatures on BLS12-381, keys in G1 and signatures in G2, of the proof-of-possession suite, by py_ecc.

The suite is BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_. Keys and signatures are the compressed encodings of 48 and 96
bytes. py_ecc does not run in constant time: sign where nobody can measure.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from .console import UsageError

KEY_BYTES, SIGNATURE_BYTES = 48, 96
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001


@cache
def _suite() -> Any:
    """Imported late: it takes most of a second, and most verbs need none of it.

    The package raises the interpreter's recursion limit so far that nested JSON would overflow the stack of a service.
    Signing and verifying do without.
    """
    limit = sys.getrecursionlimit()
    try:
        from py_ecc.bls.ciphersuites import G2ProofOfPossession
    except ModuleNotFoundError as error:
        raise UsageError(f"receipts need the package {error.name!r}: pip install 'zkgrad[api]'") from None
    finally:
        sys.setrecursionlimit(limit)
    return G2ProofOfPossession


def new_secret() -> int:
    """A secret key from the operating system's randomness."""
    return int(_suite().KeyGen(secrets.token_bytes(32)))


def public_key(secret: int) -> bytes:
    """The public key of a secret one, 0 < secret < ORDER."""
    return bytes(_suite().SkToPk(secret))


def sign(secret: int, message: bytes) -> bytes:
    """A signature; the same key and message give the same one."""
    return bytes(_suite().Sign(secret, message))


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """One signature for all keys. Each must have been verified: a bad one spoils the sum."""
    return bytes(_suite().Aggregate(list(signatures)))


def prove_possession(secret: int) -> bytes:
    """A proof that whoever registers the public key knows the secret one."""
    return bytes(_suite().PopProve(secret))


@cache
def possession_holds(key: bytes, proof: bytes) -> bool:
    """Whether the key is a point of the right group, not the identity, and the proof is one of its possession."""
    return bool(_suite().KeyValidate(key) and _suite().PopVerify(key, proof))


def holds(keys: Sequence[bytes], message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the aggregate of all keys' signatures on one message.

    This is sound only for keys whose possession is proven, and counts a repeated key as often as it stands there.
    """
    return bool(_suite().FastAggregateVerify(list(keys), message, signature))
