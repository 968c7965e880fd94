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


class PoolJson(TypedDict):
    """One pool of a service that has several.

    Attributes:
        hardware: GPUs of a replica, in words.
        load: Load that falls on it.
        bears: What a replica bears at the replay's start and end, over what is stated; None where
            the stated capacity is the truth.
        gpu_hours: GPU-hours held, by policy.
    """

    hardware: str
    load: str
    bears: tuple[float, float] | None
    gpu_hours: dict[str, float]


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


def pools_json(data: ReportData) -> dict[str, dict[str, PoolJson]]:
    """Pools of each service that has several, by service and pool."""
    found: dict[str, dict[str, PoolJson]] = {}
    for one in data.pools:
        bears = None
        if one.first_ratio is not None and one.last_ratio is not None:
            bears = (round(one.first_ratio, 4), round(one.last_ratio, 4))
        found.setdefault(one.service, {})[one.pool] = PoolJson(
            hardware=one.hardware,
            load=one.load,
            bears=bears,
            gpu_hours={name: round(hours, 3) for name, hours in one.gpu_hours.items()},
        )
    return found
