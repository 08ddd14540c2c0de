"""What the demo's proof costs in operations is stored: a prover that does more or less shows as a diff."""

from __future__ import annotations

import json

from bench.counts import STORED, count


def test_the_stored_counts_are_those_of_the_demo() -> None:
    found = count()
    assert found == json.loads(STORED.read_text()), "run `python -m bench counts --write` and look at the diff"
    # What a prover cannot do without: every entry encoded at four points for one, and every column hashed.
    assert found["butterflies"] > 5 * found["elements_committed"]
    assert found["hash_bytes"] > 32 * found["elements_committed"]
