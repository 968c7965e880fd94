"""The event stream over HTTP (server-sent events)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from services.admin.deps import AdminDeps
from services.admin.events.service import (
    KINDS,
    LIFE_S,
    Event,
    EventHub,
    Interest,
    Subscription,
    parse_event_id,
)
from services.admin.identity.auth import AsReader, Deps
from services.admin.identity.authority import check_visible
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.kernel.errors import InvalidInput

router = Router(prefix="/v1", responses=PROBLEMS)

HEARTBEAT_S = 15.0
_EXAMPLE = (
    "id: 74211-128-0\nevent: decision\n"
    'data: {"id": 123, "namespace": "prod", "workload": "llama-70b", "desired_replicas": 10}\n\n'
)
_lock = threading.Lock()


def hub_of(request: Request, deps: AdminDeps) -> EventHub:
    """The application's hub, made on first use."""
    with _lock:
        known: EventHub | None = getattr(request.app.state, "hub", None)
        if known is None:
            known = request.app.state.hub = EventHub(deps.engine)
        return known


@router.get(
    "/events",
    tags=["events"],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events, until the client goes or ten minutes have passed",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        }
    },
)
async def events(  # noqa: PLR0913 - one argument per part of the request
    request: Request,
    deps: Deps,
    principal: AsReader,
    kind: Annotated[
        list[str] | None, Query(max_length=3, description="decision, action, operation; all")
    ] = None,
    workload: Annotated[
        str | None, Query(max_length=317, description="namespace/name", examples=["prod/llama"])
    ] = None,
    operation_id: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    last_event_id: Annotated[
        str | None,
        Header(alias="Last-Event-ID", max_length=100, description="Go on after this event"),
    ] = None,
) -> StreamingResponse:
    """Decisions, actions and the progress of operations as they happen.

    Each event holds its subject as it stands when it is sent. After a break, send the last id as
    `Last-Event-ID`: events are kept for a day and none is left out. A comment line every
    15 seconds shows that the stream lives.
    """
    visible = principal.namespaces()
    if workload is not None:
        check_visible(visible, workload.partition("/")[0])
    interest = Interest(_kinds(kind), workload, operation_id, visible, deps.cell.name)
    hub = hub_of(request, deps)
    resumed = parse_event_id(last_event_id) if last_event_id else None
    loop = asyncio.get_running_loop()
    subscription = await run_in_threadpool(hub.subscribe, interest, principal.actor, loop)
    try:
        missed = (
            await run_in_threadpool(hub.backlog, *resumed, interest) if resumed is not None else []
        )
    except BaseException:  # whatever ends the request must free the place
        hub.unsubscribe(subscription)
        raise
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    lines = _lines(hub, subscription, missed)
    return StreamingResponse(lines, media_type="text/event-stream", headers=headers)


def _kinds(given: list[str] | None) -> frozenset[str]:
    unknown = [name for name in given or () if name not in KINDS]
    if unknown:
        raise InvalidInput(f"kind={unknown[0][:80]!r} must be one of {', '.join(KINDS)}")
    return frozenset(given or KINDS)


async def _lines(
    hub: EventHub, subscription: Subscription, missed: list[Event]
) -> AsyncIterator[str]:
    """Lines of a stream: events missed, then new ones, with heartbeats; ends when closed or old."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + LIFE_S
    try:
        yield "retry: 3000\n\n"
        for event in missed:
            yield event.to_text()
        sent = (missed[-1].position, missed[-1].place) if missed else None
        while loop.time() < ends_s:
            try:
                found = await asyncio.wait_for(subscription.queue.get(), HEARTBEAT_S)
            except TimeoutError:
                yield ": heartbeat\n\n"
                continue
            if found is None:
                return
            # what arrived while the backlog was read is in both
            if sent is None or (found.position, found.place) > sent:
                yield found.to_text()
    finally:
        hub.unsubscribe(subscription)
