"""GPUs of a budget, counted."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.budgets.budget_rows import Fleet, one

pytestmark = pytest.mark.integration


def test_used_and_free_are_counted_in_gpus_over_the_active_workloads_of_the_type(
    viewer: AppClient, fleet: Fleet
) -> None:
    fleet.add("plain", 4)  # an H100 by default
    fleet.add("gang", 3, gpu_type="H100", gpus_per_replica=4)
    fleet.add("other", 50, gpu_type="L4")
    gone = fleet.add("gone", 7)
    with fleet.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET is_active = false WHERE id = :id"), {"id": gone}
        )
    fleet.budget("H100", 20)
    fleet.budget("L4", 40)
    hopper, ada = viewer.get("/v1/budgets").json()["items"]
    assert (hopper["gpu_type"], hopper["gpus"], hopper["source"]) == ("H100", 20, "GPUBudget/b")
    assert (hopper["used_gpus"], hopper["free_gpus"], hopper["n_workloads"]) == (16, 4, 2)
    assert (ada["used_gpus"], ada["free_gpus"]) == (50, -10)  # exceeded
    assert one(viewer) == hopper
    assert (hopper["price_usd_per_gpu_hour"], hopper["decided_at"]) == (None, None)


def test_variants_count_towards_the_budget_of_their_own_type(
    viewer: AppClient, fleet: Fleet
) -> None:
    """Three H100 of two GPUs and five L4 of one workload; the budget that cut it names it."""
    fleet.budget("H100", 10)
    fleet.budget("L4", 20)
    fleet.add("plain", 1, gpu_type="H100", gpus_per_replica=1)
    kinds = [
        {"name": "a", "target": "Deployment/a", "gpu_type": "H100", "gpus_per_replica": 2},
        {"name": "b", "target": "Deployment/b", "gpu_type": "L4", "gpus_per_replica": 1},
    ]
    mixed = fleet.add("mixed", 8, variants=kinds)
    with fleet.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE replica_states SET variants = CAST(:seen AS jsonb) WHERE workload_id = :id"
            ),
            {"seen": json.dumps({"a": {"spec": 3}, "b": {"spec": 5}}), "id": mixed},
        )
    fleet.decide(mixed, 9, 8)
    h100, l4 = one(viewer), one(viewer, "L4")
    assert (h100["n_workloads"], h100["used_gpus"]) == (2, 7)
    assert (l4["n_workloads"], l4["used_gpus"]) == (1, 5)
    assert [item["workload"] for item in h100["gave_up"]] == ["mixed"]
    assert l4["gave_up"] == []


def test_a_count_that_was_spoilt_by_hand_counts_as_left_out(
    viewer: AppClient, fleet: Fleet
) -> None:
    fleet.budget("H100", 10)
    fleet.add("plain", 2)
    spoilt = fleet.add("spoilt", 3)
    parts = fleet.add("parts", 8)
    change = text("UPDATE workloads SET spec = spec || CAST(:given AS jsonb) WHERE id = :id")
    kinds = [{"name": "a", "gpu_type": "H100", "gpus_per_replica": {}}, "b"]
    with fleet.engine.begin() as connection:
        connection.execute(change, {"id": spoilt, "given": '{"gpus_per_replica": "many"}'})
        connection.execute(change, {"id": parts, "given": json.dumps({"variants": kinds})})
        connection.execute(
            text(
                "UPDATE replica_states SET variants = CAST(:seen AS jsonb) WHERE workload_id = :id"
            ),
            {"id": parts, "seen": '{"a": {"spec": 1}}'},
        )
    assert one(viewer)["used_gpus"] == 6


def test_a_part_that_the_snapshot_does_not_know_is_unknown_and_not_zero(
    viewer: AppClient, fleet: Fleet
) -> None:
    """As right after a workload got variants, or one more."""
    fleet.budget("H100", 10)
    fleet.budget("L4", 20)
    fleet.add("plain", 1, gpu_type="H100", gpus_per_replica=1)
    kinds = [
        {"name": "a", "target": "Deployment/a", "gpu_type": "H100", "gpus_per_replica": 2},
        {"name": "b", "target": "Deployment/b", "gpu_type": "L4", "gpus_per_replica": 1},
    ]
    mixed = fleet.add("mixed", 8, variants=kinds)
    for gpu_type in ("H100", "L4"):
        found = one(viewer, gpu_type)
        assert (found["used_gpus"], found["free_gpus"]) == (None, None)
        assert found["n_unmeasured"] == 1
    with fleet.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE replica_states SET variants = CAST(:seen AS jsonb) WHERE workload_id = :id"
            ),
            {"seen": json.dumps({"a": {"spec": 3}}), "id": mixed},
        )
    assert one(viewer)["used_gpus"] == 7
    assert one(viewer, "L4")["used_gpus"] is None


def test_the_price_of_a_budget_is_that_of_its_own_type(viewer: AppClient, fleet: Fleet) -> None:
    """A decision about variants of two types is explained by the budget of one of them."""
    fleet.budget("H100", 10)
    fleet.budget("L4", 20)
    kinds = [
        {"name": "a", "target": "Deployment/a", "gpu_type": "H100", "gpus_per_replica": 2},
        {"name": "b", "target": "Deployment/b", "gpu_type": "L4", "gpus_per_replica": 1},
    ]
    fleet.decide(fleet.add("mixed", 8, variants=kinds), 9, 8, price=3.2)
    assert one(viewer)["price_usd_per_gpu_hour"] == 3.2
    ada = one(viewer, "L4")
    assert (ada["price_usd_per_gpu_hour"], ada["is_feasible"]) == (None, None)
    assert ada["decided_at"] is not None
    fleet.decide(fleet.add("small", 1, gpu_type="L4"), 1, 1, price=0.4, gpu_type="L4")
    assert one(viewer, "L4")["price_usd_per_gpu_hour"] == 0.4
    assert one(viewer)["price_usd_per_gpu_hour"] == 3.2
