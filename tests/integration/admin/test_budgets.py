"""GPU budgets over the REST API and in the console, on a real database."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text

from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW
from tests.integration.admin.seeded_rows import STEP_S

pytestmark = pytest.mark.integration

STEP = timedelta(seconds=STEP_S)


class Fleet:
    """Workloads, snapshots, budgets and decisions, written as the other services write them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.n_decisions = 0

    def add(self, name: str, replicas: int | None, **spec: Any) -> int:
        base = {
            "target": "Deployment/w",
            "demand": "request_rate_rps",
            "indicators": [{"name": "request_rate_rps", "level": 1}],
            "capacity": {"per_replica": 10.0},
        }
        row = {
            "namespace": "demo", "name": name, "shard": 0, "step_s": STEP_S, "spec": base | spec,
            "created_at": NOW, "updated_at": NOW,
        }  # fmt: skip
        with self.engine.begin() as connection:
            statement = insert(schema.workloads).values(row).returning(schema.workloads.c.id)
            workload = int(connection.execute(statement).scalar_one())
            ensure_partitions(connection, "replica_states", NOW - STEP, NOW)
            for back, count in ((1, 99), (0, replicas)):  # the older one must not count
                if replicas is None or count is None:
                    continue
                connection.execute(
                    insert(schema.replica_states).values(
                        workload_id=workload, observed_at=NOW - back * STEP, spec_replicas=count,
                        ready_replicas=0, starting_replicas=0, pending_replicas=0,
                        start_ages_s=[], schedulable_gpus=None,
                    )
                )  # fmt: skip
        return workload

    def budget(self, gpu_type: str, gpus: int | None, age_s: float = 0.0, reason: str = "") -> None:
        values = {
            "gpu_type": gpu_type, "gpus": gpus, "source": "GPUBudget/b", "reason": reason,
            "observed_at": NOW - timedelta(seconds=age_s),
        }  # fmt: skip
        with self.engine.begin() as connection:
            connection.execute(insert(schema.gpu_budgets).values(values))

    def decide(
        self,
        workload: int,
        wanted: int,
        granted: int,
        at: datetime = NOW,
        price: float | None = 3.2,
        own_price: float = 4.5,
        **gpu_budget: Any,
    ) -> int:
        """A decision at `at` under a budget that cut `wanted` to `granted`."""
        self.n_decisions += 1
        record: dict[str, Any] = {
            "guard_trace": [
                {"guard": "bounds", "before": 90, "after": wanted, "detail": ""},
                {"guard": "fleet", "before": wanted, "after": granted, "detail": "shared"},
            ],
            "fleet": {"cap": granted, "shadow_price_usd_per_gpu_hour": own_price},
            "gpu_budget": {
                "gpu_type": "H100", "gpus": 25, "held_elsewhere_gpus": 12, "n_cut": 0,
                "gave_up": [], "price_usd_per_gpu_hour": price, "is_feasible": True,
            } | gpu_budget,
        }  # fmt: skip
        values = {
            "id": self.n_decisions, "origin_at": at - STEP, "workload_id": workload,
            "forecast_id": self.n_decisions, "policy_version": "harmony-1", "decided_at": at,
            "valid_until": at + 3 * STEP, "current_replicas": granted, "raw_replicas": wanted,
            "desired_replicas": granted, "direction": "hold",
            "reason": "hold_gpu_budget" if wanted > granted else "hold_within_risk",
            "binding_constraint": "gpu_budget" if wanted > granted else None,
            "rung": "forecast", "risk_target": 0.01, "risk_estimated": 0.02,
            "cost_delta_usd_per_h": 0.0, "explanation": record,
        }  # fmt: skip
        with self.engine.begin() as connection:
            ensure_partitions(connection, "decisions", at - STEP, at)
            connection.execute(insert(schema.decisions).values(values))
        return self.n_decisions


@pytest.fixture
def fleet(database: Engine) -> Fleet:
    return Fleet(database)


def one(viewer: AppClient, gpu_type: str = "H100") -> dict[str, Any]:
    answer = viewer.get(f"/v1/budgets/{gpu_type}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_without_budgets_the_list_is_empty_and_one_is_not_found(
    viewer: AppClient, fleet: Fleet
) -> None:
    fleet.add("w", 4)
    assert viewer.get("/v1/budgets").json() == {"items": [], "next_cursor": None}
    answer = viewer.get("/v1/budgets/H100")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "'H100' has no budget; GET /v1/budgets" in answer.json()["detail"]


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


def test_what_was_never_measured_is_not_zero(viewer: AppClient, fleet: Fleet) -> None:
    fleet.add("seen", 4)
    fleet.add("unseen", None)
    fleet.budget("H100", 20)
    fleet.budget("A100", 20)
    found = one(viewer)
    assert (found["n_workloads"], found["n_unmeasured"]) == (2, 1)
    assert (found["used_gpus"], found["free_gpus"]) == (None, None)
    unused = one(viewer, "A100")
    assert (unused["n_workloads"], unused["used_gpus"], unused["free_gpus"]) == (0, 0, 20)


