"""Rows of the advisory report: their window, the newest action, starts that became ready."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.advisory import repository
from services.advisory.rows import SeenStart
from tests.integration.advisory.watched import (
    START,
    add_decided,
    add_ran,
    add_starts,
    add_watched,
)
from tests.integration.decision.stored_rows import NOW, STEP

pytestmark = pytest.mark.integration


def test_workloads_are_active_and_of_the_name_asked_for(database: Engine) -> None:
    for name in ("b", "a", "gone"):
        add_watched(database, name)
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET is_active = false WHERE name = 'gone'"))
        every = repository.load_workloads(connection, "", "")
        named = repository.load_workloads(connection, "demo", "b")
        other = repository.load_workloads(connection, "else", "")
    assert [row["name"] for row in every] == ["a", "b"]
    assert [row["name"] for row in named] == ["b"]
    assert other == []


def test_those_that_left_are_of_this_time_and_of_the_name_asked_for(database: Engine) -> None:
    for name in ("there", "left", "before"):
        add_watched(database, name)
    with database.begin() as connection:
        for name, at in (("left", START + STEP), ("before", START)):
            connection.execute(
                text("UPDATE workloads SET is_active = false, updated_at = :at WHERE name = :name"),
                {"at": at, "name": name},
            )
        found = [
            [(row["name"], row["updated_at"]) for row in repository.load_left(connection, *asked)]
            for asked in (("", "", START), ("demo", "left", START), ("demo", "before", START))
        ]
    assert found == [[("left", START + STEP)], [("left", START + STEP)], []]


def test_outcomes_are_of_the_window_and_measured_once_they_are_final(database: Engine) -> None:
    workload = add_watched(database, "w")
    add_ran(
        database,
        workload,
        4,
        [2] * 6,
        measured_violation_ratio=[0.5] * 6,
        sli_requests=[9.0] * 6,
        sli_miss_high=[0.25] * 6,
        is_final=[True] * 5 + [False],
    )
    with database.connect() as connection:
        rows = repository.load_outcomes(connection, workload, START + STEP, START + 6 * STEP)
        two = repository.load_outcomes(connection, workload, START, START + 2 * STEP)
    assert [row["step_at"] for row in rows] == [START + k * STEP for k in range(1, 6)]
    assert [row["measured_violation_ratio"] for row in rows] == [0.5] * 4 + [None]
    assert [row["sli_requests"] for row in rows] == [9.0] * 4 + [None]
    assert [row["sli_miss_high"] for row in rows] == [0.25] * 4 + [None]
    assert len(two) == 2


def test_decisions_are_in_force_in_the_window_and_have_their_newest_action(
    database: Engine,
) -> None:
    workload = add_watched(database, "w")
    add_decided(database, workload, list(range(10)), result="failed")
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO actions (id, origin_at, decision_id, workload_id, attempt, result, "
                "reason, applied_at) SELECT id + 500, origin_at, decision_id, workload_id, 2, "
                "'applied', 'again', applied_at FROM actions WHERE origin_at = :at"
            ),
            {"at": START + 5 * STEP},
        )
        rows = repository.load_decisions(connection, workload, START + 5 * STEP, START + 8 * STEP)
    # that for step 2 ran out a second after step 5 began, and is not needed
    assert [row["desired_replicas"] for row in rows] == [2, 3, 4, 5, 6, 7, 8]
    assert [row["result"] for row in rows] == ["failed"] * 4 + ["applied"] + ["failed"] * 2


def test_starts_are_all_of_the_window_in_their_order(database: Engine) -> None:
    workload = add_watched(database, "w")
    add_starts(database, workload, lead_s=90.0, n=5)
    changes = {
        "-1": "ready_at = NULL",
        "-2": "ready_at = NULL, gone_at = requested_at + interval '20 s'",
        "-3": "ready_at = requested_at + interval '7 s'",
        "-4": "ready_at = NULL, gone_at = requested_at - interval '1 s'",
    }
    with database.begin() as connection:
        for uid, change in changes.items():
            connection.execute(text(f"UPDATE pod_starts SET {change} WHERE pod_uid LIKE '%{uid}'"))
        found = repository.load_starts(connection, workload, START, NOW)
        later = repository.load_starts(connection, workload, START + timedelta(seconds=3), NOW)
    under_way_s = (NOW - START).total_seconds() - 1.0
    assert found == [
        SeenStart(90.0, is_ready=True),
        SeenStart(under_way_s, is_ready=False),
        SeenStart(20.0, is_ready=False),
        SeenStart(7.0, is_ready=True),
    ]
    assert later == [SeenStart(7.0, is_ready=True)]


def test_replicas_were_starting_from_a_snapshot_until_the_next(database: Engine) -> None:
    workload = add_watched(database, "w")
    add_ran(database, workload, 4, [2] * 6)
    with database.begin() as connection:
        connection.execute(
            text("UPDATE replica_states SET starting_replicas = 1 WHERE observed_at = ANY(:at)"),
            {"at": [START + STEP, START + 3 * STEP, START + 5 * STEP]},
        )
        key = (connection, workload)
        found = repository.load_starting(*key, START + 2 * STEP, START + 7 * STEP)
        # the last snapshot before the window says what was so when it began
        within = repository.load_starting(*key, START + 1.5 * STEP, START + 2.5 * STEP)
        newer = repository.load_starting(*key, START + 2 * STEP, START + 3 * STEP)
    assert found == [
        (START + 3 * STEP, START + 4 * STEP),
        (START + 5 * STEP, START + 7 * STEP),
    ]
    assert within == [(START + STEP, START + 2 * STEP)]
    assert newer == []


def test_the_range_of_counts_is_unknown_where_nobody_told(database: Engine) -> None:
    workload = add_watched(database, "w")
    with database.connect() as connection:
        assert repository.load_replica_range(connection, workload, START, NOW) is None
    add_ran(database, workload, 4, [2] * 3)
    with database.begin() as connection:
        connection.execute(
            text("UPDATE replica_states SET spec_replicas = 7 WHERE observed_at = :at"),
            {"at": START + STEP},
        )
        assert repository.load_replica_range(connection, workload, START, NOW) == (4, 7)
        assert repository.load_replica_range(connection, workload, START + 2 * STEP, NOW) == (4, 4)
