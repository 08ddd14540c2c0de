"""The report in a real browser: it asks nobody for anything, fits desktop and phone in light and dark, and copies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from api.app import run
from verifier.statement import parse_statement

from .conftest import VIOLATIONS

pytestmark = pytest.mark.services

SIZES = [(1280, 900), (390, 844)]
# What sticks out of the window, unless it lies in something that scrolls by itself.
STICKING_OUT = """() => [...document.querySelectorAll("body *")].filter(
  (e) => !e.closest(".picture, .wide, pre") && e.getBoundingClientRect().right > innerWidth + 1
).map((e) => e.tagName + " " + e.textContent.trim().slice(0, 40))"""
# The smallest contrast of text against the page, by the formula of WCAG 2.
CONTRAST = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const back = (e) => {
    for (; e; e = e.parentElement) {
      const found = parts(getComputedStyle(e).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const read = "h1,h2,h3,p,li,dt,dd,td,th,code,button,figcaption,footer";
  return Math.min(...[...document.querySelectorAll(read)].map((e) => {
    const [a, b] = [light(parts(getComputedStyle(e).color)), light(back(e))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  }));
}"""


@pytest.fixture(scope="module")
def reports(proven: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run with its loss, a chain, and a plan."""
    folder = tmp_path_factory.mktemp("reports")
    operands = ("--operand", "x=encrypted:32,64:1.0", "--operand", "w=plain:64,10:0.5")
    plan = ("fhe", "plan", "bi,ij->bj", *operands, "--out", folder / "plan.json", "--report", folder / "plan.html")
    for arguments in (
        ("report", proven / "run", "--disclose-loss", "-o", folder / "run.html"),
        ("report", proven / "chain", "-o", folder / "chain.html"),
        plan,
    ):
        assert run([str(argument) for argument in arguments]) == 0
    return {name: folder / f"{name}.html" for name in ("run", "chain", "plan")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["desktop", "phone"])
@pytest.mark.parametrize("name", ["run", "chain", "plan"])
def test_a_report_fits_and_asks_nobody(chromium: Browser, reports: dict[str, Path], name: str, size, scheme) -> None:
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page, asked, complaints = context.new_page(), [], []
    page.add_init_script(VIOLATIONS)
    context.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(reports[name].as_uri())
    assert asked == [reports[name].as_uri()] and complaints == [] and page.evaluate("window.violations") == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(STICKING_OUT) == []
    assert page.evaluate(CONTRAST) >= 4.5
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor").startswith("rgb(20,")
    assert dark is (scheme == "dark")
    context.close()


def test_a_digest_is_copied(chromium: Browser, reports: dict[str, Path], proven: Path) -> None:
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(reports["run"].as_uri())
    digest = parse_statement((proven / "run" / "statement.json").read_bytes()).digest().hex()
    button = page.locator(f'button[data-copy="{digest}"]')
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("(e) => e.textContent === 'copied'", arg=button.element_handle())
    assert page.evaluate("navigator.clipboard.readText()") == digest
    context.close()


def test_without_a_clipboard_it_is_selected(chromium: Browser, reports: dict[str, Path]) -> None:
    """As in a sandbox, where the service serves reports."""
    context = chromium.new_context()
    page = context.new_page()
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.goto(reports["plan"].as_uri())
    digest = json.loads(reports["plan"].with_name("plan.json").read_text())["digest"]
    page.locator(f'button[data-copy="{digest}"]').click()
    assert page.evaluate("getSelection().toString()") == digest
    context.close()


def test_it_prints(chromium: Browser, reports: dict[str, Path]) -> None:
    """On paper there are no buttons, and nothing is cut off at the side."""
    context = chromium.new_context(viewport={"width": 700, "height": 990})
    page = context.new_page()
    page.goto(reports["run"].as_uri())
    page.emulate_media(media="print")
    assert page.locator("button:visible").count() == 0
    edges = page.evaluate("[...document.querySelectorAll('svg')].map((e) => e.getBoundingClientRect().right)")
    assert edges and min(edges) > 0 and max(edges) <= 700
    assert page.pdf(format="A4").startswith(b"%PDF")
    context.close()
