"""The ledger of GPU budgets on a real Postgres: claims, holdings, the lock, and being run twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from decider import PRICES
from services.decision.budgets import budgets, repository
from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.rows.members import to_member
from services.decision.rows.repository import (
    DECISION_COLUMNS,
    load_changes,
    load_workloads,
    store_decisions,
)
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.stored_rows import NOW, STEP

pytestmark = pytest.mark.integration


def test_a_decision_under_a_budget_is_made_again_from_its_inputs(fleet: Fleet) -> None:
    a = fleet.add("a", 0, 10, 150.0)
    fleet.add("b", 1, 12, 115.0)
    fleet.budget(25)
    decision = fleet.decide(0)[a]
    assert replay(fleet.deps, decision["id"]).is_identical


def test_claims_are_stored_for_workloads_that_can_be_cut(fleet: Fleet) -> None:
    auto = fleet.add("auto", 0, 10, 150.0)
    fleet.add("advised", 0, 10, 150.0, mode="Advisory")
    fleet.budget(100)
    fleet.decide(0)
    with fleet.engine.connect() as connection:
        (row,) = connection.execute(text("SELECT * FROM gpu_claims")).mappings()
    assert row["workload_id"] == auto
    assert len(row["demand_replicas"]) == PRICES.size
    assert row["claimed_at"] == fleet.clock.now()


def test_shards_that_decide_at_the_same_time_never_exceed_the_budget(fleet: Fleet) -> None:
    """Four shards, four connections: each would take all of what is free."""
    workloads = [fleet.add(f"w{n}", n, 5, 200.0) for n in range(4)]
    fleet.budget(30)
    gate = threading.Barrier(4)

    def run(shard: int) -> None:
        gate.wait(30)
        service.decide_shard(fleet.deps, shard, fleet.origin)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    found = fleet.decisions()
    granted = [found[w]["desired_replicas"] for w in workloads]
    assert sum(max(5, n) for n in granted) <= 30
    assert sum(granted) >= 28  # and it is used


def test_the_lock_is_held_until_the_decisions_are_committed(fleet: Fleet) -> None:
    """A second connection waits at the lock, and then sees what the first one granted."""
    a = fleet.add("a", 0, 10, 150.0)
    b = fleet.add("b", 1, 10, 150.0)
    fleet.budget(25)
    done = threading.Event()

    def second() -> None:
        service.decide_shard(fleet.deps, 1, fleet.origin)
        done.set()

    with fleet.engine.begin() as connection:
        repository.lock_budgets(connection, ["H100", "L4"])
        thread = threading.Thread(target=second)
        thread.start()
        _wait_for_a_lock(fleet.engine)
        assert not done.is_set()
        row = (10_000, fleet.origin, a, 10_000, fleet.deps.settings.policy_version)
        _grant(connection, row, fleet.clock.now(), 14)
    thread.join(30)
    assert done.is_set()
    assert fleet.decisions()[b]["desired_replicas"] == 11


def _wait_for_a_lock(engine: Engine) -> None:
    """Returns once some session of this database waits for an advisory lock."""
    query = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    for _ in range(2000):
        with engine.connect() as connection:
            if connection.execute(query).scalar_one():
                return
    pytest.fail("nobody waits for the lock")


def _grant(connection: Any, key: tuple[Any, ...], now: datetime, replicas: int) -> None:
    columns = DECISION_COLUMNS
    row = dict.fromkeys(columns)
    names = ("id", "origin_at", "workload_id", "forecast_id", "policy_version")
    row |= dict(zip(names, key, strict=True))
    row |= {
        "decided_at": now, "valid_until": now + 3 * STEP, "current_replicas": 10,
        "raw_replicas": replicas, "desired_replicas": replicas, "direction": "up",
        "reason": "scale_up_risk", "rung": "model", "risk_target": 0.01,
        "cost_delta_usd_per_h": 0.0, "explanation": "{}",
    }  # fmt: skip
    store_decisions(connection, [tuple(row.values())])


def test_a_decision_that_has_expired_or_is_not_applied_grants_nothing(fleet: Fleet) -> None:
    a = fleet.add("a", 0, 10, 150.0)
    later = fleet.clock.now() + 4 * STEP
    with fleet.engine.begin() as connection:
        row = (10_000, fleet.origin, a, 10_000, fleet.deps.settings.policy_version)
        _grant(connection, row, fleet.clock.now(), 14)
        found = {}
        for at in (fleet.clock.now(), later):
            (holding,) = repository.load_holdings(
                connection, ["H100"], fleet.deps.settings.policy_version, at
            )
            found[at] = budgets.to_holding(holding, fleet.deps.settings, at).held_replicas
    assert list(found.values()) == [14, 10]


def test_a_wish_grants_nothing_until_it_is_being_made(fleet: Fleet) -> None:
    a = fleet.add("a", 0, 10, 150.0, mode="Approval")
    now, version = fleet.clock.now(), fleet.deps.settings.policy_version
    held = []
    with fleet.engine.begin() as connection:
        _grant(connection, (10_000, fleet.origin, a, 10_000, version), now, 14)
        for is_approved in (False, True):
            if is_approved:
                announce(connection, a, now, '[{"name": "", "from": 10, "to": 16}]')
            (holding,) = repository.load_holdings(connection, ["H100"], version, now)
            held.append(budgets.to_holding(holding, fleet.deps.settings, now).held_replicas)
    assert held == [10, 16]


def test_deciding_twice_changes_nothing(fleet: Fleet) -> None:
    fleet.add("a", 0, 10, 150.0)
    fleet.budget(12)
    first = fleet.decide(0)
    assert fleet.decide(0) == first


def test_a_ledger_without_budgets_reads_nothing_more(fleet: Fleet) -> None:
    fleet.add("a", 0, 10, 150.0)
    with fleet.engine.connect() as connection:
        member = to_member(load_workloads(connection, 0)[0])
        empty = budgets.open_ledger(connection, fleet.deps.settings, [member], NOW)
        assert (empty.budgets, empty.holdings) == ({}, {})
    fleet.budget(12)
    with fleet.engine.connect() as connection:
        ledger = budgets.open_ledger(connection, fleet.deps.settings, [member], NOW)
        assert ledger.budgets == {"H100": 12}
        assert [h.held_replicas for h in ledger.holdings.values()] == [10]
        ledger.holdings[7] = replace(
            ledger.holdings[member.id], shard=3, held_replicas=2, demand=None
        )
        rest = ledger.elsewhere("H100", {member.id})
        assert rest.held_gpus.tolist() == [2]
        assert rest.demand_gpus.tolist() == [[2] * PRICES.size]


def announce(connection: Any, workload: int, now: datetime, targets: str) -> None:
    """Store an intent as the operator does."""
    statement = text(
        "INSERT INTO intents (decision_id, attempt, origin_at, workload_id, from_replicas, "
        "to_replicas, targets, created_at) VALUES (1, 1, :now, :workload, 10, 16, "
        "CAST(:targets AS jsonb), :now)"
    )
    connection.execute(statement, {"now": now, "workload": workload, "targets": targets})


def test_a_scaling_whose_outcome_is_open_holds_what_it_asks_for(fleet: Fleet) -> None:
    """Its decision may have been followed by one that asks for less."""
    a = fleet.add("a", 0, 10, 150.0)
    now, version = fleet.clock.now(), fleet.deps.settings.policy_version
    with fleet.engine.begin() as connection:
        _grant(connection, (10_000, fleet.origin, a, 10_000, version), now, 12)
        announce(connection, a, now, '[{"name": "", "from": 10, "to": 16}]')
        (holding,) = repository.load_holdings(connection, ["H100"], version, now)
        (change,) = load_changes(connection, [a], now - STEP, now)
    assert budgets.to_holding(holding, fleet.deps.settings, now).held_replicas == 16
    assert (change["to_replicas"], change["applied_at"]) == (16, now)
