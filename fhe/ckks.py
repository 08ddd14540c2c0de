"""The real scheme: TenSEAL's `sealapi`. No other file knows it.

Ciphertexts and keys leave this file only as raw words (c0 and, when seeded, 64 bytes of seed); streams of the
library are built here from words and from parameters this side already holds, never taken from outside.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import tenseal.sealapi as seal

from fhe.errors import LevelsExhausted, MalformedBytes, MissingKey, ParametersUnsafe
from fhe.params import Params

Array = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]
SEED_BYTES = 64
_HEADER = 16
_PREFIX = struct.Struct("<32sBQQQdd")


@lru_cache(maxsize=1)
def _library() -> Any:
    library = ctypes.CDLL(seal._sealapi_cpp.__file__)
    call = library.ZSTD_decompress
    call.restype, call.argtypes = ctypes.c_size_t, [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    return call


def _saved(thing: Any, size: int) -> bytes:
    """The body of the library's own serialisation of `thing`, decompressed; at most `size` bytes."""
    handle = os.memfd_create("fhe")
    try:
        thing.save(f"/proc/self/fd/{handle}")
        data = os.pread(handle, os.fstat(handle).st_size, 0)
    finally:
        os.close(handle)
    if data[5] == 0:
        return data[_HEADER:]
    if data[5] != 2:
        raise ParametersUnsafe(f"the library compresses with method {data[5]}; this build expects 0 or 2")
    buffer = ctypes.create_string_buffer(size)
    length = _library()(buffer, size, data[_HEADER:], len(data) - _HEADER)
    if length > size:
        raise ParametersUnsafe(f"the library's stream does not decompress into {size} bytes")
    return buffer.raw[:length]


@lru_cache(maxsize=1)
def _version() -> bytes:
    """The first five bytes of the library's stream header, learnt from a stream of its own."""
    handle = os.memfd_create("fhe")
    try:
        seal.DynArray(0).save(f"/proc/self/fd/{handle}")
        return os.pread(handle, 5, 0)
    finally:
        os.close(handle)


def _framed(body: bytes) -> bytes:
    return _version() + b"\0\0\0" + struct.pack("<Q", len(body) + _HEADER) + body


def _load(thing: Any, context: Any, body: bytes) -> None:
    handle = os.memfd_create("fhe")
    try:
        os.write(handle, _framed(body))
        thing.load(context, f"/proc/self/fd/{handle}")
    except (RuntimeError, ValueError) as error:
        raise MalformedBytes(f"the library refuses these words: {error}") from None
    finally:
        os.close(handle)


