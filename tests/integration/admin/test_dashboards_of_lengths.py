"""The Fleet dashboard over workloads whose steps are of different lengths, and were."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text

from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from tests.integration.admin import test_dashboards
from tests.integration.decision.stored_rows import ORIGIN, add_workload

pytestmark = pytest.mark.integration

GPUS = "GPUs allocated against needed"
RATIOS = "Out of SLA: measured and believed against promised"
COST = "Cost per hour by GPU type"
PRICE_USD = 3.0


def add_service(
    database: Engine, name: str, step_s: int, n_gpus: int, ratio: float, gpu_type: str = "H100"
) -> int:
    """One that needs half of its GPUs, each of its own replica, and is `ratio` out of SLA."""
    workload = add_workload(database, name, gpu_type=gpu_type, gpus_per_replica=1)
    with database.begin() as connection:
        change = text("UPDATE workloads SET step_s = :step_s WHERE id = :id")
        connection.execute(change, {"step_s": step_s, "id": workload})
    add_steps(database, workload, step_s, n_gpus, ratio, range(0, 1800, step_s))
    return workload


def add_steps(
    database: Engine, workload: int, step_s: int, n_gpus: int, ratio: float, starts_s: Sequence[int]
) -> None:
    """Steps that begin so many seconds after `ORIGIN`."""
    hours = n_gpus * step_s / 3600
    same: dict[str, Any] = {
        "workload_id": workload, "computed_at": ORIGIN, "ready_mean": float(n_gpus),
        "needed_replicas": n_gpus // 2, "gpu_hours": hours, "cost_usd": hours * PRICE_USD,
        "violation_ratio": ratio, "measured_violation_ratio": ratio,
    }  # fmt: skip
    rows = [same | {"step_at": after(start)} for start in starts_s]
    with database.begin() as connection:
        ensure_partitions(connection, "outcomes", ORIGIN - timedelta(hours=1), ORIGIN)
        connection.execute(insert(schema.outcomes), rows)


def after(seconds: int) -> datetime:
    return ORIGIN + timedelta(seconds=seconds)


def shown(database: Engine, title: str) -> list[dict[str, Any]]:
    return test_dashboards.asked_of(database, "fleet", title, "any")


def times(database: Engine, title: str) -> list[datetime]:
    return [row["time"] for row in shown(database, title)]


@pytest.fixture
def two_lengths(database: Engine) -> int:
    """Four GPUs in steps of a minute, never out of SLA; twenty in steps of five, which are."""
    add_service(database, "slow", 300, 20, 0.2)
    return add_service(database, "fast", 60, 4, 0.0)


@pytest.mark.usefixtures("two_lengths")
def test_gpus_of_all_lengths_are_added_up_at_each_point(database: Engine) -> None:
    rows = shown(database, GPUS)
    assert [row["time"] for row in rows] == [after(start) for start in range(0, 1800, 300)]
    for row in rows:
        assert (row["needed"], row["allocated"]) == pytest.approx((12.0, 24.0)), row["time"]


@pytest.mark.usefixtures("two_lengths")
def test_costs_per_hour_are_of_each_workload_s_own_steps(database: Engine) -> None:
    add_service(database, "other", 60, 5, 0.0, "L4")
    found = {(one["time"], one["metric"]): one["value"] for one in shown(database, COST)}
    usd_per_hour = {"H100": 24 * PRICE_USD, "L4": 5 * PRICE_USD}
    assert found == pytest.approx(
        {
            (after(start), name): usd_per_hour[name]
            for start in range(0, 1800, 300)
            for name in usd_per_hour
        }
    )


@pytest.mark.usefixtures("two_lengths")
def test_shares_out_of_sla_count_each_workload_alike(database: Engine) -> None:
    """The one of short steps has five times as many."""
    (head,) = shown(database, "Out of SLA")
    assert (head["measured"], head["believed"]) == pytest.approx((0.1, 0.1))
    rows = shown(database, RATIOS)
    assert [row["time"] for row in rows] == [after(start) for start in range(0, 1800, 300)]
    for row in rows:
        assert (row["measured"], row["believed"]) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize("title", [GPUS, RATIOS, COST])
def test_no_point_is_shown_before_all_of_it_is_over(
    database: Engine, two_lengths: int, title: str
) -> None:
    before = times(database, title)
    add_steps(database, two_lengths, 60, 4, 0.0, [1800, 1860, 1920])
    assert times(database, title) == before


@pytest.mark.usefixtures("two_lengths")
@pytest.mark.parametrize("title", [GPUS, RATIOS, COST])
def test_no_point_is_shown_of_which_the_range_has_only_a_part(
    database: Engine, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = times(database, title)
    monkeypatch.setattr(test_dashboards, "FROM", after(120).isoformat())
    assert times(database, title) == whole[1:]


@pytest.mark.parametrize("title", [GPUS, RATIOS, COST])
@pytest.mark.usefixtures("two_lengths")
def test_one_that_left_before_the_range_makes_no_point_longer(database: Engine, title: str) -> None:
    before = times(database, title)
    workload = add_workload(database, "gone")
    gone = text(
        "UPDATE workloads SET step_s = 3600, is_active = false, updated_at = :at WHERE id = :id"
    )
    with database.begin() as connection:
        connection.execute(gone, {"at": ORIGIN - timedelta(days=1), "id": workload})
    assert times(database, title) == before


@pytest.mark.parametrize(("then_s", "now_s"), [(300, 60), (60, 300)])
def test_steps_count_with_the_length_that_they_had(
    database: Engine, then_s: int, now_s: int
) -> None:
    workload = add_service(database, "chat", now_s, 4, 0.0)
    add_steps(database, workload, then_s, 4, 0.2, range(-1800, 0, then_s))
    for row in shown(database, GPUS):
        assert (row["needed"], row["allocated"]) == pytest.approx((2.0, 4.0)), row["time"]
    costs = [one["value"] for one in shown(database, COST)]
    assert costs == pytest.approx([4 * PRICE_USD] * len(costs))
    assert len(costs) == 6 + 1800 // now_s
    (head,) = shown(database, "Out of SLA")
    assert head["believed"] == pytest.approx(0.1)
