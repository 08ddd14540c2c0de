"""SHA-256 (FIPS 180-4) by the processor's own instructions, two messages at a time, without the interpreter's lock.

hashlib takes and drops that lock for every message, so that two threads of it are slower than one. The instructions
want the eight words of the state as (f, e, b, a) and (h, g, d, c), from the lowest lane up. A round's result is needed
by the next, so that a second message costs little beside a first.
"""

# Numba infers the types of kernels, and llvmlite carries none for what is used here.
# mypy: disable-error-code="import-untyped, no-untyped-call, no-untyped-def, attr-defined"

from __future__ import annotations

from typing import Any

from prover.backends.numba_cache import use_private_cache

use_private_cache()

import numpy as np  # noqa: E402
from llvmlite import ir  # noqa: E402
from numba import types  # noqa: E402
from numba.core import cgutils, config  # noqa: E402
from numba.core.codegen import get_host_cpu_features  # noqa: E402

from prover.backends.cpu_field import intrinsic  # noqa: E402
from prover.backends.cpu_lanes import kernel  # noqa: E402

_WORDS = ir.VectorType(ir.IntType(32), 4)
_BLOCK = 64


def _primes(count: int) -> list[int]:
    found: list[int] = []
    n = 2
    while len(found) < count:
        if all(n % p for p in found):
            found.append(n)
        n += 1
    return found


def _root_bits(n: int, degree: int) -> int:
    """The first 32 bits of the fractional part of n^(1/degree)."""
    low, high = 0, n << 32
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= n << 32 * degree else (low, middle)
    return low & 0xFFFFFFFF


_ROUND_CONSTANTS = [_root_bits(p, 3) for p in _primes(64)]
_START = [_root_bits(p, 2) for p in _primes(8)]
_ORDER = (5, 4, 1, 0, 7, 6, 3, 2)
_START_STATE = np.array([_START[k] for k in _ORDER], dtype=np.uint32)


def available() -> bool:
    """Whether kernels are compiled for a processor with these instructions."""
    features = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return "+sha" in features.split(",")


def _vector(places: list[int]) -> Any:
    return ir.Constant(_WORDS, places)


def _call(b: Any, name: str, *args: Any) -> Any:
    kind = ir.FunctionType(_WORDS, [_WORDS] * len(args))
    function = b.module.globals.get(name) or ir.Function(b.module, kind, name=name)
    return b.call(function, args)


def _schedule(b: Any, groups: list[Any]) -> Any:
    """Words 4k .. 4k + 3 of the message schedule from the four groups before."""
    first, second, third, last = groups[-4:]
    seventh = b.shuffle_vector(third, last, _vector([1, 2, 3, 4]))  # words 4k - 7 .. 4k - 4
    mixed = b.add(_call(b, "llvm.x86.sha256msg1", first, second), seventh)
    return _call(b, "llvm.x86.sha256msg2", mixed, last)


def _compress(b: Any, messages: list[Any], states: list[Any]) -> None:
    """Adds a block to each state: pointers to its bytes, and to the eight words of the state."""
    start = [
        [b.load(b.gep(state, [ir.IntType(32)(k)]), align=4, typ=_WORDS) for k in range(2)] for state in states
    ]
    running = [list(pair) for pair in start]
    groups: list[list[Any]] = [[] for _ in messages]
    for k in range(16):
        for message, own, state in zip(messages, groups, running, strict=True):
            if k < 4:
                own.append(_call(b, "llvm.bswap.v4i32", b.load(b.gep(message, [ir.IntType(32)(k)]), align=1)))
            else:
                own.append(_schedule(b, own))
            keyed = b.add(own[k], _vector(_ROUND_CONSTANTS[4 * k : 4 * k + 4]))
            state[1] = _call(b, "llvm.x86.sha256rnds2", state[1], state[0], keyed)
            upper = b.shuffle_vector(keyed, keyed, _vector([2, 3, 0, 0]))
            state[0] = _call(b, "llvm.x86.sha256rnds2", state[0], state[1], upper)
    for state, before, after in zip(states, start, running, strict=True):
        for k in range(2):
            b.store(b.add(before[k], after[k]), b.gep(state, [ir.IntType(32)(k)]), align=4)


@intrinsic
def _compress_two(typingctx: Any, state: Any, data: Any, first: Any, second: Any) -> Any:
    """state uint32[2, 8] after the blocks at two offsets of data uint8[...]; nothing is checked."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        words = context.make_array(sig.args[0])(context, b, args[0]).data
        octets = context.make_array(sig.args[1])(context, b, args[1]).data
        states = [b.bitcast(b.gep(words, [ir.IntType(32)(8 * k)]), _WORDS.as_pointer()) for k in range(2)]
        messages = [b.bitcast(b.gep(octets, [at]), _WORDS.as_pointer()) for at in args[2:]]
        _compress(b, messages, states)
        return context.get_dummy_value()

    return types.none(state, data, types.intp, types.intp), codegen


@intrinsic
def _copy(typingctx: Any, out: Any, at: Any, source: Any, row: Any) -> Any:
    """Row `row` of uint8[n, length] to an offset of uint8[...]; nothing is checked."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        rows = context.make_array(sig.args[2])(context, b, args[2])
        start = b.gep(rows.data, [b.mul(args[3], cgutils.unpack_tuple(b, rows.strides, 2)[0])])
        to = b.gep(context.make_array(sig.args[0])(context, b, args[0]).data, [args[1]])
        cgutils.raw_memcpy(b, to, start, cgutils.unpack_tuple(b, rows.shape, 2)[1], 1)
        return context.get_dummy_value()

    return types.none(out, types.intp, source, types.intp), codegen


@kernel
def digests_kernel(head, first, second, start_state, order, out, start, stop):
    """out[i] = SHA-256(head || first[i] || second[i]) for start <= i < stop; all uint8, one row a message."""
    a, b, c = head.shape[0], first.shape[1], second.shape[1]
    size = a + b + c
    padded = (size + 9 + _BLOCK - 1) // _BLOCK * _BLOCK
    messages = np.zeros((2, padded), np.uint8)
    state = np.empty((2, 8), np.uint32)
    for k in range(2):
        for j in range(a):
            messages[k, j] = head[j]
        messages[k, size] = 0x80
        for j in range(8):
            messages[k, padded - 1 - j] = ((8 * size) >> (8 * j)) & 0xFF
    for i in range(start, stop, 2):
        for k in range(2):
            row = min(i + k, stop - 1)
            _copy(messages, k * padded + a, first, row)
            _copy(messages, k * padded + a + b, second, row)
            for j in range(8):
                state[k, j] = start_state[j]
        for at in range(0, padded, _BLOCK):
            _compress_two(state, messages, at, padded + at)
        for k in range(min(2, stop - i)):
            for j in range(8):
                word = state[k, j]
                for byte in range(4):
                    out[i + k, 4 * order[j] + byte] = (word >> np.uint32(24 - 8 * byte)) & np.uint32(0xFF)


def digests(head: bytes, first: Any, second: Any, out: Any, start: int, stop: int) -> None:
    """out[i] = SHA-256(head || first[i] || second[i]), rows of uint8, for start <= i < stop."""
    octets = np.frombuffer(head, dtype=np.uint8)
    digests_kernel(octets, first, second, _START_STATE, np.array(_ORDER), out, start, stop)
