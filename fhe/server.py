"""The server: evaluation keys, no secret; runs plans on words it checks."""

from __future__ import annotations

import os
import struct
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from fhe.backend import Prepared, check_plain, execute, operands_digest
from fhe.ckks import CkksEvaluator, known_answer
from fhe.errors import FheError, LayoutError, MissingKey
from fhe.params import Params
from fhe.plan import Plan
from fhe.spec import Encrypted
from fhe.wire import RESULT, EncryptedTensor, RingKeys, read_bundle

__all__ = ["EncryptedTensor", "Server"]
_CACHED = 4
_LATEST: list[weakref.ref[Server]] = []


def latest() -> Server | None:
    """The last server made in this process, if it still exists."""
    return _LATEST[0]() if _LATEST else None


class Server:
    """Holds what a client's bundle contains. Raises MalformedBytes and ParametersUnsafe for a bad bundle."""

    def __init__(self, bundle: bytes) -> None:
        known_answer()
        self._evaluators: dict[Params, CkksEvaluator] = {}
        self._keys: dict[Params, RingKeys] = {}
        self._prepared: OrderedDict[tuple[str, bytes], Prepared] = OrderedDict()
        self.client_key = b""
        self.extend(bundle)
        _LATEST[:] = [weakref.ref(self)]

    def extend(self, bundle: bytes) -> None:
        """Take further keys of the same client."""
        rings, client_key = read_bundle(bundle)
        if self.client_key and client_key != self.client_key:
            raise MissingKey(
                f"the bundle belongs to client {client_key.hex()[:16]}, this server serves "
                f"{self.client_key.hex()[:16]}"
            )
        self.client_key = client_key
        for keys in rings:
            self._keys[keys.params] = keys
            self._evaluators[keys.params] = CkksEvaluator(keys.params, keys.rotations, keys.relin, keys.zero)

    def evaluator(self, plan: Plan) -> CkksEvaluator:
        """The evaluator for a plan's ring, every key it needs present."""
        keys = self._keys.get(plan.params)
        if keys is None:
            raise MissingKey(
                f"plan {plan.digest[:16]} needs ring {plan.params.ring} with {len(plan.params.primes)}"
                f" primes; the bundle has {len(self._keys)} other rings; call client.extend([plan])"
            )
        for step, depth in plan.rotations.items():
            held = keys.rotations.get(step)
            if held is None or held[0] > depth:
                raise MissingKey(
                    f"plan {plan.digest[:16]} rotates by {step} at depth {depth}; of its "
                    f"{len(plan.rotations)} keys this one is missing; call client.extend([plan])"
                )
        if plan.relinearization is not None and (keys.relin is None or keys.relin[0] > plan.relinearization):
            raise MissingKey(
                f"plan {plan.digest[:16]} relinearises at depth {plan.relinearization} and has 0 keys for "
                "it; call client.extend([plan])"
            )
        return self._evaluators[plan.params]

    def prepare(self, plan: Plan, operands: Mapping[str, Any]) -> Prepared:
        """Plaintexts of a plan encoded for its plain operands; the last few are kept."""
        plain = check_plain(plan.operands, operands)
        key = (plan.digest, operands_digest(plain))
        if key not in self._prepared:
            self._prepared[key] = Prepared(plan.graph, plan.params, self.evaluator(plan), plain)
            while len(self._prepared) > _CACHED:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(key)
        return self._prepared[key]

    def run(self, plan: Plan, operands: Mapping[str, Any], workers: int = 1) -> EncryptedTensor:
        """Evaluate a plan; see Plan.run."""
        plain = {n: v for n, v in operands.items() if not isinstance(v, EncryptedTensor)}
        for name in plain:
            if isinstance(plan.operands.get(name), Encrypted):
                raise LayoutError(
                    f"operand '{name}' is planned as encrypted but was given as {type(plain[name]).__name__};"
                    " encrypt it with client.encrypt(plan, …)"
                )
        inputs = self.load(plan, {n: v for n, v in operands.items() if isinstance(v, EncryptedTensor)})
        words = self.evaluate(plan, inputs, self.prepare(plan, plain), workers)
        return EncryptedTensor(plan.digest, RESULT, plan.shape, tuple(words), False, plan)

    def load(self, plan: Plan, operands: Mapping[str, EncryptedTensor]) -> dict[tuple[str, int], Any]:
        """The library's ciphertexts of all encrypted operands, after checking that they belong to this plan.
        """
        if set(operands) != set(plan.layouts):
            raise LayoutError(
                f"encrypted operands {sorted(operands)} were given but the plan has {sorted(plan.layouts)}"
            )
        evaluator, inputs = self.evaluator(plan), {}
        for name, tensor in operands.items():
            if tensor.plan != plan.digest or tensor.name != name:
                raise LayoutError(
                    f"operand '{name}' was encrypted as '{tensor.name}' for plan {tensor.plan[:16]}, not for "
                    f"{plan.digest[:16]}; its slots lie elsewhere, encrypt it for this plan"
                )
            tiles = plan.tiles(name)
            if len(tiles) != len(tensor.words):
                raise LayoutError(
                    f"operand '{name}' has {len(tensor.words)} ciphertexts, the plan {len(tiles)}"
                )
            for (tile, depth), words in zip(tiles, tensor.words, strict=True):
                inputs[name, tile] = evaluator.ring.load(words, depth, tensor.seeded)
        return inputs

    def compute(
        self, plan: Plan, inputs: Mapping[tuple[str, int], Any], prepared: Prepared, outputs: Sequence[int]
    ) -> list[Any]:
        """The library's ciphertexts of some outputs; raises FheError if a rotation was silently decomposed.
        """
        evaluator = self.evaluator(plan)
        before = evaluator.switches
        made = execute(plan.graph, evaluator, inputs, prepared, outputs)
        expected = plan.counts["rotate"] + plan.counts["relinearize"]
        if evaluator.switches - before > expected:
            raise FheError(f"{evaluator.switches - before} key switches where the plan has {expected}")
        return made

    def evaluate(
        self, plan: Plan, inputs: Mapping[tuple[str, int], Any], prepared: Prepared, workers: int = 1
    ) -> list[bytes]:
        """The result's words, the output ciphertexts shared among `workers` processes."""
        outputs, ring = plan.graph.outputs, self.evaluator(plan).ring
        share = [outputs[k::workers] for k in range(min(workers, len(outputs)))]
        pipes = [self._fork(plan, inputs, prepared, part) for part in share[1:]]
        results = [
            [
                ring.save(x, plan.graph.depth(v))
                for x, v in zip(self.compute(plan, inputs, prepared, share[0]), share[0], strict=True)
            ]
        ]
        results += [self._collect(plan, part, pipe) for part, pipe in zip(share[1:], pipes, strict=True)]
        return [results[k % len(share)][k // len(share)] for k in range(len(outputs))]

    def _fork(
        self, plan: Plan, inputs: Mapping[tuple[str, int], Any], prepared: Prepared, part: Sequence[int]
    ) -> tuple[int, int]:
        """A child that inherits keys and operands and writes the words of its outputs to a pipe."""
        read, write = os.pipe()
        child = os.fork()
        if child:
            os.close(write)
            return child, read
        status = 1
        try:
            os.close(read)
            with os.fdopen(write, "wb") as pipe:
                ring = self.evaluator(plan).ring
                for x, v in zip(self.compute(plan, inputs, prepared, part), part, strict=True):
                    words = ring.save(x, plan.graph.depth(v))
                    pipe.write(struct.pack("<Q", len(words)) + words)
            status = 0
        finally:
            os._exit(status)

    def _collect(self, plan: Plan, part: Sequence[int], pipe: tuple[int, int]) -> list[bytes]:
        child, read = pipe
        with os.fdopen(read, "rb") as stream:
            data = stream.read()
        _, status = os.waitpid(child, 0)
        words, at = [], 0
        for v in part:
            size = plan.params.ciphertext_bytes(plan.graph.depth(v), seeded=False)
            words.append(data[at + 8 : at + 8 + size])
            at += 8 + size
        if status or at != len(data):
            raise FheError(f"a worker process ended with status {status} after {len(data)} of {at} bytes")
        return words
