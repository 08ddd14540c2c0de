"""The registry of signers, the trust input of receipts: whose key counts, and from when to when.

    {
     "format": "zkgrad-registry/1",
     "keys": [
      {
       "identity": whoever vouches with the key, 1 to 200 printable characters,
       "key": 96 hexadecimal digits,
       "possession": 192 hexadecimal digits, the proof of possession,
       "not_before": "2026-01-31", the first day on which the key counts (UTC),
       "not_after": "2027-01-31", the last one,
       "revoked": false
      },
      ...
     ]
    }

There is one canonical text: ASCII, keys in this order, indented by one space, a newline at the end. No key stands
twice. A signer's secret key lies in a file of its own, mode 0600.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import secrets as randomness
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prover.files import write_atomic

from . import bls
from .console import UsageError

REGISTRY_FORMAT, ENTRY_FORMAT, KEY_FORMAT = "zkgrad-registry/1", "zkgrad-signer/1", "zkgrad-receipt-key/1"
MAX_BYTES, MAX_KEYS, MAX_NAME = 1 << 22, 4096, 200


class MalformedReceipt(Exception):
    """A receipt, registry or key file that is not in the one form this version reads."""


class RejectedReceipt(Exception):
    """A receipt that does not show what is asked of it: its signature, its signers or their number."""


@dataclass(frozen=True)
class Signer:
    """A public key, who vouches with it, and the proof that he has the secret one."""

    identity: str
    key: bytes
    possession: bytes


@dataclass(frozen=True)
class Entry:
    """A signer in the registry; both days are included, in UTC."""

    signer: Signer
    not_before: datetime.date
    not_after: datetime.date
    revoked: bool = False

    def check(self, today: datetime.date) -> None:
        """RejectedReceipt unless the key counts on this day: not revoked, in its days, its possession proven."""
        who = f"key {self.signer.key.hex()[:16]}… of {self.signer.identity!r}"
        if self.revoked:
            raise RejectedReceipt(f"{who} is revoked")
        if not self.not_before <= today <= self.not_after:
            raise RejectedReceipt(f"{who} counts from {self.not_before} to {self.not_after}, today is {today} (UTC)")
        if not bls.possession_holds(self.signer.key, self.signer.possession):
            raise RejectedReceipt(f"{who} is no valid key, or its proof of possession is wrong: remove it")


@dataclass(frozen=True)
class Registry:
    """All entries by key."""

    entries: Mapping[bytes, Entry]

    def to_bytes(self) -> bytes:
        """The one canonical text."""
        keys = [
            _signer_fields(entry.signer)
            | {
                "not_before": entry.not_before.isoformat(),
                "not_after": entry.not_after.isoformat(),
                "revoked": entry.revoked,
            }
            for entry in self.entries.values()
        ]
        return dump({"format": REGISTRY_FORMAT, "keys": keys})

    def digest(self) -> bytes:
        """SHA-256 of the canonical text, to compare registries by."""
        return hashlib.sha256(self.to_bytes()).digest()

    def signer(self, key: bytes, today: datetime.date) -> Entry:
        """The entry of a key that counts today; RejectedReceipt for any other."""
        if key not in self.entries:
            raise RejectedReceipt(f"key {key.hex()[:16]}… is not in the registry")
        self.entries[key].check(today)
        return self.entries[key]

    def with_entry(self, entry: Entry) -> Registry:
        """The registry with one more key; RejectedReceipt when it is there already or its possession is not proven."""
        if entry.signer.key in self.entries:
            listed = self.entries[entry.signer.key].signer.identity
            raise RejectedReceipt(f"key {entry.signer.key.hex()[:16]}… is in the registry already, as {listed!r}")
        dataclasses.replace(entry, revoked=False).check(entry.not_before)
        return Registry({**self.entries, entry.signer.key: entry})

    def revoking(self, key: bytes) -> Registry:
        """The registry with this key, which it holds, revoked."""
        return Registry({**self.entries, key: dataclasses.replace(self.entries[key], revoked=True)})


def parse_registry(text: bytes) -> Registry:
    """The registry of a canonical text; MalformedReceipt, with the place, for anything else."""
    document = load(text, REGISTRY_FORMAT)
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise MalformedReceipt(f"registry: keys must list at most {MAX_KEYS} keys")
    entries: dict[bytes, Entry] = {}
    for number, item in enumerate(listed):
        entry = _entry(item, f"keys[{number}]")
        if entry.signer.key in entries:
            raise MalformedReceipt(f"registry: keys[{number}] is a key that stands there before")
        entries[entry.signer.key] = entry
    registry = Registry(entries)
    check_canonical(registry.to_bytes(), text, "registry")
    return registry


def parse_signer(text: bytes) -> Signer:
    """What a signer publishes for the registry; see `signer_bytes`."""
    document = load(text, ENTRY_FORMAT)
    signer = _signer(document, "signer")
    check_canonical(signer_bytes(signer), text, "signer")
    return signer


def signer_bytes(signer: Signer) -> bytes:
    """The public file of a key: identity, key and proof of possession."""
    return dump({"format": ENTRY_FORMAT} | _signer_fields(signer))


def _entry(item: Any, place: str) -> Entry:
    signer = _signer(item, place)
    if not isinstance(item.get("revoked"), bool):
        raise MalformedReceipt(f"{place}.revoked must be true or false")
    first, last = (parse_day(item.get(name), f"{place}.{name}") for name in ("not_before", "not_after"))
    return Entry(signer, first, last, item["revoked"])


def _signer(item: Any, place: str) -> Signer:
    if not isinstance(item, dict):
        raise MalformedReceipt(f"{place} is not an object")
    return Signer(
        check_identity(item.get("identity"), f"{place}.identity"),
        hex_bytes(item.get("key"), bls.KEY_BYTES, f"{place}.key"),
        hex_bytes(item.get("possession"), bls.SIGNATURE_BYTES, f"{place}.possession"),
    )


def _signer_fields(signer: Signer) -> dict[str, Any]:
    return {"identity": signer.identity, "key": signer.key.hex(), "possession": signer.possession.hex()}


def check_identity(value: Any, place: str) -> str:
    """A name of 1 to 200 printable characters; MalformedReceipt otherwise."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable() or value.isspace():
        raise MalformedReceipt(f"{place} must be 1 to {MAX_NAME} printable characters")
    return value


