"""What wraps every request: a limit on its bytes, and the headers that keep browsers from doing harm."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import Refusal

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class TooManyBytes(Refusal):
    """The body is longer than this path takes."""

    def __init__(self, limit: int) -> None:
        # What is left of the body is not read: the connection cannot carry another request.
        super().__init__("too_large", f"at most {limit} bytes are read here", headers={"Connection": "close"})


class BodyLimit:
    """Counts a body's bytes as they arrive, and refuses the request at the first one too many.

    `limit_of` gives the limit of a path. A Content-Length above it is refused before a byte is read; of methods whose
    body means nothing, none is read at all.
    """

    def __init__(self, app: ASGIApp, limit_of: Callable[[str], int]) -> None:
        self._app, self._limit_of = app, limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        limit, seen, started = self._limit_of(scope["path"]), 0, False
        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdigit() and int(stated) > limit:
            await TooManyBytes(limit).response()(scope, receive, send)
            return

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise TooManyBytes(limit)
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except TooManyBytes as refusal:
            if started:
                raise
            await refusal.response()(scope, receive, send)


class SecurityHeaders:
    """Adds SECURITY_HEADERS to every response, where the response does not set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, adding if scope["type"] == "http" else send)
