"""Every point of the safety list, by a test that fails without it."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tenseal.sealapi as seal

import fhe
from fhe import errors, sandbox, wire
from fhe.ckks import CkksEvaluator, Ring, SecretKey, _saved, check_words, known_answer
from fhe.exchange import accept, answer, ask
from fhe.params import SECURE_BITS, Params, make_params
from fhe.planner import replan
from fhe.release import Ledger, deviation, gaussian
from fhe.signing import Identity, NonceBook


class World:
    """A small plan with both sides."""

    def __init__(self, **options: Any) -> None:
        self.plan = fhe.plan("bi,ij->bj", {"x": fhe.Encrypted((4, 8)), "w": fhe.Plain((8, 4))}, **options)
        self.client = fhe.Client.for_plans([self.plan])
        self.bundle = self.client.server_bundle()
        self.server = fhe.Server(self.bundle)
        rng = np.random.default_rng(7)
        self.x, self.w = rng.uniform(-1, 1, (4, 8)), rng.uniform(-1, 1, (8, 4))
        self.cts = self.client.encrypt(self.plan, x=self.x)
        self.identity = Identity()

    def run(self) -> fhe.EncryptedTensor:
        return self.plan.run(self.server, **self.cts, w=self.w)


@pytest.fixture(scope="module")
def world() -> World:
    return World(replicate="server", reveal="output")


def test_known_answer_check_passes_and_notices_a_reversed_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_answer() < 1e-3
    monkeypatch.setattr("fhe.ckks._signed", lambda step, slots: -step)
    known_answer.cache_clear()
    with pytest.raises((errors.ParametersUnsafe, ValueError, RuntimeError)):
        known_answer()
    monkeypatch.undo()
    known_answer.cache_clear()
    known_answer()


def test_parameters_below_128_bits_are_refused() -> None:
    good = make_params(4096, 1, 30, 1)
    assert good is not None
    assert good.total_bits <= SECURE_BITS[4096]
    weak = make_params(8192, 3, 40, 2)
    assert weak is not None
    with pytest.raises(errors.ParametersUnsafe, match="exceeds the 106 bits"):
        Params(4096, weak.primes, weak.special, 40)
    with pytest.raises(errors.ParametersUnsafe, match="no prime"):
        Params(4096, (good.primes[0], good.primes[1] + 2), good.special, 30)
    with pytest.raises(errors.ParametersUnsafe, match="repeats"):
        Params(4096, (good.primes[1], good.primes[1]), good.primes[1], 30)


def test_the_smallest_ring_against_brute_force() -> None:
    for shape in ((8, 8), (64, 32), (64, 64)):
        specs = {"x": fhe.Encrypted(shape), "y": fhe.Encrypted(shape)}
        found = []
        for ring in SECURE_BITS:
            try:
                found.append(fhe.plan("ij,ij->ij", specs, rings=[ring], replicate="client"))
            except errors.LevelsExhausted:
                continue
        plan = fhe.plan("ij,ij->ij", specs, replicate="client")
        one = [p.params.ring for p in found if p.counts["input"] == 2]
        assert plan.params.ring == min(one)


def test_no_path_writes_a_secret_into_a_bundle(world: World, tmp_path: Path) -> None:
    world.client.save(tmp_path / "client.key")
    assert (tmp_path / "client.key").stat().st_mode & 0o777 == 0o600
    for ring in json.loads((tmp_path / "client.key").read_bytes())["rings"]:
        secret = bytes.fromhex(ring["secret"])
        limb = world.plan.params.ring * 8
        assert not any(secret[k : k + 64] in world.bundle for k in range(0, len(secret), limb))
    assert world.client.identity.secret not in world.bundle
    again = fhe.Client.load(tmp_path / "client.key")
    assert np.abs(again.decrypt(world.plan, world.run()) - world.x @ world.w).max() <= world.plan.error


def test_bundle_schema_is_closed(world: World) -> None:
    size = struct.unpack_from("<I", world.bundle, 8)[0]
    header, body = json.loads(world.bundle[12 : 12 + size]), world.bundle[12 + size :]

    def rebuilt(change: Any, tail: bytes = body) -> bytes:
        document = json.loads(json.dumps(header))
        change(document)
        raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        return wire.BUNDLE_MAGIC + struct.pack("<I", len(raw)) + raw + tail

    assert wire.read_bundle(rebuilt(lambda d: None))[1] == world.client.identity.public
    ring = world.plan.params.ring
    changes = [
        lambda d: d.update(secret="00"),
        lambda d: d["rings"][0].update(secret=[1]),
        lambda d: d["rings"][0]["rotations"].append([5, 0]),
        lambda d: d["rings"][0]["rotations"].pop(),
        lambda d: d["rings"][0].update(relin=0),
        lambda d: d.update(version=2),
        lambda d: d.update(rings=[]),
        lambda d: d["rings"][0]["params"].update(ring=ring // 2),
        lambda d: d.update(client_key="00"),
        lambda d: d["rings"][0]["params"].update(special=15),
        lambda d: d["rings"].append(d["rings"][0]),
        lambda d: d["rings"][0]["rotations"].reverse() or d["rings"][0]["rotations"].append([1.5, 0]),
    ]
    for change in changes:
        with pytest.raises((errors.MalformedBytes, errors.ParametersUnsafe)):
            wire.read_bundle(rebuilt(change))
    for tail in (body + b"\0", body[:-1], b""):
        with pytest.raises(errors.MalformedBytes):
            wire.read_bundle(rebuilt(lambda d: None, tail))


def test_mutated_bundles_and_operands_are_refused_or_harmless(world: World) -> None:
    random.seed(3)
    data = world.cts["x"].to_bytes()
    for _ in range(100):
        cut = bytearray(data)
        choice = random.randrange(3)
        if choice == 0:
            cut = cut[: random.randrange(len(cut))]
        elif choice == 1:
            cut += os.urandom(random.randrange(1, 9))
        else:
            at = random.randrange(world.plan.params.ring) * 8
            cut[at : at + 8] = b"\xff" * 8
        with pytest.raises(errors.MalformedBytes):
            tensor = wire.parse_tensor(world.plan, "x", bytes(cut))
            world.server.load(world.plan, {"x": tensor})


def test_each_word_must_be_below_its_prime(world: World) -> None:
    params = world.plan.params
    limb = np.zeros(params.ring, "<u8")
    limb[5] = params.primes[0]
    with pytest.raises(errors.MalformedBytes, match="1 of"):
        check_words(limb.tobytes(), params, params.depth, 1, 1)
    limb[5] -= 1
    check_words(limb.tobytes(), params, params.depth, 1, 1)


def test_signed_directions_and_replay(world: World) -> None:
    request, data = ask(world.client, world.plan, world.cts)
    book = NonceBook()
    reply = answer(world.server, world.identity, world.plan, data, {"w": world.w}, book)
    got = accept(world.client, world.plan, request, world.identity.public, reply)
    assert np.abs(got - world.x @ world.w).max() <= world.plan.error
    with pytest.raises(errors.RejectedMessage, match="used before"):
        answer(world.server, world.identity, world.plan, data, {"w": world.w}, book)
    other, _ = ask(world.client, world.plan, world.cts)
    with pytest.raises(errors.RejectedMessage, match="replay"):
        accept(world.client, world.plan, other, world.identity.public, reply)
    with pytest.raises(errors.RejectedMessage, match="another key"):
        accept(world.client, world.plan, request, Identity().public, reply)
    changed = bytearray(reply)
    changed[64] ^= 1
    with pytest.raises((errors.RejectedMessage, errors.MalformedBytes)):
        accept(world.client, world.plan, request, world.identity.public, bytes(changed))
    for at in (12, len(data) - 1, len(data) - 100):
        forged = bytearray(data)
        forged[at] ^= 1
        with pytest.raises((errors.RejectedMessage, errors.MalformedBytes)):
            answer(world.server, world.identity, world.plan, bytes(forged), {"w": world.w}, NonceBook())
    stranger = fhe.Client(Identity())
    _, foreign = ask(stranger, world.plan, world.cts)
    with pytest.raises(errors.RejectedMessage, match="client"):
        answer(world.server, world.identity, world.plan, foreign, {"w": world.w}, NonceBook())


def test_children_are_limited() -> None:
    assert sandbox.limited(lambda: b"fine") == b"fine"
    with pytest.raises(errors.LimitExceeded):
        sandbox.limited(lambda: time.sleep(30) or b"", seconds=0.2)
    with pytest.raises(errors.LimitExceeded, match="memory"):
        sandbox.limited(lambda: bytes(1 << 30), memory=64 << 20)
    with pytest.raises(errors.LimitExceeded):
        sandbox.limited(lambda: b"x" * 1000, output=10)
    with pytest.raises(errors.LimitExceeded, match="status"):
        sandbox.limited(lambda: os.abort() or b"")
    with pytest.raises(errors.BoundError, match="seven"):
        sandbox.limited(_fails)
    assert sandbox.limited(lambda: str(dict(os.environ)).encode()) == b"{}"


def _fails() -> bytes:
    raise errors.BoundError("seven is too much")


def test_plans_of_others_are_input() -> None:
    plan = fhe.plan("ij,jk->ik", {"a": fhe.Encrypted((4, 4)), "b": fhe.Encrypted((4, 4))})
    again = replan(
        json.loads(json.dumps(plan.document())), {"instructions": 1e4, "key_bytes": 1e9, "seconds": 10.0}
    )
    assert again.digest == plan.digest
    for name, cap in (("instructions", 3), ("key_bytes", 1000), ("seconds", 1e-9)):
        with pytest.raises(errors.LimitExceeded, match=name):
            replan(plan.document(), {name: cap})
    good = plan.document()
    bad: list[dict[str, Any]] = [
        {**good, "version": 2},
        {**good, "output": 9},
        {**good, "steps": []},
        {},
        {**good, "extra": 1},
        {**good, "operands": {}},
        {**good, "options": {}},
        {**good, "steps": [{"op": "exec", "args": [], "attributes": []}]},
        {**good, "steps": [{"op": "add", "args": [0, 1], "attributes": []}]},
    ]
    for document in bad:
        with pytest.raises(errors.FheError):
            replan(document, {})
    changed = json.loads(json.dumps(good))
    changed["operands"]["a"]["bound"] = 2.0
    assert replan(changed, {}).digest != plan.digest


def test_declared_bounds_are_checked_before_encryption(world: World) -> None:
    for value, what in (
        (np.full((4, 8), 1.5), "1.5"),
        (np.full((4, 8), np.nan), "32 entries"),
        (np.full((4, 8), np.inf), "NaN or infinite"),
        (np.ones((4, 8), complex), "complex128"),
    ):
        with pytest.raises(errors.BoundError, match=what):
            world.client.encrypt(world.plan, x=value)
    with pytest.raises(errors.BoundError, match="'w'"):
        world.plan.run(world.server, **world.cts, w=world.w * 5)


def test_overflow_is_planned_for_not_silent() -> None:
    program = fhe.Program()
    x = program.encrypted("x", (8,), 30.0)
    plan = program.plan(program.polyval(x, [0, 0, 0, 0, 1.0]), precision=1e-3)
    data = np.linspace(-30, 30, 8)
    client = fhe.Client.for_plans([plan])
    got = client.decrypt(plan, plan.run(fhe.Server(client.server_bundle()), **client.encrypt(plan, x=data)))
    assert np.abs(got - data**4).max() <= plan.error <= 1e-3 * 30**4
    with pytest.raises(errors.LevelsExhausted):
        program.plan(program.polyval(x, [0] * 12 + [1.0]))


def test_reveal_output_masks_partial_sums() -> None:
    specs = {"x": fhe.Encrypted((4, 8)), "w": fhe.Encrypted((8, 4))}
    data = {"x": np.ones((4, 8)), "w": np.ones((8, 4))}
    shown = {}
    for reveal in ("all", "output"):
        plan = fhe.plan("bi,ij->bj", specs, replicate="client", reveal=reveal)
        client = fhe.Client.for_plans([plan])
        result = plan.run(fhe.Server(client.server_bundle()), **client.encrypt(plan, **data))
        key = SecretKey(plan.params, client._secret[plan.params].secret_words())
        slots = np.stack(
            [
                key.decrypt(w, plan.graph.depth(v))
                for w, v in zip(result.words, plan.graph.outputs, strict=True)
            ]
        )
        shown[reveal] = np.abs(slots[plan.layout.maps < 0]).max(initial=0.0)
        assert plan.levels == (1 if reveal == "all" else 2)
        assert plan.layout.clean == (reveal == "output")
    assert shown["all"] > 1.0
    assert shown["output"] < 1e-2


def test_zero_operands_and_cancelling_sums_stay_encrypted(world: World) -> None:
    result = world.plan.run(world.server, **world.cts, w=np.zeros((8, 4)))
    assert np.abs(world.client.decrypt(world.plan, result)).max() <= world.plan.error
    program = fhe.Program()
    x, y = program.encrypted("x", (8,)), program.encrypted("y", (8,))
    plan = program.plan(program.subtract(x, y))
    client = fhe.Client.for_plans([plan])
    cts = client.encrypt(plan, x=np.ones(8), y=np.ones(8))
    same = dataclasses.replace(cts["x"], name="y")
    out = plan.run(fhe.Server(client.server_bundle()), x=cts["x"], y=same)
    assert np.abs(client.decrypt(plan, out)).max() <= plan.error
    assert any(any(w[len(w) // 2 :]) for w in out.words)


def test_missing_keys_are_named_and_extend_adds_them(world: World) -> None:
    other = fhe.plan("ij->i", {"x": fhe.Encrypted((16, 16))}, rings=[world.plan.params.ring])
    with pytest.raises(errors.MissingKey, match="extend"):
        world.server.evaluator(other)
    same = fhe.Client.for_plans([world.plan])
    lacking = [
        dataclasses.replace(k, rotations=dict(list(k.rotations.items())[1:])) for k in same._public.values()
    ]
    server = fhe.Server(wire.write_bundle(lacking, same.identity.public))
    with pytest.raises(errors.MissingKey, match="rotates by"):
        world.plan.run(server, **same.encrypt(world.plan, x=world.x), w=world.w)
    with pytest.raises(errors.MissingKey, match="no key for"):
        same.encrypt(other, x=np.zeros((16, 16)))
    addition = same.extend([other])
    server.extend(addition)
    got = same.decrypt(other, other.run(server, **same.encrypt(other, x=np.ones((16, 16)))))
    assert np.abs(got - 16).max() <= other.error


def test_rotation_without_its_key_is_not_decomposed(world: World) -> None:
    keys = world.client._public[world.plan.params]
    evaluator = CkksEvaluator(world.plan.params, keys.rotations, keys.relin, keys.zero)
    step = next(s for s in range(1, 99) if s not in keys.rotations)
    ciphertext = Ring(world.plan.params).load(keys.zero, 0, seeded=True)
    with pytest.raises(errors.MissingKey, match=f"rotation by {step}"):
        evaluator.rotate(ciphertext, step)


def test_layouts_of_another_plan_are_refused(world: World) -> None:
    other = fhe.plan("bi,ij->bj", {"x": fhe.Encrypted((4, 8)), "w": fhe.Plain((8, 4))}, replicate="client")
    client = fhe.Client.for_plans([other, world.plan])
    with pytest.raises(errors.LayoutError, match=r"encrypted as 'x' for plan"):
        world.plan.run(world.server, x=client.encrypt(other, x=world.x)["x"], w=world.w)
    with pytest.raises(errors.LayoutError, match="planned as encrypted"):
        world.plan.run(world.server, x=world.x, w=world.w)
    with pytest.raises(errors.LayoutError, match="not the result"):
        world.client.decrypt(world.plan, world.cts["x"])


def test_release_needs_a_plan_made_for_it(world: World, tmp_path: Path) -> None:
    with pytest.raises(errors.ReleaseRefused, match="without release="):
        world.client.release(world.plan, world.run(), Ledger(tmp_path / "ledger"))


def test_release_floods_counts_and_repeats_itself(tmp_path: Path) -> None:
    wish = fhe.Release(bits=8, stat_security=30, max_releases=2)
    world = World(release=wish, precision=1e-2)
    path, results = tmp_path / "ledger", [world.run() for _ in range(2)]
    third = world.plan.run(world.server, **world.client.encrypt(world.plan, x=world.x), w=world.w)
    first = world.client.release(world.plan, results[0], Ledger(path))
    assert np.abs(first - world.x @ world.w).max() <= world.plan.bound * 2.0**-8
    exact = world.client.decrypt(world.plan, results[0])
    assert np.abs(first - exact).max() > 1000 * np.abs(exact - world.x @ world.w).max()
    assert 0.3 < np.std(first - exact) / deviation(world.plan) < 2
    assert results[0].words == results[1].words
    again = world.client.release(world.plan, results[1], Ledger(path))
    assert again.tobytes() == first.tobytes()
    world.client.release(world.plan, third, Ledger(path))
    fourth = world.plan.run(world.server, **world.client.encrypt(world.plan, x=world.x), w=world.w)
    with pytest.raises(errors.ReleaseRefused, match="2 of 2"):
        world.client.release(world.plan, fourth, Ledger(path))


def test_gaussian_noise_has_its_deviation() -> None:
    noise = gaussian(1e6, 40_000)
    assert abs(noise.std() / 1e6 - 1) < 0.05
    assert abs(noise.mean()) < 5e4
    assert not np.array_equal(noise, gaussian(1e6, 40_000))


def test_a_plain_decryption_gives_the_key_away_and_a_release_does_not(tmp_path: Path) -> None:
    """Message polynomial = c0 + c1·s: whoever knows all decrypted slots solves for the key."""
    program = fhe.Program()
    plan = program.plan(
        program.encrypted("x", (8,)), release=fhe.Release(8, 30, 1), precision=1e-2, rings=[4096]
    )
    client = fhe.Client.for_plans([plan])
    p, depth = plan.params, plan.params.depth
    secret = client._secret[p]
    words = Ring(p).save(Ring(p).load(client.encrypt(plan, x=np.ones(8))["x"].words[0], 0, seeded=True), 0)
    truth = [int(w) for w in np.frombuffer(secret.secret_words(), "<u8")[: p.ring]]
    noise = gaussian(deviation(plan) * p.scales[depth] / np.sqrt(p.ring / 2), p.ring)
    plain = seal.Plaintext()
    secret._decryptor.decrypt(secret.ring.load(words, 0, seeded=False), plain)
    exact = secret._encoder.decode_complex(plain)
    flooded = secret.decrypt_flooded(words, 0, noise)
    assert recovered(secret, exact, words) == truth
    assert recovered(secret, [complex(v) for v in flooded], words) != truth


def recovered(secret: SecretKey, slots: list[complex], words: bytes) -> list[int]:
    """The secret key modulo the first prime, as an attacker computes it from published slots."""
    p, again = secret.params, seal.Plaintext()
    secret._encoder.encode(slots, secret.ring.parms_id(0), p.scales[0], again)
    message = np.frombuffer(_saved(again, 1 << 22)[-p.ring * 8 * p.count(0) :], "<u8")
    c = np.frombuffer(words, "<u8").reshape(2, p.count(0), p.ring)
    q = p.primes[0]
    return [
        (int(m) - int(a)) * pow(int(b), -1, q) % q for m, a, b in zip(message, c[0, 0], c[1, 0], strict=False)
    ]