def parse_day(value: Any, place: str) -> datetime.date:
    """2026-01-31; MalformedReceipt otherwise."""
    try:
        day = datetime.date.fromisoformat(value)
    except (TypeError, ValueError):
        raise MalformedReceipt(f"{place} must be a day as 2026-01-31, found {str(value)[:40]!r}") from None
    return day


# --- the secret key's file ---


def new_key(path: Path, identity: str) -> Signer:
    """Makes a key and writes its secret file, mode 0600; UsageError when the file exists. Returns the public part."""
    check_identity(identity, "identity")
    secret = bls.new_secret()
    text = dump({"format": KEY_FORMAT, "identity": identity, "secret": secret.to_bytes(32, "big").hex()})
    _write_new(path, text)
    return Signer(identity, bls.public_key(secret), bls.prove_possession(secret))


def _write_new(path: Path, text: bytes) -> None:
    """Writes a secret file whole, and never over another."""
    staging = path.with_name(f".{path.name}.{randomness.token_hex(6)}")
    try:
        write_atomic(staging, text, secret=True)
        os.link(staging, path)
    except FileExistsError:
        raise UsageError(
            f"{path} exists: a secret key is never overwritten; choose another file, or remove it"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            staging.unlink()


def read_secret(path: Path) -> int:
    """The secret key of a file; UsageError when others can read it, MalformedReceipt when it is damaged."""
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            text = stream.read(1 << 12)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if mode & 0o077:
        raise UsageError(f"{path} has mode {mode:04o}: others can read the secret key; chmod 600, or make a new one")
    secret = int.from_bytes(hex_bytes(load(text, KEY_FORMAT).get("secret"), 32, "secret"), "big")
    if not 0 < secret < bls.ORDER:
        raise MalformedReceipt(f"{path}: secret is not between 0 and the group's order")
    return secret


# --- canonical JSON ---


def dump(document: dict[str, Any]) -> bytes:
    """The one canonical text of a document."""
    return (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def load(text: bytes, form: str) -> dict[str, Any]:
    """An object of a format; MalformedReceipt otherwise."""
    if len(text) > MAX_BYTES:
        raise MalformedReceipt(f"{len(text)} bytes, at most {MAX_BYTES} are read")
    try:
        document = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise MalformedReceipt(f"not JSON in ASCII: {error}") from None
    if not isinstance(document, dict) or document.get("format") != form:
        raise MalformedReceipt(f"not a file of format {form!r}")
    return document


def check_canonical(found: bytes, text: bytes, what: str) -> None:
    """MalformedReceipt unless the text is the canonical one."""
    if found != text:
        raise MalformedReceipt(f"{what}: not in canonical form (key order, spacing, unknown or repeated keys)")


def hex_bytes(value: Any, length: int, place: str) -> bytes:
    """Lower-case hexadecimal digits of `length` bytes; MalformedReceipt otherwise."""
    if not isinstance(value, str) or len(value) != 2 * length or set(value) - set("0123456789abcdef"):
        raise MalformedReceipt(f"{place} must be {2 * length} lower-case hexadecimal digits")
    return bytes.fromhex(value)
