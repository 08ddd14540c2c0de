"""The static pages: the console at `/`, the verifier in the browser at `/verify/`, and what browsers may do on them.

Every file comes with a content security policy that allows scripts, styles and connections of its own origin only: no
inline code, no other host, no frames. Compiling WebAssembly is allowed (`'wasm-unsafe-eval'`) in one file, the worker
that runs Python: a worker follows the policy its own script came with. `'unsafe-eval'` is needed nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

STATIC = Path(__file__).resolve().parent / "static"
_OWN = ("style-src 'self'", "img-src 'self'", "connect-src 'self'", "worker-src 'self'", "base-uri 'none'")
_CLOSED = ("default-src 'none'", "form-action 'none'", "frame-ancestors 'none'", *_OWN)
PAGE_POLICY = "; ".join((*_CLOSED, "script-src 'self'"))
WORKER_POLICY = "; ".join((*_CLOSED, "script-src 'self' 'wasm-unsafe-eval'"))
WORKERS = ("verify/worker.js",)


def headers(path: str) -> Mapping[str, str]:
    """The headers of a file below `static`, by its path there."""
    return {
        "Content-Security-Policy": WORKER_POLICY if path in WORKERS else PAGE_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        # A new version of the verifier must not be judged by an old copy of it; unchanged files cost one short answer.
        "Cache-Control": "no-cache",
    }


class Pages(StaticFiles):
    """Serves `static`: an application by itself."""

    def __init__(self, directory: Path = STATIC) -> None:
        super().__init__(directory=directory, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file, or the index of a folder, with its headers; 404 for anything else."""
        response = await super().get_response(path, scope)
        response.headers.update(headers(path))
        return response


class PagesOr:
    """The pages, and where there is none what would have answered otherwise: for the router's `default`.

    A mount at `/` would answer for every path, so that the API could not say which methods a path of its own has.
    """

    def __init__(self, otherwise: ASGIApp) -> None:
        self._pages, self._otherwise = Pages(), otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            try:
                await self._pages(scope, receive, send)
                return
            except HTTPException:
                pass
        await self._otherwise(scope, receive, send)
