"""Sums of showback agree with SQL to the last digit; what is unknown is counted, never summed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, RowMapping, text

from services.admin.rest.times import Window
from services.admin.showback.repository import load_costs
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
WHERE o.step_at BETWEEN :from_at AND :to_at AND o.cost_usd IS NOT NULL GROUP BY 1
"""


def costs(
    database: Engine,
    label: str | None = None,
    from_at: datetime = FROM,
    to_at: datetime = TO,
    filters: Mapping[str, Any] | None = None,
) -> dict[str | None, RowMapping]:
    with database.connect() as connection:
        rows = load_costs(connection, label, filters or {}, Window(from_at, to_at))
    return {row["team"]: row for row in rows}


@pytest.mark.parametrize(
    ("label", "team"), [(None, "w.namespace"), ("team", "w.spec -> 'labels' ->> 'team'")]
)
@pytest.mark.parametrize("n_steps", [1, 7, N_STEPS])
def test_sums_are_those_of_sql_to_the_last_digit(
    database: Engine, label: str | None, team: str, n_steps: int
) -> None:
    seed_teams(database)
    to_at = FROM + (n_steps - 1) * STEP
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


def test_filters_narrow_what_is_summed(database: Engine) -> None:
    seed_teams(database)
    assert set(costs(database, filters={"namespace": "prod"})) == {"prod"}
    assert set(costs(database, filters={"namespaces": ["lab"]})) == {"lab"}
    assert set(costs(database, filters={"label": {"team": "chat"}})) == {"lab", "prod"}
    assert costs(database, filters={"namespaces": []}) == {}
    later = costs(database, from_at=TO + timedelta(days=1), to_at=TO + timedelta(days=2))
    assert {row["cost_usd"] for row in later.values()} == {None}
