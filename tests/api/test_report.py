"""The report page: everything on it is escaped, nothing is loaded, and it claims nothing it does not know."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import fhe
from api import manifest, receipts, registry, runs, timings, verdict
from api.app import run as command
from api.report import figures
from api.report.page import proof_items, render
from api.report.plan import render_plan
from api.report.subject import Part, Subject, Vouched, loss_curve, of_folder
from tests.api.conftest import TRAIN, write_table
from tests.api.test_receipts import Party, registered
from tests.api.test_refusals import flip
from verifier.chain import run_digest
from verifier.statement import parse_statement, replace

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>&\'{{ 7 * 7 }}'


class Page(HTMLParser):
    """The elements and attributes of a page, and its text without style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside: list[str] = []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("style", "script"):
            self._inside.append(tag)

    def handle_endtag(self, tag):
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data):
        if not self._inside:
            self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def check_harmless(text: str, links: int = 0) -> Page:
    """One script and one style sheet, which the page's policy names by their hashes; nothing that loads or runs."""
    page = Page(text)
    assert page.count("script") == page.count("style") == 1
    assert not {"img", "iframe", "object", "embed", "link", "base", "form", "input"} & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert not {"src", "srcset", "style", "xlink:href", "background", "action"} & set(attributes), tag
        assert "href" not in attributes or (tag == "a" and links)
    assert sum("href" in attributes for _, attributes in page.elements) == links
    assert not re.search(r"https?:|url\(|@import|data:|javascript:", text)
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"\bVALID\b", text)
    return page


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Path:
    """A proven run of two segments; a rate so low that no batch order leaves the ranges of the dry run."""
    folder = tmp_path_factory.mktemp("chain")
    rate = ("--steps", "4", "--lr", "0.0029296875", "--loss", "mse")
    options = [*TRAIN[:4], *rate, *TRAIN[8:14], "--segment-steps", "2"]
    table = write_table(folder / "table.csv")
    assert command(["train", "--data", str(table), *options, "--out", str(folder / "run")]) == 0
    assert command(["prove", str(folder / "run")]) == 0
    return folder / "run"


def statement_of(folder: Path):
    return parse_statement((folder / "statement.json").read_bytes())


# --- what is on the page ---


def test_the_report_of_a_run(cli, proven, tmp_path):
    run, out = proven / "run", tmp_path / "report.html"
    assert cli("report", run, "-o", out, "--json") == 0
    assert cli.json() == {"ok": True, "report": str(out), "bytes": len(out.read_bytes()), "loss_disclosed": False}
    page = check_harmless(out.read_text())
    s, proof = statement_of(run), (run / "proof.zkp").read_bytes()
    digests = (s.digest(), s.parameters.digest(), hashlib.sha256(proof).digest(), s.data_root, s.initial_root,
               s.final_root, s.nonce)  # fmt: skip
    copied = [attributes["data-copy"] for tag, attributes in page.elements if tag == "button"]
    assert [digest.hex() for digest in digests] == copied[1:]
    assert all(f" {digest.hex()} " in page.text for digest in digests)
    assert copied[0].startswith("python -m verifier statement.json proof.zkp --security 100 --expect-statement ")
    assert copied[0].endswith(s.digest().hex())
    assert cli("show", run, "--json") == 0
    shown = cli.json()
    assert all(line in page.text for line in shown["claim"] + shown["not_proven"])
    assert cli("plan", run, "--json") == 0
    planned = cli.json()
    assert f"{planned['security_bits']:.1f} bits" in page.text
    assert all(f" {name} " in page.text for name in planned["terms"])
    assert all(place in page.text and f"below 2^{bits}" in page.text for place, bits in planned["bounds_bits"].items())
    assert "This page is not a verdict" in page.text
    for stage in ("lookup", "final merge", "check the proof"):
        assert f" {stage} " in page.text


def test_the_report_of_a_chain(chain):
    parts = of_folder(chain)
    page = check_harmless(render(Subject(parts)))
    entries = manifest.parse((chain / "run.json").read_bytes())
    statements = [entry.statement for entry in entries]
    for digest in (*statements, *(entry.proof for entry in entries), run_digest(statements)):
        assert digest.hex() in page.text
    assert "2 linked segments" in page.text and "Segment 1" in page.text and "2 segments" in page.text
    assert "for s in segments/*" in page.text
    assert all(part.seconds and "train again" in part.seconds for part in parts)


