"""Workloads and demand as a backtest reads them."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.backtest.repository import load_demand, load_workloads
from tests.integration.decision.stored_rows import ORIGIN, STEP, STEP_S, add_demand, add_workload

pytestmark = pytest.mark.integration
DEMAND = "request_rate_rps"


def test_workloads_are_found_by_their_whole_name_in_order_active_or_not(database: Engine) -> None:
    ids = {name: add_workload(database, name) for name in ("b", "a", "c")}
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET is_active = false WHERE name = 'a'"))
        found = load_workloads(connection, ["demo/b", "demo/a", "other/c", "demo/none"])
    assert [(row["id"], row["name"]) for row in found] == [(ids["a"], "a"), (ids["b"], "b")]
    assert (found[0]["step_s"], found[0]["spec"]["demand"]) == (STEP_S, DEMAND)


def test_demand_is_what_was_observed_of_one_indicator_between_two_steps(database: Engine) -> None:
    workload, other = add_workload(database, "w"), add_workload(database, "other")
    add_demand(database, workload, [1.0, 2.0, float("nan"), 4.0, 5.0])
    add_demand(database, other, [9.0] * 5)
    with database.connect() as connection:
        rows = load_demand(connection, workload, DEMAND, ORIGIN - 3 * STEP, ORIGIN - STEP)
        none = load_demand(connection, workload, "queue", ORIGIN - 3 * STEP, ORIGIN)
    assert [(row["step_at"], row["value"]) for row in rows] == [
        (ORIGIN - 3 * STEP, 2.0),
        (ORIGIN - STEP, 4.0),
    ]
    assert none == []
