"""Writes field.json: arithmetic in F and K by galois, and once more by polynomials modulo X^3 - 2.

Run it as `python tests/vectors/make_field.py`. Numbers are decimal strings, elements of K three coefficients.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import galois

P = 2**64 - 2**32 + 1
F = galois.GF(P, primitive_element=7, verify=False)
MODULUS = galois.Poly([1, 0, 0, P - 2], field=F)  # X^3 - 2
EDGES = (0, 1, 2, P - 1, P - 2, 2**32, 2**32 - 1, P - 2**32, 2**63)


def polynomial(c: tuple[int, int, int]) -> galois.Poly:
    return galois.Poly(list(reversed(c)), field=F)


def coefficients(value: galois.Poly) -> list[int]:
    out = [int(c) for c in reversed(value.coeffs)]
    return out + [0] * (3 - len(out))


def inverse(value: galois.Poly) -> galois.Poly:
    """The inverse modulo X^3 - 2 by the extended Euclidean algorithm."""
    gcd, left, _ = galois.egcd(value, MODULUS)
    assert gcd == galois.Poly([1], field=F)
    return left % MODULUS


def vectors(seed: int, count: int) -> dict[str, Any]:
    rng = random.Random(seed)

    def word() -> int:
        return rng.choice(EDGES) if rng.random() < 0.4 else rng.randrange(P)

    base, extension = [], []
    for _ in range(count):
        a, b = word(), word()
        base.append({"a": a, "b": b, "sum": int(F(a) + F(b)), "difference": int(F(a) - F(b)),
                     "product": int(F(a) * F(b)), "inverse": int(F(1) / F(a)) if a else None})
        x, y = ((word(), word(), word()) for _ in range(2))
        f, g = polynomial(x), polynomial(y)
        extension.append({"a": x, "b": y, "sum": coefficients(f + g), "difference": coefficients(f - g),
                          "product": coefficients(f * g % MODULUS),
                          "inverse": coefficients(inverse(f)) if any(x) else None})
    roots = [int(F(7) ** ((P - 1) >> k)) for k in range(33)]
    return {"p": P, "base": base, "extension": extension, "roots_of_unity": roots}


def as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_text(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_text(entry) for entry in value]
    return value if value is None else str(value)


if __name__ == "__main__":
    text = json.dumps(as_text(vectors(seed=1, count=100)), indent=1)
    Path(__file__).with_name("field.json").write_text(text + "\n")
