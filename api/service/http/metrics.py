"""What the operator sees: one line of log a request, and counts for Prometheus. Neither holds a path, a key or a body.

Requests are named by the route's template: a path may hold the token of a share.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from fastapi import FastAPI
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.service.jobs import counts
from api.service.logs import get_logger
from api.service.store import Store

from .access import Admin, StoreOf
from .parameters import READ
from .problems import responses

_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class Requests:
    """Counters of requests, in a registry of their own: several applications may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.total = Counter("zkgrad_http_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "zkgrad_http_request_seconds", "Until the last byte.", ("method", "route"), buckets=_BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self.received = Counter("zkgrad_http_received_bytes", "Bytes of bodies that came.", registry=self.registry)
        self.sent = Counter("zkgrad_http_sent_bytes", "Bytes of bodies that went.", registry=self.registry)


class _Jobs(Collector):
    """Jobs by status, asked of the store when the metrics are read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        gauge = GaugeMetricFamily("zkgrad_jobs", "Jobs that are stored.", labels=("status",))
        for status, count in sorted(counts(self._store).items()):
            gauge.add_metric((status,), count)
        return (gauge,)


class Observed:
    """Counts and logs every request when it is over."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self._app, self._requests, self._log = app, requests, get_logger("http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, received, sent = time.perf_counter(), 500, 0, 0

        async def reading() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def writing(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, reading, writing)
        finally:
            seconds = time.perf_counter() - began
            method, route = _name(scope)
            self._requests.total.labels(method, route, str(status)).inc()
            self._requests.seconds.labels(method, route).observe(seconds)
            self._requests.received.inc(received)
            self._requests.sent.inc(sent)
            key = scope.get("state", {}).get("key", "")
            self._log.info(
                "request", method=method, route=route, status=status, seconds=round(seconds, 4), received=received,
                sent=sent, key=key,
            )  # fmt: skip


def _name(scope: Scope) -> tuple[str, str]:
    """Method and template of the route; neither is a client's text, of which there could be any number."""
    route = getattr(scope.get("route"), "path", "none")
    return (scope["method"] if route != "none" else "other"), route


def register(app: FastAPI, store: Store, requests: Requests) -> None:
    """Adds /metrics to an application."""
    requests.registry.register(_Jobs(store))

    @app.get(
        "/metrics",
        tags=["service"],
        summary="Counts in Prometheus' text form",
        response_class=Response,
        responses={
            200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **responses(*READ),
        },
    )
    def get_metrics(store: StoreOf, caller: Admin) -> Response:
        """Of all tenants: it takes a key with the scope admin."""
        return Response(generate_latest(requests.registry), media_type=CONTENT_TYPE_LATEST)
