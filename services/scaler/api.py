"""The four calls of KEDA's external scaler; every error message contains what to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]  # brings no types
import structlog

from services.kernel import telemetry
from services.kernel.errors import Conflict, HarmonyError, InvalidInput, NotFound, Unavailable
from services.scaler.listener import Watch
from services.scaler.plan import Advice, past_tolerance
from services.scaler.proto import externalscaler_pb2 as pb
from services.scaler.proto.externalscaler_pb2_grpc import ExternalScalerServicer
from services.scaler.service import ScalerDeps, advise_one
from services.scaler.translate import Trigger, to_trigger

log = structlog.get_logger("scaler")

METRIC = "harmony-desired-replicas"
TARGET = 1
"""One per replica: the HPA's count is the metric's value."""
ANSWER_S = 2.0
"""A caller waits no longer than this for the database."""
_STATUS: dict[type[HarmonyError], Any] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}


class ExternalScaler(ExternalScalerServicer):
    """KEDA's protocol on Harmony's decisions."""

    def __init__(self, deps: ScalerDeps, watch: Watch, executor: ThreadPoolExecutor) -> None:
        """Answer from the database of `deps` in threads of `executor`; streams follow `watch`."""
        self._deps = deps
        self._watch = watch
        self._executor = executor

    async def IsActive(self, request: pb.ScaledObjectRef, context: Any) -> pb.IsActiveResponse:  # noqa: N802 - the protocol's
        """True where the target should run; false only where the count is known to be zero."""
        async with _answering("IsActive", context):
            advice = await self._advise(to_trigger(request.namespace, request.scalerMetadata))
            return pb.IsActiveResponse(result=advice.is_active)

    async def StreamIsActive(  # noqa: N802 - the protocol's
        self, request: pb.ScaledObjectRef, context: Any
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """The same at once and at each change; ends with the server, or with the workload."""
        async with _answering("StreamIsActive", context):
            trigger = to_trigger(request.namespace, request.scalerMetadata)
            number = await self._watch.fresh()
            last_sent: bool | None = None
            while not self._watch.is_closing:
                is_active = self._watch.advice(trigger.key, trigger.part).is_active
                if is_active != last_sent:
                    yield pb.IsActiveResponse(result=is_active)
                    last_sent = is_active
                number = await self._watch.after(number)

    async def GetMetricSpec(  # noqa: N802 - the protocol's
        self, request: pb.ScaledObjectRef, context: Any
    ) -> pb.GetMetricSpecResponse:
        """Name and target of the metric, always the same.

        It needs neither the workload nor the database: an HPA that is made or changed while one
        of them is away must not lose its metric.
        """
        async with _answering("GetMetricSpec", context):
            to_trigger(request.namespace, request.scalerMetadata)
            spec = pb.MetricSpec(metricName=METRIC, targetSize=TARGET, targetSizeFloat=TARGET)
            return pb.GetMetricSpecResponse(metricSpecs=[spec])

    async def GetMetrics(  # noqa: N802 - the protocol's
        self, request: pb.GetMetricsRequest, context: Any
    ) -> pb.GetMetricsResponse:
        """The replicas to run; an error where they are not known, never zero."""
        async with _answering("GetMetrics", context):
            reference = request.scaledObjectRef
            trigger = to_trigger(reference.namespace, reference.scalerMetadata)
            if request.metricName != METRIC:
                raise InvalidInput(f"metricName={request.metricName!r} must be {METRIC!r}")
            advice = await self._advise(trigger)
            if advice.count is None:
                raise Conflict(advice.problem)
            count = past_tolerance(advice.count, advice.current, trigger.tolerance)
            value = pb.MetricValue(metricName=METRIC, metricValue=count, metricValueFloat=count)
            return pb.GetMetricsResponse(metricValues=[value])

    async def _advise(self, trigger: Trigger) -> Advice:
        """The present advice; while the database is away, that of the last refresh until it ends.

        Raises:
            NotFound: There is no such workload.
            Unavailable: The database is away, and no count of the last refresh is still valid.
        """
        try:
            return await self._read(trigger)
        except Unavailable as away:
            try:
                known = self._watch.advice(trigger.key, trigger.part)
            except NotFound:
                raise away from None
            if known.count is None:
                raise
            return known

    async def _read(self, trigger: Trigger) -> Advice:
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(
            self._executor, advise_one, self._deps, trigger.key, trigger.part
        )
        try:
            return await asyncio.wait_for(asked, ANSWER_S)
        except TimeoutError as error:
            raise Unavailable(
                f"Harmony's database did not answer within {ANSWER_S:g} s; KEDA applies the "
                "ScaledObject's fallback until it does"
            ) from error


@asynccontextmanager
async def _answering(method: str, context: Any) -> AsyncIterator[None]:
    """Times and counts a call, and turns an error into its gRPC status."""
    began_s = time.perf_counter()
    code = grpc.StatusCode.OK
    try:
        yield
    except HarmonyError as error:
        code = _STATUS.get(type(error), grpc.StatusCode.INTERNAL)
        await context.abort(code, error.message)
    except (asyncio.CancelledError, GeneratorExit):
        code = grpc.StatusCode.CANCELLED
        raise
    except Exception as error:  # the caller learns no more than that of a defect
        code = grpc.StatusCode.INTERNAL
        log.error("call_defect", method=method, exc_info=error)
        await context.abort(code, "Harmony's scaler has a defect; see its log")
    finally:
        telemetry.scaler_requests_total.labels(method, code.name).inc()
        elapsed_s = time.perf_counter() - began_s
        telemetry.scaler_request_duration_seconds.labels(method).observe(elapsed_s)
