"""Counters of single pods in a remote write: which series are some, and of what. Pure.

The counts of an objective that are pushed are sums over pods, and a pod's counter says nothing of
the others': each series is one pod's (one process's), and all of a count are added up as rates. A
classic histogram's buckets and a native histogram become readings of the same kind, each with the
edge that it counts up to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.ingest.remote_write.histogram import HistogramSample
from services.ingest.series.catalog import WorkloadName, WorkloadRef
from services.ingest.series.rules import EDGE, Labels, SenderSeries
from services.kernel.domain.objective import SERIES_PREFIX


@dataclass(frozen=True, slots=True)
class PodCount:
    """What a pod's counter counts.

    Attributes:
        workload: The workload.
        indicator: `sli_GOAL` of a histogram, else the name of the count.
        edge_s: Requests up to this edge, in seconds; infinity: all.
    """

    workload: WorkloadRef
    indicator: str
    edge_s: float = math.inf

    @property
    def threshold_s(self) -> float | None:
        """The goal's threshold, where it is a histogram's."""
        return self.workload.thresholds_s.get(self.indicator.removeprefix(SERIES_PREFIX))


@dataclass(frozen=True, slots=True)
class PodCounter:
    """Readings of one counter of one pod.

    Attributes:
        count: What it counts.
        pod: Number of the series, the same for all buckets of a histogram.
        at_us: Times, microseconds since the epoch.
        value: Cumulative counts.
        is_native: It was taken from a native histogram.
    """

    count: PodCount
    pod: int
    at_us: Sequence[int]
    value: Sequence[float]
    is_native: bool = False


def pod_counts(
    labels: Sequence[Labels],
    origins: Sequence[SenderSeries],
    known: Mapping[WorkloadName, WorkloadRef],
) -> dict[int, PodCount]:
    """What the series that are counters of single pods count, by their number.

    Args:
        labels: Labels of each series.
        origins: What the rules make of each.
        known: Workloads by name.
    """
    found = {}
    for number, one in enumerate(origins):
        name = one.name
        if name is None or not one.is_count:
            continue
        workload = known.get(WorkloadName(name.namespace, name.workload))
        own = dict(labels[number])
        count = None if workload is None else _count_of(workload, name.indicator, own)
        if count is not None:
            found[number] = count
    return found


def _count_of(workload: WorkloadRef, name: str, labels: Mapping[str, str]) -> PodCount | None:
    """What a series counts; None: it is no counter of the objective that is pushed."""
    own = workload.indicators.get(name)
    if own is not None:
        return PodCount(workload, name) if own.is_sli and own.is_counter else None
    total = workload.indicators.get(f"{name}_total")
    if name.removeprefix(SERIES_PREFIX) not in workload.thresholds_s or total is None:
        return None
    try:
        edge_s = float(labels.get(EDGE, ""))
    except ValueError:
        return None
    return PodCount(workload, name, edge_s) if total.is_counter and edge_s > 0 else None


def histogram_counters(
    workload: WorkloadRef, indicator: str, pod: int, samples: Sequence[HistogramSample]
) -> list[PodCounter]:
    """A cumulative native histogram as buckets: all, and up to the edges next to the threshold.

    A histogram whose resolution changes has other edges from then on: other counters, and no fall.
    """
    count = PodCount(workload, indicator)
    threshold_s = count.threshold_s
    readings: dict[float, list[tuple[int, float]]] = {}
    for sample in samples:
        readings.setdefault(math.inf, []).append((sample.at_us, sample.total))
        if threshold_s is None:
            continue
        below_s, above_s = sample.edges_beside(threshold_s)
        if math.isfinite(below_s):
            readings.setdefault(below_s, []).append((sample.at_us, sample.good(threshold_s)))
        if math.isfinite(above_s) and above_s != below_s:
            readings.setdefault(above_s, []).append((sample.at_us, sample.upto(threshold_s)))
    return [
        PodCounter(
            PodCount(workload, indicator, edge_s),
            pod,
            [at_us for at_us, _ in pairs],
            [value for _, value in pairs],
            is_native=True,
        )
        for edge_s, pairs in readings.items()
    ]
