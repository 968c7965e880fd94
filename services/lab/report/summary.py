"""The JSON that the demo writes."""

from __future__ import annotations

from typing import TypedDict

from services.lab.report.data import ReportData
from services.simulator.scoreboard import PolicyScoreJson


class SummaryJson(TypedDict):
    """Shape of `--json FILE`."""

    data: str
    simulated_hours: float
    workloads: int
    wall_s: float
    peak_rss_gib: float
    policies: dict[str, PolicyScoreJson]


def summary_json(data: ReportData) -> SummaryJson:
    """Summarise a replay: totals per policy."""
    return SummaryJson(
        data=data.data,
        simulated_hours=round(data.simulated_hours, 3),
        workloads=len(data.workloads),
        wall_s=round(data.wall_s, 2),
        peak_rss_gib=round(data.peak_rss_gib, 3),
        policies={s.name: s.to_json() for s in data.ordered()},
    )
