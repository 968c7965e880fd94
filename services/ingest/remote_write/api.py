"""The route that a Prometheus writes to.

What its sender does with an answer decides which one is right: after 5xx it sends the same again,
with growing pauses and without end; after any other error it drops the request and says so in its
log. So a fault that sending again cannot mend is 4xx, and a database that is away is 503.
"""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from services.ingest.deps import IngestDeps
from services.ingest.push.auth import PushAuthority, Writable
from services.ingest.push.body import Intake
from services.ingest.remote_write import service
from services.ingest.remote_write.protocol import Version, to_version
from services.kernel.http.application import problem

PATH = "/api/v1/write"
_WRITTEN = "X-Prometheus-Remote-Write-{}-Written"
_DESCRIPTION = """
Prometheus remote write, versions 1.0 and 2.0. An API key with the role operator (of the namespaces
to write to), or the push token, goes in `Authorization: Bearer`. Rules of label matchers
(`HARMONY_REMOTE_WRITE_RULES`) tell which indicator a series is of; a series that none of them
matches is left out. Histograms, native or by their buckets (label `le`), become the counts of an
objective (`sli_GOAL_total`, `_good`, `_upto`) where a rule names them `sli_GOAL`. Cumulative
counters of an objective may be those of single pods, which are summed; exemplars are left out.

`204`: stored, but for samples that say nothing (staleness markers, NaN), copies of a second replica
and series that are none of Harmony's. `400`: the request cannot be read, or samples in it were
refused, of which the problem tells; the others are stored. `413`: too much at once. `415`: another
type or encoding. `429`: too many requests, or too many wrong keys, from one address. `503`: send it
again.
"""
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-protobuf": {
                "schema": {"type": "string", "format": "binary"},
            }
        },
    }
}


def make_router(deps: IngestDeps, authority: PushAuthority, intake: Intake) -> APIRouter:
    """The route on `deps`."""
    router = APIRouter()

    async def writable(request: Request) -> Writable:
        if authority.has_token(request):
            return Writable(authority.of_token(request), None)
        return await run_in_threadpool(authority.writable, request)

    @router.post(
        PATH,
        status_code=204,
        description=_DESCRIPTION,
        openapi_extra=_BODY,
        tags=["remote write"],
        responses={400: {}, 401: {}, 403: {}, 413: {}, 415: {}, 429: {}, 503: {}},
    )
    async def remote_write(request: Request, there: Writable = Depends(writable)) -> Response:
        version = _version(request)
        async with intake.body(request) as body:
            write = partial(service.remote_write, there.deps, body, version, there.namespaces)
            return _answer(await intake.work(write))

    return router


def _version(request: Request) -> Version:
    content_type = request.headers.get("content-type", "")
    return to_version(content_type, request.headers.get("content-encoding", ""))


def _answer(result: service.WriteResult) -> Response:
    answer = Response(status_code=204)
    if result.faults:
        found = [
            {"field": fault.reason, "message": f"{fault.count} samples", "value": fault.example}
            for fault in result.faults
        ]
        first = result.faults[0]
        detail = f"{first.count} samples refused: {first.reason}, e.g. {first.example}"
        answer = problem(400, "bad_request", detail, found)
    # A sender of version 2.0 takes what is not in these for lost, and a success that shows none at
    # all for an answer of somebody who does not know the version.
    counts = {"Samples": result.n_done, "Histograms": result.n_histograms_done, "Exemplars": 0}
    for name, count in counts.items():
        answer.headers[_WRITTEN.format(name)] = str(count)
    return answer
