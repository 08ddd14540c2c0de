"""Publishing a decryption safely: Gaussian noise over the whole polynomial hides the scheme's error.

An approximate decryption equals message + error, and the error is linear in the secret key: published as it
is, it gives the key away (Li and Micciancio, 2021). Noise of deviation √(12·τ)·2^(ν/2) times the worst error
bound restores ν bits of statistical security over τ publications (Li, Micciancio, Schultz and Sorrell, 2022,
theorem 2). Rounding a result gives no such security. A server that evaluates dishonestly can still make a
decryption oracle.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fhe.analysis import TAIL
from fhe.errors import MalformedBytes, ReleaseRefused
from fhe.spec import Release

if TYPE_CHECKING:
    from fhe.ckks import SecretKey
    from fhe.plan import Plan

Array = npt.NDArray[np.float64]


def amplification(release: Release) -> float:
    """Deviation of the published noise over the bound on the scheme's error."""
    return math.sqrt(12 * release.max_releases) * float(2.0 ** (release.stat_security / 2))


def error_target(release: Release, bound: float) -> float:
    """The scheme error that leaves `release.bits` correct bits of a result of magnitude `bound` after
    flooding.
    """
    return bound * math.ldexp(1.0, -release.bits) / (amplification(release) * TAIL)


def deviation(plan: Plan) -> float:
    """Deviation of the noise in one slot of a published result."""
    assert plan.options.release is not None
    return plan.error * amplification(plan.options.release)


def gaussian(deviation: float, count: int) -> npt.NDArray[np.int64]:
    """`count` rounded Gaussians from the operating system's generator (Box and Muller, 53-bit uniforms)."""
    words = np.frombuffer(secrets.token_bytes(16 * count), "<u8").reshape(2, count)
    u = ((words >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    values = np.rint(deviation * np.sqrt(-2 * np.log(u[0])) * np.cos(2 * np.pi * u[1]))
    return np.asarray(values, np.int64)


class Ledger:
    """A file that remembers which ciphertexts were published, and as what; written before a value is
    returned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, dict[str, list[float]]] = {}
        if path.exists():
            try:
                self._entries = json.loads(path.read_bytes())
                if not all(isinstance(v, dict) for v in self._entries.values()):
                    raise ValueError
            except ValueError:
                raise MalformedBytes(
                    f"{path}: no release ledger; restore it, an emptied one repeats secrets"
                ) from None

    def known(self, plan: str, ciphertext: str) -> list[float] | None:
        return self._entries.get(plan, {}).get(ciphertext)

    def count(self, plan: str) -> int:
        return len(self._entries.get(plan, {}))

    def record(self, plan: str, ciphertext: str, values: list[float]) -> None:
        """Store durably: write, flush to disk, rename, flush the directory."""
        self._entries.setdefault(plan, {})[ciphertext] = values
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(json.dumps(self._entries).encode())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


def flood(key: SecretKey, plan: Plan, parts: list[tuple[bytes, int]], ledger: Ledger) -> Array:
    """Decrypt with the planned noise, once per ciphertext, counted in `ledger`."""
    release = plan.options.release
    if release is None:
        raise ReleaseRefused(
            f"plan {plan.digest[:16]} was made without release=; its scale leaves 0 bits under the noise "
            "that hides the key; plan again with fhe.Release"
        )
    name = hashlib.sha256(b"".join(words for words, _ in parts)).hexdigest()
    known = ledger.known(plan.digest, name)
    if known is None:
        if ledger.count(plan.digest) >= release.max_releases:
            raise ReleaseRefused(
                f"{ledger.count(plan.digest)} of {release.max_releases} releases of plan "
                f"{plan.digest[:16]} are used; plan again, with new keys, for more"
            )
        slots = []
        for words, depth in parts:
            # One slot sums the ring's coefficients with unit weights: deviation √(ring/2) in its real part.
            scale = plan.params.scales[depth] / math.sqrt(plan.params.ring / 2)
            noise = gaussian(deviation(plan) * scale, plan.params.ring)
            slots.append(key.decrypt_flooded(words, depth, noise))
        values = plan.layout.unpack(np.stack(slots))
        ledger.record(plan.digest, name, [float(x) for x in values.reshape(-1)])
        known = ledger.known(plan.digest, name)
    return np.array(known).reshape(plan.shape)
