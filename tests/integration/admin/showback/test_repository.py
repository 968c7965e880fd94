"""Sums of showback agree with SQL to the last digit; what is unknown is counted, never summed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from sqlalchemy import Engine, RowMapping, insert, text

from services.admin.rest.times import Window
from services.admin.showback.repository import load_costs
from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from services.operator.reconcile.repository import set_active
from tests.integration.admin.showback.costs import (
    FROM,
    N_STEPS,
    STEP,
    TO,
    add,
    add_costs,
    seed_teams,
)

pytestmark = pytest.mark.integration
SUMS = """
SELECT {team}, sum(CAST(o.gpu_hours AS numeric)), sum(CAST(o.cost_usd AS numeric)),
       count(DISTINCT w.id)
FROM outcomes o JOIN workloads w ON w.id = o.workload_id
WHERE o.step_at >= :from_at AND o.step_at < :to_at AND o.cost_usd IS NOT NULL GROUP BY 1
"""


def costs(
    database: Engine,
    label: str | None = None,
    from_at: datetime = FROM,
    to_at: datetime = TO,
    filters: Mapping[str, Any] | None = None,
) -> dict[str | None, RowMapping]:
    with database.connect() as connection:
        rows = load_costs(connection, label, filters or {}, Window(from_at, to_at), TO)
    return {row["team"]: row for row in rows}


@pytest.mark.parametrize(
    ("label", "team"), [(None, "w.namespace"), ("team", "w.spec -> 'labels' ->> 'team'")]
)
@pytest.mark.parametrize("n_steps", [1, 7, N_STEPS])
def test_sums_are_those_of_sql_to_the_last_digit(
    database: Engine, label: str | None, team: str, n_steps: int
) -> None:
    seed_teams(database)
    to_at = FROM + n_steps * STEP
    with database.connect() as connection:
        asked = {"from_at": FROM, "to_at": to_at}
        expected = {
            row[0]: tuple(row)[1:]
            for row in connection.execute(text(SUMS.format(team=team)), asked)
        }
    found = {
        key: (row["gpu_hours"], row["cost_usd"], row["n_workloads"])
        for key, row in costs(database, label, to_at=to_at).items()
    }
    assert found == expected
    assert all(isinstance(row[1], Decimal) for row in found.values())


def test_the_sums_by_hand(database: Engine) -> None:
    seed_teams(database)
    by_team = {key: row["cost_usd"] for key, row in costs(database, "team").items()}
    assert list(by_team) == ["chat", "search", None]
    assert by_team["search"] == 24 * Decimal("0.333333333333333")
    assert by_team[None] == Decimal(30)
    assert float(by_team["chat"]) == pytest.approx(24 * 0.1 + 0.01 * 276 + 0.7 + 1e9 / 7)
    by_namespace = costs(database)
    total = sum(row["cost_usd"] for row in by_namespace.values())
    assert total == sum(by_team.values())


def test_hours_of_unknown_cost_are_counted(database: Engine) -> None:
    seed_teams(database)
    found = {key: float(row["unmeasured_hours"]) for key, row in costs(database).items()}
    # of the 24 steps of each, lab/chat has 3 and lab/free 12
    assert found == {"lab": pytest.approx((21 + 12) / 12), "prod": 0.0}


@pytest.mark.parametrize("step_s", [60, 300, 900, 3600])
def test_steps_are_as_long_as_they_were_whatever_they_are_now(
    database: Engine, step_s: int
) -> None:
    seed_teams(database)
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET step_s = :s"), {"s": step_s})
    found = {key: float(row["unmeasured_hours"]) for key, row in costs(database).items()}
    assert found == {"lab": pytest.approx((21 + 12) / 12, abs=1e-6), "prod": 0.0}


def add_steps(
    engine: Engine, step_s: int, lengths_s: list[int], unknown: Collection[int] = ()
) -> None:
    """Steps of these lengths, one after the other; those unknown have no outcome at all."""
    workload = add(engine, "changed/chat", {}, step_s=step_s)
    at, rows = FROM, []
    for place, length_s in enumerate(lengths_s):
        if place not in unknown:
            rows.append(
                {
                    "workload_id": workload, "step_at": at, "gpu_hours": length_s / 3600.0,
                    "cost_usd": length_s / 1200.0, "computed_at": TO,
                }
            )  # fmt: skip
        at += timedelta(seconds=length_s)
    assert at == TO
    with engine.begin() as connection:
        ensure_partitions(connection, "outcomes", FROM, TO)
        connection.execute(insert(schema.outcomes), rows)


CHANGED = [
    pytest.param(60, [300] * 12 + [60] * 60, set(), id="shorter"),
    pytest.param(300, [60] * 60 + [300] * 12, set(), id="longer"),
    pytest.param(60, [300] * 12 + [60] * 60, {5, 6, 30, 31, 32, 70, 71}, id="shorter, with gaps"),
    pytest.param(900, [60] * 60 + [900] * 4, {20, 21, 22}, id="longer, with a gap"),
    pytest.param(300, [300] * 24, {0, 1, 9, 10, 23}, id="never changed"),
]


@pytest.mark.parametrize(("step_s", "lengths_s", "unknown"), CHANGED)
def test_hours_of_unknown_cost_are_those_of_the_steps_that_are_missing(
    database: Engine, step_s: int, lengths_s: list[int], unknown: set[int]
) -> None:
    add_steps(database, step_s, lengths_s, unknown)
    missing_s = sum(lengths_s[place] for place in unknown)
    (row,) = costs(database).values()
    assert float(row["unmeasured_hours"]) == pytest.approx(missing_s / 3600.0, abs=1e-6)


@pytest.mark.parametrize(("step_s", "lengths_s", "unknown"), CHANGED)
def test_windows_that_follow_each_other_add_up_to_both_together(
    database: Engine, step_s: int, lengths_s: list[int], unknown: set[int]
) -> None:
    """Wherever they are cut: a step that begins at the cut is in the second alone."""
    add_steps(database, step_s, lengths_s, unknown)
    seed_teams(database)
    whole = costs(database, "team")
    for cut_s in (1, 299, 300, 1500, 1530, 3600, 3601, 3660, 7199):
        middle = FROM + timedelta(seconds=cut_s)
        parts = (costs(database, "team", FROM, middle), costs(database, "team", middle, TO))
        assert whole.keys() == parts[0].keys() == parts[1].keys()
        for team, row in whole.items():
            for name in ("cost_usd", "gpu_hours"):
                with localcontext(prec=60):
                    assert row[name] == sum(part[team][name] or 0 for part in parts)
            hours = float(sum(part[team]["unmeasured_hours"] for part in parts))
            assert hours == pytest.approx(float(row["unmeasured_hours"]), abs=3e-6)


def test_a_step_that_is_not_over_is_no_hour_of_unknown_cost(database: Engine) -> None:
    workload = add(database, "prod/chat", {}, at=FROM - timedelta(seconds=100))
    add_costs(database, workload, [1.0] * N_STEPS)
    late = TO + STEP - timedelta(seconds=1)
    with database.connect() as connection:
        (row,) = load_costs(connection, None, {}, Window(FROM - STEP, late), late)
        (then,) = load_costs(connection, None, {}, Window(FROM - STEP, late), TO + STEP)
    assert row["unmeasured_hours"] == 0
    assert float(then["unmeasured_hours"]) == pytest.approx(
        (STEP.total_seconds() - 1) / 3600, abs=1e-6
    )


def test_a_team_of_which_nothing_is_known_has_no_cost(database: Engine) -> None:
    add(database, "new/quiet", {})
    (row,) = costs(database).values()
    assert (row["cost_usd"], row["gpu_hours"], row["n_workloads"]) == (None, None, 1)
    assert float(row["unmeasured_hours"]) == pytest.approx(2.0)


def test_hours_count_from_when_a_workload_came_until_it_left(database: Engine) -> None:
    add_costs(database, add(database, "a/late", {}, at=FROM + 20 * STEP), [])
    left = add(database, "b/left", {}, is_active=False, updated_at=FROM + 6 * STEP)
    add_costs(database, left, [1.0] * 4)
    add(database, "c/gone", {}, is_active=False)
    add(database, "d/not-yet", {}, at=TO + STEP)
    found = costs(database)
    assert set(found) == {"a", "b"}
    assert float(found["a"]["unmeasured_hours"]) == pytest.approx(4 / 12, abs=1e-6)
    assert float(found["b"]["unmeasured_hours"]) == pytest.approx(2 / 12, abs=1e-6)
    assert found["b"]["cost_usd"] == 4


def test_hours_of_one_that_left_are_counted_where_no_step_of_it_is_known(
    database: Engine,
) -> None:
    """A team that had nothing else is a row, as one is whose workload is there still."""
    add(database, "b/left", {}, is_active=False, updated_at=FROM + 6 * STEP)
    blind = add(database, "c/blind", {}, is_active=False, updated_at=FROM + 4 * STEP)
    add_costs(database, blind, [None] * 4)
    add(database, "d/gone", {}, is_active=False, updated_at=FROM)
    add(database, "e/later", {}, at=TO, is_active=False, updated_at=TO + STEP)
    found = costs(database)
    assert {team: row["cost_usd"] for team, row in found.items()} == {"b": None, "c": None}
    assert float(found["b"]["unmeasured_hours"]) == pytest.approx(6 / 12, abs=1e-6)
    assert float(found["c"]["unmeasured_hours"]) == pytest.approx(4 / 12, abs=1e-6)


LEFT, BACK = FROM + 6 * STEP, TO - 6 * STEP


def go_away(database: Engine, workload: int, left_at: datetime, back_at: datetime) -> None:
    """As the operator notes it when a GPUAutoscaler goes, and when it is there again."""
    with database.begin() as connection:
        set_active(connection, [workload], False, left_at)
    with database.begin() as connection:
        set_active(connection, [workload], True, back_at)


def forget(database: Engine, from_at: datetime, to_at: datetime) -> None:
    with database.begin() as connection:
        connection.execute(
            text("DELETE FROM outcomes WHERE step_at >= :a AND step_at < :b"),
            {"a": from_at, "b": to_at},
        )


def test_hours_that_it_was_away_are_none_of_unknown_cost(database: Engine) -> None:
    workload = add(database, "prod/chat", {})
    add_costs(database, workload, [1.0] * N_STEPS)
    forget(database, LEFT, BACK)
    go_away(database, workload, LEFT, BACK)
    (row,) = costs(database).values()
    assert (row["unmeasured_hours"], row["cost_usd"]) == (0, 12)
    # of its own time the hours are counted as before
    forget(database, LEFT - 2 * STEP, BACK + STEP)
    (row,) = costs(database).values()
    assert float(row["unmeasured_hours"]) == pytest.approx(3 / 12, abs=1e-6)
    # wherever the window is cut
    for to_at, hours in ((LEFT + STEP, 2 / 12), (BACK, 2 / 12), (BACK + STEP, 3 / 12)):
        (row,) = costs(database, to_at=to_at).values()
        assert float(row["unmeasured_hours"]) == pytest.approx(hours, abs=1e-6)
        (row,) = costs(database, from_at=to_at).values()
        assert float(row["unmeasured_hours"]) == pytest.approx(3 / 12 - hours, abs=1e-6)


def test_it_may_be_away_many_times_and_for_part_of_a_step(database: Engine) -> None:
    workload = add(database, "prod/chat", {})
    minute = timedelta(minutes=1)
    for left_at, back_at in (
        (FROM - 3 * STEP, FROM + STEP),
        (FROM + 2 * STEP + minute, FROM + 2 * STEP + 2 * minute),
        (FROM + 5 * STEP - minute, FROM + 7 * STEP + minute),
    ):
        go_away(database, workload, left_at, back_at)
    (row,) = costs(database).values()
    # of the steps of five minutes it was away in the first, the third, and the fifth to eighth
    assert float(row["unmeasured_hours"]) == pytest.approx((24 - 1 - 1 - 4) / 12, abs=1e-6)
    with database.begin() as connection:
        set_active(connection, [workload], False, FROM + 12 * STEP)
    add_costs(database, workload, [1.0])
    (row,) = costs(database).values()
    assert float(row["unmeasured_hours"]) == pytest.approx((12 - 1 - 1 - 4) / 12, abs=1e-6)


def test_what_is_known_of_time_that_it_was_away_hides_no_other_hour(database: Engine) -> None:
    """Once it is back, steps before are settled by the last that was seen."""
    workload = add(database, "prod/chat", {})
    add_costs(database, workload, [1.0] * N_STEPS)
    forget(database, FROM, FROM + 2 * STEP)
    go_away(database, workload, LEFT, BACK)
    (row,) = costs(database).values()
    assert float(row["unmeasured_hours"]) == pytest.approx(2 / 12, abs=1e-6)
    assert row["cost_usd"] == N_STEPS - 2


def test_filters_narrow_what_is_summed(database: Engine) -> None:
    seed_teams(database)
    assert set(costs(database, filters={"namespace": "prod"})) == {"prod"}
    assert set(costs(database, filters={"namespaces": ["lab"]})) == {"lab"}
    assert set(costs(database, filters={"label": {"team": "chat"}})) == {"lab", "prod"}
    assert costs(database, filters={"namespaces": []}) == {}
    later = costs(database, from_at=TO + timedelta(days=1), to_at=TO + timedelta(days=2))
    assert {row["cost_usd"] for row in later.values()} == {None}
