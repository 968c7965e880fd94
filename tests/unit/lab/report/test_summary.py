"""The JSON summary."""

from __future__ import annotations

from services.lab.report import summary_json


def test_summary_has_the_agreed_shape(data):
    summary = summary_json(data)
    assert list(summary) == [
        "data",
        "simulated_hours",
        "workloads",
        "wall_s",
        "peak_rss_gib",
        "policies",
    ]
    assert list(summary["policies"]) == [
        "harmony",
        "hpa",
        "trailing_percentile",
        "static_peak",
        "oracle",
    ]
    assert summary["policies"]["oracle"]["promised"] is None
    assert set(summary["policies"]["harmony"]) == {
        "gpu_hours",
        "cost_usd",
        "violation_rate",
        "promised",
        "scale_ops",
    }
