"""Which samples of known series are usable, and why others are refused."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from services.ingest.push.ahead import ahead_limit, ahead_limits_us
from services.ingest.push.refused import Tally
from services.ingest.series.known_series import SeriesColumns
from services.ingest.series.plausible import plausible_rule
from services.ingest.series.samples import (
    ANCIENT,
    FUTURE,
    IMPLAUSIBLE,
    NEGATIVE,
    NOT_FINITE,
    OUT_OF_RANGE,
    Bounds,
    Samples,
    screen,
    show_us,
    sort_unique,
    to_us,
)
from services.ingest.series.translate import describe_time
from services.kernel.settings import Settings


def accept(
    samples: Samples, series: SeriesColumns, settings: Settings, now: datetime, tally: Tally
) -> Samples:
    """The usable samples, sorted, each time once per series; the refused ones go to `tally`."""
    rows, late_us = series.rows, to_us(now - timedelta(seconds=settings.late_s))
    bounds = Bounds(
        # the start of the oldest step that ended when a sample may be as late as that, or later
        oldest_us=-(-late_us // series.step_us) * series.step_us - series.step_us,
        newest_us=to_us(now) + ahead_limits_us(series, settings),
        is_signed=rows["is_signed"],
        largest=rows["largest"],
    )
    usable, refused = screen(samples, bounds)
    for reason, positions in refused.items():
        _refuse(samples.where(positions), reason, series, settings, tally)
    is_taken = np.zeros(len(rows), dtype=bool)
    is_taken[usable.series] = True
    tally.plausible.update(rows["workload_id"][is_taken & rows["is_gauge_load"]].tolist())
    return sort_unique(usable)


def _refuse(
    refused: Samples, reason: str, series: SeriesColumns, settings: Settings, tally: Tally
) -> None:
    """Count samples that are refused for one reason, with the first of them in words."""
    ref, at_us = series.refs[int(refused.series[0])], int(refused.at_us[0])
    rule = _rule(reason, settings, at_us)
    if reason == FUTURE and ref.indicator.is_known_ahead:
        limit = ahead_limit(ref.workload, ref.indicator, settings)
        rule = f"is more than {limit} ahead{describe_time(at_us)}; send it later"
    if reason == IMPLAUSIBLE:
        rule = plausible_rule(ref.indicator.largest_sample)
        _name_implausible(tally, refused, series)
    shown = f"{ref} at {show_us(at_us)}: {refused.value[0]:g}"
    tally.rejections.add(reason, len(refused), f"{shown} {rule}")
    numbers, counts = np.unique(refused.series, return_counts=True)
    for number, n in zip(numbers.tolist(), counts.tolist(), strict=True):
        tally.count(series.refs[number].workload.id, reason, n)


def _name_implausible(tally: Tally, refused: Samples, series: SeriesColumns) -> None:
    """Name for each workload the first load that was refused."""
    numbers, first = np.unique(refused.series, return_index=True)
    for number, value in zip(numbers.tolist(), refused.value[first].tolist(), strict=True):
        ref = series.refs[number]
        rule = plausible_rule(ref.indicator.largest_sample)
        tally.implausible.setdefault(ref.workload.id, f"{ref.indicator.name}={value:g} {rule}")


def _rule(reason: str, settings: Settings, at_us: int) -> str:
    return {
        IMPLAUSIBLE: "",  # tells the workload's own bound
        NOT_FINITE: "is not finite; leave the sample out",
        OUT_OF_RANGE: "is larger than anything measured (an exporter's word for no value?)",
        NEGATIVE: "is negative, and its unit cannot be; leave the sample out",
        FUTURE: f"is more than future_s={settings.future_s:g} s ahead{describe_time(at_us)}",
        ANCIENT: f"is of a step that ended more than late_s={settings.late_s:g} s ago; "
        "send history to /v1/workloads/NAMESPACE/NAME/history",
    }[reason]
