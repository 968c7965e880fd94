"""Decisions, forecasts and scores of workloads whose steps are of different lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text

from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from tests.integration.admin import test_dashboards
from tests.integration.decision.stored_rows import ORIGIN, add_forecast, add_workload

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("two_lengths")]

COUNTS, RISK = "Wanted, decided, in force", "Risk: promised and estimated"
DIRECTIONS, RUNGS = "Decisions by direction", "Rungs that answer"
ERROR = "Error against the last value's"
PANELS = [
    *(("decisions", title) for title in (COUNTS, RISK, DIRECTIONS)),
    *(("forecast-quality", title) for title in (ERROR, RUNGS)),
]
N_SCORED = 12


def add_service(
    database: Engine, name: str, step_s: int, replicas: int, risk: float
) -> tuple[int, int]:
    """One that goes up by one replica at each step; the workload and the length of its steps."""
    workload = add_workload(database, name)
    change = text("UPDATE workloads SET step_s = :step_s WHERE id = :id")
    with database.begin() as connection:
        connection.execute(change, {"step_s": step_s, "id": workload})
    add_steps(database, (workload, step_s), range(0, 1800, step_s), replicas, risk)
    return workload, step_s


def add_steps(
    database: Engine,
    service: tuple[int, int],
    starts_s: Sequence[int],
    replicas: int = 4,
    risk: float = 0.0,
) -> None:
    """Decisions, scores and forecasts whose origins are so many seconds after `ORIGIN`."""
    workload, step_s = service
    ids = {start: 10_000 * workload + start for start in starts_s}
    for start, number in ids.items():
        add_forecast(
            database, workload, None, forecast_id=number, origin_at=after(start), step_s=step_s
        )
    same: dict[str, Any] = {
        "workload_id": workload, "policy_version": "test", "direction": "up", "reason": "test",
        "rung": "forecast", "risk_target": 0.01, "risk_estimated": risk, "explanation": {},
        "cost_delta_usd_per_h": 0.0, "raw_replicas": replicas, "desired_replicas": replicas,
        "current_replicas": replicas - 1, "decided_at": ORIGIN, "valid_until": ORIGIN,
    }  # fmt: skip
    scored: dict[str, Any] = {
        "workload_id": workload, "model_version": "harmony-flow-3", "n_steps": N_SCORED,
        "crps": step_s / 60, "crps_last_value": step_s / 30, "pinball": {}, "coverage": {},
        "skill_vs_last_value": 0.5, "scored_at": ORIGIN,
    }  # fmt: skip
    rows: Mapping[str, list[dict[str, Any]]] = {
        "decisions": [
            same | {"id": number, "forecast_id": number, "origin_at": after(start)}
            for start, number in ids.items()
        ],
        "forecast_scores": [
            scored | {"forecast_id": number, "origin_at": after(start)}
            for start, number in ids.items()
        ],
    }
    with database.begin() as connection:
        for table, values in rows.items():
            ensure_partitions(connection, table, ORIGIN - timedelta(hours=1), ORIGIN)
            connection.execute(insert(schema.metadata.tables[table]), values)


def after(seconds: int) -> datetime:
    return ORIGIN + timedelta(seconds=seconds)


def shown(database: Engine, name: str, title: str) -> list[dict[str, Any]]:
    """Rows of a panel for both workloads."""
    *_, sql = (sql for found, _, sql in test_dashboards.queries(name) if found == title)
    both = sql.replace("${workload:sqlstring}", "'slow', 'fast'")
    with database.connect() as connection:
        rows = connection.exec_driver_sql(test_dashboards.expand(both, namespace="demo"))
        return [dict(row) for row in rows.mappings()]


def times(database: Engine, name: str, title: str) -> list[datetime]:
    return [row["time"] for row in shown(database, name, title)]


@pytest.fixture
def two_lengths(database: Engine) -> tuple[int, int]:
    """Twenty replicas decided each five minutes, and four each minute."""
    add_service(database, "slow", 300, 20, 0.02)
    return add_service(database, "fast", 60, 4, 0.0)


def test_replicas_of_all_lengths_are_added_up_at_each_point(database: Engine) -> None:
    rows = shown(database, "decisions", COUNTS)
    assert [row["time"] for row in rows] == [after(start) for start in range(0, 1800, 300)]
    assert [row["wanted"] for row in rows] == [24] * 6
    assert [row["decided"] for row in rows] == [24] * 6
    assert [row["in_force"] for row in rows] == [22] * 6


def test_the_risk_counts_each_workload_alike(database: Engine) -> None:
    """The one of short steps has five decisions beside one of the other."""
    rows = shown(database, "decisions", RISK)
    assert [row["promised"] for row in rows] == pytest.approx([0.01] * 6)
    assert [row["estimated"] for row in rows] == pytest.approx([0.01] * 6)


def test_the_newest_decision_of_a_workload_is_what_counts(
    database: Engine, two_lengths: tuple[int, int]
) -> None:
    newer = text(
        "UPDATE decisions SET desired_replicas = 9 WHERE workload_id = :id AND origin_at = :at"
    )
    with database.begin() as connection:
        connection.execute(newer, {"id": two_lengths[0], "at": after(540)})
        connection.execute(newer, {"id": two_lengths[0], "at": after(660)})
    rows = shown(database, "decisions", COUNTS)
    assert [row["decided"] for row in rows] == [24, 29, 24, 24, 24, 24]


@pytest.mark.parametrize(
    ("name", "title"), [("decisions", DIRECTIONS), ("forecast-quality", RUNGS)]
)
def test_all_that_lie_in_a_long_step_are_counted(database: Engine, name: str, title: str) -> None:
    rows = shown(database, name, title)
    assert [row["time"] for row in rows] == [after(start) for start in range(0, 1800, 300)]
    assert [row["value"] for row in rows] == [6] * 6


def test_errors_of_all_lengths_are_added_up_at_each_point(database: Engine) -> None:
    rows = shown(database, "forecast-quality", ERROR)
    assert [row["time"] for row in rows] == [after(start) for start in range(0, 1800, 300)]
    assert [row["crps"] for row in rows] == pytest.approx([10.0] * 6)
    assert [row["last_value"] for row in rows] == pytest.approx([20.0] * 6)


@pytest.mark.parametrize(("name", "title"), PANELS)
def test_no_point_is_shown_before_those_of_long_steps_can_be_in_it(
    database: Engine, two_lengths: tuple[int, int], name: str, title: str
) -> None:
    """Quick ones decide earlier, and are scored four fifths of the longest horizon earlier."""
    before = times(database, name, title)
    add_steps(database, two_lengths, [1800, 1860, 1920])
    assert times(database, name, title) == before


def test_scores_of_quick_ones_that_are_known_earlier_are_no_point(
    database: Engine, two_lengths: tuple[int, int]
) -> None:
    add_steps(database, two_lengths, range(1800, 1800 + 240 * N_SCORED, 60))
    assert times(database, "forecast-quality", ERROR)[-1] == after(1500)


@pytest.mark.parametrize(("name", "title"), PANELS)
def test_no_point_is_shown_of_which_the_range_has_only_a_part(
    database: Engine, name: str, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = times(database, name, title)
    monkeypatch.setattr(test_dashboards, "FROM", after(120).isoformat())
    assert times(database, name, title) == whole[1:]


@pytest.mark.parametrize(("name", "title"), PANELS)
def test_workloads_of_one_length_are_shown_step_by_step(
    database: Engine, name: str, title: str
) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET is_active = false WHERE name = 'slow'"))
    assert times(database, name, title) == [after(start) for start in range(0, 1800, 60)]