def test_the_bytes_add_up_to_the_files(chain, proven):
    """And every item has its share; paths, which differ from proof to proof, take what is left."""
    for folder in (chain, proven / "run"):
        items = proof_items(of_folder(folder))
        assert sum(items.values()) == sum(path.stat().st_size for path in folder.rglob("proof.zkp"))
        assert min(items.values()) > 0 and {"header", "Merkle paths", "combined rows", "roots"} <= set(items)


def test_a_report_says_nothing_of_a_proof_that_it_did_not_check(cli, copy, tmp_path):
    flip(copy / "run" / "proof.zkp", 5000)
    assert cli("report", copy / "run", "-o", tmp_path / "r.html") == 0
    check_harmless((tmp_path / "r.html").read_text())


def test_a_run_without_a_proof_says_so(cli, copy, tmp_path):
    (copy / "run" / "proof.zkp").unlink()
    assert cli("report", copy / "run", "-o", tmp_path / "r.html") == 0
    page = check_harmless((tmp_path / "r.html").read_text())
    assert "not proven yet" in page.text and "There is no proof yet" in page.text and "of proof" not in page.text


def test_a_transparent_statement_is_named(proven):
    s = replace(statement_of(proven / "run"), zero_knowledge=False)
    page = check_harmless(render(Subject((Part(s),))))
    assert "TRANSPARENT: gives data away" in page.text and "--transparent" in page.text


def test_an_accuracy_has_a_report(cli, copy, tmp_path):
    table, out = write_table(tmp_path / "test.csv", rows=6, seed=5), tmp_path / "accuracy"
    assert cli("prove-accuracy", copy / "run", "--data", table, "--out", out, "--json") == 0
    files = [out / "statement.json", out / "proof.zkp"]
    assert cli("report", *files, "-o", tmp_path / "r.html") == 0
    page = check_harmless((tmp_path / "r.html").read_text())
    assert "Accuracy of a committed 5-7-3 network" in page.text
    assert f"classifies {statement_of(out).correct} of 6 committed samples" in page.text


# --- the loss ---


def test_the_loss_is_absent_unless_disclosed(cli, proven, tmp_path):
    run = proven / "run"
    for options, wanted in ((), False), (("--disclose-loss",), True):
        assert cli("report", run, "-o", tmp_path / "r.html", *options) == 0
        page = check_harmless((tmp_path / "r.html").read_text())
        assert ("Loss, disclosed and not proven" in page.text) is wanted
        assert ("Mean loss of each batch" in page.text) is wanted
        assert ("class=\"line\"" in (tmp_path / "r.html").read_text()) is wanted
        assert ("WARNING" in cli.err) is wanted


def plain_loss(output, target, loss: str) -> float:
    if loss == "mse":
        return sum((o - t) ** 2 for o, t in zip(output, target, strict=True)) / 2
    return np.log(np.exp(output).sum()) - output @ target


def test_the_curve_is_that_of_the_run(proven, chain):
    """Against the losses written out in floats: from the stored trace, and for a chain from its first batch."""
    run = proven / "run"
    s = statement_of(run)
    p, (inputs, targets) = s.parameters, runs.read_data(run)
    trace = runs.read_trace(run, s, inputs, targets)
    found = loss_curve(run)
    for step in range(p.steps):
        outputs = trace.Y[-1][step] / 2**p.activation_bits
        wanted = [plain_loss(o, targets[k], p.loss) for o, k in zip(outputs, s.batches()[step], strict=True)]
        assert found[step] == pytest.approx(np.mean(wanted))
    segment = chain / "segments" / "000"
    s = statement_of(segment)
    p, (inputs, targets) = s.parameters, runs.read_data(chain)
    state, found = runs.read_initial(segment, p), loss_curve(chain)
    a, w = 2.0**p.activation_bits, 2.0**p.weight_bits
    losses = []
    for k in s.batches()[0]:
        hidden = np.maximum(inputs[k] / a @ (state.weights[0] / w) + state.biases[0] / w, 0)
        logits = hidden @ (state.weights[1] / w) + state.biases[1] / w
        losses.append(plain_loss(logits, targets[k], p.loss))
    assert len(found) == 4 and found[0] == pytest.approx(np.mean(losses), abs=0.1)


