"""Preset of the KServe model server."""

from __future__ import annotations

from services.kernel.domain.presets.promql import PODS
from services.kernel.domain.presets.shape import (
    GoalHistogram,
    Preset,
    PresetIndicator as Indicator,
)

KSERVE = Preset(
    name="kserve",
    program="KServe model server",
    sources=(
        "kserve/kserve 01a08fb1b3d8 python/kserve/kserve/metrics.py",
        "kserve/kserve qpext/cmd/qpext/main_test.go of early 2023 (a whole page)",
    ),
    place="replica",
    counts="finished",
    marks=("request_predict_seconds_count",),
    demands=("request_rate_rps",),
    indicators=(
        Indicator(
            "request_rate_rps", 1, "requests/s", PODS.sum_rate("request_predict_seconds_count")
        ),
        Indicator("latency_p95_ms", 1, "ms", PODS.p95_ms("request_predict_seconds")),
        # time spent by all requests per second of time: how many were there at once
        Indicator(
            "concurrency_requests", 2, "requests", PODS.sum_rate("request_predict_seconds_sum")
        ),
    ),
    goals=(
        GoalHistogram(
            "e2e",
            ("request_predict_seconds",),
            (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
            note="the prediction alone, without what is done before and after it",
        ),
    ),
)
