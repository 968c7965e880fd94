"""The JSON summary."""

from __future__ import annotations

import json

import numpy as np

from services.lab.report import pools_json, services_json, summary_json
from tests.unit.lab.report.pages import felt, pooled


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


def test_services_are_told_where_requests_were_felt(data):
    assert services_json(data) == {}
    page = felt(data)
    page.felt.measured[1] = np.nan
    found = json.loads(json.dumps(services_json(page)))
    assert list(found) == list(data.workloads)
    first, second = found.values()
    assert first["bears"] == [0.8, 0.8]
    assert first["measured"] == 0.0059
    assert first["violation_rate"]["harmony"] == 0.008
    assert second["bears"] == [1.1, 0.9]
    assert second["measured"] is None


def test_pools_are_told_by_service(data):
    assert pools_json(data) == {}
    found = pools_json(pooled(data))
    assert json.loads(json.dumps(found)).keys() == {"ns/b"}
    assert list(found["ns/b"]) == ["decode", "prefill"]
    assert found["ns/b"]["decode"]["bears"] == (1.1, 0.9)
    assert found["ns/b"]["prefill"]["hardware"] == "1 x A100"
    assert found["ns/b"]["prefill"]["gpu_hours"]["hpa"] == 8.0