def test_a_statement_and_its_proof_disclose_nothing(cli, proven, tmp_path):
    files = [proven / "run" / name for name in ("statement.json", "proof.zkp")]
    assert cli("report", *files, "-o", tmp_path / "r.html", "--disclose-loss") == 2
    assert not (tmp_path / "r.html").exists()
    assert cli("report", *files, "-o", tmp_path / "r.html") == 0
    assert "Times of proving were not recorded" in Page((tmp_path / "r.html").read_text()).text


# --- what is hostile ---


def test_every_string_from_outside_is_escaped(proven):
    run = proven / "run"
    part = dataclasses.replace(of_folder(run)[0], seconds={HOSTILE: 1.0, "lookup": 2.0})
    signed = receipts.sign(verdict.Valid(verdict.Subject("statement", bytes(32), bytes(32)), 1, 128, True), 77)
    vouched = Vouched([signed], [HOSTILE], 1, bytes(32), HOSTILE)
    page = check_harmless(render(Subject((part,), vouched=vouched)))
    assert page.text.count(HOSTILE) == 3 and "49" not in page.text.split("signer")[1].split("Registry")[0]


def test_pictures_escape_their_words():
    drawn = figures.chain([(HOSTILE, HOSTILE, True)], [HOSTILE, HOSTILE]) + figures.curve((1.0, 0.5), HOSTILE)
    page = Page(drawn + figures.network((2, 3), HOSTILE, HOSTILE, True))
    assert not {"script", "img"} & {tag for tag, _ in page.elements} and page.text.count("onerror") == 6


LINKS = ["javascript:alert(1)", "//evil", "/\\evil", "https://a b", 'https://a"b', "ftp://a", "verify"]


@pytest.mark.parametrize("link", LINKS)
def test_a_link_that_is_none_is_refused(cli, proven, tmp_path, link):
    assert cli("report", proven / "run", "-o", tmp_path / "r.html", "--verify-at", link) == 2
    assert not (tmp_path / "r.html").exists()


def test_a_link_to_a_verifier_is_a_link_and_no_more(cli, proven, tmp_path):
    assert cli("report", proven / "run", "-o", tmp_path / "r.html", "--verify-at", "/verify/") == 0
    page = check_harmless((tmp_path / "r.html").read_text(), links=1)
    assert ("a", {"href": "/verify/", "rel": "noreferrer"}) in page.elements


# --- many segments ---


def test_a_long_chain_is_drawn_in_part():
    labels = [(f"Segment {k}", "steps", k != 3) for k in range(40)]
    page = Page(figures.chain(labels, [f"state{k}" for k in range(41)]))
    assert "… 30 more …" in page.text and "Segment 4 " in page.text and "Segment 35" in page.text
    assert "Segment 5 " not in page.text and "state40" in page.text
    kinds = [attributes["class"] for tag, attributes in page.elements if tag == "rect"]
    assert kinds.count("segment open") == 1 and len(kinds) == 10


def test_a_long_curve_keeps_its_ends():
    drawn = figures.curve([1.0 / (1 + k) for k in range(65536)], "loss")
    line = next(a["d"] for _, a in Page(drawn).elements if a.get("class") == "line")
    points = line[1:].split("L")
    assert len(points) == 1500 and points[0].startswith("64.00 12.00") and points[-1].startswith("948.00 230.00")


# --- receipts ---


