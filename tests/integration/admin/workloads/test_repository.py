"""Workloads with their newest state, read from a real database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, RowMapping, text

from services.admin.workloads.repository import load_fleet, load_spent
from tests.integration.admin.seeded_fleet import NOW, Seeded
from tests.integration.admin.seeded_rows import STEP_S

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
SDXL, LLAMA, MIXTRAL = (
    ("diffusion", "sdxl-turbo"),
    ("llm-prod", "llama-70b-chat"),
    ("llm-prod", "mixtral-agents"),
)


def fleet(
    database: Engine, limit: int = 100, now: datetime = NOW, **filters: Any
) -> list[RowMapping]:
    with database.connect() as connection:
        return load_fleet(connection, filters, limit, now)


def names(database: Engine, limit: int = 100, **filters: Any) -> list[tuple[str, str]]:
    return [(row["namespace"], row["name"]) for row in fleet(database, limit, **filters)]


def change(database: Engine, statement: str) -> None:
    with database.begin() as connection:
        connection.execute(text(statement))


def test_workloads_are_listed_by_namespace_and_name_in_pages(database: Engine) -> None:
    assert names(database) == [SDXL, LLAMA, MIXTRAL]
    assert names(database, 2) == [SDXL, LLAMA]
    assert names(database, after=(*LLAMA, 1)) == [MIXTRAL]
    assert names(database, after=("llm-prod", "a", 9)) == [LLAMA, MIXTRAL]


def test_filters_narrow_the_list_together(database: Engine) -> None:
    assert names(database, namespace="llm-prod") == [LLAMA, MIXTRAL]
    assert names(database, namespaces=frozenset({"diffusion"})) == [SDXL]
    assert names(database, namespaces=frozenset[str]()) == []
    assert names(database, name="llama-70b-chat") == [LLAMA]
    assert names(database, namespace="diffusion", name="llama-70b-chat") == []
    assert names(database, search="PROD/l") == [LLAMA]
    assert names(database, search="%") == []
    change(
        database,
        """UPDATE workloads SET spec = spec || '{"labels": {"team": "a"}}'
        WHERE name = 'sdxl-turbo'""",
    )
    assert names(database, label={"team": "a"}) == [SDXL]
    assert names(database, label={"team": "b"}) == []


def test_a_workload_that_is_gone_is_shown_by_its_name_only(database: Engine) -> None:
    change(database, "UPDATE workloads SET is_active = false WHERE name = 'llama-70b-chat'")
    assert names(database) == [SDXL, MIXTRAL]
    assert names(database, name="llama-70b-chat") == [LLAMA]


def test_each_workload_comes_with_its_newest_state(database: Engine, seeded: Seeded) -> None:
    (row,) = fleet(database, name="llama-70b-chat")
    newest = seeded.origins[-1]
    assert row["origin_at"] == row["demand_at"] == newest
    assert row["state_at"] == newest + timedelta(seconds=STEP_S)
    assert (row["forecast_rung"], row["model_version"]) == ("model", "harmony-flow-3")
    assert row["action_result"] in {"applied", "unchanged"}
    assert row["risk_state"]["observed_steps"] == len(seeded.origins)
    assert row["demand"] > 0
    assert row["is_trusted"] is None


def test_a_workload_without_a_history_is_shown_with_nothing(database: Engine) -> None:
    change(
        database,
        """INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at,
        updated_at) SELECT 'new', name, 0, 60, spec, now(), now() FROM workloads LIMIT 1""",
    )
    (row,) = fleet(database, namespace="new")
    for column in ("state_at", "decision_id", "action_result", "demand", "risk_state"):
        assert row[column] is None, column


def test_demand_of_more_than_a_day_ago_is_not_current(database: Engine, seeded: Seeded) -> None:
    day_after = seeded.origins[-1] + timedelta(days=1)
    (still,) = fleet(database, now=day_after, name="llama-70b-chat")
    assert still["demand_at"] == seeded.origins[-1]
    (stale,) = fleet(database, now=day_after + timedelta(seconds=1), name="llama-70b-chat")
    assert (stale["demand"], stale["demand_at"]) == (None, None)


def test_what_was_spent_adds_up_from_a_time_on(database: Engine, seeded: Seeded) -> None:
    ids = {row["name"]: row["id"] for row in fleet(database)}
    llama, sdxl = ids["llama-70b-chat"], ids["sdxl-turbo"]
    middle = seeded.origins[24]
    with database.connect() as connection:
        rows = connection.execute(
            text("SELECT workload_id, step_at, gpu_hours, cost_usd FROM outcomes")
        ).all()
        spent = load_spent(connection, [llama, sdxl], middle)
        assert load_spent(connection, [], middle) == {}
        assert load_spent(connection, [llama], seeded.now) == {}
    assert set(spent) == {llama, sdxl}
    for workload_id, found in spent.items():
        own = [row for row in rows if row.workload_id == workload_id and row.step_at >= middle]
        assert len(own) == 24
        assert found["gpu_hours"] == pytest.approx(sum(row.gpu_hours for row in own), rel=1e-5)
        assert found["cost_usd"] == pytest.approx(sum(row.cost_usd for row in own), rel=1e-5)