def _ciphertext_body(
    parms_id: list[int], ring: int, limbs: int, size: int, scale: float, words: bytes, seed: bytes
) -> bytes:
    """The body of a ciphertext stream; with a seed, `words` is the first polynomial alone."""
    head = _PREFIX.pack(struct.pack("<4Q", *parms_id), 1, size, ring, limbs, scale, 1.0)
    head = head[:-8] + struct.pack("<Q", 1)
    body = head + _framed(struct.pack("<Q", len(words) // 8) + words)
    return body + _framed(b"\1" + seed) if seed else body


class Ring:
    """Contexts of one parameter set: one per depth, sharing the secret key (its moduli are prefixes)."""

    def __init__(self, params: Params) -> None:
        params.check()
        self.params = params
        self._contexts: dict[int, Any] = {}

    def context(self, depth: int = 0) -> Any:
        """The context whose first level is `depth`; raises ParametersUnsafe unless the library agrees."""
        if depth not in self._contexts:
            p = self.params
            parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
            parameters.set_poly_modulus_degree(p.ring)
            parameters.set_coeff_modulus([seal.Modulus(q) for q in (*p.primes[: p.count(depth)], p.special)])
            context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
            if not context.parameters_set():
                raise ParametersUnsafe(
                    f"ring {p.ring} with {p.count(depth)} + 1 primes: {context.parameters_error_message()}"
                )
            self._contexts[depth] = context
        return self._contexts[depth]

    @lru_cache(maxsize=64)  # noqa: B019 - a ring lives as long as its client or server
    def parms_id(self, depth: int) -> list[int]:
        """The library's name for the level at `depth`."""
        identifier = self.context().first_parms_id()
        switcher, probe = seal.Evaluator(self.context()), seal.Plaintext()
        seal.CKKSEncoder(self.context()).encode(0.5, identifier, 2.0**20, probe)
        for _ in range(depth):
            switcher.mod_switch_to_next_inplace(probe)
        return list(probe.parms_id())

    def load(self, words: bytes, depth: int, seeded: bool) -> Any:
        """A ciphertext at `depth` from raw words, its scale canonical; words are checked against the primes.
        """
        p = self.params
        check_words(words[:-SEED_BYTES] if seeded else words, p, depth, p.count(depth), 1 if seeded else 2)
        seed = words[-SEED_BYTES:] if seeded else b""
        data = words[:-SEED_BYTES] if seeded else words
        out = seal.Ciphertext()
        _load(
            out,
            self.context(),
            _ciphertext_body(self.parms_id(depth), p.ring, p.count(depth), 2, p.scales[depth], data, seed),
        )
        return out

    def save(self, ciphertext: Any, depth: int) -> bytes:
        """The raw words of a two-polynomial ciphertext."""
        size = self.params.ciphertext_bytes(depth, seeded=False)
        if ciphertext.size() != 2:
            raise MalformedBytes(
                f"a ciphertext of {ciphertext.size()} polynomials is not for sending; relinearise"
            )
        return _saved(ciphertext, size + 256)[-size:]


def check_words(data: bytes, params: Params, depth: int, limbs: int, polynomials: int) -> None:
    """Raise MalformedBytes unless `data` is `polynomials` × `limbs` × ring words, each below its prime.

    With limbs one above the data primes left at `depth`, the last limb is that of the special prime.
    """
    wanted = polynomials * limbs * params.ring * 8
    if len(data) != wanted:
        raise MalformedBytes(f"{len(data)} bytes where the plan has {wanted}")
    primes = [*params.primes[: params.count(depth)], params.special][:limbs]
    words = np.frombuffer(data, "<u8").reshape(polynomials, limbs, params.ring)
    above = int((words >= np.array(primes, np.uint64)[None, :, None]).sum())
    if above:
        raise MalformedBytes(f"{above} of {words.size} words are not below their prime")


class SecretKey:
    """A secret key with what only its holder can do. It has no way to be written except `secret_words`."""

    def __init__(self, params: Params, words: bytes | None = None) -> None:
        self.ring, self.params = Ring(params), params
        context = self.ring.context()
        if words is None:
            self._key = seal.KeyGenerator(context).secret_key()
        else:
            self._key = self._restored(words, 0)
        self._encryptor = seal.Encryptor(context, self._key)
        self._decryptor = seal.Decryptor(context, self._key)
        self._encoder = seal.CKKSEncoder(context)

    def secret_words(self) -> bytes:
        """The key itself: for the client's own storage only."""
        size = (self.params.depth + 2) * self.params.ring * 8
        return _saved(self._key, size + 256)[-size:]

    def _restored(self, words: bytes, depth: int) -> Any:
        """The key for the context that starts at `depth`: its limbs are a subset."""
        p = self.params
        check_words(words, p, 0, p.depth + 2, 1)
        limbs = np.frombuffer(words, "<u8").reshape(p.depth + 2, p.ring)
        part = np.concatenate([limbs[: p.count(depth)], limbs[-1:]]).tobytes()
        context, key = self.ring.context(depth), seal.SecretKey()
        body = struct.pack("<4QQd", *context.key_parms_id(), len(part) // 8, 1.0)
        _load(key, context, body + _framed(struct.pack("<Q", len(part) // 8) + part))
        return key

    def encrypt(self, values: Array, depth: int) -> bytes:
        """Raw words of a fresh seeded encryption at `depth`."""
        plaintext = seal.Plaintext()
        self._encoder.encode(values.tolist(), self.ring.parms_id(depth), self.params.scales[depth], plaintext)
        return _seeded(
            self._encryptor.encrypt_symmetric(plaintext), self.params.count(depth) * self.params.ring * 8
        )

    def decrypt(self, words: bytes, depth: int) -> Array:
        """Slot values of a ciphertext from its words."""
        plaintext = seal.Plaintext()
        self._decryptor.decrypt(self.ring.load(words, depth, seeded=False), plaintext)
        return np.array(self._encoder.decode_double(plaintext))

    def decrypt_flooded(self, words: bytes, depth: int, noise: npt.NDArray[np.int64]) -> Array:
        """Slot values after adding `noise` (one integer a coefficient) to the plaintext polynomial.

        The addition happens in the evaluation domain, before anything is decoded.
        """
        p, context = self.params, self.ring.context()
        primes = p.primes[: p.count(depth)]
        residues = np.concatenate([(noise % np.int64(q)).astype("<u8") for q in primes])
        flood = self._coefficients(context, residues, self.ring.parms_id(depth), depth)
        ciphertext = self.ring.load(words, depth, seeded=False)
        seal.Evaluator(context).add_plain_inplace(ciphertext, flood)
        plaintext = seal.Plaintext()
        self._decryptor.decrypt(ciphertext, plaintext)
        return np.array(self._encoder.decode_double(plaintext))

    def _coefficients(
        self, context: Any, residues: npt.NDArray[Any], identifier: list[int], depth: int
    ) -> Any:
        """A plaintext in evaluation form from coefficient residues, by the library's own transform of a
        ciphertext.
        """
        p = self.params
        zero = np.zeros_like(residues).tobytes()
        body = _ciphertext_body(
            identifier, p.ring, p.count(depth), 2, p.scales[depth], zero + residues.tobytes(), b""
        )
        body = body[:32] + b"\0" + body[33:]
        out = seal.Ciphertext()
        _load(out, context, body)
        seal.Evaluator(context).transform_to_ntt_inplace(out)
        size = p.count(depth) * p.ring * 8
        words = _saved(out, 2 * size + 256)[-size:]
        plaintext = seal.Plaintext()
        head = struct.pack("<4QQd", *identifier, size // 8, p.scales[depth])
        _load(plaintext, context, head + _framed(struct.pack("<Q", size // 8) + words))
        return plaintext

    def rotation_key(self, step: int, depth: int) -> bytes:
        """Raw words of the key for a left rotation by `step`, usable from `depth` on."""
        generator = seal.KeyGenerator(self.ring.context(depth), self._restored(self.secret_words(), depth))
        ring = self.params.ring
        made = generator.create_galois_keys([pow(3, step % (ring // 2), 2 * ring)])
        return self._key_words(made, depth)

    def relinearization_key(self, depth: int) -> bytes:
        generator = seal.KeyGenerator(self.ring.context(depth), self._restored(self.secret_words(), depth))
        return self._key_words(generator.create_relin_keys(), depth)

    def _key_words(self, made: Any, depth: int) -> bytes:
        """The polynomials and seeds of a key-switching key, in order, without the library's frames."""
        p = self.params
        size = (p.count(depth) + 1) * p.ring * 8
        data = _saved(made, p.key_bytes(depth) + p.ring * 8 + 4096 * p.count(depth))
        unit = _PREFIX.size + _HEADER + 8 + size + _HEADER + 1 + SEED_BYTES + _HEADER
        start = data.index(struct.pack("<Q", p.count(depth)), 40) + 8
        parts = []
        for _ in range(p.count(depth)):
            at = start + _HEADER + _PREFIX.size + _HEADER + 8
            parts.append(data[at : at + size] + data[start + unit - SEED_BYTES : start + unit])
            start += unit
        return b"".join(parts)


def _seeded(made: Any, size: int) -> bytes:
    """First polynomial and seed of a serialisable (seeded) ciphertext."""
    data = _saved(made, size + 512)
    at = _PREFIX.size + _HEADER + 8
    return data[at : at + size] + data[-SEED_BYTES:]


class CkksEvaluator:
    """The server's side: evaluates plans with exactly the keys it was given.

    `rotations`: step → (depth, words); `relin`: (depth, words) or None; `zero`: a seeded encryption of 0 at
    depth 0, in whose place the library would refuse a transparent result.
    """

    def __init__(
        self,
        params: Params,
        rotations: Mapping[int, tuple[int, bytes]],
        relin: tuple[int, bytes] | None,
        zero: bytes,
    ) -> None:
        self.params, self.ring = params, Ring(params)
        self._evaluators: dict[int, Any] = {}
        self._encoder = seal.CKKSEncoder(self.ring.context())
        self._galois = {
            step: (depth, self._galois_key(step, depth, words)) for step, (depth, words) in rotations.items()
        }
        self._relin = (relin[0], self._relin_key(*relin)) if relin is not None else None
        self._zero = self.ring.load(zero, 0, seeded=True)
        self.switches = 0

    def _at(self, depth: int) -> Any:
        if depth not in self._evaluators:
            self._evaluators[depth] = seal.Evaluator(self.ring.context(depth))
        return self._evaluators[depth]

    def _switching(self, thing: Any, slots_before: int, total: int, depth: int, words: bytes) -> Any:
        """Load one key-switching key, alone in its table at position `slots_before` of `total`."""
        p, context = self.params, self.ring.context(depth)
        limbs, size = p.count(depth) + 1, (p.count(depth) + 1) * p.ring * 8
        if len(words) != p.key_bytes(depth):
            raise MalformedBytes(
                f"a key of {len(words)} bytes where {p.key_bytes(depth)} are due at depth {depth}"
            )
        identifier, parts = context.key_parms_id(), []
        for k in range(p.count(depth)):
            part = words[k * (size + SEED_BYTES) : (k + 1) * (size + SEED_BYTES)]
            check_words(part[:size], p, depth, limbs, 1)
            parts.append(
                _framed(_ciphertext_body(identifier, p.ring, limbs, 2, 1.0, part[:size], part[size:]))
            )
        zero = struct.pack("<Q", 0)
        body = (
            struct.pack("<4QQ", *identifier, total)
            + zero * slots_before
            + struct.pack("<Q", len(parts))
            + b"".join(parts)
            + zero * (total - slots_before - 1)
        )
        _load(thing, context, body)
        return thing

    def _galois_key(self, step: int, depth: int, words: bytes) -> Any:
        element = pow(3, step % self.params.slots, 2 * self.params.ring)
        key = self._switching(seal.GaloisKeys(), (element - 1) // 2, self.params.ring, depth, words)
        if not key.has_key(element):
            raise MissingKey(f"rotation by {step}: the library does not find its key")
        return key

    def _relin_key(self, depth: int, words: bytes) -> Any:
        return self._switching(seal.RelinKeys(), 0, 1, depth, words)

    def depth(self, a: Any) -> int:
        """The depth of a ciphertext or plaintext, from its number of primes."""
        return len(self.params.primes) - int(a.coeff_modulus_size())

    def encode(self, values: Array, depth: int, scale: float) -> Any:
        """A plaintext; all zeros become the constant polynomial 1 (magnitude 1/scale), below the rounding
        error.
        """
        out = seal.Plaintext()
        if values.any():
            self._encoder.encode(values.tolist(), self.ring.parms_id(depth), scale, out)
        if not values.any() or out.is_zero():
            self._encoder.encode(1.0 / scale, self.ring.parms_id(depth), scale, out)
        return out

    def add(self, a: Any, b: Any) -> Any:
        out = seal.Ciphertext()
        try:
            self._at(0).add(a, b, out)
        except RuntimeError as error:
            return self._cancelled(a, error)
        except ValueError as error:
            raise LevelsExhausted(f"an addition the plan should have aligned: {error}") from None
        return self._cancelled(a, None) if out.is_transparent() else out

    def _cancelled(self, a: Any, error: RuntimeError | None) -> Any:
        """An encryption of 0 in place of a result without secret part."""
        if error is not None and "transparent" not in str(error):
            raise error
        out = seal.Ciphertext()
        self._at(0).mod_switch_to(self._zero, a.parms_id(), out)
        out.scale = a.scale
        return out

    def negate(self, a: Any) -> Any:
        out = seal.Ciphertext()
        self._at(0).negate(a, out)
        return out

    def multiply(self, a: Any, b: Any) -> Any:
        out = seal.Ciphertext()
        if a is b:
            self._at(0).square(a, out)
        else:
            self._at(0).multiply(a, b, out)
        return out

    def multiply_plain(self, a: Any, plaintext: Any) -> Any:
        out = seal.Ciphertext()
        self._at(0).multiply_plain(a, plaintext, out)
        return out

    def add_plain(self, a: Any, plaintext: Any) -> Any:
        out = seal.Ciphertext()
        plaintext.scale = _snapped(plaintext.scale, a.scale)
        self._at(0).add_plain(a, plaintext, out)
        return out

    def relinearize(self, a: Any) -> Any:
        depth = self.depth(a)
        if self._relin is None or depth < self._relin[0]:
            raise MissingKey(f"relinearisation at depth {depth} has no key; extend the server's bundle")
        out = seal.Ciphertext()
        self.switches += 1
        self._at(self._relin[0]).relinearize(a, self._relin[1], out)
        return out

    def rescale(self, a: Any) -> Any:
        out = seal.Ciphertext()
        self._at(0).rescale_to_next(a, out)
        out.scale = _snapped(out.scale, self.params.scales[self.depth(out)])
        return out

    def rotate(self, a: Any, step: int) -> Any:
        found = self._galois.get(step)
        if found is None or self.depth(a) < found[0]:
            raise MissingKey(
                f"rotation by {step} at depth {self.depth(a)} has no key among {len(self._galois)}; "
                "extend the server's bundle"
            )
        out = seal.Ciphertext()
        self.switches += 1
        self._at(found[0]).rotate_vector(a, _signed(step, self.params.slots), found[1], out)
        return out

    def drop(self, a: Any, depth: int) -> Any:
        out = seal.Ciphertext()
        self._at(0).mod_switch_to(a, self.ring.parms_id(depth), out)
        return out


def _signed(step: int, slots: int) -> int:
    """The library wants |step| < slots; a positive step rotates left."""
    return step % slots


def _snapped(actual: float, canonical: float) -> float:
    """`canonical`, when `actual` differs from it by floating-point rounding alone; otherwise the plan is
    wrong.
    """
    if abs(actual / canonical - 1) > 1e-11:
        raise LevelsExhausted(f"a scale of {actual:g} where the plan has {canonical:g}")
    return canonical


@lru_cache(maxsize=1)
def known_answer() -> float:
    """Check rotation direction, products and precision once a process; the error found.

    Raises ParametersUnsafe when the library disagrees, as after a change of sign convention.
    """
    from fhe.params import make_params

    params = make_params(4096, 1, 30, 1)
    assert params is not None
    secret = SecretKey(params)
    values = np.arange(params.slots) / params.slots
    evaluator = CkksEvaluator(
        params,
        {3: (1, secret.rotation_key(3, 1))},
        (0, secret.relinearization_key(0)),
        secret.encrypt(np.zeros(params.slots), 0),
    )
    fresh = secret.ring.load(secret.encrypt(values, 0), 0, seeded=True)
    square = evaluator.rescale(evaluator.relinearize(evaluator.multiply(fresh, fresh)))
    out = secret.decrypt(secret.ring.save(evaluator.rotate(square, 3), 1), 1)
    error = float(np.abs(out - np.roll(values**2, -3)).max())
    if error > 1e-3:
        raise ParametersUnsafe(
            f"known-answer check: error {error:g} instead of at most 0.001; this build of the "
            "library rotates or multiplies otherwise, do not use it"
        )
    return error
