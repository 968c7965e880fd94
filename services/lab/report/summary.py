"""The JSON that the demo writes."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

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


class ServiceJson(TypedDict):
    """One service, by what requests felt.

    Attributes:
        bears: What a replica bears at the replay's start and end, over what is stated.
        measured: Fraction of time out of SLA that Harmony counted; None where it counted none.
        violation_rate: The true fraction, by policy.
    """

    bears: tuple[float, float]
    measured: float | None
    violation_rate: dict[str, float]


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


def services_json(data: ReportData) -> dict[str, ServiceJson]:
    """Each service by name; empty where requests are not served by a response of their own."""
    felt = data.felt
    if felt is None:
        return {}
    return {
        name: ServiceJson(
            bears=(round(float(felt.first_ratio[i]), 4), round(float(felt.last_ratio[i]), 4)),
            measured=None if np.isnan(felt.measured[i]) else round(float(felt.measured[i]), 6),
            violation_rate={
                s.name: round(float(s.workload_violation_rate[i]), 6) for s in data.ordered()
            },
        )
        for i, name in enumerate(data.workloads)
    }
