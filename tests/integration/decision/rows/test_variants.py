"""Workloads with variants through the decision service: counts, budgets, storage, replay."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP_S,
    add_demand,
    add_forecast,
    add_workload,
    decisions,
)
from tests.integration.decision.variant_rows import H100, L4, observe, seen, variants_of


def add_starts(engine: Engine, workload: int, **seconds: float) -> None:
    """Forty starts on each GPU type, that took so long."""
    requested = NOW - timedelta(hours=1)
    rows = [
        {
            "pod_uid": f"{gpu_type}-{i}", "workload_id": workload, "gpu_type": gpu_type,
            "requested_at": requested, "ready_at": requested + timedelta(seconds=lead_s),
            "observed_at": NOW,
        }
        for gpu_type, lead_s in seconds.items()
        for i in range(40)
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(schema.pod_starts.insert(), rows)


@pytest.fixture
def workload(database: Engine) -> int:
    found = add_workload(
        database, "llama", mode="Auto", variants=[H100, L4], max_replicas=60,
        target="Deployment/llama-h100", price_usd_per_gpu_hour=4.0,
    )  # fmt: skip
    add_demand(database, found, [95.0] * 30)
    add_forecast(database, found, 100.0)
    return found


def test_counts_are_decided_stored_explained_and_replayed(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    """L4 costs 5 USD/h per reference replica against 4: all stays on H100, and grows there."""
    observe(database, workload, NOW, h100=seen(8), l4=seen(0))
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    assert row["current_replicas"] == 8
    assert row["desired_replicas"] > 8
    assert variants_of(row) == {"h100": row["desired_replicas"], "l4": 0}
    assert row["variants"][0] == {
        "name": "h100", "gpu_type": "H100", "current": 8, "desired": row["desired_replicas"],
    }  # fmt: skip
    assert row["cost_delta_usd_per_h"] == pytest.approx(4.0 * (row["desired_replicas"] - 8))
    mix = service.explain(deps, row["id"])["mix"]
    assert "USD/h per reference replica: h100 4.00, l4 5.00" in mix["detail"]
    report = replay(deps, row["id"])
    assert report.is_identical
    assert report.record["mix"] == mix


def test_replicas_that_start_late_are_chosen_less_and_the_choice_is_replayed(
    deps: DecisionDeps, database: Engine
) -> None:
    """An L4 costs a tenth less per reference replica; once its pods take a quarter of an hour."""
    cheap = L4 | {"price_usd_per_gpu_hour": 1.8}
    found = add_workload(
        database, "llama", mode="Auto", variants=[H100, cheap], max_replicas=60,
        target="Deployment/llama-h100", price_usd_per_gpu_hour=4.0,
    )  # fmt: skip
    add_demand(database, found, [95.0] * 30)
    add_forecast(database, found, 100.0)
    observe(database, found, NOW, h100=seen(8), l4=seen(0))
    service.decide_shard(deps, 0, ORIGIN)
    (before,) = decisions(database)
    assert variants_of(before)["l4"] > 0
    add_starts(database, found, H100=60.0, L4=900.0)
    with database.begin() as connection:
        connection.execute(text("DELETE FROM decisions"))
    service.decide_shard(deps, 0, ORIGIN)
    (after,) = decisions(database)
    assert variants_of(after)["l4"] == 0
    assert variants_of(after)["h100"] > 8
    said = service.explain(deps, after["id"])["mix"]["detail"]
    assert re.search(r"a start is ready after h100 \d\d s, l4 \d\d\d s", said)
    assert replay(deps, after["id"]).is_identical


def test_a_workload_of_one_kind_has_no_variants(deps: DecisionDeps, database: Engine) -> None:
    found = add_workload(database, "plain")
    add_demand(database, found, [95.0] * 30)
    add_forecast(database, found, 100.0)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    assert row["variants"] is None
    assert "mix" not in row["explanation"]


def test_what_was_never_seen_is_left_as_it_is(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    assert row["reason"] == "hold_unknown_replicas"
    assert all(v["current"] == v["desired"] for v in row["variants"])


def test_a_variant_whose_target_was_not_seen_gets_nothing(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    observe(database, workload, NOW, h100=seen(8, schedulable_gpus=0))
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    assert variants_of(row) == {"h100": 8, "l4": 0}
    assert row["reason"] == "hold_not_schedulable"
    assert "l4: its target was not seen" in row["explanation"]["mix"]["detail"]


def test_starts_on_their_way_count_in_reference_replicas(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    """Six ready H100 and twelve L4, of which half serve: nine ready of twelve."""
    observe(database, workload, NOW, h100=seen(6), l4=seen(12, 6))
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    assert row["current_replicas"] == 12
    assert row["desired_replicas"] >= 11


def test_outcomes_charge_what_the_mix_holds(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    """Two H100 and eight L4 are ten GPUs at 28 USD/h, worth six reference replicas."""
    observe(database, workload, ORIGIN, h100=seen(2), l4=seen(8))
    service.decide_shard(deps, 0, ORIGIN)
    with database.connect() as connection:
        row = connection.execute(text("SELECT * FROM outcomes")).mappings().one()
    assert row["ready_mean"] == 6
    assert row["gpu_hours"] == pytest.approx(10 * STEP_S / 3600)
    assert row["cost_usd"] == pytest.approx(28 * STEP_S / 3600)


def test_a_snapshot_without_variants_is_no_measurement(
    deps: DecisionDeps, database: Engine, workload: int
) -> None:
    """Rows that were written before the workload had variants."""
    columns = (
        "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
        "pending_replicas", "start_ages_s", "schedulable_gpus",
    )  # fmt: skip
    row = (workload, NOW - timedelta(seconds=10), 8, 8, 0, 0, [], 100)
    with database.begin() as connection:
        copy_rows(connection, CopyTarget(schema.replica_states, columns, "error"), [row])
    service.decide_shard(deps, 0, ORIGIN)
    (found,) = decisions(database)
    assert found["reason"] == "hold_unknown_replicas"
