"""Two clusters in one database: budgets of their own, and a total that moves by prices alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.decision.budgets.exchange import exchange_parts
from services.decision.budgets.repository import load_budgets
from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster, set_total
from services.kernel.settings import Settings
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.stored_rows import NOW, STEP_S

pytestmark = pytest.mark.integration
THERE = SHARDS_PER_CLUSTER
TOTAL = 24


@pytest.fixture
def fleet(database: Engine, settings: Settings) -> Fleet:
    with database.begin() as connection:
        add_cluster(connection, "other", NOW)
    return Fleet(database, settings)


def parts(fleet: Fleet) -> list[tuple[int, int, int]]:
    """(cluster, part, held) of H100."""
    with fleet.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT cluster_id, gpus, held_gpus FROM cell_budgets ORDER BY cluster_id")
        )
        return [(row[0], row[1], row[2]) for row in rows]


def test_a_budget_of_one_cluster_is_not_spent_by_another(fleet: Fleet) -> None:
    mine = fleet.add("w", 0, 4, 150.0)
    theirs = fleet.add("x", THERE, 4, 150.0)
    with fleet.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO gpu_budgets (cluster_id, gpu_type, gpus, source, observed_at) "
                "VALUES (1, 'H100', 6, 'GPUBudget/mine', :now)"
            ),
            {"now": NOW},
        )
    made = fleet.decide(0) | fleet.decide(THERE)
    assert made[mine]["desired_replicas"] == 6
    assert made[theirs]["desired_replicas"] > 15


@pytest.mark.slow
def test_parts_move_toward_the_higher_price_and_never_beyond_the_total(fleet: Fleet) -> None:
    fleet.add("calm", 0, 10, 30.0)
    fleet.add("busy", THERE, 10, 220.0)
    with fleet.engine.begin() as connection:
        set_total(connection, "H100", TOTAL, NOW)
    seen = []
    for _ in range(24):
        exchange_parts(fleet.deps)
        fleet.decide(0)
        fleet.decide(THERE)
        found = parts(fleet)
        assert sum(part for _, part, _ in found) <= TOTAL
        assert sum(max(part, held) for _, part, held in found) <= TOTAL, found
        assert exchange_parts(fleet.deps) == 0, "once per step"
        seen.append(found)
        fleet.step()
    first, last = seen[0], seen[-1]
    assert first[0][1] >= 10
    assert last[1][1] >= 18, "most of it is where a GPU is worth most"
    assert last[0][1] >= 3, "and nobody goes without what is needed"


def test_a_cluster_without_a_part_adds_nothing(fleet: Fleet) -> None:
    with fleet.engine.begin() as connection:
        set_total(connection, "H100", TOTAL, NOW)
        (row,) = load_budgets(connection, ["H100"], 2)
        assert row["gpus"] is None
    exchange_parts(fleet.deps)
    with fleet.engine.begin() as connection:
        (row,) = load_budgets(connection, ["H100"], 2)
        assert (row["gpus"], row["observed_at"]) == (TOTAL // 2, NOW)
        set_total(connection, "H100", None, NOW)
        assert load_budgets(connection, ["H100"], 2) == []
    fleet.clock.advance(timedelta(seconds=STEP_S).total_seconds())
    exchange_parts(fleet.deps)
    assert parts(fleet) == []
