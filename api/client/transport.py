"""Requests that are tried again when that is safe, and problems as exceptions."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from api.client_errors import ClientError, NotUnderstood, Refused, Unreachable

_TRIES = 5
_AGAIN = (429, 502, 503, 504)
_TIMEOUT = httpx.Timeout(30.0, read=120.0)
Body = Callable[[], Any]


class Transport:
    """A connection to one service.

    ClientError for an address that would carry the key and the data unencrypted, unless `insecure`.
    """

    def __init__(self, url: str, key: str | None, insecure: bool = False) -> None:
        address = httpx.URL(url)
        if address.scheme not in ("http", "https") or not address.host:
            raise ClientError(f"{url!r} is no http:// or https:// address")
        local = _is_loopback(address.host)
        if address.scheme == "http" and not local and not insecure:
            raise ClientError(f"{url} would carry data and weights unencrypted: use https://, or allow it (insecure)")
        self.url = str(address).rstrip("/")
        headers = {"User-Agent": "zkgrad", "Accept": "application/json, application/problem+json, */*"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        # A proxy of the environment is not asked for what is on this machine.
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT, trust_env=not local)

    def close(self) -> None:
        """Gives up connections."""
        self._client.close()

    def json(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of a successful answer. Refused, Unreachable, NotUnderstood."""
        response = self.request(method, path, **options)
        try:
            return response.json()
        except ValueError:
            raise NotUnderstood(f"{method} {path} answered with {response.headers.get('content-type')}") from None

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        document: Any = None,
        params: Mapping[str, Any] | None = None,
        files: Any = None,
        repeatable: bool = True,
    ) -> httpx.Response:
        """A successful response. `body()` makes the content, anew for each try; only `repeatable` requests are tried
        again after a lost connection. Refused, Unreachable."""
        content = json.dumps(document).encode() if document is not None else None
        kind = {"Content-Type": "application/json"} if document is not None else {}
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            try:
                response = self._client.request(
                    method,
                    path,
                    content=body() if body is not None else content,
                    headers={**kind, **(headers or {})},
                    params=None if params is None else {k: v for k, v in params.items() if v is not None},
                    files=files,
                )
            except httpx.TransportError as error:
                if last or not (repeatable or isinstance(error, httpx.ConnectError)):
                    raise self._unreachable(error) from None
                time.sleep(_delay(attempt, None))
                continue
            if response.is_success:
                return response
            if response.status_code not in _AGAIN or last:
                raise problem(response)
            time.sleep(_delay(attempt, response.headers.get("retry-after")))
        raise AssertionError

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], timeout: httpx.Timeout = _TIMEOUT
    ) -> Iterator[httpx.Response]:
        """A response that is read while it comes. Refused; Unreachable also when it breaks off."""
        try:
            with self._client.stream("GET", path, headers=dict(headers), timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                    raise problem(response)
                yield response
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        return Unreachable(f"{self.url} does not answer: {str(error) or type(error).__name__}")


def problem(response: httpx.Response) -> Refused:
    """The problem that a response holds."""
    try:
        document = response.json()
        faults = [(str(fault["pointer"]), str(fault["detail"])) for fault in document.get("errors") or ()]
        return Refused(
            response.status_code,
            str(document["code"]),
            str(document["detail"]),
            bool(document["retryable"]),
            faults,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Refused(response.status_code, "http", f"status {response.status_code} without a problem document")


def _delay(attempt: int, advised: str | None) -> float:
    if advised is not None and advised.isdigit():
        return float(min(int(advised), 30))
    return float(0.2 * 2**attempt)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
