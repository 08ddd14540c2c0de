"""Jobs: made by four routes, watched by long poll or as a stream of events, cancelled, listed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal, TypeVar

import anyio.to_thread
from fastapi import FastAPI, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api.service import jobs
from api.service.payloads import EINSUM, PROGRAM, PROVE, VERIFY, FhePayload, ProvePayload, VerifyPayload
from api.service.store import Store
from api.service.views import Caller, EventView, JobView, Page

from .access import Prover, Reader, SettingsOf, StoreOf, Verifier, Writer
from .parameters import BODY, READ, WRITE, Cursor, Id, IdempotencyKey, Limit, location
from .problems import responses

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})(?:$|[,;\s])")
_BATCH = 100
_MADE = {
    202: location("The job.", Idempotent_Replayed="`true` when the key was used before: the job is the one it made."),
    **responses(*BODY, "idempotency_mismatch", "budget_exhausted", "conflict"),
}
Handler = TypeVar("Handler", bound=Callable[..., Any])
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


def register(app: FastAPI) -> None:
    """Adds the routes to an application."""
    _register_submission(app)
    _register_watching(app)
    _register_ending(app)


def _submit(
    store: Store, caller: Caller, kind: str, payload: BaseModel, route: str, key: str | None, response: Response
) -> JobView:
    document = payload.model_dump(mode="json")
    job, new = jobs.submit_job(store, caller.tenant, kind, document, route=route, idempotency_key=key)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    if not new:
        response.headers["Idempotent-Replayed"] = "true"
    return job


def _register_submission(app: FastAPI) -> None:
    def made(path: str, summary: str) -> Callable[[Handler], Handler]:
        return app.post(path, status_code=202, tags=["jobs"], summary=summary, responses=_MADE)

    @made("/v1/prove", "Prove a run")
    def post_prove(
        payload: ProvePayload, response: Response, store: StoreOf, caller: Prover, key: IdempotencyKey = None
    ) -> JobView:
        """The server trains again, proves every segment and verifies its own proofs before it publishes them. It sees
        data and weights: the proofs hide them from everybody else."""
        return _submit(store, caller, PROVE, payload, "/v1/prove", key, response)

    @made("/v1/verify-jobs", "Verify a proof, or a run of several segments")
    def post_verify(
        payload: VerifyPayload, response: Response, store: StoreOf, caller: Verifier, key: IdempotencyKey = None
    ) -> JobView:
        """One segment at a time, and the links between them. An invalid proof is the result of a job that succeeded."""
        return _submit(store, caller, VERIFY, payload, "/v1/verify-jobs", key, response)

    @made("/v1/fhe/einsum", "Evaluate an einsum on encrypted tensors")
    def post_einsum(
        payload: FhePayload, response: Response, store: StoreOf, caller: Prover, key: IdempotencyKey = None
    ) -> JobView:
        """The reply is signed, which says who computed, not that the result is right."""
        return _submit(store, caller, EINSUM, payload, "/v1/fhe/einsum", key, response)

    @made("/v1/fhe/program", "Evaluate a program on encrypted tensors")
    def post_program(
        payload: FhePayload, response: Response, store: StoreOf, caller: Prover, key: IdempotencyKey = None
    ) -> JobView:
        """The reply is signed, which says who computed, not that the result is right."""
        return _submit(store, caller, PROGRAM, payload, "/v1/fhe/program", key, response)


def _register_watching(app: FastAPI) -> None:
    @app.get("/v1/jobs", tags=["jobs"], summary="Jobs, newest first", responses=responses(*READ))
    def list_jobs(
        store: StoreOf,
        caller: Reader,
        cursor: Cursor = None,
        limit: Limit = 50,
        status: Annotated[Status | None, Query()] = None,
    ) -> Page[JobView]:
        return jobs.list_jobs(store, caller.tenant, cursor, limit, status)

    @app.get(
        "/v1/jobs/{job}",
        tags=["jobs"],
        summary="A job; with Prefer: wait=SECONDS, once it has changed",
        responses=responses(*READ, "not_found"),
    )
    async def get_job(
        job: Id,
        response: Response,
        store: StoreOf,
        settings: SettingsOf,
        caller: Reader,
        prefer: Annotated[str | None, Header(description="wait=SECONDS answers at the next change, or then.")] = None,
        after: Annotated[
            int | None, Query(ge=0, le=1 << 53, description="`last_event` seen; with it no change is missed.")
        ] = None,
    ) -> JobView:
        found = await anyio.to_thread.run_sync(jobs.get_job, store, caller.tenant, job)
        asked = _WAIT.search(prefer or "")
        if asked is None or found.over:
            return found
        seconds = min(float(asked[1]), settings.max_wait_seconds)
        response.headers["Preference-Applied"] = f"wait={seconds:g}"
        seen = found.last_event if after is None else after
        return await jobs.wait_for_change(store, caller.tenant, job, seen, seconds)

    @app.get(
        "/v1/jobs/{job}/events",
        tags=["jobs"],
        summary="What happens to a job, as server-sent events",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Events from the one after Last-Event-ID on; the stream ends with the job.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            204: {"description": "The job is over and nothing comes after that event."},
            **responses(*READ, "not_found"),
        },
    )
    async def get_events(
        job: Id,
        store: StoreOf,
        settings: SettingsOf,
        caller: Reader,
        last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,15}$", alias="Last-Event-ID")] = None,
    ) -> Response:
        seen = int(last_event_id or 0)
        found = await anyio.to_thread.run_sync(jobs.get_job, store, caller.tenant, job)
        if found.over and seen >= found.last_event:
            return Response(status_code=204)
        stream = _stream(store, caller.tenant, job, seen, settings.heartbeat_seconds)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _stream(store: Store, tenant: str, job: str, seen: int, heartbeat: float) -> AsyncIterator[bytes]:
    """Events as they come; a comment when nothing comes for a while, so that nobody takes the silence for an end."""
    while True:
        events = await anyio.to_thread.run_sync(jobs.events_since, store, tenant, job, seen, _BATCH)
        for event in events:
            seen = event.number
            yield as_event(event)
        if len(events) == _BATCH:
            continue
        found = await jobs.wait_for_change(store, tenant, job, seen, heartbeat)
        if found.last_event > seen:
            continue
        if found.over:
            return
        yield b": waiting\n\n"


def as_event(event: EventView) -> bytes:
    """An event in the form of the HTML standard."""
    data = json.dumps({"at": event.at} | event.data, separators=(",", ":"))
    return f"id: {event.number}\nevent: {event.type}\ndata: {data}\n\n".encode()


def _register_ending(app: FastAPI) -> None:
    @app.post(
        "/v1/jobs/{job}/cancel",
        status_code=202,
        tags=["jobs"],
        summary="Cancel a job",
        responses=responses(*WRITE, "not_found", "too_large"),
    )
    def cancel_job(job: Id, store: StoreOf, caller: Writer) -> JobView:
        """A queued job ends at once, a running one soon, and never as succeeded; one that is over stays as it is.
        Proofs that were published before stay too."""
        return jobs.cancel_job(store, caller.tenant, job)

    @app.delete(
        "/v1/jobs/{job}",
        status_code=204,
        tags=["jobs"],
        summary="Delete a job that is over; its proofs stay",
        responses=responses(*WRITE, "not_found", "conflict"),
    )
    def delete_job(job: Id, store: StoreOf, caller: Writer) -> None:
        jobs.delete_job(store, caller.tenant, job)
