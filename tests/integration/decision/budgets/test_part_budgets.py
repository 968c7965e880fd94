"""Workloads with variants under GPU budgets: holdings and claims of each type."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.decision.budgets.holdings import Holding
from services.decision.budgets.part_budgets import granted_holdings, part_holdings
from services.decision.budgets.repository import load_part_holdings
from services.decision.decide.replay import replay
from services.kernel.domain import WorkloadSpec
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.variant_rows import H100, L4, observe, seen, variants_of


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
        assert replay(fleet.deps, row["id"]).is_identical
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
    assert replay(mixed_fleet.deps, row["id"]).is_identical


@pytest.mark.parametrize(("mode", "held"), [("Auto", 20), ("Approval", 10)])
def test_a_wish_of_variants_holds_nothing(mixed_fleet: MixedFleet, mode: str, held: int) -> None:
    """Neither for the other shards nor for what is decided next in its own."""
    fleet = mixed_fleet
    mixed = fleet.add("m", 0, 10, 130.0, mode=mode, variants=[H100, L4])
    fleet.clock.advance(1)
    observe(fleet.engine, mixed, fleet.clock.now(), h100=seen(10), l4=seen(0))
    fleet.budget(20, "H100")
    fleet.budget(0, "L4")
    row = fleet.decide(0)[mixed]
    assert variants_of(row)["h100"] > 10
    after = min(held, variants_of(row)["h100"])
    now, settings = fleet.clock.now(), fleet.deps.settings
    with fleet.engine.connect() as connection:
        (stored,) = load_part_holdings(connection, ["H100"], settings.policy_version, now)
        found = part_holdings(stored, ["H100"], settings, now)
    assert found[mixed, "H100"].held_replicas == after
    counts = [SimpleNamespace(name="h100", gpu_type="H100", current=10, desired=14)]
    member: Any = SimpleNamespace(
        id=mixed, spec=WorkloadSpec.model_validate(stored["spec"]), is_budgeted=True
    )
    whole = SimpleNamespace(mix=SimpleNamespace(budget_demand=()))
    made: Any = SimpleNamespace(counts=counts, member=member, whole=whole)
    before = {(mixed, "H100"): Holding(0, "H100", 1, 10)}
    granted, _ = granted_holdings(before, made, now)
    assert granted[mixed, "H100"].held_replicas == min(held, 14)
