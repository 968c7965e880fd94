"""Holdings added up by shard are those of reading every workload, whatever changed meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, text

from services.decision.budgets import repository
from services.decision.budgets.holdings import Holding, to_holding
from services.decision.budgets.part_budgets import PartHoldings, part_holdings
from services.decision.budgets.shares import ShareReader, by_shard
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.stored_rows import STEP_S
from tests.integration.decision.variant_rows import H100, L4, observe, seen

pytestmark = pytest.mark.integration

TYPES = ("H100", "L4")


def reader(fleet: Fleet, connection: Connection) -> ShareReader:
    return ShareReader(connection, fleet.deps.settings, TYPES, fleet.clock.now())


def every(fleet: Fleet, connection: Connection) -> dict[tuple[str, int], tuple[int, list[int]]]:
    """By type and shard what is held and would be taken, by reading every workload."""
    settings, now = fleet.deps.settings, fleet.clock.now()
    given = (connection, TYPES, settings.policy_version, now)
    found: list[Holding] = [to_holding(r, settings, now) for r in repository.load_holdings(*given)]
    parts: PartHoldings = {}
    for row in repository.load_part_holdings(*given):
        parts |= part_holdings(row, TYPES, settings, now)
    found += parts.values()
    return {
        (one.gpu_type, one.shard): (one.held_gpus, one.demand_gpus.tolist())
        for t in TYPES
        for one in by_shard(h for h in found if h.gpu_type == t)
        if one.is_any
    }


def added_up(fleet: Fleet, own: int) -> dict[tuple[str, int], tuple[int, list[int]]]:
    """The same by a ledger of one workload's shard; committed, as a decision's."""
    with fleet.engine.begin() as connection:
        found = reader(fleet, connection).read([own])
    mine = [*found.holdings.values(), *found.by_part.values()]
    shares = [one for t in TYPES for one in by_shard(h for h in mine if h.gpu_type == t)]
    return {
        (one.gpu_type, one.shard): (one.held_gpus, one.demand_gpus.tolist())
        for one in (*shares, *found.shares)
        if one.is_any
    }


def change(fleet: Fleet, rng: np.random.Generator, ids: list[int], mixed: list[int]) -> None:
    """Something that changes a holding, as somebody else commits it."""
    kind, workload = rng.integers(8), int(rng.choice(ids))
    if kind == 0:
        fleet.observe(workload, int(rng.integers(1, 30)))
    elif kind == 1:
        fleet.decide(int(rng.integers(4)))
    elif kind == 2:
        fleet.step()
    elif kind == 3:
        fleet.clock.advance(STEP_S * float(rng.uniform(0, 4)))
    elif kind == 4:
        values = {"id": workload, "n": int(rng.integers(1, 4)), "now": fleet.clock.now()}
        with fleet.engine.begin() as connection:
            connection.execute(
                text("UPDATE workloads SET spec = spec || jsonb_build_object('gpus_per_replica', "
                     "CAST(:n AS int)), updated_at = :now WHERE id = :id"), values,
            )  # fmt: skip
    elif kind == 5:
        with fleet.engine.begin() as connection:
            connection.execute(
                text("UPDATE workloads SET is_active = NOT is_active WHERE id = :id"),
                {"id": workload},
            )
    elif kind == 6:
        _intend(fleet, workload, int(rng.integers(1, 30)))
    else:
        counts = {"h100": seen(int(rng.integers(9))), "l4": seen(int(rng.integers(9)))}
        observe(fleet.engine, int(rng.choice(mixed)), fleet.clock.now(), **counts)
    fleet.clock.advance(1)


def _intend(fleet: Fleet, workload: int, replicas: int) -> None:
    values: dict[str, Any] = {"id": workload, "n": replicas, "now": fleet.clock.now()}
    with fleet.engine.begin() as connection:
        gone = connection.execute(text("DELETE FROM intents WHERE workload_id = :id"), values)
        if not gone.rowcount:
            connection.execute(
                text("INSERT INTO intents (decision_id, attempt, origin_at, workload_id, "
                     "from_replicas, to_replicas, targets, created_at) "
                     "VALUES (:id, 1, :now, :id, 1, :n, '[]', :now)"), values,
            )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_what_reading_every_workload_gives_after_any_change(
    fleet: Fleet, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    ids = [fleet.add(f"w{n}", n % 4, 5 + n, 100.0 + 10 * n) for n in range(6)]
    mixed = [
        fleet.add(f"m{n}", n % 4, 4, 80.0, variants=[H100, L4], mode=mode)
        for n, mode in enumerate(("Auto", "Advisory"))
    ]
    fleet.clock.advance(1)
    for workload in mixed:
        observe(fleet.engine, workload, fleet.clock.now(), h100=seen(4), l4=seen(0))
        fleet.clock.advance(1)
    fleet.budget(60)
    fleet.budget(20, "L4")
    for _ in range(14):
        change(fleet, rng, [*ids, *mixed], mixed)
        fleet.budget(60)
        fleet.budget(20, "L4")
        own = int(rng.choice(ids))
        with fleet.engine.connect() as connection:
            expected = every(fleet, connection)
        assert added_up(fleet, own) == expected


def test_what_commits_after_a_share_was_read_is_not_missed(fleet: Fleet) -> None:
    """A mark with an older transaction than the reader's snapshot, seen by nobody yet."""
    own, other = fleet.add("a", 0, 5, 50.0), fleet.add("b", 1, 5, 50.0)
    fleet.budget(60)
    added_up(fleet, own)
    statement = text(
        "UPDATE workloads SET spec = spec || '{\"gpus_per_replica\": 3}' WHERE id = :b"
    )
    with fleet.engine.connect() as connection:
        begun = connection.begin()
        connection.execute(statement, {"b": other})
        before = added_up(fleet, own)
        begun.commit()
    after = added_up(fleet, own)
    assert (before["H100", 1][0], after["H100", 1][0]) == (5, 15)


