"""A run in segments by the command line: cut, trained, proven with interruptions, verified as one chain, refused when
a segment is missing, swapped, foreign or repeated."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from api import chains, manifest, runs
from api.app import run as command
from api.backend import memory_for_proofs
from api.commands import prove as prove_module
from api.commands.demo import DIGITS
from prover.errors import RunFolderError
from prover.model_io import load_arrays
from prover.trainer import train
from tests.api.conftest import write_table
from tests.api.test_refusals import flip, rewrite
from verifier.chain import run_digest
from verifier.statement import parse_statement

TRAIN = ("--layers", "5-7-3", "--batch", "3", "--steps", "7", "--lr", "0.75x2,0.375x5", "--security", "100",
         "--activation-bits", "4", "--gradient-bits", "4", "--segment-steps", "3")  # fmt: skip
ROOT = Path(__file__).parents[2]
PUBLIC = {"run.json", "statement.json", "proof.zkp"}


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Path:
    """A folder with table.csv and a proven run/ of segments of 3, 2 and 2 steps."""
    folder = tmp_path_factory.mktemp("chain")
    table = write_table(folder / "table.csv")
    assert command(["train", "--data", str(table), *TRAIN, "--out", str(folder / "run")]) == 0
    assert command(["prove", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def spoilt(chain, tmp_path) -> Path:
    """A copy of the run that a test may spoil."""
    shutil.copytree(chain / "run", tmp_path / "run")
    return tmp_path / "run"


def segment(run: Path, number: int) -> Path:
    return run / "segments" / f"{number:03}"


def pairs(run: Path, *numbers: int) -> list[Path]:
    return [segment(run, k) / name for k in numbers for name in ("statement.json", "proof.zkp")]


def listed(run: Path) -> tuple[manifest.Entry, ...]:
    return manifest.parse((run / "run.json").read_bytes())


def relist(run: Path, *entries: manifest.Entry) -> None:
    (run / "run.json").write_bytes(manifest.to_bytes(entries))


def test_the_folder_holds_the_run_once_and_secrets_for_the_owner_only(chain):
    run = chain / "run"
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    own = {f"segments/{k:03}/{n}" for k in range(3) for n in ("statement.json", "proof.zkp", "initial.safetensors")}
    shared = {"settings.json", "data.safetensors", "openings.safetensors", "slots.json", "timings.json"}
    assert names == own | shared | {"run.json", "weights.safetensors", "weights_int.safetensors"}
    for path in (path for path in run.rglob("*") if path.is_file()):
        assert stat.S_IMODE(path.stat().st_mode) == (0o644 if path.name in PUBLIC else 0o600), path


def test_segments_share_their_parameters_and_neighbours_share_a_commitment(chain):
    statements = [parse_statement((segment(chain / "run", k) / "statement.json").read_bytes()) for k in range(3)]
    p = [s.parameters for s in statements]
    assert [(q.first_step, q.steps, q.rates) for q in p] == [(0, 3, (2, 2, 1)), (3, 2, (1,)), (5, 2, (1,))]
    # Errors of three segments add up to less than four times one's.
    assert {(q.security_bits, q.data_openings, q.state_openings, q.row_bits) for q in p} == {(102, 6, 4, p[0].row_bits)}
    for before, after in pairwise(statements):
        assert before.final_root == after.initial_root and after.origin_root == statements[0].initial_root
    kept = load_arrays(chain / "run" / "openings.safetensors")
    assert {name.split(".")[0] for name in kept} == {"data", "initial", "state-001", "state-002", "state-003"}
    assert [e.statement for e in listed(chain / "run")] == [s.digest() for s in statements]


def test_one_verdict_on_a_folder_and_on_a_list_of_pairs(cli, chain):
    run = chain / "run"
    assert cli("verify", run, "--security", "100", "--json") == 0
    found = cli.json()
    assert (found["segments"], found["steps"], found["pinned"]) == (3, 7, False) and 100 < found["security_bits"] < 102
    assert found["proof_bytes"] == sum((segment(run, k) / "proof.zkp").stat().st_size for k in range(3))
    digest = found["statement_digest"]
    assert cli("verify", *pairs(run, 0, 1, 2), "--security", "100", "--expect-statement", digest) == 0
    assert "VALID: 3 linked segments, 7 steps" in cli.err
    assert cli("verify", *pairs(run, 0, 1), "--security", "100", "--expect-statement", digest) == 5
    assert cli("verify", run, "--security", "100", "--expect-params", "00" * 32) == 2
    assert cli("verify", run) == 1 and "segment 0: the statement promises 102 bits" in cli.err


def test_one_digest_pins_a_whole_run(cli, chain):
    """It covers every statement, also how the run was cut; a run with another last segment has another one."""
    run = chain / "run"
    assert cli("verify", run, "--security", "100", "--json") == 0
    digest = cli.json()["run_digest"]
    assert digest == f"sha256:{run_digest([entry.statement for entry in listed(run)]).hex()}"
    assert cli("verify", run, "--security", "100", "--expect-run", digest, "--json") == 0 and cli.json()["pinned"]
    shorter = pairs(run, 0, 1)
    assert cli("verify", *shorter, "--security", "100", "--expect-run", digest) == 5 and "the run is" in cli.err
    plain = [sys.executable, "-m", "verifier", *pairs(run, 0, 1, 2), "--security", "100", "--expect-run", digest]
    assert subprocess.run(plain, cwd=ROOT, capture_output=True).returncode == 0
    del plain[7:9]  # the last segment
    assert subprocess.run(plain, cwd=ROOT, capture_output=True).returncode == 5


def test_the_public_files_are_enough_to_verify_and_to_show(cli, chain, tmp_path):
    for path in (path for path in (chain / "run").rglob("*") if path.name in PUBLIC):
        copy = tmp_path / "published" / path.relative_to(chain / "run")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    assert cli("verify", tmp_path / "published", "--security", "100") == 0
    assert cli("show", tmp_path / "published") == 0 and "steps 1 to 7" in cli.err
    assert cli("prove", tmp_path / "published") == 3 and "not a run folder" in cli.err


def test_memory_cuts_a_run_and_too_little_of_it_exits_4(cli, chain, tmp_path, monkeypatch):
    arguments = ("train", "--data", chain / "table.csv", *TRAIN[:-2], "--out", tmp_path / "run")
    monkeypatch.setattr("api.training.memory_for_proofs", lambda: 1 << 20)
    assert cli(*arguments, "--json") == 4 and cli.json()["error"]["code"] == "out_of_memory"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("api.training.memory_for_proofs", lambda: 1 << 40)
    assert cli(*arguments, "--json") == 0 and cli.json()["segments"] == [7]
    assert memory_for_proofs() > 1 << 20


def test_the_other_verbs_work_on_a_run_of_segments(cli, chain, tmp_path):
    run = chain / "run"
    assert cli("plan", run, "--json") == 0
    found = cli.json()
    assert found["segments"] == [3, 2, 2] and found["openings_left"] == {"data": 3, "states": 2}
    assert found["proof_bytes"] >= sum((segment(run, k) / "proof.zkp").stat().st_size for k in range(3))
    assert 100 < found["security_bits"] < 102
    assert cli("plan", run) == 0 and "3 of 3 and 2 steps; one proof of all 7 would take" in cli.err
    assert cli("check", run, "--json") == 0
    assert cli.json()["held"]["products"] == 7 * 3 * (7 + 3 + 7)
    assert cli("show", run, "--json") == 0
    shown = cli.json()
    claim = " ".join(shown["claim"])
    assert "steps 1 to 7" in claim and "lr 0.375 to 0.75" in claim and "below 2^-100" in claim and "3 proofs" in claim
    assert [s["steps"] for s in shown["segments"]] == [3, 2, 2] and all(s["proven"] for s in shown["segments"])
    assert cli("show", run) == 0 and "segment 1: 2 steps, lr 0.375, statement sha256:" in cli.err
    table = write_table(tmp_path / "test.csv", rows=20, seed=9)
    assert cli("evaluate", run, "--data", table, "--json") == 0 and cli.json()["samples"] == 20
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join(line.rsplit(",", 1)[0] for line in table.read_text().splitlines()) + "\n")
    assert cli("predict", run, "--data", bare) == 0 and len(cli.out.split()) == 20


def test_a_chain_trains_as_one_run_does(cli, chain, tmp_path):
    """From the same first state, on the same schedule, cut otherwise: the same integers at the end."""
    run, whole = chain / "run", tmp_path / "whole"
    first = segment(run, 0) / "initial.safetensors"
    arguments = ("--data", chain / "table.csv", *TRAIN, "--init", first)
    for out, steps in ((whole, 7), (tmp_path / "cut", 2)):
        assert cli("train", *arguments, "--segment-steps", steps, "--out", out, "--replace") == 0
    assert (whole / "statement.json").exists() and not (whole / "run.json").exists()
    # Commitments differ, so schedules do: the chain's own schedule is trained on in one go.
    joined = chains.whole([s.statement for s in chains.read_segments(tmp_path / "cut")])
    inputs, targets = runs.read_data(tmp_path / "cut")
    state = runs.read_initial(segment(tmp_path / "cut", 0), joined.parameters)
    trace = train(joined.parameters, state, inputs, targets, joined.batches())
    final = runs.read_final(tmp_path / "cut", joined.parameters)
    assert all((a == b).all() for a, b in zip(trace.final.weights, final.weights, strict=True))


# --- proving: interrupted, resumed, counted ---


@pytest.fixture
def unproven(chain, tmp_path) -> Path:
    """The run before its first proof: what a copy may be only in a test."""
    run = tmp_path / "run"
    shutil.copytree(chain / "run", run)
    for k in range(3):
        (segment(run, k) / "proof.zkp").unlink()
    (run / "slots.json").unlink()
    relist(run, *(manifest.Entry(entry.statement) for entry in listed(run)))
    return run


def test_proving_resumes_at_the_first_unproven_segment(cli, unproven, monkeypatch):
    real, calls = prove_module.make_proof, []

    def interrupted(job, *arguments, **options):
        calls.append(job.statement.parameters.first_step)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(job, *arguments, **options)

    monkeypatch.setattr(prove_module, "make_proof", interrupted)
    assert cli("prove", unproven) == 130 and calls == [0, 3]
    first = (segment(unproven, 0) / "proof.zkp").read_bytes()
    assert [entry.proof is not None for entry in listed(unproven)] == [True, False, False]
    assert cli("verify", unproven, "--security", "100") == 5 and "segment 1 has no proof yet" in cli.err
    assert cli("show", unproven) == 0 and "no proof for segments 1, 2" in cli.err
    assert cli("prove", unproven, "--json") == 0 and calls == [0, 3, 3, 5]
    assert cli.json()["proved"] == 2 and cli.json()["openings_left"] == {"data": 3, "states": 2}
    assert (segment(unproven, 0) / "proof.zkp").read_bytes() == first, "a proven segment is kept"
    assert cli("verify", unproven, "--security", "100") == 0
    assert cli("prove", unproven) == 0 and calls == [0, 3, 3, 5] and "nothing was left to prove" in cli.err


def test_a_killed_prover_leaves_whole_files_and_a_count_of_every_proof_that_left_it(cli, unproven):
    script = "import sys; from api.app import run; sys.exit(run(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", script, "prove", str(unproven)], stderr=subprocess.DEVNULL)
    while process.poll() is None and not (segment(unproven, 0) / "proof.zkp").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = [(segment(unproven, k) / "proof.zkp").exists() for k in range(3)]
    assert done[0]
    spent = json.loads((unproven / "slots.json").read_text())
    data = parse_statement((segment(unproven, 0) / "statement.json").read_bytes()).data_root.hex()
    assert spent[data] >= sum(done)
    assert cli("prove", unproven, "--json") == 0 and cli.json()["proved"] == 3 - sum(done)
    assert cli("verify", unproven, "--security", "100") == 0


def test_an_opening_is_counted_before_its_proof_is_written_and_never_given_back(cli, unproven, monkeypatch):
    real = prove_module.write_atomic

    def full(path, data, secret=False):
        assert set(json.loads((unproven / "slots.json").read_text()).values()) == {1}
        raise RunFolderError("cannot write: no space left on device")

    monkeypatch.setattr(prove_module, "write_atomic", full)
    assert cli("prove", unproven) == 3
    assert not (segment(unproven, 0) / "proof.zkp").exists() and listed(unproven)[0].proof is None
    monkeypatch.setattr(prove_module, "write_atomic", real)
    assert cli("prove", unproven, "--json") == 0, "there are openings to spare for lost attempts"
    assert cli.json()["openings_left"] == {"data": 2, "states": 1}


def test_a_proof_published_just_before_an_interruption_is_adopted(cli, unproven, monkeypatch):
    real = prove_module.chains.record_proof

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prove_module.chains, "record_proof", interrupted)
    assert cli("prove", unproven) == 130
    monkeypatch.setattr(prove_module.chains, "record_proof", real)
    first = (segment(unproven, 0) / "proof.zkp").read_bytes()
    assert cli("prove", unproven, "--json") == 0 and cli.json()["proved"] == 2
    assert (segment(unproven, 0) / "proof.zkp").read_bytes() == first
    assert cli.json()["openings_left"]["data"] == 3


def test_a_file_that_is_no_proof_of_its_segment_is_not_adopted(cli, unproven, chain):
    shutil.copy(segment(chain / "run", 1) / "proof.zkp", segment(unproven, 0) / "proof.zkp")
    assert cli("prove", unproven) == 5 and "segment 0" in cli.err and "is no proof of its statement" in cli.err


def test_too_few_openings_are_refused_before_any_work(cli, unproven):
    first = parse_statement((segment(unproven, 0) / "statement.json").read_bytes())
    (unproven / "slots.json").write_text(json.dumps({first.data_root.hex(): 4}))
    assert cli("prove", unproven) == 4 and "the data has too few openings left" in cli.err
    assert not (segment(unproven, 0) / "proof.zkp").exists()


def test_the_randomness_of_two_attempts_differs(cli, unproven, chain):
    assert cli("prove", unproven) == 0
    for k in range(3):
        before, after = ((segment(run, k) / "proof.zkp").read_bytes() for run in (chain / "run", unproven))
        assert before[:41] == after[:41] and before[41:73] != after[41:73], "the same statement, another witness root"


def test_an_auditor_draws_the_batches_of_all_segments(cli, chain, tmp_path):
    run, nonce = tmp_path / "run", "ab" * 32
    assert cli("commit", "--data", chain / "table.csv", *TRAIN, "--out", run, "--json") == 0
    assert cli.json()["segments"] == [3, 2, 2] and not (run / "run.json").exists()
    assert cli("prove", run) == 3 and "committed but not trained" in cli.err
    assert cli("plan", run) == 0 and "3 of 3 and 2 steps" in cli.err
    assert cli("train", "--committed", run, "--nonce", nonce) == 0
    statements = [parse_statement((segment(run, k) / "statement.json").read_bytes()) for k in range(3)]
    assert {s.nonce.hex() for s in statements} == {nonce} and not list(run.rglob("draft.json"))
    assert cli("check", run) == 0 and cli("prove", run) == 0 and cli("verify", run, "--security", "100") == 0
    assert cli("show", run) == 0 and "may have chosen" not in cli.err


# --- what is refused ---


def missing_statement(run: Path, other: Path) -> None:
    (segment(run, 1) / "statement.json").unlink()


def missing_proof(run: Path, other: Path) -> None:
    (segment(run, 1) / "proof.zkp").unlink()


def missing_segment(run: Path, other: Path) -> None:
    shutil.rmtree(segment(run, 1))


def left_out(run: Path, other: Path) -> None:
    entries = listed(run)
    shutil.rmtree(segment(run, 1))
    segment(run, 2).rename(segment(run, 1))
    relist(run, entries[0], entries[2])


def swap_folders(run: Path) -> None:
    segment(run, 1).rename(run / "aside")
    segment(run, 2).rename(segment(run, 1))
    (run / "aside").rename(segment(run, 2))


def swapped(run: Path, other: Path) -> None:
    swap_folders(run)


def swapped_and_listed(run: Path, other: Path) -> None:
    entries = listed(run)
    swap_folders(run)
    relist(run, entries[0], entries[2], entries[1])


def swapped_proofs(run: Path, other: Path) -> None:
    one, two = segment(run, 1) / "proof.zkp", segment(run, 2) / "proof.zkp"
    a, b = one.read_bytes(), two.read_bytes()
    one.write_bytes(b)
    two.write_bytes(a)


def swapped_proofs_listed(run: Path, other: Path) -> None:
    entries = listed(run)
    swapped_proofs(run, other)
    relist(run, entries[0], *(manifest.Entry(entries[k].statement, entries[3 - k].proof) for k in (1, 2)))


def repeated(run: Path, other: Path) -> None:
    entries = listed(run)
    shutil.copytree(segment(run, 2), segment(run, 3))
    relist(run, *entries, entries[2])


def foreign(run: Path, other: Path) -> None:
    shutil.rmtree(segment(run, 1))
    shutil.copytree(segment(other, 1), segment(run, 1))


def foreign_and_listed(run: Path, other: Path) -> None:
    entries = listed(run)
    foreign(run, other)
    relist(run, entries[0], listed(other)[1], entries[2])


def changed_proof(run: Path, other: Path) -> None:
    flip(segment(run, 1) / "proof.zkp", 5000)


def changed_proof_listed(run: Path, other: Path) -> None:
    entries = listed(run)
    changed_proof(run, other)
    proof = manifest.proof_digest((segment(run, 1) / "proof.zkp").read_bytes())
    relist(run, entries[0], manifest.Entry(entries[1].statement, proof), entries[2])


REFUSED = [
    (missing_statement, 5, "segment 1 is missing"),
    (missing_proof, 5, "segment 1 has no proof yet"),
    (missing_segment, 5, "segment 1 is missing"),
    (left_out, 5, "segment 1 does not continue the run: first step 5, expected 3"),
    (swapped, 5, "segment 1: "),
    (swapped_and_listed, 5, "segment 1 does not continue the run: first step 5, expected 3"),
    (swapped_proofs, 5, "segment 1: "),
    (swapped_proofs_listed, 5, "segment 1: "),
    (repeated, 5, "segment 3 does not continue the run: first step 5, expected 7"),
    (foreign, 5, "segment 1: "),
    (foreign_and_listed, 5, "segment 1 does not continue the run: initial state"),
    (changed_proof, 5, "segment 1: "),
    (changed_proof_listed, 1, "segment 1: "),
]


@pytest.fixture(scope="module")
def other(chain, tmp_path_factory) -> Path:
    """Another run on the same data with the same options, not proven: its files are foreign all the same."""
    run = tmp_path_factory.mktemp("other") / "run"
    assert command(["train", "--data", str(chain / "table.csv"), *TRAIN, "--out", str(run)]) == 0
    for k in range(3):
        shutil.copy(segment(chain / "run", k) / "proof.zkp", segment(run, k) / "proof.zkp")
    return run


@pytest.mark.parametrize("spoil, status, message", REFUSED, ids=[row[0].__name__ for row in REFUSED])
def test_a_spoilt_chain_is_refused_with_the_segment_named(cli, spoilt, other, spoil, status, message):
    spoil(spoilt, other)
    assert cli("verify", spoilt, "--security", "100", "--json") == status and "Traceback" not in cli.err
    assert message in cli.json()["error"]["message"]


@pytest.mark.parametrize(
    "numbers, message",
    [
        ((1, 2), "segment 0 does not continue the run: first step 3, expected 0"),
        ((0, 2), "segment 1 does not continue the run: first step 5, expected 3"),
        ((0, 2, 1), "segment 1 does not continue the run: first step 5, expected 3"),
        ((0, 0, 1, 2), "segment 1 does not continue the run: first step 0, expected 3"),
    ],
)
def test_pairs_that_are_no_chain_are_refused(cli, chain, numbers, message):
    assert cli("verify", *pairs(chain / "run", *numbers), "--security", "100") == 5 and message in cli.err


def test_pairs_with_a_proof_of_another_segment_are_refused_by_its_number(cli, chain):
    files = pairs(chain / "run", 0, 1, 2)
    files[3], files[5] = files[5], files[3]
    assert cli("verify", *files, "--security", "100") == 5 and "segment 1: " in cli.err


@pytest.mark.parametrize(
    "file, name, named",
    [("segments/001/initial.safetensors", "layers.0.weight", 0), ("weights_int.safetensors", "layers.1.bias", 2)],
)
def test_a_changed_state_is_found_in_the_segment_that_ends_with_it(cli, unproven, file, name, named):
    def change(arrays):
        arrays[name].flat[0] += 1

    rewrite(unproven / file, change)
    assert cli("check", unproven) == 1 and f"segment {named}: final:" in cli.err
    if named == 0:
        assert cli("prove", unproven) == 1 and "segment 0: " in cli.err
        assert not (unproven / "slots.json").exists() and listed(unproven)[0].proof is None


def edited(change) -> bytes:
    document = {"format": "zkgrad-chain/1", "segments": [{"statement": "00" * 32, "proof": None} for _ in range(2)]}
    change(document)
    return (json.dumps(document, indent=1) + "\n").encode()


MANIFESTS = [
    (b"", "not JSON"), (b"[]\n", "not of format"), (b"{" * 100_000, "not JSON"), (b"\xff", "not JSON"),
    (edited(lambda d: d.update(format="zkgrad-chain/2")), "not of format"),
    (edited(lambda d: d["segments"].pop()), "2 to 1000 segments"),
    (edited(lambda d: d.update(segments={})), "2 to 1000 segments"),
    (edited(lambda d: d["segments"].extend(d["segments"] * 500)), "2 to 1000 segments"),
    (edited(lambda d: d["segments"].__setitem__(1, 7)), r"segments\[1\] is not an object"),
    (edited(lambda d: d["segments"][1].update(proof="AB" * 32)), r"segments\[1\].proof must be 64"),
    (edited(lambda d: d["segments"][0].update(statement=None)), r"segments\[0\].statement must be 64"),
    (edited(lambda d: d["segments"][0].update(extra=1)), "canonical"),
    (edited(lambda d: None) + b"\n", "canonical"), (b" " * (manifest.MAX_BYTES + 1), "at most"),
]  # fmt: skip


@pytest.mark.parametrize("text, message", MANIFESTS)
def test_a_manifest_has_one_form(text, message):
    with pytest.raises(RunFolderError, match=message):
        manifest.parse(text)


def test_a_manifest_is_read_as_written():
    entries = (manifest.Entry(bytes(32), bytes(range(32))), manifest.Entry(bytes(range(32))))
    assert manifest.parse(manifest.to_bytes(entries)) == entries


def test_a_damaged_manifest_or_statement_exits_3(cli, spoilt):
    (segment(spoilt, 2) / "statement.json").write_text("{}")
    assert cli("verify", spoilt) == 3 and "segment 2: " in cli.err
    (spoilt / "run.json").write_text("{}")
    for verb in ("verify", "prove", "show", "plan", "check"):
        assert cli(verb, spoilt) == 3 and "not of format" in cli.err


USAGE = [
    ("--segment-steps", "0"),
    ("--data-openings", "2"),
    ("--state-openings", "1"),
]


@pytest.mark.parametrize("options", USAGE, ids=[" ".join(row) for row in USAGE])
def test_openings_that_cannot_serve_the_segments_are_wrong_usage(cli, chain, tmp_path, options):
    arguments = ("--data", chain / "table.csv", *TRAIN, *options, "--out", tmp_path / "run")
    assert cli("train", *arguments) == 2 and list(tmp_path.iterdir()) == []


def test_a_chain_is_proven_in_its_folder_only(cli, chain, tmp_path):
    assert cli("prove", chain / "run", "--out", tmp_path / "x.zkp") == 2 and "--out is for a run of one" in cli.err


# --- the run that the item asks for ---


@pytest.mark.soak
def test_a_thousand_steps_on_the_digits_are_one_chain(cli, tmp_path):
    run = tmp_path / "run"
    arguments = ("--layers", "64-128-64-10", "--batch", "64", "--steps", "1000", "--lr", "0.0625")
    assert cli("train", "--data", DIGITS, *arguments, "--segment-steps", "250", "--out", run, "--json") == 0
    assert cli.json()["segments"] == [250] * 4 and cli.json()["training_accuracy"]["after"] > 0.95
    assert cli("prove", run) == 0
    assert cli("verify", run, "--json") == 0
    found = cli.json()
    assert found["segments"] == 4 and found["steps"] == 1000 and found["security_bits"] > 128
