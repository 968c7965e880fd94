"""Workloads with variants through the decision service: counts, budgets, storage, replay."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.decision.decide import service
from services.decision.decide.service import Deps
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP_S,
    add_demand,
    add_forecast,
    add_workload,
    decisions,
)

H100 = {
    "name": "h100", "target": "Deployment/llama-h100", "gpu_type": "H100", "gpus_per_replica": 1,
    "price_usd_per_gpu_hour": 4.0,
}  # fmt: skip
L4 = {
    "name": "l4", "target": "Deployment/llama-l4", "gpu_type": "L4", "gpus_per_replica": 1,
    "capacity_per_replica": 5.0, "price_usd_per_gpu_hour": 2.5, "max_replicas": 40,
}  # fmt: skip


def seen(spec: int, ready: int | None = None, **changes: Any) -> dict[str, Any]:
    n_ready = spec if ready is None else ready
    ages = [30.0] * (spec - n_ready)
    return {
        "spec": spec, "ready": n_ready, "starting": len(ages), "pending": 0,
        "start_ages_s": ages, "schedulable_gpus": 200, "held": "",
    } | changes  # fmt: skip


def observe(engine: Engine, workload: int, at: Any, **variants: dict[str, Any]) -> None:
    """A snapshot as the operator writes it; an L4 is worth half a reference replica."""
    worth = {"h100": 1.0, "l4": 0.5}
    total, ready = (
        int(sum(worth[name] * v[part] for name, v in variants.items()))
        for part in ("spec", "ready")
    )
    columns = (
        "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
        "pending_replicas", "start_ages_s", "schedulable_gpus", "variants",
    )  # fmt: skip
    row = (workload, at, total, ready, total - ready, 0, [], None, json.dumps(variants))
    with engine.begin() as connection:
        copy_rows(connection, CopyTarget(schema.replica_states, columns, "error"), [row])


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


def variants_of(row: Any) -> dict[str, int]:
    return {v["name"]: v["desired"] for v in row["variants"]}


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
    deps: Deps, database: Engine, workload: int
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
    report = service.replay(deps, row["id"])
    assert report.is_identical
    assert report.record["mix"] == mix


def test_replicas_that_start_late_are_chosen_less_and_the_choice_is_replayed(
    deps: Deps, database: Engine
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
    assert service.replay(deps, after["id"]).is_identical


def test_a_workload_of_one_kind_has_no_variants(deps: Deps, database: Engine) -> None:
    found = add_workload(database, "plain")
    add_demand(database, found, [95.0] * 30)
    add_forecast(database, found, 100.0)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    assert row["variants"] is None
    assert "mix" not in row["explanation"]


def test_what_was_never_seen_is_left_as_it_is(deps: Deps, database: Engine, workload: int) -> None:
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    assert row["reason"] == "hold_unknown_replicas"
    assert all(v["current"] == v["desired"] for v in row["variants"])


def test_a_variant_whose_target_was_not_seen_gets_nothing(
    deps: Deps, database: Engine, workload: int
) -> None:
    observe(database, workload, NOW, h100=seen(8, schedulable_gpus=0))
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    assert variants_of(row) == {"h100": 8, "l4": 0}
    assert row["reason"] == "hold_not_schedulable"
    assert "l4: its target was not seen" in row["explanation"]["mix"]["detail"]


def test_starts_on_their_way_count_in_reference_replicas(
    deps: Deps, database: Engine, workload: int
) -> None:
    """Six ready H100 and twelve L4, of which half serve: nine ready of twelve."""
    observe(database, workload, NOW, h100=seen(6), l4=seen(12, 6))
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(database)
    assert row["current_replicas"] == 12
    assert row["desired_replicas"] >= 11


def test_outcomes_charge_what_the_mix_holds(deps: Deps, database: Engine, workload: int) -> None:
    """Two H100 and eight L4 are ten GPUs at 28 USD/h, worth six reference replicas."""
    observe(database, workload, ORIGIN, h100=seen(2), l4=seen(8))
    service.decide_shard(deps, 0, ORIGIN)
    with database.connect() as connection:
        row = connection.execute(text("SELECT * FROM outcomes")).mappings().one()
    assert row["ready_mean"] == 6
    assert row["gpu_hours"] == pytest.approx(10 * STEP_S / 3600)
    assert row["cost_usd"] == pytest.approx(28 * STEP_S / 3600)


class MixedFleet(Fleet):
    """A fleet with workloads on H100 and L4, moved on as the operator would."""

    def add_mixed(self, name: str, shard: int, h100: int, level: float) -> int:
        found = self.add(name, shard, h100, level, variants=[H100, L4])
        self.clock.advance(1)
        observe(self.engine, found, self.clock.now(), h100=seen(h100), l4=seen(0))
        return found

    def step_mixed(self, mixed: list[int]) -> None:
        before = self.decisions()
        self.step()
        self.clock.advance(1)
        for workload in mixed:
            found = {name: seen(n) for name, n in variants_of(before[workload]).items()}
            observe(self.engine, workload, self.clock.now(), **found)


@pytest.fixture
def mixed_fleet(database: Engine, settings: Any) -> MixedFleet:
    return MixedFleet(database, settings)


def gpus(rows: dict[int, Any], mixed: list[int]) -> dict[str, int]:
    used = {"H100": 0, "L4": 0}
    for workload, row in rows.items():
        if workload in mixed:
            for v in row["variants"]:
                used[v["gpu_type"]] += v["desired"]
        else:
            used["H100"] += row["desired_replicas"]
    return used


def test_a_scarce_budget_moves_workloads_to_the_other_type_over_all_shards(
    mixed_fleet: MixedFleet,
) -> None:
    """Ten H100 each for two that may run on L4 and one that may not, in three shards. With a
    budget of 14 the one that cannot move keeps what it needs, the others go over to L4."""
    fleet = mixed_fleet
    plain = fleet.add("plain", 0, 10, 80.0)
    mixed = [fleet.add_mixed(f"m{i}", i + 1, 10, 80.0) for i in range(2)]
    free = fleet.decide(0, 1, 2)
    wanted = {w: free[w]["desired_replicas"] for w in (plain, *mixed)}
    assert all(variants_of(free[w])["l4"] == 0 for w in mixed)
    for _ in range(4):
        fleet.step_mixed(mixed)
        fleet.budget(14, "H100")
        rows = fleet.decide(0, 1, 2)
    used = gpus(rows, mixed)
    assert used["H100"] <= 14
    assert used["L4"] > 0
    assert rows[plain]["desired_replicas"] >= wanted[plain] - 1
    for workload in mixed:
        row = rows[workload]
        assert row["desired_replicas"] >= wanted[workload] - 1
        assert row["explanation"]["gpu_budget"]["gpu_type"] == "H100"
        assert row["explanation"]["mix"]["binding"] == "gpu_budget"
        assert service.replay(fleet.deps, row["id"]).is_identical
    assert max(r["explanation"]["gpu_budget"]["price_usd_per_gpu_hour"] for r in rows.values()) > 0


def test_claims_of_each_type_are_stored_and_used(mixed_fleet: MixedFleet) -> None:
    fleet = mixed_fleet
    mixed = [fleet.add_mixed(f"m{i}", i, 10, 80.0) for i in range(2)]
    fleet.budget(12, "H100")
    fleet.budget(100, "L4")
    fleet.decide(0, 1)
    with fleet.engine.connect() as connection:
        claims = connection.execute(text("SELECT * FROM variant_claims")).mappings().all()
    assert {(c["workload_id"], c["gpu_type"]) for c in claims} == {
        (w, t) for w in mixed for t in ("H100", "L4")
    }
    by_type = {t: next(c for c in claims if c["gpu_type"] == t) for t in ("H100", "L4")}
    assert by_type["H100"]["demand_gpus"][0] >= by_type["H100"]["demand_gpus"][-1]


def test_a_budget_that_cannot_be_read_allows_no_increase(mixed_fleet: MixedFleet) -> None:
    workload = mixed_fleet.add_mixed("m", 0, 6, 100.0)
    mixed_fleet.budget(None, "H100")
    mixed_fleet.budget(None, "L4")
    row = mixed_fleet.decide(0)[workload]
    assert variants_of(row) == {"h100": 6, "l4": 0}
    assert row["reason"] == "hold_budget_unreadable"
    assert service.replay(mixed_fleet.deps, row["id"]).is_identical


def test_a_snapshot_without_variants_is_no_measurement(
    deps: Deps, database: Engine, workload: int
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