def test_receipts_are_checked_before_they_are_shown(cli, proven, tmp_path):
    run, party = proven / "run", Party(9, "Ada & <b>Co</b>")
    s = statement_of(run)
    subject = verdict.Subject("statement", s.digest(), s.parameters.digest())
    receipt = receipts.sign(verdict.Valid(subject, 1, 100, True), party.secret)
    (tmp_path / "a.receipt").write_bytes(receipt.to_bytes())
    always = dataclasses.replace(party.entry, not_before=datetime.date(2000, 1, 1), not_after=datetime.date(9000, 1, 1))
    (tmp_path / "signers.json").write_bytes(registered(always).to_bytes())
    (tmp_path / "empty.json").write_bytes(registry.Registry({}).to_bytes())
    out, given = tmp_path / "r.html", ("--receipt", tmp_path / "a.receipt")
    assert cli("report", run, "-o", out, *given) == 2 and "--registry" in cli.err
    assert cli("report", run, "-o", out, *given, "--registry", tmp_path / "empty.json") == 1
    assert cli("report", run, "-o", out, *given, "--registry", tmp_path / "signers.json", "--quorum", "2") == 1
    assert not out.exists()
    assert cli("report", run, "-o", out, *given, "--registry", tmp_path / "signers.json") == 0
    page = check_harmless(out.read_text())
    assert "1 registered signer (of 1 demanded)" in page.text and "Ada & <b>Co</b>" in page.text
    assert receipt.signature.hex() in page.text and registered(always).digest().hex() in page.text
    assert page.count("b") == Page(render(Subject(of_folder(run)))).count("b")


# --- plans of encrypted tensors ---


def test_the_report_of_a_plan(cli, tmp_path):
    operands = ("--operand", "x=encrypted:4,8:1", "--operand", "w=plain:8,3:1")
    out = ("--out", tmp_path / "plan.json", "--report", tmp_path / "plan.html")
    assert cli("fhe", "plan", "bi,ij->bj", *operands, *out) == 0
    text = (tmp_path / "plan.html").read_text()
    page, plan = check_harmless(text), json.loads((tmp_path / "plan.json").read_text())
    assert plan["digest"] in page.text and "bi,ij->bj" in page.text
    assert "Slots of x" in page.text and "Slots of result" in page.text
    made = fhe.plan("bi,ij->bj", {"x": fhe.Encrypted((4, 8), 1.0), "w": fhe.Plain((8, 3), 1.0)})
    assert made.digest == plan["digest"]
    assert all(line in page.text for line in (re.sub(r"\s+", " ", step) for step in made.steps().splitlines()))
    assert f"Rotation keys {len(made.rotations)} " in page.text
    assert Page(render_plan(made, HOSTILE)).text.count(HOSTILE) == 2
    check_harmless(render_plan(made, HOSTILE))


# --- the times of proofs ---


def test_times_belong_to_their_proof(cli, copy, tmp_path):
    """A proof that replaces another has its own times, and a damaged file costs no proof."""
    folder = copy / "run"
    before = timings.read_timings(folder)
    first = manifest.proof_digest((folder / "proof.zkp").read_bytes()).hex()
    assert set(before) == {first} and {"lookup", "commit", "check the proof"} <= set(before[first])
    assert cli("prove", folder) == 0
    second = manifest.proof_digest((folder / "proof.zkp").read_bytes()).hex()
    assert set(timings.read_timings(folder)) == {first, second}
    assert of_folder(folder)[0].seconds == timings.read_timings(folder)[second]


DAMAGED = [
    "",
    "[]",
    '{"format": "zkgrad-timings/2", "proofs": {}}',
    '{"format": "zkgrad-timings/1", "proofs": {"00": {"a": -1}}}',
    '{"format": "zkgrad-timings/1", "proofs": {"00": {"a": NaN}}}',
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_of_times_is_refused_and_replaced(cli, copy, tmp_path, text):
    folder = copy / "run"
    (folder / "timings.json").write_text(text)
    assert cli("report", folder, "-o", tmp_path / "r.html") == 3 and "timings.json" in cli.err
    assert not (tmp_path / "r.html").exists()
    timings.record_timings(folder, bytes(32), {"lookup": 1.0})
    assert timings.read_timings(folder) == {bytes(32).hex(): {"lookup": 1.0}}


def test_what_is_no_run_has_no_report(cli, tmp_path, proven):
    assert cli("report", tmp_path, "-o", tmp_path / "r.html") == 3
    shutil.copy(proven / "run" / "statement.json", tmp_path)
    assert cli("report", tmp_path / "statement.json", "-o", tmp_path / "r.html") == 3
    assert cli("report", *[tmp_path / "statement.json"] * 3, "-o", tmp_path / "r.html") == 2
    assert not (tmp_path / "r.html").exists()
