"""The push API: routes only."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

import orjson
from fastapi import Depends, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from services.ingest import service
from services.ingest.backfill import api as backfill
from services.ingest.deps import IngestDeps
from services.ingest.push.auth import PushAuthority
from services.ingest.push.body import Intake, check_unpacked
from services.ingest.push.schemas import PushAnswer, PushRequest
from services.ingest.push.service import PushResult, push
from services.ingest.remote_write import api as remote_write
from services.kernel.errors import InvalidInput, UnsupportedMediaType
from services.kernel.http import application as http
from services.kernel.http.application import problem
from services.kernel.http.busy import Busy
from services.kernel.http.document import inlined_schema, problem_responses
from services.kernel.http.query import known_query

_DESCRIPTION = """
Samples go in with `POST /v1/observations`, several workloads and indicators at once; the history of
a workload with `POST /v1/workloads/{namespace}/{name}/history`. A sample that cannot be used is
refused with a reason and counted, and the others are stored; where there is none, or none that can
be used, it is 422:

`not_finite` `out_of_range` `implausible` `negative` `future` `ancient` `bad_sample` `bad_time`
`bad_value` `unknown_workload` `unknown_indicator`

`implausible` is a load, the demand or a further one, above 1000 times what `maxReplicas` carry by
the stated capacity (100000 at least): overload is taken, a slip of a unit or of an exporter is not.

Only indicators known ahead (schedules) are taken for times to come: two days, or the forecast's
horizon where that is longer. To cancel what was scheduled, send its steps again with value 0.

The counts of an objective (`sli_ttft_total`, …) are sent as cumulative counters, `sli_waiting` as a
gauge.

A repeated sample (same time) replaces the one before, so a push can be sent again after an error.
"""
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": inlined_schema(PushRequest)}},
    }
}


class Lifespan(Protocol):
    """Function that FastAPI calls around the life of the application."""

    def __call__(self, app: FastAPI) -> AbstractAsyncContextManager[None]:
        """Start, and stop on exit."""
        ...


def make_app(deps: IngestDeps, lifespan: Lifespan | None = None) -> FastAPI:
    """The push API, to serve by itself or to mount in another application."""
    app = FastAPI(
        title="Harmony push API",
        description=_DESCRIPTION,
        version="1",
        lifespan=lifespan,
        dependencies=[Depends(known_query)],
        redirect_slashes=False,  # most clients take a redirected push for done
    )
    http.install(app, "ingest", deps.settings.push_max_bytes)
    app.add_middleware(Busy, name="ingest", most=deps.settings.max_concurrent_requests)
    authority, intake = PushAuthority(deps), Intake(deps.settings.push_max_bytes)
    app.include_router(remote_write.make_router(deps, authority, intake))
    app.include_router(backfill.make_router(deps, authority, intake))

    async def pushed_to(request: Request) -> IngestDeps:
        if authority.has_token(request):
            return authority.of_token(request)
        return await run_in_threadpool(authority.check_pusher, request)

    @app.post(
        "/v1/observations",
        status_code=202,
        response_model=PushAnswer,
        openapi_extra=_BODY,
        tags=["observations"],
        responses=problem_responses(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
    )
    async def push_observations(
        request: Request, there: IngestDeps = Depends(pushed_to)
    ) -> Response:
        """Store samples; they become indicators when their step is complete."""
        _check_json(request)
        async with intake.body(request) as body:
            result = await intake.work(partial(push, there, body))
        rejected = [
            {"reason": found.reason, "count": found.count, "example": found.example}
            for found in result.rejected
        ]
        if rejected and not result.n_accepted:
            return _refused(result)
        answer = orjson.dumps({"accepted": result.n_accepted, "rejected": rejected})
        return Response(answer, status_code=202, media_type="application/json")

    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str]:  # by the event loop itself: it waits for no thread
        """The process runs."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"])
    def readyz() -> dict[str, str]:
        """Requests can be served: the database answers and its schema is this version's."""
        service.check_ready(deps)
        return {"status": "ready"}

    return app


def _refused(result: PushResult) -> Response:
    """The answer where not one sample can be used, so that nobody takes it for stored."""
    first = result.rejected[0]
    found = [
        {"field": one.reason, "message": f"samples: {one.count}", "value": one.example}
        for one in result.rejected
    ]
    n = sum(one.count for one in result.rejected)
    said = f"none of {n} samples can be used: {first.reason}, e.g. {first.example}"
    return problem(422, InvalidInput.code, said, found)


def _check_json(request: Request) -> None:
    """Refuse what a page of another site can send unasked, and what is compressed.

    Raises:
        UnsupportedMediaType: It says to be something else than JSON, or to be compressed.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType(f"Content-Type: {content_type[:60]!r} must be application/json")
    check_unpacked(request, "JSON")
