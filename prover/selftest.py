"""A proof small enough to be made anywhere in a second: two backends that work give the same bytes."""

from __future__ import annotations

import numpy as np

from .backends.interface import Backend
from .choose import choose_parameters, choose_rows, draft_parameters, initial_state, one_hot
from .proving import prove
from .randomness import SeededRandomness
from .session import assemble, commit_final, commit_start
from .trainer import train

_SEED = b"self-test"
_SAMPLES, _WIDTHS = 8, (4, 6, 3)


def small_proof(backend: Backend) -> bytes:
    """Trains three steps on made-up numbers, commits and proves, all with one backend and a public seed.

    Such a proof hides nothing and its security is a few bits: it is compared and thrown away.
    """
    randomness = SeededRandomness(_SEED)
    draft = draft_parameters(
        widths=_WIDTHS, batch=4, steps=3, rate=2.0**-8, target="one-hot", table_bits=10, row_bits=8, blowup_bits=2,
        data_openings=1, state_openings=1, security_bits=30, zero_knowledge=True, activation_bits=3, gradient_bits=5,
    )  # fmt: skip
    inputs = np.arange(_SAMPLES * _WIDTHS[0], dtype=np.int64).reshape(_SAMPLES, -1) * 37 % 16
    targets = one_hot(np.arange(_SAMPLES) % _WIDTHS[-1], _WIDTHS[-1])
    initial = initial_state(_WIDTHS, draft.weight_bits, randomness.read)
    chosen, _ = choose_parameters(draft, initial, inputs, targets, seed=randomness.read(32))
    parameters = choose_rows(chosen, _SAMPLES)
    statement, blindings = commit_start(backend, parameters, inputs, targets, initial, randomness)
    trace = train(parameters, initial, inputs, targets, statement.batches(), load=backend.integers)
    statement, final = commit_final(backend, statement, trace.final, randomness)
    job = assemble(backend, statement, inputs, targets, trace, {**blindings, "final": final}, 1)
    return prove(job, backend, randomness)
