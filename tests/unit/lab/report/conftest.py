"""Data of a small report."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from services.lab.report import FanChart, ReportData
from tests.unit.lab.report.pages import R, score


@pytest.fixture
def data():
    T = R
    t = np.arange(T)
    demand = 50 + 20 * np.sin(t / 7)
    demand[5:8] = np.nan
    quantiles = demand * np.array([[0.8], [0.9], [1.0], [1.1], [1.3]])
    fan = FanChart(
        "ns/<a>",
        "tokens/s",
        0.0,
        300.0,
        demand,
        np.array([0.05, 0.25, 0.5, 0.75, 0.95]),
        quantiles,
        np.full(T, 90.0),
        lead_steps=2,
    )
    return ReportData(
        data="a <trace> & co",
        seed=7,
        simulated_hours=4.0,
        start_at=datetime(2026, 1, 12, tzinfo=UTC),
        step_s=300,
        workloads=("ns/<a>", "ns/b"),
        epsilon=0.01,
        scores=(
            score("oracle", 20, 0.0),
            score("hpa", 40, 0.02, 0.01),
            score("harmony", 30, 0.008, 0.01),
            score("trailing_percentile", 35, 0.009, 0.01),
            score("static_peak", 60, 0.0),
        ),
        needed_gpus=np.full(R, 22.0),
        fans=(fan,),
        notes=("Prices are assumed.",),
        wall_s=12.0,
        peak_rss_gib=1.25,
        machine="2 cores",
    )
