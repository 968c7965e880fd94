"""What a clock that was ahead has written is shown by no surface before that time is there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, insert, select, text, update

from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from services.platform.repository import load_status
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
HOUR = timedelta(hours=1)
LLAMA = "llm-prod/llama-70b-chat"


@pytest.fixture
def ahead(database: Engine) -> None:
    """A worker and an operator had a clock that was an hour ahead, for a moment."""
    decisions, states = schema.decisions, schema.replica_states
    forecasts, seen = schema.forecasts, {"spec_replicas": 90, "ready_replicas": 90}
    with database.begin() as connection:
        for table in (decisions, states, forecasts):
            ensure_partitions(connection, table.name, NOW, NOW + HOUR)
        newest = select(decisions).where(decisions.c.origin_at == NOW - timedelta(seconds=300))
        for row in connection.execute(newest).mappings().all():
            record = dict(row["explanation"]) | {
                "gpu_budget": {"gpu_type": "H100", "price_usd_per_gpu_hour": 9.0}
            }
            at = {name: row[name] + HOUR for name in ("origin_at", "decided_at", "valid_until")}
            values = {"id": row["id"] + 50_000, "desired_replicas": 90, "explanation": record}
            connection.execute(insert(decisions).values(dict(row) | at | values))
        for table, column in ((states, "observed_at"), (forecasts, "origin_at")):
            of = select(table).order_by(table.c[column].desc()).limit(1)
            row = connection.execute(of.where(table.c.workload_id == 1)).mappings().one()
            changes = seen if table is states else {"id": row["id"] + 50_000}
            at = {column: row[column] + HOUR}
            connection.execute(insert(table).values(dict(row) | at | changes))


@pytest.mark.usefixtures("ahead")
def test_no_surface_takes_what_is_of_a_time_to_come_for_the_newest(
    viewer: AppClient, database: Engine
) -> None:
    found = viewer.get(f"/v1/workloads/{LLAMA}").json()
    assert found["last_decision"]["desired_replicas"] < 90
    assert found["replicas"]["spec"] < 90
    for one in viewer.get("/v1/decisions", params={"limit": 3}).json()["items"]:
        assert one["desired_replicas"] < 90
    fan = viewer.get(f"/v1/workloads/{LLAMA}/forecasts").json()
    assert fan["origin_at"] < NOW.isoformat()
    budget = viewer.get("/v1/budgets/H100").json()
    assert budget["used_gpus"] < 90 * 4
    assert budget["price_usd_per_gpu_hour"] != 9.0
    (cell,) = viewer.get("/v1/cells").json()["items"]
    (gpus,) = (one for one in cell["gpus"] if one["gpu_type"] == "H100")
    assert gpus["used_gpus"] == budget["used_gpus"]
    assert cell["decided_at"] < (NOW + HOUR / 2).isoformat()
    for row in load_status(database, FixedClock(NOW)):
        assert (row["current"] < 90, row["desired"] < 90) == (True, True), row["workload"]
    # who asks for it is shown it
    later = {"to_at": (NOW + 2 * HOUR).isoformat(), "workload": LLAMA, "limit": 1}
    assert viewer.get("/v1/decisions", params=later).json()["items"][0]["desired_replicas"] == 90


def test_a_decision_of_a_time_to_come_keeps_nobody_from_approving(
    admin: AppClient, database: Engine, request: pytest.FixtureRequest
) -> None:
    actions, workloads = schema.actions, schema.workloads
    with database.begin() as connection:
        key = connection.execute(
            select(workloads.c.id).where(workloads.c.name == "sdxl-turbo")
        ).scalar_one()
        waiting = connection.execute(
            select(actions.c.decision_id)
            .where(actions.c.workload_id == key)
            .order_by(actions.c.origin_at.desc())
            .limit(1)
        ).scalar_one()
        raised = {"desired_replicas": schema.decisions.c.current_replicas + 2}
        connection.execute(
            update(schema.decisions).where(schema.decisions.c.id == waiting).values(raised)
        )
    request.getfixturevalue("ahead")
    assert [one["id"] for one in admin.get("/v1/approvals").json()["items"]] == [waiting]
    answer = admin.post(f"/v1/decisions/{waiting}/approve", json={})
    assert (answer.status_code, answer.json().get("verdict")) == (200, "approved")


def test_one_word_in_place_of_a_promise_ends_no_status(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, '{sla,epsilon}', '\"strict\"') "
                "WHERE name = 'sdxl-turbo'"
            )
        )
    found = {row["workload"]: row["promised"] for row in load_status(database, FixedClock(NOW))}
    assert found["diffusion/sdxl-turbo"] is None
    assert found[LLAMA] == 0.01
