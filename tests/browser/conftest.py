"""A server of the static pages, Debian's Chromium, and small proofs to judge.

Chromium may talk to nobody but this machine: every other name resolves to nothing, and every request is kept.
"""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from starlette.applications import Starlette
from starlette.routing import Mount

from api.app import run
from api.browser_build import ARCHIVE, RUNTIME, verifier_digest
from api.service.pages import Pages

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")  # fmt: skip
PATIENCE = 120_000  # milliseconds until a page that should have answered counts as broken
VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`);
});
"""


class Tab:
    """A page in a fresh profile, with all it asked for and all it complained about."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.add_init_script(VIOLATIONS)
        page.context.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def assert_quiet(self) -> None:
        """No request left this machine's server, no policy was violated, nothing was complained about."""
        assert self.requests and all(url.startswith((self.base, f"blob:{self.base}")) for url in self.requests)
        assert self.page.evaluate("window.violations") == []
        assert self.complaints == []


@pytest.fixture(scope="session")
def runtime() -> Path:
    """What `make browser` builds, of this very verifier."""
    bundle = RUNTIME / "bundle.json"
    assert bundle.exists(), "the page's runtime is not built: make browser"
    built = json.loads(bundle.read_text())["sha256"][ARCHIVE]
    assert built == verifier_digest(), "the page's runtime is of another verifier: make browser"
    return RUNTIME


@pytest.fixture(scope="session")
def site(runtime: Path) -> Iterator[str]:
    """The address of a server of the pages, with the headers that the service sends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        application = Starlette(routes=[Mount("/", Pages())])
        server = uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return None


@contextmanager
def plain_server(folder: Path) -> Iterator[str]:
    """The address of a server of files that sends no headers of ours, while the block runs."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, not a download."""
    path = shutil.which("chromium")
    assert path is not None, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS), headless=True)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Browser, site: str) -> Iterator[Tab]:
    """A fresh profile that starts at nothing."""
    context = chromium.new_context(service_workers="block")
    yield Tab(context.new_page(), site)
    context.close()


@pytest.fixture(scope="session")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a proven run, a proven chain of two segments, and an accuracy, all at 128 bits."""
    folder = tmp_path_factory.mktemp("proven")
    table = folder / "data.csv"
    rows = [f"{k % 7},{k % 5},{k % 3},{k % 2}" for k in range(30)]
    table.write_text("\n".join(["a,b,c,kind", *rows]) + "\n")
    train = ("train", "--data", table, "--layers", "3-4-2", "--loss", "mse", "--batch", "4", "--steps", "4",
             "--lr", "0.0009765625", "--out")  # fmt: skip
    for command in (
        (*train, folder / "run"),
        ("prove", folder / "run"),
        (*train, folder / "chain", "--segment-steps", "2"),
        ("prove", folder / "chain"),
        ("prove-accuracy", folder / "run", "--data", table, "--out", folder / "accuracy"),
    ):
        assert run([str(argument) for argument in command]) == 0, command
    return folder
