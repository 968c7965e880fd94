"""Native histograms as the counts of an objective, at the thresholds of its goals. Pure.

A histogram whose rule names the indicator `sli_GOAL`, e.g. `sli_ttft`, becomes `sli_ttft_total`,
`_good` and `_upto`. Cumulative ones, of single pods, are for counts that are pushed, gauges (what a
rule with `rate` records) for those that have a query: the other way round they would be read as
something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.ingest.remote_write.histogram import HistogramSample
from services.ingest.remote_write.pods import PodCounter, histogram_counters
from services.ingest.series.catalog import WorkloadName, WorkloadRef
from services.ingest.series.samples import (
    BAD_SAMPLE,
    UNKNOWN_INDICATOR,
    UNKNOWN_WORKLOAD,
    Samples,
    join_samples,
    make_samples,
)
from services.ingest.series.translate import ParsedPush, PushedSeriesName
from services.kernel.domain.objective import SERIES_PREFIX

N_COUNTS = 3
"""Counts that one histogram becomes."""


@dataclass(frozen=True, slots=True)
class HistogramSeries:
    """Histograms of one series, none of them a stale marker.

    Attributes:
        name: What it is of.
        samples: The histograms.
        pod: Number of the series where they are cumulative; None: rates.
    """

    name: PushedSeriesName
    samples: tuple[HistogramSample, ...]
    pod: int | None = None


def split_pods(
    parsed: ParsedPush,
    histograms: Sequence[HistogramSeries],
    known: Mapping[WorkloadName, WorkloadRef],
) -> list[PodCounter]:
    """The cumulative ones as counters of single pods; what has no goal is refused and counted."""
    found: list[PodCounter] = []
    for one in histograms:
        workload = _workload_of(one, parsed, known)
        if workload is not None and one.pod is not None:
            found += histogram_counters(workload, one.name.indicator, one.pod, one.samples)
    return found


def add_counts(
    parsed: ParsedPush,
    histograms: Sequence[HistogramSeries],
    known: Mapping[WorkloadName, WorkloadRef],
) -> ParsedPush:
    """A push with the counts of recorded rates added; what has no goal is refused and counted."""
    numbers = {name: number for number, name in enumerate(parsed.names)}
    parts = [parsed.samples]
    for one in histograms:
        workload = _workload_of(one, parsed, known)
        if workload is None:
            continue
        threshold_s = workload.thresholds_s[one.name.indicator.removeprefix(SERIES_PREFIX)]
        for suffix, values in _values(one.samples, threshold_s).items():
            indicator = f"{one.name.indicator}_{suffix}"
            name = PushedSeriesName(one.name.namespace, one.name.workload, indicator)
            number = numbers.setdefault(name, len(numbers))
            parts.append(_samples(number, one.samples, values))
    return ParsedPush(tuple(numbers), join_samples(parts), parsed.unreadable, parsed.rejections)


def _workload_of(
    one: HistogramSeries, parsed: ParsedPush, known: Mapping[WorkloadName, WorkloadRef]
) -> WorkloadRef | None:
    """The workload that a histogram counts for; None where it does not, which is counted."""
    workload = known.get(WorkloadName(one.name.namespace, one.name.workload))
    fault = _fault(one, workload)
    if fault is None and workload is not None:
        return workload
    reason, rule = fault or (UNKNOWN_WORKLOAD, "no active workload of this name")
    parsed.rejections.add(reason, len(one.samples), f"{one.name}: {rule}")
    return None


def _fault(one: HistogramSeries, workload: WorkloadRef | None) -> tuple[str, str] | None:
    if workload is None:
        return None
    goal = one.name.indicator.removeprefix(SERIES_PREFIX)
    if not one.name.indicator.startswith(SERIES_PREFIX) or goal not in workload.thresholds_s:
        names = [f"{SERIES_PREFIX}{metric}" for metric in workload.thresholds_s]
        right = f"must be one of {', '.join(names)}" if names else "sla.objective has no goal"
        return UNKNOWN_INDICATOR, f"a native histogram counts the goal of a latency; {right}"
    is_gauge = not workload.indicators[f"{one.name.indicator}_total"].is_counter
    if any(sample.is_gauge != is_gauge for sample in one.samples):
        wanted = "a rate (a gauge), as it has a query" if is_gauge else "cumulative, as it has none"
        return BAD_SAMPLE, f"the histogram of this count must be {wanted}"
    return None


def _values(samples: Sequence[HistogramSample], threshold_s: float) -> dict[str, list[float]]:
    return {
        "total": [sample.total for sample in samples],
        "good": [sample.good(threshold_s) for sample in samples],
        "upto": [sample.upto(threshold_s) for sample in samples],
    }


def _samples(number: int, samples: Sequence[HistogramSample], values: list[float]) -> Samples:
    return make_samples(np.full(len(samples), number), [sample.at_us for sample in samples], values)
