"""Zero knowledge, as far as tests can see it: budgets, freshness, equal shapes, uniformity, the hull of the view."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prover import zero_knowledge as closing
from prover.backends import cpu
from prover.commitment import commit_rows
from prover.dialogue import Draw, Pads, Say
from prover.randomness import Randomness, SeededRandomness
from tests.attacks.lies import put
from tests.attacks.mutations import leaves_of
from tests.support import PRESET, SMALLEST, Forged, forge, preset, prove_again
from verifier import ParametersUnsafe
from verifier.channel import Hidden
from verifier.commitment import Code, code_of
from verifier.field import ONE, Ext, P
from verifier.tensors import GROUPS
from verifier.zero_knowledge import PadCode, PadLayout, pad_code

ROOT = Path(__file__).parents[2]


# --- budgets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("openings", [1, 2, 5, 9])
def test_random_coefficients_cover_every_position_ever_opened(openings: int) -> None:
    p = preset(row_bits=8, data_openings=openings, state_openings=2)
    code = code_of(p)
    assert code.blinds == {"witness": code.queries, "initial": 2 * code.queries, "final": 2 * code.queries,
                           "data": openings * code.queries}
    assert set(code.blinds) == set(GROUPS)


def test_one_opening_more_than_the_rows_can_hide() -> None:
    most = max(k for k in range(1, 40) if _fits(k))
    assert not _fits(most + 1)
    code = code_of(preset(data_openings=most))
    assert code.blinds["data"] <= code.row < (most + 1) * code.queries


def _fits(openings: int) -> bool:
    try:
        code_of(preset(data_openings=openings))
    except ParametersUnsafe:
        return False
    return True


def test_the_pads_have_a_random_coefficient_a_query() -> None:
    for bits in (6, 100, 128):
        code = pad_code(preset(security_bits=bits))
        assert code.length - code.row == code.queries <= code.row


def test_opened_positions_are_within_the_budget() -> None:
    honest = forge(PRESET)
    leaves = leaves_of(honest)
    for group in (*GROUPS, "pads"):
        opened = sum(leaf.label == f"{group} column" for leaf in leaves)
        assert 0 < opened <= (honest.job.shape.pads.queries if group == "pads" else honest.job.shape.code.blinds[group])


# --- freshness ----------------------------------------------------------------------------------------------------


def items(forged: Forged) -> dict[str, list[bytes]]:
    """Everything in a proof by label."""
    out: dict[str, list[bytes]] = {}
    for leaf in leaves_of(forged):
        out.setdefault(leaf.label, []).append(forged.proof[leaf.start:leaf.start + leaf.length])
    return out


def words(data: bytes) -> list[bytes]:
    return [data[k:k + 8] for k in range(0, len(data), 8)]


def test_two_proofs_of_one_statement_share_nothing_fresh() -> None:
    honest = forge(PRESET)
    one, other = (items(prove_again(honest, seed=seed)) for seed in (b"one", b"other"))
    standing = {f"{group} {part}" for group in ("data", "initial", "final") for part in ("salt", "column", "path")}
    for label in one.keys() - standing:
        first = {word for item in one[label] for word in words(item)}
        second = {word for item in other[label] for word in words(item)}
        assert not first & second, label
    salts = [item for label in one for item in one[label] if label.endswith("salt")]
    assert len(set(salts)) == len(salts)


def test_no_word_is_sent_twice_in_a_proof() -> None:
    sent = [word for label, entries in items(forge(PRESET)).items() if not label.endswith(" path")
            for item in entries for word in words(item)]
    assert len(set(sent)) == len(sent)


def test_no_pad_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scalar sent takes one pad, in order, and none is left over."""
    drawn: list[Pads] = []
    honest = Pads.__init__

    def keep(self: Pads, *args: Any) -> None:
        honest(self, *args)
        drawn.append(self)
    monkeypatch.setattr(Pads, "__init__", keep)
    forged = forge(PRESET)
    (pads,) = drawn
    recorder = forged.job.shape.recorder
    assert (len(pads.singles), len(pads.left), len(pads.right)) == (recorder.singles, recorder.pairs, recorder.pairs)
    everything = pads.singles + pads.left + pads.right
    assert len(set(everything)) == len(everything)
    hidden = {"lookup total", "lookup round", "lookup end", "final state", "output", "bias", "einsum round",
              "einsum end", "initial state", "history round", "history end", "gradient end", "merge round",
              "merge end", "mask value"}
    sent = sum(leaf.length // 24 for leaf in leaves_of(forged) if leaf.label in hidden)
    assert sent == recorder.singles + 2 * recorder.pairs
    clear = {leaf.label for leaf in leaves_of(forged) if leaf.kind == "elements"} - hidden
    assert clear == {"combined row", "pads low degree", "pads linear", "pads product"}


def test_randomness_never_repeats() -> None:
    assert Randomness().read(32) != Randomness().read(32)
    seeded = SeededRandomness(b"x")
    assert seeded.read(32) != seeded.read(32)


# --- equal shapes -------------------------------------------------------------------------------------------------


def test_two_witnesses_give_proofs_of_one_shape() -> None:
    """Only the number of path nodes differs, and it follows from the public positions."""
    one, other = forge(PRESET, seed=1), forge(PRESET, seed=2, data=put("data.input", np.s_[:10, :5], 1))
    shapes = [[leaf._replace(start=0) for leaf in leaves_of(f) if leaf.kind != "node"] for f in (one, other)]
    assert shapes[0] == shapes[1]
    assert len(one.proof) <= one.job.shape.max_bytes + 44


# --- uniformity ---------------------------------------------------------------------------------------------------


def test_everything_sent_is_uniform() -> None:
    """Chi-square of the top four and the low four bits of every word, over many proofs of two extreme witnesses."""
    quiet = forge(SMALLEST, data=put("data.input", np.s_[:10, :2], 0))
    loud = forge(SMALLEST, seed=3, data=put("data.input", np.s_[:10, :2], 7))
    for forged in (quiet, loud):
        counts: dict[str, list[Any]] = {}
        for seed in range(25):
            for label, entries in items(prove_again(forged, seed=bytes([seed]))).items():
                if label.split()[0] in ("data", "initial", "final") and label.split()[1] != "state":
                    continue  # standing commitments do not change from proof to proof
                values = np.frombuffer(b"".join(entries), dtype="<u8")
                high, low = counts.setdefault(label, [np.zeros(16), np.zeros(16)])
                high += np.bincount((values >> np.uint64(60)).astype(int), minlength=16)
                low += np.bincount((values & np.uint64(15)).astype(int), minlength=16)
        for label, pair in counts.items():
            for part in pair:
                expected = part.sum() / 16
                assert ((part - expected) ** 2 / expected).sum() < 50, label  # 15 degrees of freedom: 1 in 10^5


def test_columns_of_a_standing_commitment_are_uniform() -> None:
    counts = np.zeros(16)
    for seed in range(30):
        rows = np.zeros((8, 16), dtype=np.uint64)
        randomness = SeededRandomness(bytes([seed]))
        code = code_of(PRESET)
        blinding = closing.commitment.draw_blinding(8, code.blinds["data"], code.positions, randomness)
        committed = commit_rows(cpu, code, b"\0data", rows, blinding)
        opened = committed.codeword[::16][:code.queries].reshape(-1)
        counts += np.bincount((opened >> np.uint64(60)).astype(int), minlength=16)
    expected = counts.sum() / 16
    assert ((counts - expected) ** 2 / expected).sum() < 50


# --- the hull of the view -----------------------------------------------------------------------------------------


def rank(rows: list[list[int]]) -> int:
    """The rank of a matrix over F."""
    rows, out = [list(row) for row in rows], 0
    for column in range(len(rows[0])):
        pivot = next((k for k in range(out, len(rows)) if rows[k][column]), None)
        if pivot is None:
            continue
        rows[out], rows[pivot] = rows[pivot], rows[out]
        inverse = pow(rows[out][column], P - 2, P)
        lead = [value * inverse % P for value in rows[out]]
        rows[out] = lead
        for k in range(out + 1, len(rows)):
            factor = rows[k][column]
            if factor:
                rows[k] = [(a - factor * b) % P for a, b in zip(rows[k], lead, strict=True)]
        out += 1
    return out


def affine_rank(view: Callable[[int, int], list[int]], witnesses: tuple[int, ...], samples: int) -> int:
    """The dimension of the affine hull of the views of these witnesses, over the prover's randomness."""
    views = [view(witness, seed) for witness in witnesses for seed in range(samples)]
    return rank([[(a - b) % P for a, b in zip(v, views[0], strict=True)] for v in views[1:]])


def columns_view(blinds: int) -> Callable[[int, int], list[int]]:
    """Four opened columns of two rows of eight entries, with `blinds` random coefficients a row."""
    def view(witness: int, seed: int) -> list[int]:
        randomness = SeededRandomness(bytes([witness, seed]))
        code = Code(3, 2, 4, {"witness": blinds})
        rows = np.arange(16, dtype=np.uint64).reshape(2, 8) * np.uint64(witness * 1000 + 1)
        blinding = closing.commitment.draw_blinding(2, blinds, code.positions, randomness)
        committed = commit_rows(cpu, code, b"\0witness", rows, blinding)
        return [int(word) for position in (1, 8, 13, 30) for word in committed.codeword[position]]
    return view


def test_opened_columns_hide_the_witness() -> None:
    view = columns_view(4)
    assert affine_rank(view, (1,), 30) == affine_rank(view, (1, 2), 30) == 8


def test_one_random_coefficient_too_few_is_seen() -> None:
    view = columns_view(3)
    assert affine_rank(view, (1,), 30) == 6 < affine_rank(view, (1, 2), 30)


TINY = PadLayout(PadCode(2, 2), pairs=0, singles=4)


class Equations:
    """As much of a channel as the script of the small proof needs."""

    def __init__(self, equations: list[tuple[Hidden, str]]) -> None:
        self.equations = equations


def pads_view(positions: tuple[int, ...], zero_pads: bool = False) -> Callable[[int, int], list[int]]:
    """Four scalars under their pads, the three test rows for fixed challenges, and opened columns.

    The scalars of a witness w are 7 w + k; the equation says that the first two differ by one. There are no products,
    so that the view is affine in the randomness.
    """
    def view(witness: int, seed: int) -> list[int]:
        randomness = SeededRandomness(b"pads" + bytes([witness, seed]))
        pads = Pads(TINY.singles, TINY.pairs, randomness)
        if zero_pads:
            pads.singles = [value * 0 for value in pads.singles]
        sent = [pad + (7 * witness + k) for k, pad in enumerate(pads.singles)]
        committed = closing.commit_pads(cpu, TINY, pads, randomness)
        equation = Hidden(sent[1] - sent[0] - 1, {0: ONE, 4: -ONE})
        script = closing.prove(cpu, TINY, committed, [Equations([(equation, "")])])  # type: ignore[list-item]
        values, answer = list(sent), None
        while True:
            try:
                item = next(script) if answer is None else script.send(answer)
            except StopIteration:
                break
            answer = [Ext((k + 2, 3, 5)) for k in range(item.count or 0)] if isinstance(item, Draw) else None
            values += item.values if isinstance(item, Say) else []
        return [c for value in values for c in value] + [
            int(word) for position in positions for word in committed.codeword[position]]
    return view


def test_the_small_proof_hides_the_scalars() -> None:
    view = pads_view((1, 9))
    assert affine_rank(view, (1,), 130) == affine_rank(view, (1, 2), 130) < 129


def test_one_column_more_than_random_coefficients_is_seen() -> None:
    """Each pad's row has two random coefficients: of three columns a combination knows its pads."""
    view = pads_view((1, 9, 14))
    assert affine_rank(view, (1,), 130) < affine_rank(view, (1, 2), 130) < 129


def test_zero_pads_are_seen() -> None:
    view = pads_view((1, 9), zero_pads=True)
    assert affine_rank(view, (1,), 130) < affine_rank(view, (1, 2), 130) < 129


# --- one source of randomness -------------------------------------------------------------------------------------


def imports(path: Path) -> set[str]:
    """The modules a file imports, relative ones with their dots."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


# The self-test compares two backends on made-up numbers, and the counts of operations are exact: both need a seed, and
# throw their proofs away.
SEEDED = {"selftest.py", "counts.py", "_launches.py"}
ALLOWED = {"__future__", "argparse", "array", "ast", "collections.abc", "dataclasses", "decimal", "fractions",
           "functools", "hashlib", "html", "itertools", "json", "math", "operator", "struct", "sys", "typing"}


def test_the_verifier_imports_nothing_but_this() -> None:
    for path in (ROOT / "verifier").rglob("*.py"):
        assert {name for name in imports(path) if not name.startswith(".")} <= ALLOWED, path


@pytest.mark.parametrize("room", ["prover", "verifier"])
def test_secrets_is_the_only_source_of_randomness(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        banned = {"random", "numpy.random", "uuid", "time"} & imports(path)
        assert not banned, (path, banned)
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("random", "urandom", "default_rng", "randbits"), (path, node.lineno)
            if isinstance(node, ast.Name):
                assert node.id != "SeededRandomness" or path.name in SEEDED, (path, node.lineno)


def test_tests_alone_seed_the_prover() -> None:
    for room in ("prover", "verifier", "api", "bench"):
        for path in (ROOT / room).rglob("*.py"):
            if path.name not in {"randomness.py", *SEEDED}:
                assert "SeededRandomness" not in path.read_text(), path
