"""A workload's live state; the unknown stays unknown."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

pytestmark = pytest.mark.integration


def test_unknown_stays_unknown_before_the_first_snapshot(viewer, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('a', 'b', 0, 300, CAST(:spec AS jsonb), now(), now())"
            ),
            {
                "spec": '{"target": "Deployment/b", "demand": "rps", "capacity": '
                '{"per_replica": 5}, "indicators": [{"name": "rps", "level": 1}]}'
            },
        )
    view = viewer.get("/v1/workloads/a/b").json()
    assert view["replicas"] is None
    assert view["last_decision"] is None
    assert view["demand"] is None
    assert view["cost_usd"] is None
    unknown = ("source", "violation_ratio", "measured_ratio", "believed_ratio", "budget_remaining")
    assert [view["risk"][name] for name in unknown] == [None] * 5
    answer = viewer.get("/v1/workloads/a/b/forecasts")
    assert answer.status_code == 404
    assert "no forecast yet" in answer.json()["detail"]
    assert viewer.get("/v1/workloads/a/b/quality").json() == []
    assert viewer.get("/v1/workloads/a/b/lead-times").json()["p50_s"] is None


@pytest.mark.usefixtures("seeded")
def test_before_its_first_decision_a_promise_about_windows_is_told_by_steps(
    viewer, database: Engine
) -> None:
    sla = '{"kind": "AnyInWindow", "epsilon": 0.05, "window_s": 86400}'
    spec = "jsonb_set(spec, '{sla}', CAST(:sla AS jsonb))"
    with database.begin() as connection:
        connection.execute(text("TRUNCATE decisions"))
        connection.execute(text(f"UPDATE workloads SET spec = {spec}"), {"sla": sla})
    for item in viewer.get("/v1/workloads").json()["items"]:
        assert item["risk"]["target"] == pytest.approx(1 - 0.95 ** (1 / 288))
        assert item["risk"]["violation_ratio"] > item["risk"]["target"]
