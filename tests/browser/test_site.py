"""The documentation in Chromium: it reads well without anybody else's server, and its search works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE, Tab, plain_server

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.services
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def documentation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder of the built site, and its address."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(build, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True, timeout=300)
    with plain_server(folder) as url:
        yield folder, url


def test_every_page_loads_from_its_own_server_and_fits_a_phone(tab: Tab, documentation: tuple[Path, str]) -> None:
    folder, tab.base = documentation
    tab.page.set_viewport_size({"width": 390, "height": 800})
    pages = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html") if path.name != "404.html")
    assert {"index.html", "quick-start.html", "reference/cli.html", "reference/http.html"} <= set(pages)
    for name in pages:
        tab.page.goto(f"{tab.base}/{name}", wait_until="load")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390, name
        broken = "[...document.images].filter((image) => !image.complete || !image.naturalWidth).map((i) => i.src)"
        assert tab.page.evaluate(broken) == [], name
    tab.assert_quiet()


def test_the_search_finds_a_page(tab: Tab, documentation: tuple[Path, str]) -> None:
    _, tab.base = documentation
    tab.page.goto(f"{tab.base}/index.html")
    tab.page.get_by_role("textbox", name="Search").click()
    tab.page.keyboard.type("openings")
    expect(tab.page.locator(".md-search-result__link").first).to_be_attached()
    tab.assert_quiet()
