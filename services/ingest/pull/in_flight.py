"""Requests in flight on each pod, read off a source beside the indicators.

They say which pods a scaling in costs least, and are asked for where the operator may mark these.
An indicator is a sum over pods; the same query, not summed over them, tells the pods apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.ingest.pull.patience import Patience
from services.ingest.series.catalog import WorkloadRef
from services.ingest.series.source import LabelledPoints, RangeQuery, Source, SourceError
from services.kernel import telemetry
from services.kernel.telemetry import get_logger

RUNNING, WAITING = "concurrency_requests", "queue_requests"
"""Indicators of the requests that replicas work on, and of those that wait there."""
MOST_PODS = 500
"""Pods of one workload that are kept at most; of a larger one nothing is known."""
_LOOKBACK_S = 60
_N_CONNECTIONS = 8
_WHAT = "requests in flight by pod"
_TEXT = r'"(?:[^"\\]|\\.)*"'
_MEAN_OVER_PODS = re.compile(
    rf'sum\(avg_over_time\((?P<selector>(?:[^()"]|{_TEXT})+\[)\$step\]\)\)'
)


@dataclass(frozen=True, slots=True)
class PodRequests:
    """Requests in flight on the pods of one workload, by the pod's name."""

    workload_id: int
    by_pod: Mapping[str, float]


def by_pod(query: str) -> str | None:
    """The newest reading of each pod, by the query of a sum over pods; None: it is no such sum."""
    found = [_MEAN_OVER_PODS.fullmatch(part) for part in query.split(" or ")]
    parts = [match["selector"] for match in found if match is not None]
    if len(parts) < len(found):
        return None
    return " or ".join(
        f"sum by (pod) (last_over_time({selector}{_LOOKBACK_S}s]))" for selector in parts
    )


def fetch_in_flight(
    source: Source, workloads: Sequence[WorkloadRef], at: datetime, patience: Patience
) -> list[PodRequests]:
    """Requests in flight at `at`; a workload is absent of which they are not known.

    Args:
        source: The source.
        workloads: Those to ask for.
        at: Aware.
        patience: Says whom it is still worth to ask for, and is told what came of it.
    """

    def fetch(workload: WorkloadRef) -> PodRequests | None:
        queries = _queries_of(workload)
        if not queries or not patience.may_ask(workload):
            return None
        try:
            totals = _fetch_totals(source, queries, at)
        except SourceError as error:
            patience.note_failure(workload, error.reason, _WHAT)
            telemetry.source_errors_total.labels(source.name, error.reason).inc()
            name = f"{workload.namespace}/{workload.name}"
            get_logger("ingest.pull").warning(
                "pods_not_asked", workload=name, reason=error.reason, error=error.message
            )
            return None
        patience.note_answer(workload)
        return PodRequests(workload.id, totals) if 0 < len(totals) <= MOST_PODS else None

    if not workloads:
        return []
    with ThreadPoolExecutor(min(_N_CONNECTIONS, len(workloads))) as pool:
        return [found for found in pool.map(fetch, workloads) if found is not None]


def _queries_of(workload: WorkloadRef) -> list[str]:
    """Queries of what runs on each pod and of what waits there; none where they are not known."""
    indicators = workload.indicators
    queries = [by_pod(indicators[name].query) for name in (RUNNING, WAITING) if name in indicators]
    if RUNNING not in indicators or queries[0] is None:
        return []
    return [query for query in queries if query is not None]


def _fetch_totals(source: Source, queries: Sequence[str], at: datetime) -> dict[str, float]:
    """Requests by the pod's name; what waits counts on pods where something could run."""
    totals: dict[str, float] = {}
    for number, query in enumerate(queries):
        asked = RangeQuery(query, at, at, _LOOKBACK_S)
        for pod, value in _readings(source.fetch_series(asked)).items():
            if number == 0 or pod in totals:
                totals[pod] = totals.get(pod, 0.0) + value
    return totals


def _readings(series: Sequence[LabelledPoints]) -> dict[str, float]:
    """The newest value of each series that has the label of a pod and a usable value."""
    found = {}
    for one in series:
        value = one.points.value[-1] if len(one.points.value) else np.nan
        if one.labels.get("pod") and np.isfinite(value) and value >= 0:
            found[one.labels["pod"]] = float(value)
    return found
