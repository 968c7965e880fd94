"""The fleet with its live state, in pages."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_fleet_shows_live_state_and_pages(viewer) -> None:
    everything = viewer.get("/v1/workloads").json()
    assert [item["name"] for item in everything["items"]] == [
        "sdxl-turbo",
        "llama-70b-chat",
        "mixtral-agents",
    ]
    llama = everything["items"][1]
    assert llama["replicas"]["spec"] >= 2
    assert llama["last_decision"]["action_result"] in {"applied", "unchanged"}
    assert llama["last_decision"]["forecast_rung"] == "model"
    assert llama["last_decision"]["valid_until"] > llama["last_decision"]["decided_at"]
    assert llama["risk"]["target"] == 0.01
    assert llama["risk"]["n_steps"] == 48
    assert (llama["risk"]["source"], llama["risk"]["measured_ratio"]) == ("believed", None)
    assert llama["risk"]["believed_ratio"] == llama["risk"]["violation_ratio"]
    mixtral = everything["items"][2]["risk"]
    assert (mixtral["source"], mixtral["sli_status"]) == ("measured", "Measured")
    assert mixtral["violation_ratio"] == mixtral["measured_ratio"] == pytest.approx(0.03)
    assert mixtral["believed_ratio"] == pytest.approx(13 / 48)
    assert llama["risk"]["budget_remaining"] == pytest.approx(1 - 4 / (0.01 * 7 * 288))
    assert llama["demand"] is not None
    seen, cursor = [], None
    while True:
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = viewer.get("/v1/workloads", params=query).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == everything["items"]
    found = viewer.get("/v1/workloads", params={"search": "LLAMA"}).json()["items"]
    assert [item["name"] for item in found] == ["llama-70b-chat"]
    assert viewer.get("/v1/workloads", params={"search": "%"}).json()["items"] == []


@pytest.mark.usefixtures("seeded")
def test_a_spec_that_cannot_be_read_hides_no_other(viewer, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET spec = 'null' WHERE name = 'mixtral-agents'"))
    answer = viewer.get("/v1/workloads")
    assert answer.status_code == 200
    names = [item["name"] for item in answer.json()["items"]]
    assert names == ["sdxl-turbo", "llama-70b-chat"]
