"""The push API: routes only."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import orjson
from fastapi import Depends, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.push.auth import PushAuthority
from services.ingest.push.body import read_body
from services.ingest.push.schemas import PushAnswer, PushRequest
from services.ingest.push.service import push
from services.ingest.remote_write.api import make_router
from services.kernel.errors import InvalidInput
from services.kernel.http import application as http

_DESCRIPTION = """
Samples go in with `POST /v1/observations`, several workloads and indicators at once. A sample that
cannot be used is refused with a reason and counted; the others are stored:

`not_finite` `out_of_range` `negative` `future` `ancient` `bad_sample` `bad_time` `bad_value`
`unknown_workload` `unknown_indicator`

Only indicators known ahead (schedules) are taken for times to come: two days, or the forecast's
horizon where that is longer. To cancel what was scheduled, send its steps again with value 0.

The counts of an objective (`sli_ttft_total`, …) are sent as cumulative counters, `sli_waiting` as a
gauge.

A repeated sample (same time) replaces the one before, so a push can be sent again after an error.
"""
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": PushRequest.model_json_schema()}},
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
        title="Harmony push API", description=_DESCRIPTION, version="1", lifespan=lifespan
    )
    http.install(app, "ingest", deps.settings.push_max_bytes)
    authority = PushAuthority(deps)
    app.include_router(make_router(deps, authority))

    @app.post(
        "/v1/observations",
        status_code=202,
        response_model=PushAnswer,
        dependencies=[Depends(authority.check_pusher)],
        openapi_extra=_BODY,
        tags=["observations"],
    )
    async def push_observations(request: Request) -> Response:
        """Store samples; they become indicators when their step is complete."""
        body = await _read_plain(request, deps.settings.push_max_bytes)
        result = await run_in_threadpool(push, deps, body)
        rejected = [
            {"reason": found.reason, "count": found.count, "example": found.example}
            for found in result.rejected
        ]
        answer = orjson.dumps({"accepted": result.n_accepted, "rejected": rejected})
        return Response(answer, status_code=202, media_type="application/json")

    @app.get("/healthz", tags=["health"])
    def healthz() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"])
    def readyz() -> dict[str, str]:
        """Requests can be served: the database answers and its schema is this version's."""
        service.check_ready(deps)
        return {"status": "ready"}

    return app


async def _read_plain(request: Request, max_bytes: int) -> bytes:
    """A body that is not compressed."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise InvalidInput(f"Content-Encoding: {encoding!r} must be 'identity'; send plain JSON")
    return await read_body(request, max_bytes)
