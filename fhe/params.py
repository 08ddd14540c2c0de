"""Ring and moduli: the smallest 128-bit-secure set for a depth, a scale and a magnitude."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

from fhe.errors import LevelsExhausted, ParametersUnsafe

# Largest log2 of the whole modulus, special prime included, for 128 classical bits with a uniform ternary
# secret and Gaussian errors of deviation 3.19: "Security Guidelines for Implementing Homomorphic
# Encryption" (ePrint 2024/463), table for classical attacks.
SECURE_BITS = {2048: 53, 4096: 106, 8192: 214, 16384: 430, 32768: 868}
MAX_PRIME_BITS = 60
MIN_SCALE_BITS = 22
HEADROOM_BITS = 3
# A key switch multiplies residues that are not centred with the key's error: in the slot of the root nearest
# 1 their mean weighs N/π instead of √(N/12). A special prime this much larger than the others makes that
# vanish.
_SPECIAL_EXTRA_BITS = 12


@lru_cache(maxsize=4096)
def _is_prime(n: int) -> bool:
    """Miller–Rabin with the first twelve primes as bases, exact below 2^64."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
    if n < 2 or any(n % p == 0 for p in bases):
        return n in bases
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in bases:
        x = pow(base, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


@lru_cache(maxsize=512)
def ntt_primes(ring: int, bits: int, count: int, start: int = 0) -> tuple[int, ...]:
    """`count` primes ≡ 1 mod 2·ring, nearest to 2^bits in turn, after skipping `start` of them.

    Raises ParametersUnsafe when fewer exist within a factor 2^±0.5.
    """
    step, distance = 2 * ring, 0
    found: list[int] = []
    centre = 1 << bits
    while len(found) < start + count:
        for candidate in {centre + distance * step + 1, centre - distance * step + 1}:
            if candidate.bit_length() <= MAX_PRIME_BITS and _is_prime(candidate):
                found.append(candidate)
        distance += 1
        if distance * step > centre // 3:
            break
    if len(found) < start + count:
        raise ParametersUnsafe(
            f"only {len(found)} primes of {bits} bits suit ring {ring}, {start + count} needed; "
            "use a larger scale"
        )
    return tuple(found[start : start + count])


@dataclass(frozen=True)
class Params:
    """One CKKS parameter set.

    `primes`: data primes, primes[0] is what remains at the last level; `special`: the key-switching prime;
    `scale_bits`: log2 of the scale of a fresh ciphertext. Depth d counts rescalings since encryption.
    """

    ring: int
    primes: tuple[int, ...]
    special: int
    scale_bits: int

    def __post_init__(self) -> None:
        self.check()

    @property
    def slots(self) -> int:
        return self.ring // 2

    @property
    def depth(self) -> int:
        """Rescalings a fresh ciphertext allows."""
        return len(self.primes) - 1

    @property
    def total_bits(self) -> float:
        return sum(math.log2(p) for p in (*self.primes, self.special))

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """The canonical scale at each depth: S(d+1) = S(d)² / q(d), q(d) being the prime dropped at depth d.
        """
        scales = [2.0**self.scale_bits]
        for d in range(self.depth):
            scales.append(scales[-1] ** 2 / self.dropped(d))
        return tuple(scales)

    def dropped(self, depth: int) -> int:
        """The prime a rescaling at `depth` divides by."""
        return self.primes[self.depth - depth]

    def count(self, depth: int) -> int:
        """Data primes left at `depth`."""
        return len(self.primes) - depth

    def check(self) -> None:
        """Raise ParametersUnsafe unless the set is 128-bit secure and well formed."""
        if self.ring not in SECURE_BITS:
            raise ParametersUnsafe(f"ring {self.ring} is not one of {sorted(SECURE_BITS)}")
        if self.total_bits > SECURE_BITS[self.ring]:
            raise ParametersUnsafe(
                f"a modulus of {self.total_bits:.1f} bits in ring {self.ring} exceeds the "
                f"{SECURE_BITS[self.ring]} bits that 128-bit security allows"
            )
        everything = (*self.primes, self.special)
        if len(set(everything)) != len(everything):
            raise ParametersUnsafe(f"a prime repeats among the {len(everything)} of ring {self.ring}")
        for p in everything:
            if p % (2 * self.ring) != 1 or p.bit_length() > MAX_PRIME_BITS or not _is_prime(p):
                raise ParametersUnsafe(
                    f"{p} is no prime ≡ 1 modulo {2 * self.ring} of at most {MAX_PRIME_BITS} bits"
                )

    def to_json(self) -> dict[str, object]:
        return {
            "ring": self.ring,
            "primes": list(self.primes),
            "special": self.special,
            "scale_bits": self.scale_bits,
        }

    def key_bytes(self, depth: int) -> int:
        """Bytes of one key-switching key usable from `depth` on, on the wire (second half as a seed)."""
        limbs = self.count(depth)
        return limbs * ((limbs + 1) * self.ring * 8 + 64)

    def ciphertext_bytes(self, depth: int, seeded: bool) -> int:
        """Bytes of one ciphertext at `depth` on the wire."""
        poly = self.count(depth) * self.ring * 8
        return poly + 64 if seeded else 2 * poly


@lru_cache(maxsize=2048)
def make_params(ring: int, depth: int, scale_bits: int, magnitude_bits: int) -> Params | None:
    """The set with `depth` rescaling primes of `scale_bits`, or None when it is not 128-bit secure.

    `magnitude_bits`: log2 of the largest value alive at the last level, rounded up; the last prime holds it
    at the final scale with HEADROOM_BITS to spare.
    """
    last_bits = max(scale_bits + max(magnitude_bits, 0) + HEADROOM_BITS, scale_bits + 1)
    if last_bits > MAX_PRIME_BITS - 1:
        return None
    for extra in (_SPECIAL_EXTRA_BITS, 8, 4, 1):
        special_bits = min(last_bits + extra, MAX_PRIME_BITS - 1)
        if last_bits + special_bits + depth * scale_bits > SECURE_BITS[ring] + 1:
            continue
        try:
            middle = ntt_primes(ring, scale_bits, depth) if depth else ()
            last, special = _apart(ring, last_bits, special_bits)
            return Params(ring, (last, *reversed(middle)), special, scale_bits)
        except ParametersUnsafe:
            continue
    return None


def _apart(ring: int, last_bits: int, special_bits: int) -> tuple[int, int]:
    if last_bits == special_bits:
        first, second = ntt_primes(ring, last_bits, 2)
        return min(first, second), max(first, second)
    return ntt_primes(ring, last_bits, 1)[0], ntt_primes(ring, special_bits, 1)[0]


def require(params: Params | None, depth: int, what: str) -> Params:
    """`params`, or LevelsExhausted with the depth that no ring holds."""
    if params is None:
        raise LevelsExhausted(
            f"{what}: {depth} levels at this precision fit no 128-bit-secure ring (largest "
            f"{max(SECURE_BITS)}, {max(SECURE_BITS.values())} bits); split the computation, lower "
            "the declared bounds or ask for less precision"
        )
    return params
