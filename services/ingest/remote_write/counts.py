"""Native histograms as the counts of an objective, at the thresholds of its goals. Pure.

A histogram whose rule names the indicator `sli_GOAL`, e.g. `sli_ttft`, becomes `sli_ttft_total`,
`_good` and `_upto`. Cumulative ones are for counts that are pushed, gauges (what a rule with `rate`
records) for those that have a query: the other way round they would be read as something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.ingest.remote_write.histogram import HistogramSample
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
    """Histograms of one series, none of them a stale marker."""

    name: PushedSeriesName
    samples: tuple[HistogramSample, ...]


def add_counts(
    parsed: ParsedPush,
    histograms: Sequence[HistogramSeries],
    known: Mapping[WorkloadName, WorkloadRef],
) -> ParsedPush:
    """A push with the counts of histograms added; what has no goal is refused and counted."""
    numbers = {name: number for number, name in enumerate(parsed.names)}
    parts = [parsed.samples]
    for one in histograms:
        workload = known.get(WorkloadName(one.name.namespace, one.name.workload))
        fault = _fault(one, workload)
        if fault is not None or workload is None:
            reason, rule = fault or (UNKNOWN_WORKLOAD, "no active workload of this name")
            parsed.rejections.add(reason, len(one.samples), f"{one.name}: {rule}")
            continue
        threshold_s = workload.thresholds_s[one.name.indicator.removeprefix(SERIES_PREFIX)]
        for suffix, values in _values(one.samples, threshold_s).items():
            indicator = f"{one.name.indicator}_{suffix}"
            name = PushedSeriesName(one.name.namespace, one.name.workload, indicator)
            number = numbers.setdefault(name, len(numbers))
            parts.append(_samples(number, one.samples, values))
    return ParsedPush(tuple(numbers), join_samples(parts), parsed.unreadable, parsed.rejections)


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
