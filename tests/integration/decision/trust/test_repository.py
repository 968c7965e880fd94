"""Rows of the trust gate: whose look is due, what models asked for, and verdicts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text

from services.decision.trust import repository
from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from tests.integration.decision.stored_rows import NOW, ORIGIN, STEP, add_workload

pytestmark = pytest.mark.integration


def add_decision(
    engine: Engine,
    workload: int,
    number: int,
    origin_at: datetime,
    *,
    raw: int,
    risk: float | None = 0.01,
    asked: int | None = None,
    version: str = "harmony-1",
    held: int = 0,
) -> None:
    """Store a decision; without a risk its explanation says what the model asked for.

    With what was `held` of it because spot nodes may be interrupted.
    """
    explanation = {"spot": {"held": held}} if held and asked is None else {}
    if asked is not None:
        explanation = {"model_replicas": asked} | ({"model_held": held} if held else {})
    row = {
        "id": number, "origin_at": origin_at, "workload_id": workload, "forecast_id": number,
        "policy_version": version, "decided_at": NOW, "valid_until": NOW, "current_replicas": 1,
        "raw_replicas": raw, "desired_replicas": raw, "direction": "hold", "reason": "hold",
        "rung": "model", "risk_target": 0.01, "risk_estimated": risk, "cost_delta_usd_per_h": 0.0,
        "explanation": explanation,
    }  # fmt: skip
    with engine.begin() as connection:
        ensure_partitions(connection, "decisions", origin_at, origin_at)
        connection.execute(insert(schema.decisions).values(row))


def verdict(workload: int, at: datetime, *, is_trusted: bool = True) -> tuple[Any, ...]:
    scores, state = json.dumps({"loss": 1.5}), json.dumps({"n": 1})
    return workload, is_trusted, "because", scores, 3, state, at


def test_a_shard_is_due_while_a_verdict_of_an_active_workload_is_old_or_missing(
    database: Engine,
) -> None:
    ids = [add_workload(database, name) for name in ("new", "old", "fresh", "gone")]
    with database.begin() as connection:
        for shard, workload in enumerate(ids):
            connection.execute(
                text("UPDATE workloads SET shard = :shard, is_active = name <> 'gone' "
                     "WHERE id = :id"),
                {"shard": 3 - shard, "id": workload},
            )  # fmt: skip
        rows = [verdict(ids[1], NOW), verdict(ids[2], NOW + STEP)]
        assert repository.store_verdicts(connection, rows) == 2
        assert repository.load_due_shards(connection, NOW) == [2, 3]
        assert repository.load_due_shards(connection, NOW - STEP) == [3]
        assert repository.load_due_shards(connection, NOW + STEP) == [1, 2, 3]


def test_a_verdict_replaces_its_workloads_last(database: Engine) -> None:
    one, other = add_workload(database, "a"), add_workload(database, "b")
    with database.begin() as connection:
        repository.store_verdicts(connection, [verdict(one, NOW), verdict(other, NOW)])
        repository.store_verdicts(connection, [verdict(one, NOW + STEP, is_trusted=False)])
        (row,) = repository.load_verdicts(connection, [one])
        assert len(repository.load_verdicts(connection, [one, other])) == 2
    assert (row["is_trusted"], row["decided_at"]) == (False, NOW + STEP)
    assert (row["scores"], row["state"], row["n_looks"]) == ({"loss": 1.5}, {"n": 1}, 3)


def test_what_a_model_asked_for_is_its_count_or_what_the_explanation_says(
    database: Engine,
) -> None:
    one, other = add_workload(database, "a"), add_workload(database, "b")
    add_decision(database, one, 5, ORIGIN, raw=5)
    add_decision(database, one, 4, ORIGIN, raw=4)
    add_decision(database, one, 3, ORIGIN - STEP, raw=3, risk=None, asked=30)
    add_decision(database, one, 2, ORIGIN - 2 * STEP, raw=2, risk=None)
    add_decision(database, one, 1, ORIGIN - 3 * STEP, raw=1)
    add_decision(database, one, 6, ORIGIN, raw=6, version="other")
    add_decision(database, other, 7, ORIGIN, raw=7)
    with database.connect() as connection:
        since = ORIGIN - 2 * STEP
        (row,) = repository.load_model_counts(connection, [one], since, "harmony-1")
    assert row["workload_id"] == one
    assert list(row["replicas"]) == [None, 30, 4, 5]
    assert list(row["origins_s"]) == [
        at.timestamp() for at in (ORIGIN - 2 * STEP, ORIGIN - STEP, ORIGIN, ORIGIN)
    ]


def test_what_is_held_because_spot_nodes_may_go_is_not_what_a_forecast_asked_for(
    database: Engine,
) -> None:
    one, other = add_workload(database, "a"), add_workload(database, "b")
    add_decision(database, one, 1, ORIGIN - STEP, raw=15, risk=None, asked=30, held=4)
    add_decision(database, one, 2, ORIGIN, raw=14, held=3)
    add_decision(database, one, 3, ORIGIN + STEP, raw=13)
    add_decision(database, other, 4, ORIGIN, raw=7)
    state = {
        "workload_id": one, "observed_at": ORIGIN, "spec_replicas": 12, "ready_replicas": 12,
        "starting_replicas": 0, "pending_replicas": 0, "start_ages_s": [], "spot_replicas": 8,
        "spot_nodes": 2,
    }  # fmt: skip
    with database.begin() as connection:
        ensure_partitions(connection, "replica_states", ORIGIN, ORIGIN)
        connection.execute(insert(schema.replica_states).values(state))
        found = repository.load_model_counts(connection, [one, other], ORIGIN - STEP, "harmony-1")
    counts = {row["workload_id"]: list(row["replicas"]) for row in found}
    assert counts == {one: [26, 11, 13], other: [7]}


def test_measured_demand_is_in_order_of_time_with_what_is_unknown(database: Engine) -> None:
    one, other = add_workload(database, "a"), add_workload(database, "b")
    rows = [
        {"workload_id": workload, "step_at": ORIGIN - back * STEP, "demand": value,
         "computed_at": NOW}
        for workload, back, value in (
            (one, 0, 4.0), (one, 1, None), (one, 2, 2.0), (one, 3, 1.0), (other, 0, 9.0),
        )
    ]  # fmt: skip
    with database.begin() as connection:
        ensure_partitions(connection, "outcomes", ORIGIN - timedelta(days=1), ORIGIN)
        connection.execute(insert(schema.outcomes), rows)
        (row,) = repository.load_measured_demand(connection, [one], ORIGIN - 2 * STEP)
    assert (row["workload_id"], list(row["demand"])) == (one, [2.0, None, 4.0])
    assert list(row["steps_s"]) == [(ORIGIN - back * STEP).timestamp() for back in (2, 1, 0)]


def test_a_shard_is_looked_at_by_one_at_a_time(database: Engine) -> None:
    query = text("SELECT pg_try_advisory_xact_lock(hashtext('harmony_trust'), :shard)")
    with database.connect() as one, database.connect() as other:
        repository.lock_shard(one, 1)
        assert not other.execute(query, {"shard": 1}).scalar_one()
        assert other.execute(query, {"shard": 2}).scalar_one()
        one.rollback()
        assert other.execute(query, {"shard": 1}).scalar_one()