def test_marks_go_once_every_share_has_seen_them_and_none_is_made_without_a_budget(
    fleet: Fleet,
) -> None:
    own, other = fleet.add("a", 0, 5, 50.0), fleet.add("b", 1, 5, 50.0)
    fleet.clock.advance(1)
    fleet.observe(other, 7)
    assert n_rows(fleet, "gpu_share_marks") == 0
    fleet.budget(60)
    added_up(fleet, own)
    fleet.clock.advance(1)
    fleet.observe(other, 7)
    assert n_rows(fleet, "gpu_share_marks") == 0, "the counts are those before"
    fleet.clock.advance(1)
    fleet.observe(other, 8)
    assert n_rows(fleet, "gpu_share_marks") == 1
    assert added_up(fleet, own)["H100", 1][0] == 8
    assert n_rows(fleet, "gpu_share_marks") == 0
    with fleet.engine.begin() as connection:
        connection.execute(text("DELETE FROM gpu_budgets"))
    assert n_rows(fleet, "gpu_shares WHERE gpu_type = 'H100'") == 0


def test_a_share_is_good_until_a_claim_or_a_decision_runs_out(fleet: Fleet) -> None:
    own = fleet.add("a", 0, 5, 50.0)
    fleet.add("b", 1, 5, 150.0)
    fleet.budget(60)
    fleet.decide(1)
    added_up(fleet, own)
    granted = added_up(fleet, own)["H100", 1][0]
    assert granted > 5
    fleet.clock.advance(timedelta(hours=1).total_seconds())
    assert added_up(fleet, own)["H100", 1][0] == 5


def n_rows(fleet: Fleet, table: str) -> int:
    with fleet.engine.connect() as connection:
        query = text(f"SELECT count(*) FROM {table}")
        return int(connection.execute(query).scalar_one())


def test_what_was_last_known_is_neither_locked_nor_added_up_anew(fleet: Fleet) -> None:
    own, other = fleet.add("a", 0, 5, 50.0), fleet.add("b", 1, 5, 50.0)
    fleet.budget(60)
    with fleet.engine.begin() as connection:
        assert reader(fleet, connection).last_known([own]) == ()
    added_up(fleet, own)
    fleet.clock.advance(1)
    fleet.observe(other, 9)
    with fleet.engine.begin() as holder, fleet.engine.begin() as connection:
        repository.lock_budgets(holder, TYPES)
        known = reader(fleet, connection).last_known([own])
        assert [(one.gpu_type, one.shard, one.held_gpus) for one in known] == [("H100", 1, 5)]
    assert n_rows(fleet, "gpu_share_marks") == 1, "it is added up by the next ledger"
    assert added_up(fleet, own)["H100", 1][0] == 9
