"""Decisions by filters."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_decisions_filter(viewer) -> None:
    query = {"workload": "llm-prod/llama-70b-chat", "changes": True, "limit": 500}
    changes = viewer.get("/v1/decisions", params=query).json()["items"]
    assert changes
    assert all(i["desired_replicas"] != i["current_replicas"] for i in changes)
    assert {i["workload"] for i in changes} == {"llama-70b-chat"}
    ups = viewer.get("/v1/decisions", params={"direction": "up", "limit": 500}).json()["items"]
    assert {i["reason"] for i in ups} == {"scale_up_risk"}
    window = {"from_at": "2026-01-06T11:00:00Z", "to_at": "2026-01-06T11:10:00Z"}
    assert len(viewer.get("/v1/decisions", params=window).json()["items"]) == 9
    applied = viewer.get("/v1/actions", params={"result": "applied", "limit": 500}).json()["items"]
    assert {i["result"] for i in applied} == {"applied"}
    outcomes = viewer.get("/v1/outcomes", params=window).json()["items"]
    assert len(outcomes) == 9


def test_a_result_that_no_action_has_is_refused(viewer) -> None:
    answer = viewer.get("/v1/actions", params={"result": "aplied"})
    assert answer.status_code == 422
    assert "awaiting_approval" in answer.text
