"""The client: secret keys, encryption, decryption. Nothing here may run where the server does."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fhe.backend import Array
from fhe.ckks import SecretKey, known_answer
from fhe.errors import LayoutError, MalformedBytes, MissingKey
from fhe.params import Params
from fhe.plan import Plan, canonical
from fhe.release import Ledger, flood
from fhe.signing import Identity
from fhe.wire import RESULT, EncryptedTensor, RingKeys, lengths, read_params, write_bundle


class Client:
    """Secret keys for the parameter sets of some plans, and exactly the evaluation keys those plans need.

    Keys come from the operating system's generator. `for_plans` makes a client, `save` and `load` keep it in
    a file of mode 0600.
    """

    def __init__(self, identity: Identity | None = None) -> None:
        known_answer()
        self.identity = identity or Identity()
        self._secret: dict[Params, SecretKey] = {}
        self._public: dict[Params, RingKeys] = {}
        self._fresh: list[RingKeys] = []

    @classmethod
    def for_plans(cls, plans: Sequence[Plan]) -> Client:
        client = cls()
        client.extend(plans)
        return client

    def extend(self, plans: Sequence[Plan]) -> bytes:
        """Make the keys that further plans need; returns a bundle with the rings that changed."""
        changed = dict.fromkeys(plan.params for plan in plans if self._grow(plan))
        return write_bundle([self._public[p] for p in changed], self.identity.public) if changed else b""

    def _grow(self, plan: Plan) -> bool:
        params = plan.params
        params.check()
        if params not in self._secret:
            secret = SecretKey(params)
            self._secret[params] = secret
            self._public[params] = RingKeys(params, {}, None, secret.encrypt(np.zeros(params.slots), 0))
            new = True
        else:
            new = False
        secret, keys = self._secret[params], self._public[params]
        rotations, relin = dict(keys.rotations), keys.relin
        for step, depth in plan.rotations.items():
            if step not in rotations or rotations[step][0] > depth:
                rotations[step] = (depth, secret.rotation_key(step, depth))
                new = True
        wanted = plan.relinearization
        if wanted is not None and (relin is None or relin[0] > wanted):
            relin = (wanted, secret.relinearization_key(wanted))
            new = True
        self._public[params] = RingKeys(params, rotations, relin, keys.zero)
        return new

    def server_bundle(self) -> bytes:
        """Everything the server needs, and no secret: parameters, evaluation keys, this client's public key.
        """
        return write_bundle(list(self._public.values()), self.identity.public)

    def _key(self, plan: Plan) -> SecretKey:
        if plan.params not in self._secret:
            raise MissingKey(
                f"plan {plan.digest[:16]} uses a ring this client has no key for (it has "
                f"{len(self._secret)}); call client.extend([plan])"
            )
        return self._secret[plan.params]

    def encrypt(self, plan: Plan, **operands: Any) -> dict[str, EncryptedTensor]:
        """Encrypt operands by the plan's names, each in its own layout, after checking shape, dtype and
        bound.
        """
        key, out = self._key(plan), {}
        for name, slots in plan.pack(operands).items():
            words = tuple(key.encrypt(slots[tile], depth) for tile, depth in plan.tiles(name))
            out[name] = EncryptedTensor(plan.digest, name, plan.operands[name].shape, words, True, plan)
        return out

    def _slots(self, plan: Plan, result: EncryptedTensor) -> list[tuple[bytes, int]]:
        if result.plan != plan.digest or result.name != RESULT:
            raise LayoutError(
                f"'{result.name}' of plan {result.plan[:16]} is not the result of plan {plan.digest[:16]}"
            )
        sizes = lengths(plan, RESULT, seeded=False)
        if [len(w) for w in result.words] != sizes:
            raise MalformedBytes(f"a result of {result.nbytes} bytes where the plan has {sum(sizes)}")
        return list(zip(result.words, (plan.graph.depth(v) for v in plan.graph.outputs), strict=True))

    def decrypt(self, plan: Plan, result: EncryptedTensor) -> Array:
        """The result, for this client's eyes only: values published as they are let others recover the key.

        Use `release` for what may be published.
        """
        key = self._key(plan)
        slots = np.stack([key.decrypt(words, depth) for words, depth in self._slots(plan, result)])
        return plan.layout.unpack(slots)

    def release(self, plan: Plan, result: EncryptedTensor, ledger: Ledger) -> Array:
        """The result with the noise the plan was sized for, so that it may be published.

        Counted durably in `ledger`; the same ciphertext gives the same bytes again without being counted.
        Raises ReleaseRefused without a planned release or beyond its count. Valid for honestly evaluated
        ciphertexts only.
        """
        return flood(self._key(plan), plan, self._slots(plan, result), ledger)

    def save(self, path: Path) -> None:
        """Write secret keys and identity to a new file of mode 0600."""
        document = {
            "version": 1,
            "identity": self.identity.secret.hex(),
            "rings": [
                {"params": p.to_json(), "secret": k.secret_words().hex()} for p, k in self._secret.items()
            ],
        }
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(canonical(document))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: Path) -> Client:
        """The client of a file, able to encrypt and decrypt; evaluation keys are made anew by `extend`."""
        try:
            document: Mapping[str, Any] = json.loads(path.read_bytes())
            client = cls(Identity(bytes.fromhex(document["identity"])))
            for ring in document["rings"]:
                params = read_params(ring["params"])
                secret = SecretKey(params, bytes.fromhex(ring["secret"]))
                client._secret[params] = secret
                client._public[params] = RingKeys(params, {}, None, secret.encrypt(np.zeros(params.slots), 0))
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, MalformedBytes):
                raise
            raise MalformedBytes(f"{path}: no client file ({type(error).__name__})") from None
        return client
