"""The route that takes a workload's history."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool

from services.ingest.backfill.body import CSV_SHAPE, JSON_SHAPE, parse_csv, parse_json
from services.ingest.backfill.schemas import CSV_EXAMPLE, HistoryAnswer, HistoryRequest
from services.ingest.backfill.service import fill
from services.ingest.deps import IngestDeps
from services.ingest.push.auth import PushAuthority, Writable
from services.ingest.push.body import Intake, check_unpacked
from services.ingest.series.catalog import WorkloadName
from services.kernel.errors import NotFound, UnsupportedMediaType
from services.kernel.http.document import inlined_schema, problem_responses

PATH = "/v1/workloads/{namespace}/{name}/history"
_DESCRIPTION = """
The past of a workload that exists, as its owner has it: JSON, or CSV with a header. Needs the push
token, or an API key with the role operator in the namespace.

A value is in its indicator's unit; of a counter it is the rate per second. A step's value is the
mean of the samples in it; a step without one stays as it is, so send one sample a step at least.
Only steps that have ended are taken, and none older than `HARMONY_RETAIN_INDICATORS_DAYS`. Counts
of an objective (`sli_…`) may be among them, but of the newest steps, which are still judged: with
`sli_ready`, the replicas that were ready, what load does to requests is learned before the first
decision. At most `HARMONY_PUSH_MAX_SAMPLES` samples and `HARMONY_PUSH_MAX_BYTES` bytes in one
request.

What is stored is never replaced unasked: where another value is there already it stays, `kept`
counts those, and `?replace=true` replaces them. So the same request may be sent again. Samples that
cannot be used are counted in `rejected`, as of a push; if none can, or none was sent, it is 422.
"""
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": inlined_schema(HistoryRequest)},
            "text/csv": {"schema": {"type": "string", "example": CSV_EXAMPLE}},
        },
    }
}
_PARSERS = {"application/json": parse_json, "text/csv": parse_csv}
Namespace = Annotated[str, Path(max_length=63, examples=["prod"])]
Name = Annotated[str, Path(max_length=253, examples=["llama-70b"])]
Replace = Annotated[
    bool, Query(description="Let what is sent take the place of other values that are stored")
]


def make_router(deps: IngestDeps, authority: PushAuthority, intake: Intake) -> APIRouter:
    """The route on `deps`."""
    router = APIRouter()

    async def writable(request: Request) -> Writable:
        if authority.has_token(request):
            return Writable(authority.of_token(request), None)
        if deps.settings.push_token is None:  # such a service answers this machine only
            there = await run_in_threadpool(authority.check_pusher, request)
            return Writable(there, None)
        return await run_in_threadpool(authority.writable, request)

    @router.post(
        PATH,
        response_model=HistoryAnswer,
        description=_DESCRIPTION,
        openapi_extra=_BODY,
        tags=["history"],
        responses=problem_responses(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
    )
    async def fill_history(
        request: Request,
        namespace: Namespace,
        name: Name,
        replace: Replace = False,
        there: Writable = Depends(writable),
    ) -> HistoryAnswer:
        _check_namespace(there, namespace, name)
        parse = _PARSERS.get(_media_type(request))
        if parse is None:
            raise UnsupportedMediaType(
                f"Content-Type: {request.headers.get('content-type', '')[:60]!r} must be "
                f"application/json, {JSON_SHAPE}, or text/csv, {CSV_SHAPE}"
            )
        check_unpacked(request, "JSON or CSV")
        workload = WorkloadName(namespace, name)

        def work(body: bytes) -> HistoryAnswer:
            with there.deps.decoding:
                parsed = parse(body, workload, there.deps.settings.push_max_samples)
            return fill(there.deps, workload, parsed, replaces=replace)

        async with intake.body(request) as body:
            return await intake.work(partial(work, body))

    return router


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_namespace(there: Writable, namespace: str, name: str) -> None:
    """Refuse a namespace of others; where the caller may not look, nothing exists."""
    if there.namespaces is not None and namespace not in there.namespaces:
        raise NotFound(f"workload {namespace}/{name} does not exist, or not for this credential")
