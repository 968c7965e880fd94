"""SQL of the shares: which shards there are, and which shares are good."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from decider import PRICES
from services.decision.budgets import shares_repository
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.stored_rows import NOW, STEP

pytestmark = pytest.mark.integration


def test_shards_are_those_with_an_active_workload(fleet: Fleet) -> None:
    ids = [fleet.add(f"w{n}", shard, 1, 10.0) for n, shard in enumerate((4, 0, 4, 9))]
    with fleet.engine.begin() as connection:
        assert shares_repository.load_shards(connection) == {0, 4, 9}
        assert shares_repository.load_own_shards(connection, ids[:2]) == {0, 4}
        connection.execute(text("UPDATE workloads SET is_active = false WHERE shard = 9"))
        assert shares_repository.load_shards(connection) == {0, 4}
        connection.execute(text("UPDATE workloads SET is_active = false"))
        assert shares_repository.load_shards(connection) == set()


def test_a_share_is_good_for_its_policy_until_its_time_and_its_next_mark(fleet: Fleet) -> None:
    fleet.add("w", 3, 1, 10.0)

    def is_fresh(policy: str = "p", after: timedelta = timedelta()) -> bool:
        with fleet.engine.connect() as connection:
            (row,) = shares_repository.load_shares(connection, ["H100"], [3], policy, NOW + after)
            assert (row["held_gpus"], len(row["demand_gpus"])) == (7, PRICES.size)
            return bool(row["is_fresh"])

    def store() -> None:
        with fleet.engine.begin() as connection:
            seen_in = shares_repository.load_snapshot(connection)
            row = ("H100", 3, "p", 7, [1] * PRICES.size, seen_in, NOW + STEP)
            shares_repository.store_shares(connection, [row], NOW)

    store()
    assert is_fresh()
    assert not is_fresh("another")
    assert not is_fresh(after=STEP)
    with fleet.engine.begin() as connection:
        connection.execute(text("INSERT INTO gpu_share_marks (shard) VALUES (2), (3)"))
    assert not is_fresh()
    store()
    assert is_fresh()
    with fleet.engine.connect() as connection:
        left = connection.execute(text("SELECT shard FROM gpu_share_marks")).scalars().all()
    assert left == [2]


def test_marks_are_kept_for_no_share_that_is_forgotten(fleet: Fleet) -> None:
    def store(gpu_type: str, now: datetime) -> None:
        with fleet.engine.begin() as connection:
            seen_in = shares_repository.load_snapshot(connection)
            row = (gpu_type, 3, "p", 7, [1] * PRICES.size, seen_in, now + STEP)
            shares_repository.store_shares(connection, [row], now)

    def n_marks() -> int:
        with fleet.engine.connect() as connection:
            query = text("SELECT count(*) FROM gpu_share_marks")
            return int(connection.execute(query).scalar_one())

    def n_known(now: datetime) -> int:
        with fleet.engine.connect() as connection:
            return len(shares_repository.load_shares(connection, ["A100"], [3], "p", now))

    fleet.add("w", 3, 1, 10.0)
    store("A100", NOW)
    with fleet.engine.begin() as connection:
        connection.execute(text("INSERT INTO gpu_share_marks (shard) VALUES (3)"))
    ends = NOW + STEP
    forgotten = shares_repository.FORGOTTEN_AFTER
    store("H100", ends + forgotten)
    assert (n_known(ends + forgotten - timedelta(seconds=1)), n_marks()) == (1, 1)
    # forgotten already, though a process whose clock is behind may know it still
    assert (n_known(ends + forgotten), n_marks()) == (0, 1)
    store("H100", ends + 2 * forgotten)
    assert n_marks() == 0
