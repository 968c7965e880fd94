"""A grace that requests outlast is a condition, and the value that it asks for ends it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.kernel.db.session import unit_of_work
from services.operator.reconcile import report_statuses
from tests.integration.operator.conftest import Bench
from tests.integration.stored_indicators import store_indicators

pytestmark = pytest.mark.integration

INDICATORS = [
    {"name": "request_rate_rps", "level": 1},
    {"name": "latency_p95_ms", "level": 1, "unit": "ms"},
]


def measure(bench: Bench, latency_ms: float, name: str = "llama") -> None:
    """Twenty steps in which 5 % of the requests took as long."""
    id_, now = bench.workload_id(name), bench.clock.now()
    values = {"request_rate_rps": 10.0, "latency_p95_ms": latency_ms}
    with unit_of_work(bench.engine) as work:
        rows = [
            (id_, indicator, now - timedelta(seconds=n * bench.step_s), value, True)
            for n in range(1, 21)
            for indicator, value in values.items()
        ]
        store_indicators(work.connection, rows)


def set_grace(bench: Bench, seconds: int) -> None:
    change: dict[str, Any] = {"terminationGracePeriodSeconds": seconds}
    body = {"spec": {"template": {"spec": change}}}
    bench.lab.patch("apps/v1/deployments/llama", body)


def test_requests_that_outlast_the_grace_are_told_until_it_is_long_enough(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", indicators=INDICATORS)
    bench.reconcile()
    assert bench.lab.condition("llama", "GraceTooShort")["reason"] == "RequestTimeUnknown"
    measure(bench, 94_200.0)
    bench.reconcile()
    found = bench.lab.condition("llama", "GraceTooShort")
    assert (found["status"], found["reason"]) == ("True", "RequestsOutlastGrace")
    assert "terminationGracePeriodSeconds=30 of Deployment/llama to 95 or more" in found["message"]
    set_grace(bench, 95)
    bench.reconcile()
    found = bench.lab.condition("llama", "GraceTooShort")
    assert (found["status"], found["reason"]) == ("False", "RequestsFitGrace")


def test_each_pass_reads_the_times_of_some_workloads(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_statuses, "_TIMES_AT_ONCE", 1)
    names = ("llama", "qwen")
    for name in names:
        bench.lab.deploy(name)
        bench.lab.autoscale(name, indicators=INDICATORS)
    bench.reconcile()
    for name in names:
        measure(bench, 94_200.0, name)
    for n_read in (1, 2):
        bench.reconcile()
        found = [bench.lab.condition(name, "GraceTooShort")["status"] for name in names]
        assert found.count("True") == n_read
