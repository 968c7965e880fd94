"""Services with pools through the decision service: counts, outcomes, storage, replay."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from tests.integration.decision.pool_rows import add_loads, add_service
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP_S,
    add_demand,
    add_forecast,
    decisions,
)
from tests.integration.decision.variant_rows import observe, seen, variants_of


@pytest.fixture
def workload(database: Engine) -> int:
    return add_service(database)


def test_both_counts_are_decided_stored_explained_and_replayed(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    """Fifty requests/s need five prefill replicas; 2000 tokens/s need ten for decode."""
    add_loads(database, workload, rate=45.0, tokens=2000.0)
    observe(database, workload, NOW, prefill=seen(6), decode=seen(6))
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    counts = variants_of(row)
    assert row["current_replicas"] == 12
    assert row["desired_replicas"] == sum(counts.values())
    assert counts["decode"] >= 10
    assert counts["prefill"] <= 6
    assert row["direction"] == "up"
    decode = row["variants"][1]
    assert (decode["name"], decode["gpu_type"], decode["current"]) == ("decode", "A100", 6)
    change = {name: count - 6 for name, count in counts.items()}
    assert row["cost_delta_usd_per_h"] == pytest.approx(
        8 * change["prefill"] + 2 * change["decode"]
    )
    told = service.explain(deps, row["id"])
    assert f"{counts['prefill']} prefill + {counts['decode']} decode" in told["summary"]
    assert told["pools"]["bound_by"] == "decode"
    assert [pool["name"] for pool in told["pools"]["counts"]] == ["prefill", "decode"]
    report = replay(deps, row["id"])
    assert report.is_identical
    assert report.record["final"] == row["desired_replicas"]


def test_a_pool_on_spot_nodes_holds_for_their_interruptions(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    """Decode runs on three nodes of four replicas; such a node goes once in ten hours."""
    add_loads(database, workload, rate=45.0, tokens=2000.0)
    counts = {}
    for replicas in (0, 12):
        on_spot = {"spot": {"replicas": replicas, "nodes": 3, "leaving": 0}} if replicas else {}
        with database.begin() as connection:
            connection.execute(text("TRUNCATE decisions, replica_states"))
            connection.execute(
                text(
                    "INSERT INTO gpu_interruptions VALUES (1, 'A100', 40, 400, '{}', now()) "
                    "ON CONFLICT DO NOTHING"
                )
            )
        observe(database, workload, NOW, prefill=seen(6), decode=seen(12, **on_spot))
        service.decide_shard(deps, 0, ORIGIN)
        (row,) = decisions(database)
        counts[replicas] = variants_of(row)
        assert replay(deps, row["id"]).is_identical
    assert counts[12]["decode"] >= counts[0]["decode"] + 2
    prefill, decode = row["explanation"]["pools"]["counts"]
    assert "spot" not in prefill
    assert decode["spot"]["replicas"] == decode["spot"]["ready"] == 12
    assert decode["spot"]["held"] == counts[12]["decode"] - counts[0]["decode"]
    assert "of 12 decode 12 run on spot nodes" in row["explanation"]["summary"]
    assert "spot" not in row["explanation"]


def test_a_pool_that_was_not_seen_is_left_as_it_is(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    add_loads(database, workload, rate=45.0, tokens=2000.0)
    observe(database, workload, NOW, prefill=seen(6))
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    (decode,) = (pool for pool in row["explanation"]["pools"]["counts"] if pool["name"] == "decode")
    assert decode["reason"] == "hold_unknown_replicas"
    assert decode["current"] == decode["desired"]
    assert replay(deps, row["id"]).is_identical


def test_without_a_forecast_of_one_load_no_pool_is_planned(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    add_demand(database, workload, [45.0] * 30)
    add_forecast(database, workload, 45.0)
    observe(database, workload, NOW, prefill=seen(6), decode=seen(6))
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    assert row["rung"] != "model"
    assert row["explanation"]["further_loads"]["missing"] == ["output_tokens_per_s"]
    assert replay(deps, row["id"]).is_identical


def test_outcomes_are_those_of_the_tightest_pool(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    """38 requests/s on 4 replicas, 1900 tokens/s on 5 of which 10 are needed."""
    add_loads(database, workload, rate=40.0, tokens=2000.0)
    observe(database, workload, ORIGIN, prefill=seen(4), decode=seen(5))
    service.decide_shard(deps, 0, ORIGIN)
    with database.connect() as connection:
        row = connection.execute(text("SELECT * FROM outcomes")).mappings().one()
    assert row["demand"] == pytest.approx(38.0)
    assert row["ready_mean"] == 9
    assert row["ready_by_pool"] == {"prefill": 4.0, "decode": 5.0}
    assert row["needed_replicas"] == 4 + 10
    assert row["violation_ratio"] == 1.0
    assert row["shortage"] == pytest.approx(38.0 * 900.0 / 1900.0)
    assert row["gpu_hours"] == pytest.approx((4 * 2 + 5) * STEP_S / 3600)
    assert row["cost_usd"] == pytest.approx((4 * 2 * 4 + 5 * 2) * STEP_S / 3600)
