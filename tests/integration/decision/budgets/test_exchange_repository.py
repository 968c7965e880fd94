"""Rows of totals and parts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.decision.budgets import exchange_repository as repository
from services.kernel.db.clusters import add_cluster, set_total
from tests.integration.decision.stored_rows import NOW

pytestmark = pytest.mark.integration
LATER = NOW + timedelta(seconds=60)


def part(cluster_id: int, gpus: int) -> dict[str, Any]:
    row = {"cluster_id": cluster_id, "gpu_type": "H100", "gpus": gpus, "held_gpus": 1}
    return row | {"price": None, "now": NOW}


def test_a_total_is_due_until_a_part_of_it_is_stored(database: Engine) -> None:
    with database.begin() as connection:
        set_total(connection, "H100", 8, NOW)
        assert repository.load_due(connection, NOW - timedelta(seconds=1)) == {"H100": 8}
        repository.store_part(connection, part(1, 8))
        assert repository.load_due(connection, NOW - timedelta(seconds=1)) == {}
        assert repository.load_due(connection, NOW) == {"H100": 8}


def test_every_cluster_is_there_with_or_without_a_part(database: Engine) -> None:
    with database.begin() as connection:
        add_cluster(connection, "other", NOW)
        set_total(connection, "H100", 8, NOW)
        for gpus in (8, 5):
            repository.store_part(connection, part(1, gpus))
        found = [(r["cluster_id"], r["gpus"]) for r in repository.load_parts(connection, "H100")]
        assert found == [(1, 5), (2, None)]


def test_parts_go_with_their_total(database: Engine) -> None:
    with database.begin() as connection:
        set_total(connection, "H100", 8, NOW)
        repository.store_part(connection, part(1, 8))
        repository.drop_parts(connection)
        assert connection.execute(text("SELECT count(*) FROM cell_budgets")).scalar() == 1
        set_total(connection, "H100", None, LATER)
        repository.drop_parts(connection)
        assert connection.execute(text("SELECT count(*) FROM cell_budgets")).scalar() == 0


def test_one_exchange_waits_for_another(database: Engine) -> None:
    with database.begin() as first, database.begin() as second:
        repository.lock_parts(first)
        second.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with pytest.raises(Exception, match="lock timeout"):
            repository.lock_parts(second)