def test_a_stale_budget_and_one_that_cannot_be_read_are_told_apart(
    viewer: AppClient, fleet: Fleet
) -> None:
    fleet.add("w", 4)
    fleet.add("l", 6, gpu_type="L4")
    fleet.budget("H100", 20, age_s=3 * STEP_S)
    fleet.budget("A100", 20, age_s=3 * STEP_S + 1)
    fleet.budget("*", None, reason="the GPUBudgets cannot be listed")
    unknown, ampere, hopper = viewer.get("/v1/budgets").json()["items"]
    assert (hopper["is_stale"], ampere["is_stale"], unknown["is_stale"]) == (False, True, False)
    assert (unknown["gpu_type"], unknown["gpus"], unknown["free_gpus"]) == ("*", None, None)
    assert unknown["reason"] == "the GPUBudgets cannot be listed"
    assert (unknown["n_workloads"], unknown["used_gpus"]) == (1, 6)  # the L4: H100 has its own
    assert one(viewer, "*") == unknown


def test_who_gave_up_what_at_the_newest_decisions(viewer: AppClient, fleet: Fleet) -> None:
    gold = fleet.add("gold", 13, sla={"sla_class": "gold"})
    gang = fleet.add("gang", 2, gpus_per_replica=4, sla={"sla_class": "own", "priority": 30})
    calm, lapsed = fleet.add("calm", 4), fleet.add("lapsed", 4)
    fleet.budget("H100", 25)
    fleet.decide(gold, 40, 13, NOW - STEP)  # not the newest
    fleet.decide(gold, 17, 13)
    cut = fleet.decide(gang, 5, 2)
    fleet.decide(calm, 4, 4)
    fleet.decide(lapsed, 30, 4, NOW - 3 * STEP)  # no longer valid
    found = one(viewer)
    assert found["n_cut"] == 2
    assert [(g["workload"], g["wanted_replicas"], g["granted_replicas"], g["gpus"], g["sla_class"],
             g["priority"]) for g in found["gave_up"]] == [
        ("gang", 5, 2, 12, "own", 30),
        ("gold", 17, 13, 4, "gold", 200),
    ]  # fmt: skip
    first = found["gave_up"][0]
    assert (first["decision_id"], first["namespace"]) == (cut, "demo")
    assert (first["reason"], first["price_usd_per_gpu_hour"]) == ("hold_gpu_budget", 4.5)
    assert viewer.get(f"/v1/decisions/{cut}").status_code == 200


def test_the_list_names_those_that_gave_up_most(viewer: AppClient, fleet: Fleet) -> None:
    for n in range(12):
        fleet.decide(fleet.add(f"w{n:02}", 1), 2 + n, 1)
    fleet.budget("H100", 25)
    (found,) = viewer.get("/v1/budgets").json()["items"]
    assert (found["n_cut"], len(found["gave_up"])) == (12, 10)
    assert [g["workload"] for g in found["gave_up"]][:2] == ["w11", "w10"]
    assert len(one(viewer)["gave_up"]) == 12


def test_the_price_is_that_of_the_newest_valid_decision(viewer: AppClient, fleet: Fleet) -> None:
    a, b = fleet.add("a", 1), fleet.add("b", 1)
    fleet.budget("H100", 25)
    fleet.decide(a, 1, 1, NOW - STEP, price=9.0)
    fleet.decide(b, 1, 1, NOW, price=3.2)
    found = one(viewer)
    assert (found["price_usd_per_gpu_hour"], found["is_feasible"]) == (3.2, True)
    assert found["decided_at"] == "2026-01-06T12:00:00Z"
    fleet.decide(a, 1, 1, NOW + STEP, price=None, is_feasible=False)
    found = one(viewer)
    assert (found["price_usd_per_gpu_hour"], found["is_feasible"]) == (None, False)


def test_a_decision_made_before_there_was_a_budget_has_no_price(
    viewer: AppClient, fleet: Fleet
) -> None:
    workload = fleet.add("a", 1)
    fleet.decide(workload, 1, 1)
    with fleet.engine.begin() as connection:
        connection.execute(text("UPDATE decisions SET explanation = explanation - 'gpu_budget'"))
    fleet.budget("H100", 25)
    found = one(viewer)
    assert (found["price_usd_per_gpu_hour"], found["is_feasible"]) == (None, None)
    assert found["decided_at"] is not None


def test_the_console_explains_the_budget_and_escapes_what_it_shows(
    console: AppClient, fleet: Fleet
) -> None:
    gave_up = [
        {"workload": "demo/<b>", "class": "gold", "priority": 200, "wanted": 17, "granted": 13,
         "gpus": 4}
    ]  # fmt: skip
    decision = fleet.decide(fleet.add("a", 1), 17, 13, n_cut=1, gave_up=gave_up)
    page = console.get(f"/decisions/{decision}").text
    assert "All workloads on H100 together may use 25 GPUs; 12 GPUs held by" in page
    assert "one GPU more would avert losses of about $3.20 per hour" in page
    assert "demo/&lt;b&gt; (gold, priority 200): 13 of 17 replicas, 4 GPUs given up" in page
    assert json.dumps(gave_up) not in page


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
